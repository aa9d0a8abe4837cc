// ww_mutex: a wound/wait mutex. Threads that lock several of them, in any order, cannot deadlock:
// each takes part with an acquire context, and the context that began later gives way.
//
// When a context meets a mutex that a younger one holds, it wounds that one and waits. A wounded
// context gets -EDEADLK from its next lock(), or from the one that it sleeps in: then it unlocks
// all that it holds, waits with lock_slow() for the mutex that it did not get, and locks the others
// again. It keeps its age, so it is the oldest some day and gets all. `resv_locks` does this for
// reservation objects.
//
// Waiters get the mutex from the thread that unlocks it: contexts in the order of their age, others in the
// order of their arrival.
//
//   word_        owner (a context, or a place on its stack and `anonymous`) and WAITERS; with WAITERS set it changes only
//   under
//                the waiters' lock, so the owner that is found in it under that lock stays alive
//   waiters      guarded by waiters_lock_ (rank leaf)
// Orders: WW.1/WW.6/WW.2/WW.5 the word: unlocking against locking, locking against wounding
//         it; WW.3/WW.4 who unlocks against the waiter that it gives the mutex to.
#pragma once

#include <cstddef>
#include <cstdint>

#include "ufence/base/api.h"
#include "ufence/base/atomic.h"
#include "ufence/base/lock.h"
#include "ufence/base/result.h"

namespace ufence {

namespace detail {
/// What the word of a mutex says: for those who look why a thread sleeps (debug/layout.h).
struct lock_layout {
  std::uint64_t flags = 0;  // without these bits: the address of the context that has it, or a place on the
                            // stack of the thread that has it without a context
  [[nodiscard]] static lock_layout get() noexcept;
};
}  // namespace detail

/// One attempt to lock several ww_mutexes: its age decides who gives way. Destroyed when it holds
/// none. Threads: one at a time per object. Source: Linux struct ww_acquire_ctx, ww_acquire_init()
class UFENCE_API ww_context {
 public:
  ww_context() noexcept;
  ~ww_context();
  ww_context(const ww_context&) = delete;
  ww_context& operator=(const ww_context&) = delete;

  /// Smaller is older.
  [[nodiscard]] std::uint64_t stamp() const noexcept { return stamp_; }
  /// How many mutexes it holds.
  [[nodiscard]] std::uint32_t held() const noexcept { return held_; }
  /// An older context waits for what this one holds: the next lock() gives -EDEADLK.
  [[nodiscard]] bool is_wounded() const noexcept;

 private:
  friend class ww_mutex;
  const std::uint64_t stamp_;
  std::uint32_t held_ = 0;  // its thread only
  atomic<std::uint32_t> events_{
      0};  // ww_mutex.cc: WOUNDED by others, GRANTED while its thread waits
};

/// See the top of this file. Held for as long as its user likes; not one of the library's own
/// locks. Waits are interruptible for a caller that asks for it. After fork() (F18) the child holds what the thread that
/// called it held; what others held stays locked there, as with any mutex. Source: Linux struct
/// ww_mutex; differs: one class for all, no recursion check without a context
class UFENCE_API ww_mutex {
 public:
  ww_mutex() noexcept = default;
  ~ww_mutex();
  ww_mutex(const ww_mutex&) = delete;
  ww_mutex& operator=(const ww_mutex&) = delete;

  /// @param context  of the caller; null: this one mutex alone, and no other while it is held
  /// @return  0 locked; -EDEADLK the context is wounded (never if it holds nothing): unlock all,
  ///          then lock_slow(); -EALREADY the context holds this one; -EINTR a signal handler ran that
  ///          was not installed with SA_RESTART, and the caller asked for that
  /// Blocks: until it is free. Context: not on the signalling path, not in callbacks.
  /// Source: Linux ww_mutex_lock()
  [[nodiscard]] std::error_code lock(ww_context* context = nullptr,
                                     bool is_interruptible = false) noexcept;
  /// The first lock after -EDEADLK, when the context holds nothing.  Source: Linux
  /// ww_mutex_lock_slow()
  void lock_slow(ww_context& context) noexcept;
  /// @return  true: locked; false: somebody holds it or waits for it
  /// Blocks: never.  Source: Linux ww_mutex_trylock()
  [[nodiscard]] bool try_lock(ww_context* context = nullptr) noexcept;
  /// The caller holds it; with a context, the thread that uses the context.
  void unlock() noexcept;

  [[nodiscard]] bool was_locked() const noexcept;
  /// The context that holds it, or null. True while the caller's own thread holds it.
  [[nodiscard]] ww_context* locking_context() const noexcept;
  /// How many threads are queued now.
  [[nodiscard]] std::size_t count_waiters_for_test() noexcept;

 private:
  struct waiter {
    waiter* next;
    ww_context* context;            // or null
    std::uintptr_t word;            // of the mutex once it has it, but for WAITERS
    atomic<std::uint32_t>* events;  // what it sleeps on
  };

  [[nodiscard]] bool take_free(std::uintptr_t mine) noexcept;
  [[nodiscard]] std::uintptr_t take_or_mark(std::uintptr_t mine) noexcept
      UFENCE_REQUIRES(waiters_lock_);
  void enqueue(waiter& w) noexcept UFENCE_REQUIRES(waiters_lock_);
  void dequeue(waiter& w) noexcept UFENCE_REQUIRES(waiters_lock_);
  [[nodiscard]] std::error_code lock_contended(ww_context* context, bool is_interruptible) noexcept;
  [[nodiscard]] std::error_code sleep(waiter& w, bool is_interruptible) noexcept;
  [[nodiscard]] bool give_up(waiter& w) noexcept;

  atomic<std::uintptr_t> word_{0};
  mutex waiters_lock_{lock_rank::leaf};
  waiter* waiters_ UFENCE_GUARDED_BY(waiters_lock_) = nullptr;
};

}  // namespace ufence
