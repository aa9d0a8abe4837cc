// Time: nanoseconds of CLOCK_MONOTONIC, absolute, signed 64 bits.
#pragma once

#include <cstdint>
#include <ctime>

#include "ufence/base/deadline.h"

namespace ufence {

/// Now, in ns of CLOCK_MONOTONIC. Any thread; never blocks.
[[nodiscard]] inline std::int64_t now_ns() noexcept {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * INT64_C(1'000'000'000) + now.tv_nsec;
}

/// The absolute deadline `from_now_ns` ahead; saturates at no_deadline.
[[nodiscard]] inline std::int64_t deadline_after(std::int64_t from_now_ns) noexcept {
  const std::int64_t now = now_ns();
  return from_now_ns >= no_deadline - now ? no_deadline : now + from_now_ns;
}

}  // namespace ufence
