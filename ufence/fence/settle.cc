// Deciding and settling: from the result to the last callback.
#include "ufence/fence/callback_batch.h"
#include "ufence/fence/embedded_fence.h"
#include "ufence/fence/fence_lock.h"
#include "ufence/fence/thread_state.h"
#include "ufence/fence/timeline.h"
#include "ufence/fence/trace.h"

namespace ufence {

using namespace fence_state;  // NOLINT(google-build-using-namespace): the bits of state.h

// --- Deciding ---

inline void fence::fix_result(int error, std::int64_t now) noexcept {
  error_.set(error);
  timestamp_.set(now != 0 ? now : now_ns());
  UFENCE_TRACE_ERROR(signaled, *this, error);
}

// Drops LOCK; returns the state.
inline std::uint32_t fence::mark(std::uint32_t flags) noexcept {
  // [FENCE.3] acq_rel: publish the result, and see what ops that left wrote; pairs with [FENCE.4],
  // [FENCE.5], [FENCE.6], [FENCE.16], [FENCE.18], [FENCE.23]
  const std::uint32_t old = state_.fetch_add(flags, mo::acq_rel);
  // An op is inside: the last one to leave retires. relaxed: the settlement follows in this thread
  // or is handed over, and ops that enter later see SIGNALED. Of a fence without a backend the word may
  // be the batch that is about to run.
  if (ops_inside(old) != 0 && has_backend()) word_.store(0, mo::relaxed);
  unlock();
  wake(old);
  return old + flags;
}

fence::outcome fence::decide(int error, std::int64_t now) noexcept {
  if ((lock() & signaled) != 0) {
    unlock();
    return outcome::lost;
  }
  fix_result(error, now);
  // relaxed: constant while pending
  const bool has_backend = word_.load(mo::relaxed) != 0;
  // A foreign fence is settled by its type, after its callbacks and its ops.
  const bool nothing_to_call = callbacks() == nullptr && !is_foreign();
  const std::uint32_t s = mark(signaled + (nothing_to_call ? settled : 0));
  const bool must_retire = has_backend && ops_inside(s) == 0;
  return nothing_to_call && !must_retire ? outcome::done : outcome::open;
}

bool fence::decide_into(int error, settlement& later, std::int64_t now) noexcept {
  // After fork() the child may find LOCK held by a thread that it does not have.
  const outcome how = is_inherited() ? outcome::lost : decide(error, now);
  if (how == outcome::open) {
    later.append(*this);
  } else {
    put();
  }
  return how != outcome::lost;
}

// Callbacks that are run: a part of the list.
struct fence::taken_callbacks {
  callback_batch batch;
  callback_group* group = nullptr;  // theirs
  callback_group::running_callback record;
  bool is_last = false;  // none is left in the list
};

// As long as nobody has a callback in the list, and nobody else may signal, the decision takes no LOCK
// (fence_lock.h). False: it is not for this fence, and nothing was done.
inline bool fence::signal_unobserved(int error, std::int64_t now) noexcept {
  // relaxed: SEVERAL was set before this thread got the right; callbacks are looked for again
  if ((state_.load(mo::relaxed) & several) != 0 || callbacks() != nullptr) return false;
  fix_result(error, now);
  // [FENCE.36] seq_cst: publish the result; SB, SIGNALED before the looks at LOCK and the list; pairs with
  // [FENCE.4], [FENCE.16], [FENCE.18], [FENCE.23], [FENCE.37]
  wake(state_.fetch_or(signaled, mo::seq_cst));
  // [FENCE.38] seq_cst: SB; what was listed before LOCK was dropped; pairs with [FENCE.1], [FENCE.2],
  // [FENCE.15]
  if (lock_.load(mo::seq_cst) == 0 && callbacks() == nullptr) {
    put();
  } else {
    settle_plain();
  }
  return true;
}

// It was decided without LOCK, and there are callbacks, or somebody has LOCK.
[[gnu::noinline]] void fence::settle_plain() noexcept {
  settlement later;
  later.append(*this);
}

// Was it decided without LOCK, and are there no callbacks any more that would end with SETTLED?
bool fence::has_nothing_to_settle() noexcept {
  constexpr std::uint32_t others = kind::ordered | kind::has_backend | kind::foreign;
  if ((kind_ & others) != 0) return false;
  // In a child of fork() nobody runs them, and LOCK may be held by a thread that it does not have.
  if (is_inherited()) return callbacks() == nullptr && batch() == nullptr;
  lock();
  const bool is_nothing = callbacks() == nullptr && batch() == nullptr;
  unlock();
  return is_nothing;
}

// Nothing but callbacks is to be settled. If that may be done at once, the first ones are taken off
// the list while LOCK is held for the decision.
bool fence::signal_plain(int error, std::int64_t now) noexcept {
  if (is_inherited()) {
    put();
    return false;
  }
  if (signal_unobserved(error, now)) return true;
  if ((lock() & signaled) != 0) {
    unlock();
    put();
    return false;
  }
  fix_result(error, now);
  if (callbacks() == nullptr) {
    mark(signaled + settled);
    put();
    return true;
  }
  thread_state& thread = thread_state::mine();
  if (!thread.may_settle()) {
    mark(signaled);
    settlement later;
    later.append(*this);
    return true;
  }
  {
    taken_callbacks taken;
    take_callbacks(taken);
    mark(signaled);
    run_callbacks(taken, settled);
  }
  put();
  thread.run_queue();
  return true;
}

// --- Deciding a foreign fence ---

bool embedded_fence::begin_decision() noexcept {
  if ((lock() & signaled) == 0) return true;
  unlock();
  return false;
}

void embedded_fence::mark_decided() noexcept {
  UFENCE_TRACE_ERROR(signaled, *this, error_.get());
  mark(signaled);
}

void embedded_fence::mark_and_call_back() noexcept {
  UFENCE_TRACE_ERROR(signaled, *this, error_.get());
  taken_callbacks taken;
  take_callbacks(taken);
  mark(signaled);
  run_callbacks(taken, 0);
}

void embedded_fence::queue_settling() noexcept {
  settlement later;
  later.append(*this);
}

// --- Settling ---

void fence::settle() noexcept {
  if (is_foreign()) return embedded_fence::of(*this).type().settle(*this);
  // relaxed: the decision that filled the settlement is before this
  auto* data = reinterpret_cast<backend*>(word_.load(mo::relaxed));
  word_.store(0, mo::relaxed);
  if (data != nullptr) run_retire(data, retired_by::settlement);
  // relaxed: SETTLED was set by that decision, or is set here only
  if ((state_.load(mo::relaxed) & settled) == 0) run_all_callbacks(settled);
  if (is_ordered()) owner_.owner->tell_minimum();
  put();
}

void fence::run_all_callbacks(std::uint32_t last_flag) noexcept {
  lock();
  if (callbacks() == nullptr) return end_callbacks(last_flag);
  taken_callbacks taken;
  take_callbacks(taken);
  unlock();
  run_callbacks(taken, last_flag);
}

// After a step without LOCK: does somebody look for a callback?
inline bool fence::is_contested() const noexcept {
  // [FENCE.35] acq_rel: SB, the step before the look at CONTESTED; pairs with [FENCE.34]
  barrier_point(mo::acq_rel);
  // relaxed: ordered by the barrier
  return (state_.load(mo::relaxed) & contested) != 0;
}

void fence::run_callbacks(taken_callbacks& taken, std::uint32_t last_flag) noexcept {
  foreign_scope scope(thread_state::mine(), *this);
  callback_batch::position at = 0;
  for (;;) {
    scope.begins(taken.group);
    for (;; ++at) {
      callback& node = taken.batch.node(at);
      node.next_.set(nullptr);
      scope.runs(node);
      node.function_(node, *this);  // may free the node
      if (taken.batch.is_last(at)) break;
      taken.batch.show_next(at);
      if (is_contested()) [[unlikely]]
        break;
    }
    scope.ends();
    if (taken.group != nullptr) taken.group->end(taken.record);
    if (taken.is_last && taken.batch.is_last(at) && end_undisturbed(last_flag)) return;
    lock();
    if (!taken.batch.advance_locked(at)) {
      if (callbacks() == nullptr) break;
      take_callbacks(taken);
      at = 0;
    }
    wake(unlock());
  }
  // relaxed: a thread that looks holds LOCK
  word_.store(0, mo::relaxed);
  end_callbacks(last_flag);
}

// Up to a batch of them: one of a group, or several of none: what begins in a group is told to it
// under LOCK.
void fence::take_callbacks(taken_callbacks& taken) noexcept {
  callback* const first = callbacks();
  callback* const last = first->previous_.get();
  taken.group = first->group_;
  taken.batch.clear();
  callback* node = first;
  bool more = false;
  do {
    taken.batch.append(*node);  // its next_ stays set until it is called: it is in use
    more = node != last;
    node = node->next_.get();
  } while (more && taken.group == nullptr && node->group_ == nullptr && !taken.batch.is_full());
  if (more) {
    node->previous_.set(last);
    last->next_.set(node);
  }
  set_callbacks(more ? node : nullptr);
  taken.is_last = !more;
  if (taken.group != nullptr) taken.group->begin(*first, taken.record);
  // relaxed: read under LOCK
  word_.store(taken.batch.to_word(), mo::relaxed);
}

// Wakes also those who wait for a callback to return.
void fence::end_callbacks(std::uint32_t last_flag) noexcept {
  // [FENCE.9] release: the callbacks have returned; pairs with [FENCE.16], [FENCE.18], [FENCE.23]
  const std::uint32_t old = state_.fetch_add(last_flag, mo::release);
  unlock();
  wake(old);
  if (last_flag != 0) UFENCE_TRACE(settled, *this);
}

// Leaves the last batch without LOCK, unless somebody looks for a callback in it.
bool fence::end_undisturbed(std::uint32_t last_flag) noexcept {
  // [FENCE.32] release: the callbacks have returned; pairs with [FENCE.31]
  word_.store(0, mo::release);
  if (is_contested()) return false;
  if (last_flag == 0) return true;
  // [FENCE.28] release: as [FENCE.9]; pairs with [FENCE.16], [FENCE.18], [FENCE.23]
  wake(state_.fetch_add(last_flag, mo::release));
  UFENCE_TRACE(settled, *this);
  return true;
}

void fence::run_retire(backend* data, retired_by who) noexcept {
  thread_state& thread = thread_state::mine();
  if (data->ops->retire != nullptr) {
    foreign_scope scope(thread, *this);
    data->ops->retire(data, who);
  }
  // [FENCE.10] release: the issuer has its data back; pairs with [FENCE.18]
  wake(state_.fetch_add(retired, mo::release));
  UFENCE_TRACE(retired, *this);
}

}  // namespace ufence
