// Where the sums go: nowhere, to stdout, or to a file that appears complete or not at all.
#pragma once

#include <sys/stat.h>

#include <string>
#include <system_error>

#include "tools/command_line/output_file.h"

namespace ufence::tool {

/// Collects lines and writes them in large pieces. Threads: one.
class sum_output {
 public:
  /// Goes nowhere.
  sum_output() = default;
  ~sum_output() = default;
  sum_output(const sum_output&) = delete;
  sum_output& operator=(const sum_output&) = delete;

  void open_stdout();
  /// @return  what output_file::open() says
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
  [[nodiscard]] bool is_own_file(const struct stat& status) const { return file_.is_own_file(status); }
  /// For messages: "standard output" or the path.
  [[nodiscard]] const std::string& name() const { return name_; }

 private:
  enum class place { nowhere, standard_output, file };
  void flush();

  place place_ = place::nowhere;
  output_file file_;
  std::string name_;
  std::string lines_;
  std::error_code error_;
};

}  // namespace ufence::tool
