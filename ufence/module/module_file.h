// An open module file, checked, with the identity that tells it from a newer build under its name.
#pragma once

#include <string>

#include "ufence/base/fd.h"
#include "ufence/module/elf_check.h"
#include "ufence/module/file_stamp.h"
#include "ufence/module/inspect.h"

namespace ufence::detail {

/// info.error says whether the rest is there.
struct module_file {
  unique_fd fd;
  file_stamp stamp;         // when it was checked
  module_info info;
  module_layout layout;
};

/// Opens and checks, with the libraries that it needs. The answer is about the file that fd refers to.
/// @param copies  it is copied first, into memory that nobody can change: fd refers to that
/// Allocates: may throw std::bad_alloc.
[[nodiscard]] module_file open_module(const std::string& path, bool copies = false);

}  // namespace ufence::detail
