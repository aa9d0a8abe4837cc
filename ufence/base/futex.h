// Sleeping on a 32-bit word until its value changes. A model checker's double stands earlier on the
// include path.
#pragma once

#include <cstdint>
#include <span>

#include "ufence/base/atomic.h"

namespace ufence {

/// Classes of sleepers on one word; a wake names the classes that it means.
namespace futex_class {
inline constexpr std::uint32_t any = 0xFFFFFFFF;
inline constexpr std::uint32_t lock = 1;   // waits for a lock bit
inline constexpr std::uint32_t state = 2;  // waits for everything else
}  // namespace futex_class

/// Sleeps while the word has the expected value.
/// @param deadline_ns  absolute, CLOCK_MONOTONIC; no_deadline never ends
/// @return  0 woken, or the value differed, or a signal handler ran, or the system refuses to let
/// threads sleep so, and a moment has passed: look again; -ETIME at the deadline
int futex_wait(const atomic<std::uint32_t>& word, std::uint32_t expected, std::int64_t deadline_ns,
               std::uint32_t sleepers = futex_class::any) noexcept;

/// The same for a caller that a signal may interrupt.
/// @return  also -EINTR: a signal handler ran that was not installed with SA_RESTART, or any while there was
/// a deadline
int futex_wait_interruptible(const atomic<std::uint32_t>& word, std::uint32_t expected,
                             std::int64_t deadline_ns,
                             std::uint32_t sleepers = futex_class::any) noexcept;

/// Wakes all sleepers of these classes. The word may lie in memory that was recycled meanwhile: a
/// wake then is spurious, and every sleeper looks again.
void futex_wake_all(const atomic<std::uint32_t>& word,
                    std::uint32_t sleepers = futex_class::any) noexcept;

/// The same for a word in a mapping that processes share; reading it is enough, for both.
int futex_wait_shared(const atomic<std::uint32_t>& word, std::uint32_t expected,
                      std::int64_t deadline_ns) noexcept;
void futex_wake_all_shared(const atomic<std::uint32_t>& word) noexcept;

/// One word of futex_wait_any().
struct futex_waiter {
  const atomic<std::uint32_t>* word;
  std::uint32_t expected;
  bool is_shared = false;  // by processes
};
/// How many words futex_wait_any() takes.
inline constexpr std::size_t futex_wait_any_max = 128;

/// Sleeps while each of the words has its expected value.
/// @return  0 look again; -ETIME at the deadline; -ENOSYS where the kernel lacks futex_waitv
/// (before 5.16)
int futex_wait_any(std::span<const futex_waiter> words, std::int64_t deadline_ns) noexcept;

}  // namespace ufence
