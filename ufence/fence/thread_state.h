// The state of one thread that works for fences: the foreign code that it runs, and the fences that it still has to
// settle.
#pragma once

#include <cstdint>
#include <optional>
#include <utility>

#include "ufence/base/lock_rank.h"
#include "ufence/base/tls.h"
#include "ufence/fence/fence_lock.h"

namespace ufence {

class library_fence;

/// Foreign code that runs on this thread: an op, a retire, or a callback of a fence.
struct frame {
  const fence* of;
  const callback* node = nullptr;         // that runs now
  const callback_group* group = nullptr;  // its group
  frame* outer = nullptr;
};

/// Work to be done on a thread as soon as it runs no foreign code and holds no spinlock: a
/// container of the kernel's interface signals itself then. It lies in the object that it is about.
struct thread_work {
  void (*run)(thread_work&) noexcept;
  thread_work* next = nullptr;  // the thread's own, while it is queued
};

/// Owner: its thread; while that thread is blocked in remove_callback(), the holder of the lock of the
/// blocked removers may read the frames.
struct thread_state {
  frame* top = nullptr;
  frame* base = nullptr;               // frames from here on are of code that a report interrupts
  const thread_state* outer = nullptr; // what that code still has to settle; null: there is none
  fence* queue = nullptr;  // settle queue (F15): the last of a circular chain through link_
  // First in, first out. Apart from `queue`: a container that waits here for its work is pending,
  // may be polled and signaled meanwhile, also by other threads, and is then queued for its
  // settling as well.
  thread_work* work = nullptr;
  thread_work* last_work = nullptr;
  bool has_deferred = false;  // one of the two queues is not empty, or is being emptied
  bool draining = false;  // an outer settling on this thread runs the queues
  // Spinlocks of kernel-style issuers that it holds: settling waits until they are dropped.
  std::uint32_t spinlocks_held = 0;

  // Fences of the library, one inside the other, are enabled and ended one after the other: no
  // recursion.
  library_fence* to_enable = nullptr;
  library_fence* to_end = nullptr;
  // Containers that a walk of the kernel's interface has visited, while it is between containers.
  void* visited = nullptr;
  bool is_enabling = false;
  bool is_ending = false;

#if defined(UFENCE_DEBUG_CHECKS) && UFENCE_DEBUG_CHECKS
  // Fences that this thread put into settlements of its own, the latest ones; addresses only.
  const fence* lately[16] = {};
  unsigned lately_at = 0;
  void note_decided(const fence& f) noexcept { lately[lately_at++ % 16] = &f; }
  [[nodiscard]] bool decided_lately(const fence& f) const noexcept {
    for (const fence* other : lately) {
      if (other == &f) return true;
    }
    return false;
  }
#endif

  [[nodiscard]] static thread_state& mine() noexcept {
    return per_thread<thread_state, thread_state>::get();
  }

  /// An op, retire or callback of this fence runs on this thread, or its settling is queued here
  /// (F4).
  [[nodiscard]] bool involves(const fence& f) const noexcept;
  /// The same for the fences of the timeline with this context.
  [[nodiscard]] bool involves(std::uint64_t context) const noexcept;
  /// This callback of this fence.
  [[nodiscard]] bool runs(const callback& node, const fence& of) const noexcept;
  [[nodiscard]] bool runs_one_of(const callback_group& group) const noexcept;

  /// Queues a chain of decided fences (its last one).
  void queue_chain(fence* last) noexcept;
  /// Queues work that is not queued anywhere.
  void queue_work(thread_work& added) noexcept;
  /// False: foreign code runs on this thread, or an outer call settles. True: legacy and
  /// kernel-style fences run their callbacks here and now, whatever locks the thread holds.
  [[nodiscard]] bool is_outermost() const noexcept { return top == base && !draining; }
  /// The same for all other fences, which wait until the thread holds no spinlock.
  [[nodiscard]] bool may_settle() const noexcept { return is_outermost() && spinlocks_held == 0; }
  /// Settles what is queued, and does the work that is, if it may.
  /// True: it settled or did something.
  bool run_queue() noexcept {
    if (!has_deferred) [[likely]]
      return false;
    if (!may_settle()) return false;
    drain_queue();
    return true;
  }

 private:
  void drain_queue() noexcept;
  template <class Match>
  [[nodiscard]] bool any(Match match) const noexcept;
};

/// A report's handler may call anything: what it signals is settled at once, by itself, whatever the code
/// that reports is about. What that code has to settle waits until the handler has returned.
class interruption {
 public:
  explicit interruption(thread_state& thread) noexcept
      : thread_(thread), interrupted_(std::exchange(thread, thread_state())) {
    thread_.top = thread_.base = interrupted_.top;
    thread_.outer = &interrupted_;
  }
  ~interruption() { thread_ = interrupted_; }
  interruption(const interruption&) = delete;
  interruption& operator=(const interruption&) = delete;

 private:
  thread_state& thread_;
  const thread_state interrupted_;
};

/// Marks foreign code of a fence for a scope: an op, a retire, or, one after the other, callbacks.
class foreign_scope {
 public:
  foreign_scope(thread_state& thread, const fence& of) noexcept
      : thread_(thread), frame_{.of = &of, .outer = thread.top} {
    rank_check_none();
    thread_.top = &frame_;
  }
  void begins(const callback_group* group) noexcept { frame_.group = group; }
  void runs(const callback& node) noexcept {
    rank_check_none();
    frame_.node = &node;
  }
  void ends() noexcept {
    frame_.node = nullptr;
    frame_.group = nullptr;
  }
  ~foreign_scope() { thread_.top = frame_.outer; }
  foreign_scope(const foreign_scope&) = delete;
  foreign_scope& operator=(const foreign_scope&) = delete;

 private:
  thread_state& thread_;
  frame frame_;
};

/// The issuer itself works on a fence with a backend (submits its job, cancels it): an op like
/// others. It does not start after the decision, retire waits for it, signals inside are settled
/// after it. The caller has a reference, or a lock that keeps retire from ending.
class issuer_op {
 public:
  explicit issuer_op(fence& f) noexcept
      : fence_(fence_ref::take(f)), is_inside_(f.has_backend() && f.enter_op(0, data_)) {
    if (is_inside_) scope_.emplace(thread_state::mine(), f);
  }
  ~issuer_op() {
    if (!is_inside_) return;
    scope_.reset();
    fence_->leave_op(data_);
    thread_state::mine().run_queue();
  }
  issuer_op(const issuer_op&) = delete;
  issuer_op& operator=(const issuer_op&) = delete;

  /// False: it is signaled already, or has no backend.
  explicit operator bool() const noexcept { return is_inside_; }
  /// The issuer's data, which stays until this goes; inside only.
  [[nodiscard]] backend* data() const noexcept { return data_; }

 private:
  const fence_ref fence_;  // leaving may retire, in which the issuer may drop its own
  backend* data_ = nullptr;
  const bool is_inside_;
  std::optional<foreign_scope> scope_;
};

template <class Call>
bool fence::call_op(std::uint32_t once, Call call) noexcept {
  thread_state& thread = thread_state::mine();
  backend* data = nullptr;
  if (!enter_op(once, data)) return once == 0;
  {
    foreign_scope scope(thread, *this);
    call(*data->ops, data);
  }
  const std::uint32_t old = leave_op(data);
  // relaxed: a callback may have signaled it, on this thread
  const std::uint32_t now = thread.run_queue() ? state_.load(mo::relaxed) : old;
  return (now & fence_state::signaled) != 0;
}

}  // namespace ufence
