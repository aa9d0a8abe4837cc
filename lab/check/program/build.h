// Makes a shared library of the explored program: compiled with the calls of -fsanitize=thread
// before every access, and changed to call the runtime (lab/check/runtime) for what it takes from
// libraries.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "ufence/base/fd.h"

namespace ufence::lab::check {

struct build_options {
  std::string compiler = "g++";
  std::vector<std::string> flags;
  std::vector<std::string> files;
};

/// A folder that goes with its owner, and with the processes that its owner forked: a shell that
/// waits for their end removes it, also when a signal ends them.
class scratch_folder {
 public:
  scratch_folder();
  ~scratch_folder();
  scratch_folder(const scratch_folder&) = delete;
  scratch_folder& operator=(const scratch_folder&) = delete;
  [[nodiscard]] const std::string& path() const noexcept { return path_; }

 private:
  std::string path_;
  unique_fd alive_;  // closed by the last of them
  pid_t remover_ = -1;
};

/// @return  the library's path; empty: the compiler or the linker said why not, on stderr
[[nodiscard]] std::string build(const build_options& with, const scratch_folder& in);

}  // namespace ufence::lab::check
