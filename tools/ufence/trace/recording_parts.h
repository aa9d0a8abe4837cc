// The files that each process of a recorded program writes, and how they become one recording.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace ufence::tool {

/// A folder of this user alone, which goes with this. It is where the recording will be: there the
/// parts become the recording without being copied.
/// All throw std::runtime_error, with one line for people, where the system does not let them.
class recording_parts {
 public:
  explicit recording_parts(std::string output);
  ~recording_parts();
  recording_parts(const recording_parts&) = delete;
  recording_parts& operator=(const recording_parts&) = delete;

  /// For UFENCE_RECORD: each process adds its number.
  [[nodiscard]] std::string prefix() const;
  /// To be called when all processes have ended, once: puts what is complete of each behind the one
  /// before. @return  empty: none has written anything. Valid as long as this.
  [[nodiscard]] std::string_view join();
  /// Makes it the output, readable as other new files are. After join().
  void publish() const;

 private:
  std::string output_;
  std::string folder_;
  std::string whole_;  // the first part, to which join() adds the others
  void* mapped_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace ufence::tool
