// The results of checking the newest module files: a file that nobody has written to since is not read again.
#pragma once

#include <memory>

#include "ufence/module/elf_check.h"
#include "ufence/module/elf_file.h"
#include "ufence/module/file_stamp.h"
#include "ufence/module/inspect.h"

namespace ufence::detail {

/// A module file that passed check_elf().
struct checked_file {
  elf_file file;
  module_info info;      // without what is said of libraries
  module_layout layout;
  bool names_sanitizer = false;
};

/// The result for the file with that stamp; null: none.
/// Threads: any.
[[nodiscard]] std::shared_ptr<const checked_file> find_checked(const file_stamp& now) noexcept;

/// Notes what a file was found to be, in place of the one that was noted first of 8. A file that was written
/// to within the last seconds is not noted: it could be written to again without a new time of change.
/// @param stamp  before it was read
/// Threads: any.
void note_checked(const file_stamp& stamp, std::shared_ptr<const checked_file> found) noexcept;

}  // namespace ufence::detail
