// The program's static data, put back before each execution: whatever a scenario, or the code under
// test, keeps in static storage begins each time as it was.
#pragma once

#include <cstddef>
#include <vector>

namespace ufence::lab {

/// Covers .data and .bss of the program itself, not of shared libraries. The explorer therefore
/// keeps nothing there that changes during an execution.
class process_image {
 public:
  void save();
  void restore() const noexcept;
  /// Appends what is there now.
  static void append_to(std::vector<char>& all);

 private:
  std::vector<char> saved_;
};

}  // namespace ufence::lab
