// RCU: readers that never wait, writers that wait until all readers of before have left.
//
// liburcu-bp (threads need not register) behind a small door, with the happens-before edges that race
// detectors can't see in it. Read sections nest and may be opened by any thread at any time.
//
// liburcu's read lock and unlock are inlined here. Both are shorter than ten lines, and the comments of
// urcu/static/urcu-bp.h permit that to any program for this reason. A call to liburcu's own functions
// would cost several times what they do, as each of them asks for the address of its thread's data.
#pragma once

#include <cstddef>

#include "ufence/base/api.h"
#include "ufence/base/atomic.h"
#include "ufence/rcu/readers.h"

// Under sanitizers they are calls. ThreadSanitizer can't see the edges in them, it is told (rcu.cc).
// UndefinedBehaviorSanitizer, which goes with AddressSanitizer here, stops at a reader's data, which
// liburcu aligns less than their type asks for.
#if defined(__SANITIZE_THREAD__)
#define UFENCE_RCU_IS_WATCHED 1
#elif defined(__SANITIZE_ADDRESS__)
#define UFENCE_RCU_IS_CALLED 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define UFENCE_RCU_IS_WATCHED 1
#elif __has_feature(address_sanitizer)
#define UFENCE_RCU_IS_CALLED 1
#endif
#endif

namespace ufence::rcu {

namespace detail {

// The same two, not inline.
UFENCE_API void called_read_lock() noexcept;
UFENCE_API void called_read_unlock() noexcept;

inline void read_lock() noexcept {
#if defined(UFENCE_RCU_IS_WATCHED) || defined(UFENCE_RCU_IS_CALLED)
  called_read_lock();
#else
  know_this_thread();
  _urcu_bp_read_lock();
#endif
}
inline void read_unlock() noexcept {
#if defined(UFENCE_RCU_IS_WATCHED) || defined(UFENCE_RCU_IS_CALLED)
  called_read_unlock();
#else
  _urcu_bp_read_unlock();
#endif
}

}  // namespace detail

/// Objects that were reachable when it began stay until it ends.
/// Blocks: never. Context: anywhere; do not call synchronize(), flush_deferred() or fork() inside:
/// each waits for grace periods, and these for the section.
class read_section {
 public:
  read_section() noexcept { detail::read_lock(); }
  ~read_section() { detail::read_unlock(); }
  read_section(const read_section&) = delete;
  read_section& operator=(const read_section&) = delete;
};

/// Is this thread inside a read section?
[[nodiscard]] UFENCE_API bool is_reading() noexcept;

/// Makes what `value` points to visible to readers that load the slot with dereference().
template <class T>
void publish(atomic<T*>& slot, T* value) noexcept {
  // [RCU.1] release: the object's contents before its address; pairs with [RCU.2]
  slot.store(value, mo::release);
}
/// A pointer that stays valid until the read section ends.
template <class T>
[[nodiscard]] T* dereference(const atomic<T*>& slot) noexcept {
  // [RCU.2] acquire: see the object's contents; pairs with [RCU.1], [RCU.5]
  return slot.load(mo::acquire);
}

/// Waits until every read section that was open when it was called has ended.
/// Blocks: yes. Context: not inside a read section. Source: Linux synchronize_rcu()
UFENCE_API void synchronize() noexcept;

/// Embedded in what defer() frees.
struct deferred {
  deferred* next = nullptr;
  void (*free)(deferred*) noexcept = nullptr;
};
/// Calls free(node) after a grace period: later, in a batch, on the thread that reclaim() starts or
/// on one that calls flush_deferred(), with no lock of ours held.
/// Blocks: never. Context: anywhere. Allocates: never.  Source: Linux kfree_rcu()
UFENCE_API void defer(deferred& node, void (*free)(deferred*) noexcept) noexcept;
/// The same for memory alone: free(node) gives `bytes` of it back to an allocator, and does nothing
/// else. So a thread that makes such objects, and calls reclaim(), may do it as well.
/// Blocks, Context, Allocates: as defer().
UFENCE_API void defer_memory(deferred& node, std::size_t bytes,
                             void (*free)(deferred*) noexcept) noexcept;
/// Has what was deferred freed, if it is a batch worth a grace period. Memory is freed here and now, where
/// it is still warm, if no read section of before is open; it waits for none. All else, and memory that
/// readers keep from being freed for long, is freed by a thread of the library's own, which waits for the
/// grace periods of the whole process, so that nobody else does. It begins here, and ends when it has had
/// nothing to free for a while. A thread that allocates such objects calls this, so that no path that
/// drops a reference frees others, or starts a thread. Where the system refuses to give one, frees are left
/// to flush_deferred(), and each further batch asks again.
/// Blocks: never. Context: anywhere an allocator may be called, also inside of a read section. Allocates:
/// may, for the thread.
UFENCE_API void reclaim() noexcept;
/// Has what this thread deferred run within some ten milliseconds and a grace period, though it be no batch:
/// for functions that somebody may wait for. The thread of reclaim() does it, and is started if there is none.
/// Blocks: never. Context: anywhere an allocator may be called, also inside of a read section. Allocates:
/// may, for the thread; where the system refuses it, as with reclaim().  Source: Linux call_rcu()
UFENCE_API void ensure_run() noexcept;
/// Frees all that was deferred before the call, also what other threads are freeing now.
/// Blocks: for a grace period. Context: as synchronize(), and not inside a deferred free.
/// Source: Linux rcu_barrier()
UFENCE_API void flush_deferred() noexcept;

}  // namespace ufence::rcu
