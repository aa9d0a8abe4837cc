// The order in which locks are taken: rising ranks, checked in debug builds.
//
// Ours are the leaves of everybody's lock order: consumer locks, then issuer locks, then these, and
// nothing of ours is held while foreign code runs (F9).
#pragma once

#include "ufence/base/check.h"
#include "ufence/base/tls.h"

namespace ufence {

enum class lock_rank : unsigned {
  host = 0,            // issuer: the table of loaded modules
  device = 1,          // issuer: jobs and threads of one module instance
  syncobj = 2,         // sync: the fence of one syncobj, and the waiters for it to be there
  scheduler = 3,       // sched: what one scheduler has, and what it has chosen
  entity = 4,          // sched: the jobs that were armed on one entity
  blocked = 5,         // fence: which thread waits for which callback
  fence = 6,           // fence: the LOCK bit of one fence's state word
  timeline = 7,        // fence: awaited list of one timeline
  callback_group = 8,  // fence: callbacks registered by one module
  slab = 9,            // fence: memory of fences
  leaf = 10,           // nothing is taken under it
};

namespace detail {
struct held_ranks_tag;
using held_ranks = per_thread<held_ranks_tag, unsigned>;
}  // namespace detail

/// Notes that this thread takes a lock of that rank; in debug builds the process stops if it holds
/// one of the same or a higher rank.
inline void rank_acquire([[maybe_unused]] lock_rank rank) noexcept {
#if defined(UFENCE_DEBUG_CHECKS) && UFENCE_DEBUG_CHECKS
  unsigned& held = detail::held_ranks::get();
  UFENCE_CHECK((held >> static_cast<unsigned>(rank)) == 0 && "locks are taken in rising rank");
  held |= 1U << static_cast<unsigned>(rank);
#endif
}
inline void rank_release([[maybe_unused]] lock_rank rank) noexcept {
#if defined(UFENCE_DEBUG_CHECKS) && UFENCE_DEBUG_CHECKS
  detail::held_ranks::get() &= ~(1U << static_cast<unsigned>(rank));
#endif
}
/// Stops the process, in debug builds, if this thread holds a lock of ours: before foreign code
/// runs and before blocking.
inline void rank_check_none() noexcept {
  UFENCE_DEBUG_CHECK(detail::held_ranks::get() == 0 && "no lock of ours is held over foreign code");
}

}  // namespace ufence
