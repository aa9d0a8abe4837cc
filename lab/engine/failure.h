// The faults that an exploration can find in an execution.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace ufence::lab {

enum class failure : std::uint8_t {
  none,
  check_failed,    // a LAB_CHECK or UFENCE_CHECK
  data_race,       // two accesses of plain data, or of memory and its construction, unordered
  use_after_free,  // of a block, a poisoned range, or a frame that has returned
  double_free,
  bad_access,      // through a null pointer, or to what is no memory
  bad_free,        // of what is no block
  deadlock,        // every thread waits, at least one for a lock or a condition
  lost_wakeup,     // every thread waits, at least one sleeps on a futex
  livelock,        // every thread waits or spins; or one execution has no end
  uninitialised,   // memory is read that was not written
  leak,            // a block is allocated when all is done
  misuse,          // of the lab, or of a lock: unlocking what is not locked, ...
  not_explorable,  // the scenario does what the lab does not know
  not_repeatable,  // the same choices led elsewhere: the scenario depends on what the lab does not
                   // see
};

[[nodiscard]] std::string_view to_string(failure kind) noexcept;

struct problem {
  failure kind = failure::none;
  std::string text;
  explicit operator bool() const noexcept { return kind != failure::none; }
};

}  // namespace ufence::lab
