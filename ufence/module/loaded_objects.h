// The objects that the dynamic linker has in the process.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "ufence/module/maps.h"

namespace ufence::detail {

/// An object as the dynamic linker had it when it was asked.
struct loaded_object {
  std::string path;
  std::uintptr_t base = 0;
  address_range range;
  std::vector<address_range> data;  // what can be written to, but for what is read-only once it is bound
  std::string soname;
  std::vector<std::string> needed;
  std::uint64_t static_tls_size = 0;

  [[nodiscard]] bool has_name(std::string_view name) const noexcept {
    const std::string_view file = std::string_view(path).substr(path.rfind('/') + 1);
    return name == soname || name == file || name == path;
  }
};

/// All of them; the program comes first.
/// Allocates: may throw std::bad_alloc.
[[nodiscard]] std::vector<loaded_object> objects_now();

/// Those that these names stand for, and what they need, and so on.
/// Allocates: may throw std::bad_alloc.
[[nodiscard]] std::vector<const loaded_object*> closure(const std::vector<loaded_object>& objects,
                                                        const std::vector<std::string>& needed);

}  // namespace ufence::detail
