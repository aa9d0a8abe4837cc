// The LOCK bit of a fence, inline: for the sources of this layer.
//
// What a locked instruction has just written is slow to load again (three times the cost of a hit
// on x86), so the state word is not loaded beside its RMWs: lock() starts with a guess of the word
// and returns what it was, and a bit that is known to be set or clear is flipped by an addition,
// the one locked instruction beside the exchanges that returns the old word.
#pragma once

#include "ufence/base/fork.h"
#include "ufence/base/lock_rank.h"
#include "ufence/fence/fence.h"

namespace ufence {

inline bool fence::is_inherited() const noexcept {
  constexpr std::uint32_t bits = UINT32_MAX >> kind::generation_shift;
  return (kind_ >> kind::generation_shift) != (fork_generation() & bits) && this != &stub_;
}

inline std::uint32_t fence::lock(std::uint32_t guess) noexcept {
  rank_acquire(lock_rank::fence);
  guess &= ~fence_state::lock;
  // [FENCE.1] acquire: see what the last holder wrote; pairs with [FENCE.2], [FENCE.3], [FENCE.9],
  // [FENCE.28], [FENCE.24]
  if (state_.compare_exchange(guess, guess | fence_state::lock, mo::acquire, mo::relaxed)) {
    return guess;
  }
  return lock_slow(guess);
}

inline std::uint32_t fence::likely_state() const noexcept {
  const std::uint32_t awaited = (kind_ & kind::ordered) != 0 ? fence_state::awaited : 0;
  return awaited | ((kind_ & kind::has_backend) != 0 ? fence_state::enabled : fence_state::retired);
}

/// Returns the state without LOCK.
inline std::uint32_t fence::unlock() noexcept {
  // [FENCE.2] release: the list is whole again; pairs with [FENCE.1], [FENCE.15],
  // [FENCE.28]
  const std::uint32_t old = state_.fetch_sub(fence_state::lock, mo::release);
  rank_release(lock_rank::fence);
  if ((old & fence_state::lock_waiters) != 0) wake_lockers();
  return old & ~fence_state::lock;
}

inline void fence::flipped(std::uint32_t old) noexcept {
  rank_release(lock_rank::fence);
  if ((old & (fence_state::lock_waiters | fence_state::waiters)) == 0) return;
  if ((old & fence_state::lock_waiters) != 0) wake_lockers();
  wake(old);
}

inline void fence::wake(std::uint32_t old) noexcept {
  if ((old & fence_state::waiters) != 0) wake_sleepers();
}

}  // namespace ufence
