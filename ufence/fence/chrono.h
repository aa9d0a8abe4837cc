// Deadlines as std::chrono has them: points of steady_clock, which is CLOCK_MONOTONIC, and durations.
#pragma once

#include <chrono>
#include <cstdint>
#include <ratio>
#include <span>

#include "ufence/base/clock.h"
#include "ufence/fence/fence.h"
#include "ufence/fence/wait.h"

namespace ufence {

/// A time as the library's deadlines are. Later than those can be is never; before the clock began, now.
template <class Duration>
[[nodiscard]] constexpr std::int64_t deadline_at(
    std::chrono::time_point<std::chrono::steady_clock, Duration> when) noexcept {
  using seconds = std::chrono::duration<long double>;
  using nanoseconds = std::chrono::duration<std::int64_t, std::nano>;
  const seconds from_begin = when.time_since_epoch();
  if (from_begin.count() <= 0) return 0;
  if (from_begin >= seconds(nanoseconds::max())) return no_deadline;
  return std::chrono::floor<nanoseconds>(when.time_since_epoch()).count();
}
/// That long from now.
template <class Rep, class Period>
[[nodiscard]] std::int64_t deadline_in(std::chrono::duration<Rep, Period> from_now) noexcept {
  using seconds = std::chrono::duration<long double>;
  using nanoseconds = std::chrono::duration<std::int64_t, std::nano>;
  const seconds length = from_now;
  if (length.count() <= 0) return 0;
  if (length >= seconds(nanoseconds::max())) return no_deadline;
  return deadline_after(std::chrono::ceil<nanoseconds>(from_now).count());
}

/// fence::wait(), with its errors, for no longer than that.
template <class Rep, class Period>
[[nodiscard]] std::error_code wait_for(const fence_ref& f,
                                       std::chrono::duration<Rep, Period> length) noexcept {
  return f->wait(deadline_in(length));
}
/// fence::wait(), with its errors, no longer than until then.
template <class Duration>
[[nodiscard]] std::error_code wait_until(
    const fence_ref& f,
    std::chrono::time_point<std::chrono::steady_clock, Duration> when) noexcept {
  return f->wait(deadline_at(when));
}

/// wait_any() and wait_all() for no longer than that.
template <class Rep, class Period>
[[nodiscard]] result<std::size_t> wait_any_for(std::span<const fence_ref> fences,
                                               std::chrono::duration<Rep, Period> length) noexcept {
  return wait_any(fences, deadline_in(length));
}
template <class Rep, class Period>
[[nodiscard]] std::error_code wait_all_for(std::span<const fence_ref> fences,
                                           std::chrono::duration<Rep, Period> length) noexcept {
  return wait_all(fences, deadline_in(length));
}

}  // namespace ufence
