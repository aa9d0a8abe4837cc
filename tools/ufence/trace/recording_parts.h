// The files that each process of a recorded program writes, and how they become one recording.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <system_error>

#include "tools/command_line/output_file.h"

namespace ufence::tool {

/// A folder of this user alone, which goes with this. It is where the recording will be: there the
/// parts become the recording without being copied. Where the output is written into, it is in $TMPDIR.
/// All throw std::runtime_error, with one line for people, where the system does not let them.
class recording_parts {
 public:
  /// @param output  was opened; outlives this
  explicit recording_parts(output_file& output);
  ~recording_parts();
  recording_parts(const recording_parts&) = delete;
  recording_parts& operator=(const recording_parts&) = delete;

  /// For UFENCE_RECORD: each process adds its number.
  [[nodiscard]] std::string prefix() const;
  /// To be called when all processes have ended, once: puts what is complete of each behind the one
  /// before. @return  empty: none has written anything. Valid as long as this.
  [[nodiscard]] std::string_view join();
  /// Makes it the output. After join(), once.
  [[nodiscard]] std::error_code publish();

 private:
  output_file& output_;
  std::string folder_;
  std::string whole_;  // the first part, to which join() adds the others
  void* mapped_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace ufence::tool
