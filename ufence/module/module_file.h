// An open module file, checked, with the identity that tells it from a newer build under its name.
#pragma once

#include <sys/types.h>

#include <string>

#include "ufence/base/fd.h"
#include "ufence/module/elf_check.h"
#include "ufence/module/inspect.h"

namespace ufence::detail {

/// Which file it is, whatever its name.
struct file_id {
  dev_t device = 0;
  ino_t inode = 0;
  friend bool operator==(const file_id&, const file_id&) noexcept = default;
};

/// info.error says whether the rest is there.
struct module_file {
  unique_fd fd;
  file_id id;
  module_info info;
  module_layout layout;
};

/// Opens and checks. The answer is about the file that fd refers to.
/// Allocates: may throw std::bad_alloc.
[[nodiscard]] module_file open_module(const std::string& path);

}  // namespace ufence::detail
