// For tests that are built with the double of ufence/base/alloc.h beside this file.
#pragma once

#include <gtest/gtest.h>

#include <cerrno>
#include <cstddef>
#include <functional>
#include <system_error>

#include "ufence/base/alloc.h"
#include "ufence/base/result.h"
#include "ufence/fence/slab.h"
#include "ufence/fence/testing/support.h"
#include "ufence/rcu/rcu.h"

namespace ufence::testing {

/// Calls `attempt` with its first allocation failing, then its second, ... until none is left to
/// fail. Each time it must fail with -ENOMEM and leave as many fences and blocks as there were; what
/// it made goes before it returns, or soon after with the help of `tidy`.
/// @return  how many were failed
inline int fail_each(
    const std::function<std::error_code()>& attempt,
    const std::function<void()>& expect_unchanged = [] {},
    const std::function<void()>& tidy = [] {}) {
  for (int nth = 1;; ++nth) {
    tidy();
    rcu::flush_deferred();
    const std::size_t fences = live_fences();
    const long blocks = allocations::living;
    allocations::reset(nth);
    const std::error_code failed = attempt();
    const bool was_hit = allocations::asked >= nth;
    allocations::reset();
    if (!was_hit) {
      EXPECT_FALSE(failed) << failed;
      return nth - 1;
    }
    EXPECT_EQ(failed, errno_code(ENOMEM)) << "allocation " << nth;
    EXPECT_TRUE(eventually([&] {
      tidy();
      rcu::flush_deferred();
      return live_fences() == fences && allocations::living == blocks;
    })) << "allocation "
        << nth;
    expect_unchanged();
    if (nth > 20) return nth;
  }
}

}  // namespace ufence::testing
