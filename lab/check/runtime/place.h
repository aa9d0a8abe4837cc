// Where in the explored program something happens. The calls that a compiler puts before accesses
// tell an address of code only; it becomes a file and a line when a failure is told.
#pragma once

#include <cstdint>
#include <source_location>
#include <string>
#include <vector>

namespace ufence::lab::check {

/// One for each address of code and way that led there. Its line is its number until it is named.
struct place {
  static constexpr std::size_t frames_max = 12;
  std::uintptr_t frames[frames_max] = {};  // innermost first
  std::size_t depth = 0;
  std::string file;
  std::string function;
  unsigned line = 0;
  bool is_in_library = false;  // the code itself, whatever calls it
};

/// The parts of std::source_location in libstdc++, for places that no compiler knows.
[[nodiscard]] std::source_location location_of(const void* code) noexcept;

/// A function was entered, from an address of code; or left.
void enter(const void* from) noexcept;
void leave() noexcept;

/// Names the files and lines of all places so far.
void name_places();
/// Puts names where a text has places that were not named when it was made.
[[nodiscard]] std::string with_places(const std::string& text);

/// Whether a place is in a header or template of a library, though the program's own code calls it.
[[nodiscard]] bool is_library_code(const std::source_location& where);
/// Whether the first place that a text has is in no file of the program's own.
[[nodiscard]] bool is_inside_library(const std::string& text);
/// The function of the first place that a text has.
[[nodiscard]] std::string function_in(const std::string& text);
/// Its line of code, without what it is indented by; empty if the file can't be read.
[[nodiscard]] std::string source_in(const std::string& text);

/// The counts over all executions, which are not put back.
struct run_counts {
  std::size_t events = 0;         // of the execution, at the last plain read
  std::uint64_t reads = 0;        // plain ones since then
  bool limits_surprises = false;  // a wait might have ended by surprise, and has not
};
[[nodiscard]] run_counts& counts() noexcept;

/// Call it before anything else here, outside of executions.
void make_places();

}  // namespace ufence::lab::check
