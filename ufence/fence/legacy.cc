#include "ufence/fence/legacy.h"

#include <algorithm>

#include "ufence/base/futex.h"
#include "ufence/fence/callback_batch.h"
#include "ufence/fence/legacy_fence.h"
#include "ufence/fence/thread_state.h"
#include "ufence/fence/trace.h"
#include "ufence/rcu/rcu.h"

namespace ufence {

using namespace fence_state;  // NOLINT(google-build-using-namespace): the bits of state.h

fence_names::name fence_names::copy_of(std::string_view text) noexcept {
  name copy{};
  std::ranges::copy(text.substr(0, copy.size() - 1), copy.begin());
  return copy;
}

bool fence_names::stay(const fence& f) noexcept {
  return f.is_independent() || f.owner() != nullptr;
}

fence_names::fence_names(const fence& f) noexcept {
  if (!stay(f)) {
    const auto& l = static_cast<const legacy_fence&>(f);
    const auto take = [](void* to, const char* driver, const char* timeline) {
      auto& names = *static_cast<fence_names*>(to);
      names.driver_ = copy_of(driver);
      names.timeline_ = copy_of(timeline);
    };
    if (l.ops->copy_names != nullptr && l.ops->copy_names(l.data, take, this)) return;
  }
  driver_ = copy_of(f.driver_name());
  timeline_ = copy_of(f.timeline_name());
}

// The external lock is touched inside an op or by who settles. RETIRED says that the callbacks have
// returned; the last of {that, the last op leaving} flips to SETTLED, so that after SETTLED nobody
// touches the lock.

result<new_fence> create_legacy_fence(timeline_issuer& issuer, const legacy_ops& ops,
                                      void* data) noexcept {
  if (ops.lock == nullptr || ops.unlock == nullptr) return failure(EINVAL);
  return issuer.create_legacy(ops, data);
}

result<new_fence> timeline_issuer::create_legacy(const legacy_ops& ops, void* data) noexcept {
  if (line_->is_closed()) return failure(ECANCELED);
  std::uint64_t seqno = 0;
  fence* f = new_slot(seqno, true);
  if (f == nullptr) return failure(ENOMEM);
  legacy_fence::of(*f).ops = &ops;
  legacy_fence::of(*f).data = data;
  f->init(fence::kind::has_timeline | fence::kind::legacy, seqno, nullptr, 2);
  UFENCE_TRACE(dma_fence_emit, *f);
  return new_fence{fence_ref::adopt(f), signaler(f)};
}

bool signal_locked(signaler right, int error) noexcept {
  fence* f = std::exchange(right.fence_, nullptr);
  if (f == nullptr) return false;
  const int checked = detail::checked_error(error, *f);
  if (!f->is_independent()) return legacy_fence::of(*f).signal_legacy(checked, true);
  return signaler(f).signal(checked);
}

bool legacy_fence::signal_legacy(int error, bool lock_is_held) noexcept {
  thread_state& thread = thread_state::mine();
  // Inside foreign code, which may hold that very lock, signal() only decides (F15), and the
  // thread's queue takes the lock by itself later. signal_locked() settles at once: its caller
  // holds the lock now.
  const bool settles_now = lock_is_held || thread.is_outermost();
  bool won = false;
  if (!is_inherited()) {
    const bool takes_lock = settles_now && !lock_is_held;
    if (takes_lock) ops->lock(data);
    won = decide(error, 0) != outcome::lost;
    if (won && settles_now) run_all_callbacks(0);
    if (takes_lock) ops->unlock(data);
  }
  if (won && !settles_now) {
    settlement later;
    later.append(*this);
    return true;
  }
  if (won) finish();
  put();
  thread.run_queue();
  return won;
}

void legacy_fence::settle_legacy() noexcept {
  ops->lock(data);
  run_all_callbacks(0);
  ops->unlock(data);
  finish_and_put();
}

void legacy_fence::finish() noexcept {
  const std::uint64_t context = owner_.context;
  const std::uint64_t seqno = seqno_;
  // relaxed: a guess
  std::uint32_t s = state_.load(mo::relaxed);
  std::uint32_t next = 0;
  do {
    next = (s & ~waiters) | retired | (ops_inside(s) == 0 ? settled : 0);
    // [FENCE.26] release: the callbacks have returned and the external lock is dropped. A thread
    // that finds it settled sees also what ops did that left before: this goes on with the release
    // of each of them. Nobody looks at that here; pairs with [FENCE.16], [FENCE.18], [FENCE.23]
  } while (!state_.compare_exchange_weak(s, next, mo::release, mo::relaxed));
  // The memory of a fence in place may be gone: an address alone.
  if ((s & waiters) != 0) futex_wake_all(state_, futex_class::state);
  STAP_PROBE2(ufence, dma_fence_settled, context, seqno);
}

void legacy_fence::finish_and_put() noexcept {
  if ((kind_ & kind::in_place) == 0) {
    finish();
    put();
    return;
  }
  // The fence may lie on the stack of a thread that waits for the end of the signal: nothing of it
  // is touched after finish(). Where others drop their references meanwhile, its memory stays until
  // the end of the section, as the kernel's drivers have it.
  {
    const rcu::read_section section;
    // [FENCE.33] acq_rel: as [FENCE.12]; pairs with [FENCE.12], [FENCE.13]
    const std::uint32_t before = refs_.fetch_sub(1, mo::acq_rel);
    if (detail::is_saturated(before)) [[unlikely]]
      saturate(before);
    if (before != 1) return finish();
  }
  destroy();
}

std::uint32_t legacy_fence::set_settled() noexcept {
  // relaxed: it goes on with the release sequence of [FENCE.26] or [FENCE.27], just before
  return state_.fetch_or(settled, mo::relaxed);
}

// --- Ops ---

template <class Call>
int legacy_fence::call_legacy_op(std::uint32_t once, Call call) noexcept {
  backend* none = nullptr;
  if (!enter_op(once, none)) return 0;
  thread_state& thread = thread_state::mine();
  int op_result = 0;
  {
    foreign_scope scope(thread, *this);
    op_result = call();
  }
  // [FENCE.27] release: the op has left the external lock; as [FENCE.26]; pairs with [FENCE.16],
  // [FENCE.18], [FENCE.23]
  const std::uint32_t old = state_.fetch_sub(one_op, mo::release);
  if ((old & retired) != 0 && ops_inside(old) == 1) wake(old | set_settled());
  thread.run_queue();
  return op_result;
}

void legacy_fence::enable_legacy() noexcept {
  // relaxed: only a hint that saves two RMWs
  if ((state_.load(mo::relaxed) & enabled) != 0) return;
  UFENCE_TRACE(dma_fence_enable_signal, *this);
  complete(call_legacy_op(enabled, [this] {
    ops->lock(data);
    // relaxed: signal() decides under this lock
    const bool is_pending = (state_.load(mo::relaxed) & signaled) == 0;
    const int op_result =
        is_pending && ops->enable_signaling != nullptr ? ops->enable_signaling(data) : 0;
    ops->unlock(data);
    return op_result;
  }));
}

int legacy_fence::poll_legacy() noexcept {
  return call_legacy_op(0, [this] { return ops->poll != nullptr ? ops->poll(data) : 0; });
}

void legacy_fence::set_deadline_legacy(std::int64_t deadline_ns) noexcept {
  call_legacy_op(0, [this, deadline_ns] {
    if (ops->set_deadline != nullptr) ops->set_deadline(data, deadline_ns);
    return 0;
  });
}

int legacy_fence::wait_legacy(std::int64_t deadline_ns) noexcept {
  return call_legacy_op(
      0, [this, deadline_ns] { return ops->wait != nullptr ? ops->wait(data, deadline_ns) : 0; });
}

void legacy_fence::release() noexcept {
  if (ops->release == nullptr) return;
  foreign_scope scope(thread_state::mine(), *this);
  ops->release(data);
}

// --- In place ---

void legacy_fence::init_in_place(const legacy_ops& its_ops, std::uint64_t context,
                                 std::uint64_t seqno, bool is_polled, bool wraps) noexcept {
  ops = &its_ops;
  data = this;
  owner_.context = context;
  const std::uint32_t kinds = (is_polled ? kind::is_polled : 0) | (wraps ? kind::wraps : 0);
  init(kind::legacy | kind::in_place | kinds, seqno, nullptr, 1);
}

void legacy_fence::set_signaled_at_birth(std::int64_t timestamp_ns) noexcept {
  timestamp_.set(timestamp_ns);
  // relaxed: nobody else knows it yet
  state_.store(signaled | enabled | settled | retired, mo::relaxed);
}

void legacy_fence::trace_enable() noexcept { UFENCE_TRACE(dma_fence_enable_signal, *this); }

bool legacy_fence::had_callbacks() noexcept {
  lock();
  const bool is_any = callbacks() != nullptr;
  unlock();
  return is_any;
}

void legacy_fence::end_in_place() noexcept {
  release();
  // It may have signaled others.
  thread_state::mine().run_queue();
}

void legacy_fence::queue_on_thread() noexcept {
  get();
  settlement later;
  later.append(*this);
}

void legacy_fence::wait_until_settled_elsewhere() noexcept {
  if (is_settled() || is_inherited() || thread_state::mine().involves(*this)) return;
  static_cast<void>(wait_for_settling(settled, no_deadline));
}

int legacy_fence::wait_until_signaled(std::int64_t deadline_ns, bool is_interruptible) noexcept {
  if (is_signaled()) return 0;
  rank_check_none();
  UFENCE_TRACE(dma_fence_wait_start, *this);
  const std::error_code failed = wait_for(signaled, deadline_ns, is_interruptible);
  UFENCE_TRACE(dma_fence_wait_end, *this);
  return -failed.value();
}

bool legacy_fence::is_done_with(callback& node) noexcept {
  if (is_inherited()) return true;  // what runs it is a thread of the parent's
  lock();
  const bool runs = find_in_batch(node) == batch_place::runs;
  unlock();
  return !runs || wait_until_returned(node) >= 0;
}

}  // namespace ufence
