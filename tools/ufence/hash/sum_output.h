// Where the sums go: nowhere, to stdout, or to a file that appears complete or not at all.
#pragma once

#include <sys/stat.h>

#include <string>
#include <string_view>
#include <system_error>

#include "ufence/base/fd.h"

namespace ufence::tool {

/// Collects lines and writes them in large pieces. A regular file is written beside its place and
/// put there by commit(); dropped before that, nothing has changed. What is no regular file (a
/// device, a FIFO) is written directly. Threads: one.
class sum_output {
 public:
  /// Goes nowhere.
  sum_output() = default;
  ~sum_output();
  sum_output(const sum_output&) = delete;
  sum_output& operator=(const sum_output&) = delete;

  void open_stdout();
  /// @return  what open() and the like say
  [[nodiscard]] std::error_code open_file(const std::string& path);

  /// Where lines are appended; call flush_if_full() now and then.
  [[nodiscard]] std::string& lines() { return lines_; }
  void flush_if_full();

  /// Writes what is left and puts the file in its place.
  /// @return  the first error since open; -EINTR: a signal has ended the run meanwhile
  [[nodiscard]] std::error_code commit();

  /// Leaves everything as it was before open_file().
  void discard();

  /// Writing has failed for good.
  [[nodiscard]] bool has_failed() const { return static_cast<bool>(error_); }
  /// Is that the file being written, met on a walk?
  [[nodiscard]] bool is_own_file(const struct stat& status) const {
    return is_replacement_ && status.st_ino == own_.st_ino && status.st_dev == own_.st_dev;
  }
  /// For messages: "standard output" or the path.
  [[nodiscard]] const std::string& name() const { return name_; }

 private:
  [[nodiscard]] std::error_code open_replacement(const std::string& path, const struct stat* old);
  [[nodiscard]] std::error_code put_in_place();
  void flush();

  unique_fd file_;
  int fd_ = -1;  // file_'s or stdout's; -1: nowhere
  bool is_replacement_ = false;
  struct stat own_ {};
  std::string name_;
  std::string target_;     // a replacement's place
  std::string temporary_;  // a replacement's name until then; empty: it has none
  std::string lines_;
  std::error_code error_;
};

}  // namespace ufence::tool
