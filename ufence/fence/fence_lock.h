// LOCK of a fence, inline: for the sources of this layer.
//
// LOCK is a byte of its own, 1 while it is held. It is taken by a locked instruction and dropped by a plain
// store, which is possible because nobody else ever changes a byte that is held. The thread that drops it
// then looks at the state word for LOCK_WAITERS; a thread that wants to sleep sets that bit and looks at
// the byte again. Each could miss what the other one just did, so the sleeper has a process_barrier()
// between the two (lock_slow()), and the thread that drops LOCK has a barrier_point().
//
//   drops LOCK                         sleeps
//     lock_ = 0             [FENCE.2]    LOCK_WAITERS set in state_
//     barrier_point()       [FENCE.29]   process_barrier()               [FENCE.30]
//     LOCK_WAITERS set? wake             lock_ still 1? futex_wait(state_)
//
// A fence without a backend that one thread alone may signal, and that has no callbacks, is decided by a
// single instruction on the state word, without LOCK. A thread that lists a callback looks for SIGNALED after LOCK
// was taken, a thread that decides looks for LOCK and for callbacks after SIGNALED was set (store buffering): either
// the callback is refused, or the decision finds it, or LOCK taken, and goes on under LOCK.
//
//   lists a callback                   decides
//     lock_ = 1             [FENCE.1]    SIGNALED set in state_          [FENCE.36]
//     SIGNALED set? refuse  [FENCE.37]   lock_ 0, no callbacks? done     [FENCE.38]
#pragma once

#include "ufence/base/fork.h"
#include "ufence/base/lock_rank.h"
#include "ufence/base/process_barrier.h"
#include "ufence/fence/fence.h"

namespace ufence {

inline bool fence::may_be_inherited_or(std::uint32_t kinds) const noexcept {
  return (kind_ & kinds) != 0 || generation_ != static_cast<std::uint16_t>(fork_generation());
}

inline bool fence::is_inherited() const noexcept {
  return may_be_inherited_or(0) && this != &stub_;
}

inline bool fence::try_lock() noexcept {
  std::uint8_t is_held = 0;
  // [FENCE.1] seq_cst: see what the last holder wrote; SB, LOCK before the look at SIGNALED (FENCE.37);
  // pairs with [FENCE.2], [FENCE.38]
  if (!lock_.compare_exchange(is_held, 1, mo::seq_cst, mo::relaxed)) return false;
  rank_acquire(lock_rank::fence);
  return true;
}

inline std::uint32_t fence::lock() noexcept {
  if (!try_lock()) [[unlikely]]
    lock_slow();
  // relaxed: what matters of it is changed under LOCK
  return state_.load(mo::relaxed);
}

inline std::uint32_t fence::unlock() noexcept {
  // [FENCE.2] release: the list is whole again; pairs with [FENCE.1], [FENCE.15], [FENCE.38]
  lock_.store(0, mo::release);
  rank_release(lock_rank::fence);
  // [FENCE.29] acq_rel: SB, LOCK is free before the look for a sleeper; pairs with [FENCE.30]
  barrier_point(mo::acq_rel);
  // relaxed: ordered by the barrier
  const std::uint32_t s = state_.load(mo::relaxed);
  if ((s & fence_state::lock_waiters) != 0) [[unlikely]]
    wake_lockers();
  return s;
}

// Before something is listed. LOCK held, which alone does not keep away a decision that takes none.
inline std::uint32_t fence::state_before_adding() const noexcept {
  // [FENCE.37] seq_cst: SB, LOCK was taken before the look at SIGNALED; pairs with [FENCE.36]
  return state_.load(mo::seq_cst);
}

inline void fence::wake(std::uint32_t old) noexcept {
  if ((old & fence_state::waiters) != 0) wake_sleepers();
}

}  // namespace ufence
