// foreign_fence: a fence that pins its issuer, since its ops, and its callbacks, run under a lock
// of the issuer (F16). What legacy fences (legacy.h) and the fence in a struct dma_fence
// (ufence/kernel) share.
//
// A class derives from it and says how its issuer is asked. `Self` below has
//
//   lock_issuer(), unlock_issuer()   the external lock
//   ask_to_enable()                  lock held, pending: 0, 1 complete, <0 complete with that error
//   ask_whether_complete()           no lock held: the same
//   tell_deadline(ns), ask_to_wait(ns)
//   was_signaled()                   by what the issuer sees of it; LOCK is asked as well
//   is_in_issuers_memory             it may go as soon as it is settled; the caller of a signal needs
//                                    no reference, and the decision is always under the external lock
//
// The external lock is touched inside an op or by the thread that settles. CALLED_BACK says
// that the callbacks have returned. The last of {that thread, the last op to leave} flips to SETTLED, so
// that after SETTLED nobody touches the lock. The result is fixed, as everywhere, under LOCK.
#pragma once

#include <cstdint>
#include <type_traits>

#include "ufence/fence/embedded_fence.h"
#include "ufence/fence/thread_state.h"
#include "ufence/rcu/rcu.h"

namespace ufence {

class foreign_fence : public embedded_fence {
 protected:
  foreign_fence() noexcept = default;
  ~foreign_fence() = default;

  // --- Entries of its type ---

  template <class Self>
  static void op_enable(fence& f) noexcept;
  template <class Self>
  static int op_poll(fence& f) noexcept;
  template <class Self>
  static void op_set_deadline(fence& f, std::int64_t deadline_ns) noexcept;
  template <class Self>
  static int op_wait(fence& f, std::int64_t deadline_ns) noexcept;
  template <class Self>
  static void op_settle(fence& f) noexcept;

  /// Signals it: with `fix`, which is called with LOCK held and puts the result in its place. The
  /// one way to do it under an external lock. If it lies in memory of its issuer, the caller need
  /// not have a reference of its own; otherwise one is taken over.
  /// @param lock_is_held  the caller holds the external lock. Then the callbacks run at once, under
  /// it.
  ///                      Otherwise they run at once unless this thread is inside foreign code,
  ///                      which may hold that very lock: then the thread's queue takes it later
  ///                      (F15).
  /// @return  this call signaled it
  template <class Self, class Fix>
  static bool signal_with(Self& self, bool lock_is_held, Fix fix) noexcept;

 private:
  /// The answer of an op that was called inside the gate, and whether other fences were settled after it, which
  /// it may have signaled. 0, false: it was not called, the fence is signaled, or `once` was set.
  struct answer {
    int result = 0;
    bool settled_others = false;
  };
  template <class Call>
  answer call_foreign_op(std::uint32_t once, Call call) noexcept;
  bool leave_foreign_op() noexcept;
  /// The callbacks have returned, and the external lock is dropped if it was this thread's. The
  /// last that a signal does to the fence: its memory may go from here on.
  void finish() noexcept;
  /// The same with a reference to drop, which may be the last one.
  void finish_and_put(bool is_in_issuers_memory) noexcept;
  [[nodiscard]] std::uint32_t set_settled() noexcept;
};

template <class Call>
foreign_fence::answer foreign_fence::call_foreign_op(std::uint32_t once, Call call) noexcept {
  backend* none = nullptr;
  if (!enter_op(once, none)) return {};
  answer said;
  {
    const foreign_scope scope(thread_state::mine(), *this);
    said.result = call();
  }
  said.settled_others = leave_foreign_op();
  return said;
}

template <class Self>
void foreign_fence::op_enable(fence& f) noexcept {
  auto& self = static_cast<Self&>(f);
  const answer said = self.call_foreign_op(fence_state::enabled, [&self] {
    self.lock_issuer();
    // relaxed: a thread that signals it outside of foreign code decides under this lock
    const bool is_pending = (self.state_.load(mo::relaxed) & fence_state::signaled) == 0;
    const int op_result = is_pending ? self.ask_to_enable() : 0;
    self.unlock_issuer();
    return op_result;
  });
  self.complete(said.result);
}

template <class Self>
int foreign_fence::op_poll(fence& f) noexcept {
  auto& self = static_cast<Self&>(f);
  const auto ask = [&self] { return self.ask_whether_complete(); };
  const answer said = self.call_foreign_op(0, ask);
  // The fence that the op asks about may be signaled by the asking, as a container is, which was settled after the op.
  if (said.result != 0 || !said.settled_others) return said.result;
  return self.call_foreign_op(0, ask).result;
}

template <class Self>
void foreign_fence::op_set_deadline(fence& f, std::int64_t deadline_ns) noexcept {
  auto& self = static_cast<Self&>(f);
  self.call_foreign_op(0, [&self, deadline_ns] {
    self.tell_deadline(deadline_ns);
    return 0;
  });
}

template <class Self>
int foreign_fence::op_wait(fence& f, std::int64_t deadline_ns) noexcept {
  auto& self = static_cast<Self&>(f);
  return self.call_foreign_op(0, [&self, deadline_ns] { return self.ask_to_wait(deadline_ns); }).result;
}

template <class Self>
void foreign_fence::op_settle(fence& f) noexcept {
  auto& self = static_cast<Self&>(f);
  self.lock_issuer();
  self.run_all_callbacks(0);
  self.unlock_issuer();
  self.finish_and_put(Self::is_in_issuers_memory);
}

template <class Self, class Fix>
bool foreign_fence::signal_with(Self& self, bool lock_is_held, Fix fix) noexcept {
  thread_state& thread = thread_state::mine();
  const bool settles_now = lock_is_held || thread.is_outermost();
  const bool takes_lock = !lock_is_held && (settles_now || Self::is_in_issuers_memory);
  const auto unlock_issuer = [&self, takes_lock] {
    if (takes_lock) self.unlock_issuer();
  };
  if (takes_lock) self.lock_issuer();
  if (self.was_signaled() || !self.begin_decision()) {
    unlock_issuer();
    if (!Self::is_in_issuers_memory) self.put();
    thread.run_queue();
    return false;
  }
  if (self.callbacks() == nullptr && (settles_now || Self::is_in_issuers_memory)) {
    // Others may drop their references as soon as they see it signaled. Its memory stays until the
    // end of the section, or until it is settled, if it lies on the stack of a thread that waits.
    struct no_section {};
    [[maybe_unused]] const std::conditional_t<Self::is_in_issuers_memory, rcu::read_section,
                                              no_section>
        section{};
    fix();
    self.mark_decided();
    unlock_issuer();
    self.finish();
    if (!Self::is_in_issuers_memory) self.put();
  } else {
    // A callback may drop the last reference that others have.
    if (Self::is_in_issuers_memory) self.get();
    fix();
    if (settles_now) {
      self.mark_and_call_back();
      unlock_issuer();
      self.finish_and_put(Self::is_in_issuers_memory);
    } else {
      self.mark_decided();
      self.queue_settling();
      unlock_issuer();
    }
  }
  thread.run_queue();
  return true;
}

}  // namespace ufence
