// resv: a reservation object: the fences of a buffer, each with what it is used for, so that
// everybody who comes later knows what to wait for.
//
// The fences stand in a list to which a writer only appends: a slot is written once. A fence that
// another one replaces is marked, and leaves, with those that are signaled, when reserve() makes a
// new list. Replaced lists, and the references in them, go after a grace period. Hence
//   - a reader inside an RCU read section needs no reference to the fences that it meets;
//   - who reads the list to its end, as long as it grows, and then finds that it is still the
//   object's
//     list, misses nothing: what replaces a fence is appended before that one is marked, and what
//     its writer adds before it signals a fence is found by each thread that sees that fence signaled.
//
// Operation x operation, for one object ("-" any threads at once, "X" the caller excludes it):
//
//                      lock   change   locked look   look
//   lock, unlock         -       -          -          -
//   change (add, ...)    -      X(1)        X(1)       -     (1) both need the lock
//   locked look          -      X(1)        -          -
//   look (unlocked)      -       -          -          -
//
// Orders: RCU.1/RCU.2 the list; RESV.1/RESV.2 a fence is appended; RESV.3/RESV.4 one is replaced.
#pragma once

#include <cstdint>
#include <string>

#include "ufence/base/api.h"
#include "ufence/base/atomic.h"
#include "ufence/base/clock.h"
#include "ufence/base/result.h"
#include "ufence/container/fence_list.h"
#include "ufence/container/resv_list.h"
#include "ufence/container/ww_mutex.h"
#include "ufence/fence/fence.h"

namespace ufence {

/// The usage that an access has to wait for.  Source: Linux dma_resv_usage_rw()
[[nodiscard]] constexpr resv_usage usage_to_wait_for(bool is_write) noexcept {
  return is_write ? resv_usage::read : resv_usage::write;
}

/// See the top of this file. Destroyed when nobody uses it: its references are dropped at once.
/// After fork() (F18) the child may look at it; waits for what was pending end with -EOWNERDEAD.
/// For its lock see ww_mutex.  Source: Linux struct dma_resv
class UFENCE_API resv {
 public:
  resv() noexcept = default;
  ~resv();
  resv(const resv&) = delete;
  resv& operator=(const resv&) = delete;

  // --- The lock: as ww_mutex. To lock several: resv_locks. ---

  /// Source: Linux dma_resv_lock()
  [[nodiscard]] std::error_code lock(ww_context* context = nullptr) noexcept {
    return lock_.lock(context);
  }
  /// Source: Linux dma_resv_lock_slow()
  void lock_slow(ww_context& context) noexcept { lock_.lock_slow(context); }
  /// Source: Linux dma_resv_trylock()
  [[nodiscard]] bool try_lock(ww_context* context = nullptr) noexcept {
    return lock_.try_lock(context);
  }
  /// Slots that were reserved and not used are given back.  Source: Linux dma_resv_unlock()
  void unlock() noexcept {
    reserved_ = 0;
    lock_.unlock();
  }
  [[nodiscard]] bool was_locked() const noexcept { return lock_.was_locked(); }
  /// Source: Linux dma_resv_locking_ctx()
  [[nodiscard]] ww_context* locking_context() const noexcept { return lock_.locking_context(); }

  // --- Changing it: the caller holds the lock. ---

  /// Makes room: until unlock(), the next n calls of add() succeed.
  /// @return  -EINVAL n is 0; -ENOMEM: nothing changed
  /// Allocates: yes. Blocks: never.
  /// Context: not inside an RCU read section, not on the signalling path.
  /// Source: Linux dma_resv_reserve_fences()
  [[nodiscard]] std::error_code reserve(std::uint32_t n) noexcept;
  /// Adds a fence, in place of those of the same context that it is not earlier than, and whose
  /// usage is the same or a later one.
  /// @return  -EINVAL null, no such usage, or a container (add its leaves); -ENOSPC nothing is
  ///          reserved for it: nothing changed
  /// Blocks, Allocates: never. Ownership: takes a reference of its own.
  /// Source: Linux dma_resv_add_fence()
  [[nodiscard]] std::error_code add(const fence_ref& f, resv_usage usage) noexcept;
  /// Puts a fence in place of all of a context. Only if its completion means that what they stand
  /// for no longer uses the buffer.
  /// @return  -EINVAL as add()
  /// Takes nothing of what is reserved. Allocates: may; without memory it waits for a grace period.
  /// Context: as reserve().  Source: Linux dma_resv_replace_fences()
  [[nodiscard]] std::error_code replace(std::uint64_t context, const fence_ref& f,
                                        resv_usage usage) noexcept;
  /// Its fences are then those of `source` that are pending, whose lock is not needed.
  /// @return  -ENOMEM: nothing changed
  /// Context: as reserve(), after which it is as if nothing were reserved.
  /// Source: Linux dma_resv_copy_fences()
  [[nodiscard]] std::error_code copy_from(const resv& source) noexcept;

  // --- Looking: no lock, any thread. Of the fences up to a usage, those that are pending. ---

