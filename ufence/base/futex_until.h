// Sleeping on a word until something holds, or a deadline has passed: after that it is looked at
// once more.
#pragma once

#include <cerrno>
#include <cstdint>

#include "ufence/base/atomic.h"
#include "ufence/base/futex.h"

namespace ufence {

/// @param look  look(value): does it hold? If not, it stores in `value` what the word has as long as it
///              does not hold: the thread sleeps while the word has that
/// @param deadline_ns  absolute, CLOCK_MONOTONIC; 0 looks, no_deadline never ends
/// @return  false: it did not hold at the deadline
/// Blocks: up to the deadline. Allocates: never.
template <class Look>
[[nodiscard]] bool futex_wait_until(const atomic<std::uint32_t>& word, std::int64_t deadline_ns,
                                    Look look) noexcept {
  for (bool expired = deadline_ns <= 0;;) {
    std::uint32_t value = 0;
    if (look(value)) return true;
    if (expired) return false;
    expired = futex_wait(word, value, deadline_ns) == -ETIME;
  }
}

}  // namespace ufence
