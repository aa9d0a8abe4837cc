// What the model tests over the product's sources share.
#pragma once

#include <gtest/gtest.h>

#include <climits>
#include <functional>

#include "lab/engine/explore.h"
#include "lab/models/product.h"

namespace ufence::lab {

/// Expects that nothing goes wrong in any execution, and that the search gets through all of them.
/// Environment, for scripts/mutate_orders.py and for people:
///   UFENCE_LAB_SECONDS=n   how long the phases of expect_safe_so_far() may take
///   UFENCE_LAB_REPLAY=t    repeats the execution of a trace instead
///   UFENCE_LAB_WEAKEN=file:first-last:order   on these lines orders are weaker (relaxed, acquire,
///                          release)
void expect_safe(const std::function<void()>& body, settings with = {});

/// The same for scenarios that are too large for a short run: searches for a limited time, by
/// itself some seconds.
void expect_safe_so_far(const std::function<void()>& body, settings with = {});

/// For a scenario that is about something else than sleeping on LOCK.
struct spinning {
  spinning() { turns_before_sleep = INT_MAX; }
  ~spinning() { turns_before_sleep = 0; }
  spinning(const spinning&) = delete;
  spinning& operator=(const spinning&) = delete;
};

}  // namespace ufence::lab
