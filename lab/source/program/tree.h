// A kernel tree's fences as libraries that the lab explores: its own files and headers, patched if
// asked for, and the lab's services in place of the rest of the kernel.
#pragma once

#include <deque>
#include <filesystem>
#include <string>
#include <vector>

#include "lab/check/program/build.h"

namespace ufence::lab::kernel_source {

struct tree_options {
  std::string source;
  std::vector<std::string> patches;
  std::string compiler = "gcc";
};

/// The parts of a file of the tree that may be left out.
struct barrier {
  std::string what;  // "test_and_set_bit in dma_fence_signal_timestamp_locked, dma-fence.c:373"
  std::string file;
  std::vector<unsigned long> lines;
};

class kernel_tree {
 public:
  /// Copies what is needed of it; throws std::runtime_error for what is no tree, or a patch that
  /// does not fit.
  explicit kernel_tree(const tree_options& from);

  /// "linux-7.3.4", or the folder's name.
  [[nodiscard]] const std::string& name() const noexcept { return name_; }
  /// The library's path; throws if it can't be built, which the compiler has said on stderr.
  [[nodiscard]] std::string build();
  /// The barriers, locks and read sections of its dma-fence.c: each call by itself, of a lock all
  /// calls in one function.
  [[nodiscard]] std::vector<barrier> barriers(const std::string& library) const;
  [[nodiscard]] std::string build_without(const barrier& b);

 private:
  void copy(const std::filesystem::path& source, const std::vector<std::string>& patches);
  void forward_headers();
  [[nodiscard]] std::vector<std::string> words() const;

  check::scratch_folder folder_;
  std::string compiler_;
  std::string name_;
  std::vector<std::string> flags_;
  std::vector<std::string> files_;
  std::deque<check::scratch_folder> built_;
};

}  // namespace ufence::lab::kernel_source
