// Double of ufence/base/clock.h for the lab: time stands still but for waits that expire.
#pragma once

#include <cstdint>

#include "lab/engine/hooks.h"
#include "ufence/base/deadline.h"

namespace ufence {

[[nodiscard]] inline std::int64_t now_ns() noexcept { return lab::hooks::now_ns(); }

[[nodiscard]] inline std::int64_t deadline_after(std::int64_t from_now_ns) noexcept {
  const std::int64_t now = now_ns();
  return from_now_ns >= no_deadline - now ? no_deadline : now + from_now_ns;
}

}  // namespace ufence
