// The program's static data, put back before each execution: whatever a scenario, or the code under
// test, keeps in static storage begins each time as it was.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace ufence::lab {

/// Covers .data and .bss of the program itself and the ranges that are added, not other shared
/// libraries. The explorer therefore keeps nothing there that changes during an execution.
class process_image {
 public:
  /// Static data of a library that the scenario brings: those saved from now on have it too.
  static void add(std::span<char> range);
  /// The ranges that were added.
  [[nodiscard]] static std::span<const std::span<char>> added() noexcept;

  void save();
  void restore() const noexcept;
  /// Appends what is there now.
  static void append_to(std::vector<char>& all);

 private:
  struct saved {
    char* begin;
    std::vector<char> bytes;
  };
  std::vector<saved> saved_;
};

}  // namespace ufence::lab
