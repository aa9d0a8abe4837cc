// Deadlines: absolute, in nanoseconds of CLOCK_MONOTONIC.
#pragma once

#include <concepts>
#include <cstdint>

namespace ufence {

/// The deadline that never comes.
inline constexpr std::int64_t no_deadline = INT64_MAX;
/// The deadline that has come: look, and do not block.
inline constexpr std::int64_t no_wait = 0;

/// How a function that may block takes its deadline: as a std::int64_t, as deadline_after() and the other
/// constants here give it. What a number without a unit becomes, an int, is no deadline and does not
/// compile: wait(1000) meant a duration, and ended at once.
class absolute_deadline {
 public:
  template <std::same_as<std::int64_t> Nanoseconds>
  constexpr absolute_deadline(Nanoseconds deadline_ns) noexcept : ns_(deadline_ns) {}  // NOLINT(google-explicit-constructor)
  constexpr operator std::int64_t() const noexcept { return ns_; }  // NOLINT(google-explicit-constructor)

 private:
  std::int64_t ns_;
};

}  // namespace ufence
