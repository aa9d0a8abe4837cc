// Double of the table of readers for the lab, over the words of the double of liburcu.
#pragma once

#include <array>
#include <cstdint>
#include <source_location>

#include "lab/models/doubles/urcu/static/urcu-bp.h"

namespace ufence::rcu::detail {

inline void know_this_thread() noexcept {}

[[nodiscard]] inline bool seem_quiet() noexcept { return true; }

// It passes through the word of each thread, as a grace period does, but does not wait for one to be 0.
[[nodiscard]] inline bool have_passed(
    std::source_location where = std::source_location::current()) noexcept {
  if (!lab::hooks::in_model()) return true;
  for (unsigned t = 0; t < lab::max_threads; ++t) {
    if (lab::hooks::modify(&lab::urcu::sections[t], 4, lab::modification::add, 0,
                           std::memory_order_acq_rel, where) != 0) {
      return false;
    }
  }
  return true;
}

}  // namespace ufence::rcu::detail
