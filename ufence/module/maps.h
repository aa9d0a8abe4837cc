// The mappings of this process, as the kernel tells them.
#pragma once

#include <cstdint>
#include <string>

#include "ufence/base/result.h"

namespace ufence::detail {

/// A range of addresses of this process.
struct address_range {
  std::uintptr_t begin = 0;
  std::uintptr_t end = 0;

  [[nodiscard]] bool contains(const void* p, std::uintptr_t size = 1) const noexcept {
    const auto at = reinterpret_cast<std::uintptr_t>(p);
    return at >= begin && at < end && size <= end - at;
  }
};

/// The device and inode of the first file mapped in the range, as /proc/self/maps prints them: good
/// for comparing with each other only (overlay file systems show other numbers there than stat()).
/// @param only  if not empty, other files are not looked at
/// @return  empty: no such file is mapped there; errno of reading /proc/self/maps
/// Blocks: a few system calls where the kernel answers for one address (since 6.11), else while the
/// whole list is read. Allocates: may throw std::bad_alloc.
[[nodiscard]] result<std::string> mapped_file(address_range range, const std::string& only = {});

/// The two ways, for tests. By asking: -ENOTTY the kernel can't.
[[nodiscard]] result<std::string> mapped_file_by_asking(address_range range, const std::string& only);
[[nodiscard]] result<std::string> mapped_file_by_reading(address_range range, const std::string& only);

}  // namespace ufence::detail
