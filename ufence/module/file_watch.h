// Tells that files have changed: replaced by others of the name, or written to in place.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "ufence/base/api.h"
#include "ufence/base/deadline.h"
#include "ufence/base/result.h"

namespace ufence {

/// Watches files by their names, whatever becomes of them and of their folders: links are followed, and
/// files that are not there may come. Threads: wait() one at a time; stop() any.
class UFENCE_API file_watch {
 public:
  /// @param settle_ns  so long nothing must have happened to a file before it is told
  /// @return  -EMFILE, -ENFILE, -ENOMEM; -EINVAL no paths
  [[nodiscard]] static result<std::unique_ptr<file_watch>> create(std::vector<std::string> paths,
                                                                  std::int64_t settle_ns = 50'000'000);
  ~file_watch();
  file_watch(const file_watch&) = delete;
  file_watch& operator=(const file_watch&) = delete;

  /// Waits until a file is another one than before, or of another content, and has settled.
  /// @param deadline_ns  absolute
  /// @return  the index of its path; -ETIME none by then; -ECANCELED stop() was called
  /// Blocks: up to the deadline.
  [[nodiscard]] result<std::size_t> wait(absolute_deadline deadline_ns);
  /// Ends wait(), now and in future.
  void stop() noexcept;

 private:
  struct impl;
  explicit file_watch(std::unique_ptr<impl> made) noexcept;
  std::unique_ptr<impl> impl_;
};

}  // namespace ufence
