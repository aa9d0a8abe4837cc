// The file of a shared timeline's page. Inside the layer only.
#pragma once

#include "ufence/base/fd.h"
#include "ufence/base/result.h"
#include "ufence/sync/shared_page.h"

namespace ufence::detail {

/// A page, mapped into this process until unmap_page().
struct mapped_page {
  shared_page* page = nullptr;
  unique_fd fd;
  bool is_writable = false;
};

/// A new page, all zero.
/// @param peers_may_write  if not, nobody can ever write to it but through this mapping
/// @return  -EMFILE, -ENFILE, -ENOMEM; -EFBIG of RLIMIT_FSIZE
[[nodiscard]] result<mapped_page> make_page(bool peers_may_write) noexcept;
/// The page of a descriptor that stays the caller's. Its contents are not looked at.
/// @return  -EBADF; -EINVAL no such file; -EMFILE; -ENOMEM
[[nodiscard]] result<mapped_page> map_page(int fd) noexcept;
/// Another descriptor of it, which need not be able to write.
[[nodiscard]] result<unique_fd> export_page(const unique_fd& fd, bool may_write) noexcept;
void unmap_page(shared_page& page) noexcept;

}  // namespace ufence::detail