  /// References to them.
  /// @return  -ENOMEM  Source: Linux dma_resv_get_fences()
  [[nodiscard]] result<fence_list> get_fences(resv_usage usage) const noexcept;
  /// One fence for all: null if there is none, itself if there is one, else an array.
  /// @return  -ENOMEM  Context: as fence_array.  Source: Linux dma_resv_get_singleton()
  [[nodiscard]] result<fence_ref> singleton(resv_usage usage) const noexcept;
  /// Waits for them, one after the other, and for those that are added meanwhile.
  /// @param deadline_ns  absolute, CLOCK_MONOTONIC; 0 polls, no_deadline never ends
  /// @return  as fence::wait()
  /// Source: Linux dma_resv_wait_timeout(); differs: absolute time, not interruptible
  [[nodiscard]] std::error_code wait(resv_usage usage,
                                     absolute_deadline deadline_ns = no_deadline) const noexcept;
  /// Source: Linux dma_resv_set_deadline()
  void set_deadline(resv_usage usage, absolute_deadline deadline_ns) const noexcept;
  /// None is pending. Calls no op (F17).  Source: Linux dma_resv_test_signaled(); differs: does not
  /// poll
  [[nodiscard]] bool test_signaled(resv_usage usage) const noexcept;

  /// One line for each fence up to a usage, signaled ones as well:
  /// "\twrite fence:context:seqno timeline driver signalled\n".
  /// Allocates: the string; may throw std::bad_alloc.  Source: Linux dma_resv_describe()
  [[nodiscard]] std::string describe(resv_usage usage = resv_usage::read) const;

 private:
  friend class resv_locked_cursor;
  friend class resv_unlocked_cursor;
  friend class resv_rcu_cursor;
  friend class resv_locks;

  [[nodiscard]] detail::resv_list* list() const noexcept;  // lock held
  [[nodiscard]] bool move_to_list_with(std::uint32_t free_slots) noexcept;
  void publish(detail::resv_list& next) noexcept;
  [[nodiscard]] std::uint32_t count() const noexcept;  // of slots, any thread

  ww_mutex lock_;
  atomic<detail::resv_list*> list_{nullptr};  // changed under the lock; read there, or under RCU
  std::uint64_t generation_ = 0;              // of the newest list; the lock
  std::uint32_t reserved_ = 0;                // adds that will succeed; the lock
  resv* next_held_ = nullptr;                 // of a resv_locks; the lock
};

/// Steps over the fences of an object that the caller has locked, in no order; also over those that
/// are signaled. Unlocking, or a change, ends its use.
///
///     resv_locked_cursor all(object, resv_usage::read);
///     while (fence* f = all.next()) ...
///
/// Source: Linux dma_resv_for_each_fence()
class UFENCE_API resv_locked_cursor {
 public:
  resv_locked_cursor(const resv& object, resv_usage usage) noexcept;
  /// Null at the end. It stays as long as the lock is held.
  [[nodiscard]] fence* next() noexcept;
  [[nodiscard]] resv_usage usage() const noexcept { return usage_; }

 private:
  const detail::resv_list* const list_;
  const resv_usage up_to_;
  resv_usage usage_{};
  std::uint32_t next_ = 0;
};

/// Steps over the pending fences of an object inside an RCU read section: no lock, no reference,
/// and what is added meanwhile comes as well as long as the list has room for it.
///
/// Context: from its making to its last use inside one rcu::read_section; nothing that blocks
/// there.
class UFENCE_API resv_rcu_cursor {
 public:
  resv_rcu_cursor(const resv& object, resv_usage usage) noexcept
      : object_(object), list_(rcu::dereference(object.list_)), up_to_(usage) {}
  /// Null at the end. It stays until the read section ends; to keep it longer take a reference.
  [[nodiscard]] fence* next() noexcept {
    for (;;) {
      if (list_ != nullptr) {
        if (fence* f = list_->next_pending(next_, up_to_, usage_)) return f;
      }
      const detail::resv_list* newest = rcu::dereference(object_.list_);
      if (newest == list_) return nullptr;
      list_ = newest;
      next_ = 0;
    }
  }
  [[nodiscard]] resv_usage usage() const noexcept { return usage_; }

 private:
  const resv& object_;
  const detail::resv_list* list_;
  const resv_usage up_to_;
  resv_usage usage_{};
  std::uint32_t next_ = 0;
};

/// Steps over the pending fences of an object without its lock, with a reference to the current
/// one: between steps its user may block. If the object gets a new list meanwhile, it starts again
/// and says so; what was collected until then may be forgotten.
///
///     resv_unlocked_cursor all(object, resv_usage::read);
///     while (fence* f = all.next()) {
///       if (all.is_restarted()) ...   // forget
///
/// Threads: one at a time per cursor.
/// Source: Linux dma_resv_for_each_fence_unlocked(), struct dma_resv_iter
class UFENCE_API resv_unlocked_cursor {
 public:
  resv_unlocked_cursor(const resv& object, resv_usage usage) noexcept
      : object_(object), up_to_(usage) {}
  resv_unlocked_cursor(const resv_unlocked_cursor&) = delete;
  resv_unlocked_cursor& operator=(const resv_unlocked_cursor&) = delete;

  /// Null at the end. It stays until the next call.
  [[nodiscard]] fence* next() noexcept;
  [[nodiscard]] resv_usage usage() const noexcept { return usage_; }
  /// Did the last step start, or start again?  Source: Linux dma_resv_iter_is_restarted()
  [[nodiscard]] bool is_restarted() const noexcept { return is_restarted_; }
  /// The next step starts again.
  void restart() noexcept { must_start_ = true; }

 private:
  const resv& object_;
  const resv_usage up_to_;
  resv_usage usage_{};
  bool must_start_ = true;
  bool is_restarted_ = false;
  std::uint32_t next_ = 0;
  std::uint64_t generation_ = 0;
  fence_ref current_;
};

}  // namespace ufence
