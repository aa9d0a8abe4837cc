// A file that the user names for what a program writes.
#pragma once

#include <sys/stat.h>

#include <string>
#include <string_view>
#include <system_error>

#include "ufence/base/fd.h"

namespace ufence::tool {

/// A new file, or a regular file that is replaced, is written beside its place and put there by commit();
/// dropped before that, nothing has changed. A symbolic link is followed, and stays.
/// What can't be replaced so is written into, and stays what it is: a device, a FIFO, an open file of a
/// process (/dev/stdout, behind what stands there already), and a regular file that has more than one name,
/// is of another user, is mounted, or lies in a folder where no file can be made.
/// Threads: one.
class output_file {
 public:
  output_file() = default;
  ~output_file() { discard(); }
  output_file(const output_file&) = delete;
  output_file& operator=(const output_file&) = delete;

  /// @return  what open() and the like say: nothing has changed
  /// Blocks: a FIFO, until somebody reads.
  [[nodiscard]] std::error_code open(const std::string& path);
  /// As open(); throws std::runtime_error with the path and what the system says.
  void open_or_throw(const std::string& path);

  /// The regular file that commit() puts something in the place of; empty: it is written into.
  [[nodiscard]] const std::string& replaces() const noexcept { return target_; }
  /// Is that the file being written beside its place?
  [[nodiscard]] bool is_own_file(const struct stat& status) const noexcept {
    return !target_.empty() && status.st_ino == own_.st_ino && status.st_dev == own_.st_dev;
  }

  /// Writes as much as write() does at once.
  /// @return  -1 with errno, as write()
  [[nodiscard]] ssize_t write_some(std::string_view bytes) noexcept;
  /// All of it.
  [[nodiscard]] std::error_code write(std::string_view bytes) noexcept;
  /// Puts what was written in its place, and closes it.
  [[nodiscard]] std::error_code commit();
  /// write() and commit().
  [[nodiscard]] std::error_code write_and_commit(std::string_view bytes);
  /// Puts another file, of the same file system, in the place instead. Of what replaces() something.
  [[nodiscard]] std::error_code commit_file(const std::string& path);
  /// Leaves everything as it was before open(), but for what was written into.
  void discard();

 private:
  [[nodiscard]] std::error_code open_replacement(const std::string& path, mode_t mode);
  [[nodiscard]] std::error_code open_in_place(const std::string& path, int flags);
  [[nodiscard]] std::error_code put_in_place();

  unique_fd file_;
  bool is_emptied_ = true;  // else by the first write, or by commit()
  mode_t mode_ = 0;         // of a replacement
  struct stat own_ {};
  std::string target_;     // a replacement's place
  std::string temporary_;  // a replacement's name until then; empty: it has none
};

}  // namespace ufence::tool
