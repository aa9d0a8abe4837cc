// Double of ufence/base/clock.h for the lab: time stands still but for waits that expire.
#pragma once

#include <cstdint>

#include "lab/engine/hooks.h"

namespace ufence {

inline constexpr std::int64_t no_deadline = INT64_MAX;

[[nodiscard]] inline std::int64_t now_ns() noexcept { return lab::hooks::now_ns(); }

[[nodiscard]] inline std::int64_t deadline_after(std::int64_t from_now_ns) noexcept {
  const std::int64_t now = now_ns();
  return from_now_ns >= no_deadline - now ? no_deadline : now + from_now_ns;
}

}  // namespace ufence
