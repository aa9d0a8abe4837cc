// How a design fares in a hazard.
#pragma once

#include <cstdint>
#include <source_location>
#include <string_view>

#include "lab/engine/failure.h"

namespace ufence::lab {

enum class verdict : std::uint8_t {
  safe,
  use_after_free,
  null_call,
  deadlock,
  lost_wakeup,
  data_race,
  wrong_result,
  double_run,
  not_applicable,
  broken,  // the lab itself failed: no verdict
};
[[nodiscard]] std::string_view to_string(verdict v) noexcept;

/// The meaning of the explorer's finding for the design.
[[nodiscard]] verdict verdict_of(const problem& found) noexcept;

/// For designs and scenarios: ends the execution with this verdict.
/// @param text  begins with the verdict's name and a colon
[[noreturn]] void goes_wrong(const char* text,
                             std::source_location where = std::source_location::current());

/// The price that a design pays for being safe (or not).
enum class cost : std::uint8_t {
  grace_period,           // the issuer waits for all readers of the system
  waits_for_ops,          // the issuer waits for the ops of this fence
  lock_over_driver_code,  // the fence lock is held while an op of the driver runs
  lock_over_callbacks,    // the fence lock is held while consumers' callbacks run
  announces,              // readers write to shared memory around each op
  defers,                 // the issuer's data goes later, where the last op leaves
};
inline constexpr unsigned cost_count = 6;
[[nodiscard]] std::string_view to_string(cost c) noexcept;

/// A set of costs, a bit for each.
using costs = std::uint32_t;

/// The design pays this, in the execution that runs.
void pay(cost c) noexcept;
/// Where pay() writes to: memory that no execution puts back. nullptr: nowhere.
void collect_costs(costs* to) noexcept;

}  // namespace ufence::lab
