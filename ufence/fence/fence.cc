#include "ufence/fence/fence.h"

#include <new>

#include "ufence/base/check.h"
#include "ufence/base/fork.h"
#include "ufence/base/futex.h"
#include "ufence/fence/embedded_fence.h"
#include "ufence/fence/fence_lock.h"
#include "ufence/fence/report.h"
#include "ufence/fence/signalling.h"
#include "ufence/fence/slab.h"
#include "ufence/fence/thread_state.h"
#include "ufence/fence/timeline.h"
#include "ufence/fence/trace.h"

namespace ufence {

using namespace fence_state;  // NOLINT(google-build-using-namespace): the bits of state.h

namespace {

constinit atomic<std::uint64_t> next_context{1};

// Of an embedded fence.
const fence_type& type_of(const fence& f) noexcept { return embedded_fence::of(f).type(); }

}  // namespace

alignas(fence::preferred_alignment) constinit fence fence::stub_{signaled | enabled | settled |
                                                                 retired};

// --- Birth and death ---

fence* fence::allocate_slot() noexcept {
  detail::check_not_signalling("a thread allocates a fence on the signalling path");
  return detail::slab_allocate(detail::slot_size::native);
}

void fence::init(std::uint32_t kinds, std::uint64_t seqno, backend* data,
                 std::uint32_t refs) noexcept {
  // relaxed, as all but the last: nobody looks at a slot whose count is 0
  state_.store(data == nullptr && (kinds & kind::foreign) == 0 ? retired : 0, mo::relaxed);
  seqno_ = seqno;
  timestamp_.set(0);
  set_callbacks(nullptr);
  error_.set(0);
  kind_ = static_cast<std::uint8_t>(kinds | (data != nullptr ? kind::has_backend : 0));
  generation_ = static_cast<std::uint16_t>(fork_generation());
  word_.store(reinterpret_cast<std::uintptr_t>(data), mo::relaxed);
  link_.set(nullptr);
  // [FENCE.11] release: all fields before the count; pairs with [FENCE.13]
  refs_.store(refs, mo::release);
  UFENCE_TRACE(init, *this);
}

result<new_fence> fence::create(std::uint64_t context, std::uint64_t seqno,
                                backend* data) noexcept {
  fence* f = allocate_slot();
  if (f == nullptr) return failure(ENOMEM);
  f->owner_.context = context;
  f->init(0, seqno, data, 2);
  return new_fence{fence_ref::adopt(f), signaler(f)};
}

result<fence_room> fence_room::reserve() noexcept {
  fence* const slot = fence::allocate_slot();
  if (slot == nullptr) return failure(ENOMEM);
  return fence_room(slot);
}

void fence_room::give_back() noexcept { detail::slab_free(*slot_, detail::slot_size::native); }

result<fence_ref> fence::create_signaled(std::int64_t timestamp_ns) noexcept {
  fence* f = allocate_slot();
  if (f == nullptr) return failure(ENOMEM);
  f->owner_.context = 0;
  f->init(0, 0, nullptr, 1);
  f->timestamp_.set(timestamp_ns);
  // relaxed: nobody else knows it yet
  f->state_.store(signaled | enabled | settled | retired, mo::relaxed);
  if (trace::is_recording()) [[unlikely]]
    trace::record_fence(trace::event::signaled, *f);
  return fence_ref::adopt(f);
}

std::uint64_t fence::allocate_contexts(std::uint64_t n) noexcept {
  // relaxed: only the numbers have to differ
  return next_context.fetch_add(n, mo::relaxed);
}

void fence::destroy() noexcept {
  UFENCE_PROBE(dma_fence_destroy, *this);
  if (is_embedded()) return type_of(*this).end(*this);
  UFENCE_DEBUG_CHECK(callbacks() == nullptr && "a queued callback has a pending fence");
  timeline* line = owner();
  detail::slab_free(*this, detail::slot_size::native);
  if (line != nullptr) line->put();
}

bool fence::try_get() noexcept {
  if (this == &stub_) return true;
  // relaxed: the CAS orders
  std::uint32_t count = refs_.load(mo::relaxed);
  while (count != 0) {
    // [FENCE.13] acquire: the fields of the fence that the memory holds now, and the change of the
    // slot that led here before the memory was used again; pairs with [FENCE.11],
    // [FENCE.12], [FENCE.33]
    if (refs_.compare_exchange_weak(count, count + 1, mo::acquire, mo::relaxed)) {
      if (detail::is_saturated(count)) [[unlikely]] saturate(count);
      return true;
    }
  }
  return false;
}

void fence::saturate(std::uint32_t count) noexcept {
  detail::saturate(refs_, count,
                   {.text = "references to a fence were lost: it is never freed",
                    .context = context(),
                    .seqno = seqno()});
}

fence_ref fence::get_rcu(const atomic<fence*>& slot) noexcept {
  for (;;) {
    // [FENCE.14] acquire: the fence's slot memory is set up; pairs with [CHAIN.1], and with the
    // caller's publication
    fence* f = slot.load(mo::acquire);
    if (f == nullptr) return nullptr;
    const bool taken = f->try_get();
    // relaxed: ordered after the CAS by its acquire
    if (slot.load(mo::relaxed) == f) {
      if (taken) return fence_ref::adopt(f);
      // The slot still holds a fence that is being destroyed: its writer is about to change it.
      spin_pause();
    } else if (taken) {
      f->put();
    }
  }
}

// --- LOCK: callback list and election ---

void fence::lock_slow() noexcept {
  rank_acquire(lock_rank::fence);
  for (int spins = 0;;) {
    std::uint8_t is_held = 0;
    // relaxed: the CAS orders. A thread that spins leaves the cache line with the thread that has LOCK.
    if (lock_.load(mo::relaxed) == 0) {
      // [FENCE.15] seq_cst: as [FENCE.1]; pairs with [FENCE.2], [FENCE.38]
      if (lock_.compare_exchange(is_held, 1, mo::seq_cst, mo::relaxed)) return;
    }
    if (spins < spin_limit()) {
      ++spins;
      spin_pause();
      continue;
    }
    // relaxed: ordered by the barrier
    const std::uint32_t s = state_.fetch_or(lock_waiters, mo::relaxed) | lock_waiters;
    // [FENCE.30] acq_rel: SB, the bit before the look at LOCK; pairs with [FENCE.29]
    process_barrier(mo::acq_rel);
    // A thread that takes the bit away after this woke nobody here, but then the word differs. relaxed: the
    // CAS above orders
    if (lock_.load(mo::relaxed) != 0) futex_wait(state_, s, no_deadline, futex_class::lock);
  }
}

void fence::wake_lockers() noexcept {
  // relaxed: sleepers look again
  state_.fetch_and(~lock_waiters, mo::relaxed);
  futex_wake_all(state_, futex_class::lock);
}

void fence::wake_sleepers() noexcept {
  // relaxed: a sleeper that sets the bit again does so on a word that it looked at after this
  state_.fetch_and(~waiters, mo::relaxed);
  futex_wake_all(state_, futex_class::state);
}

// --- Ops ---

bool fence::enter_op(std::uint32_t once, backend*& data) noexcept {
  std::uint32_t s = 0;  // a guess, see fence_lock.h: ops mostly come before anybody waits
  do {
    if ((s & (signaled | once)) != 0) return false;
    // relaxed: constant while pending, and the CAS fails once it is not
    data = reinterpret_cast<backend*>(word_.load(mo::relaxed));
    // [FENCE.5] acq_rel: the op is inside before it touches the backend, and `once` elects; pairs
    // with [FENCE.3], [FENCE.6]
  } while (!state_.compare_exchange_weak(s, (s | once) + one_op, mo::acq_rel, mo::relaxed));
  return true;
}

std::uint32_t fence::leave_op(backend* data) noexcept {
  // [FENCE.6] acq_rel: what the op did is before retire, and the last sees what all did; pairs with
  // [FENCE.3], [FENCE.5]
  const std::uint32_t old = state_.fetch_sub(one_op, mo::acq_rel);
  if ((old & signaled) != 0 && ops_inside(old) == 1) [[unlikely]]
    run_retire(data, retired_by::last_op);
  return old;
}

void fence::complete(int op_result) noexcept {
  if (op_result == 0) return;
  get();
  settlement later;
  decide_into(op_result > 0 ? 0 : detail::checked_error(op_result, *this), later);
}

void fence::enable_signaling() noexcept {
  if (is_inherited()) return;
  if (is_ordered()) {
    if (!is_signaled()) enable_ordered();
    return;
  }
  // relaxed: only a hint that saves two RMWs
  if ((kind_ & (kind::has_backend | kind::embedded)) == 0 ||
      (state_.load(mo::relaxed) & (enabled | signaled)) != 0) {
    return;
  }
  if (is_embedded()) return type_of(*this).enable(*this);
  UFENCE_TRACE(enable_signal, *this);
  int op_result = 0;
  call_op(enabled, [&](const backend_ops& ops, backend* data) {
    if (ops.enable_signaling != nullptr) op_result = ops.enable_signaling(data);
  });
  complete(op_result);
}

bool fence::poll() noexcept {
  if (is_inherited()) return is_signaled();
  int op_result = 0;
  if (has_backend()) {
    if (call_op(0, [&](const backend_ops& ops, backend* data) {
          if (ops.poll != nullptr) op_result = ops.poll(data);
        })) {
      return true;
    }
    if (op_result == 0) return false;
  } else if (is_signaled()) {
    return true;
  } else if (is_ordered()) {
    settlement later;
    static_cast<void>(owner()->fold_device_word(later));
  } else if (is_foreign()) {
    op_result = type_of(*this).poll(*this);
  }
  complete(op_result);
  return is_signaled();
}

void fence::set_deadline(absolute_deadline deadline_ns) noexcept {
  if (is_inherited()) return;
  if (is_ordered()) {
    if (!is_signaled()) owner()->set_deadline(deadline_ns);
  } else if (is_foreign()) {
    type_of(*this).set_deadline(*this, deadline_ns);
  } else if (has_backend()) {
    call_op(0, [&](const backend_ops& ops, backend* data) {
      if (ops.set_deadline != nullptr) ops.set_deadline(data, deadline_ns);
    });
  }
}

// --- The signaler ---

namespace detail {

int checked_error(int error, const fence& f) noexcept {
  if (is_error_in_range(error)) return error;
  send_report({.kind = report_kind::bad_error,
               .context = f.context(),
               .seqno = f.seqno(),
               .driver_name = f.driver_name(),
               .timeline_name = f.timeline_name(),
               .text = "an error must be 0 or a negative errno; -EINVAL is used"});
  return -EINVAL;
}

}  // namespace detail

bool signaler::signal(int error, std::int64_t timestamp_ns) noexcept {
  if (fence_ == nullptr) return false;
  const int checked = detail::checked_error(error, *fence_);
  fence& f = *std::exchange(fence_, nullptr);
  if (f.is_foreign()) return type_of(f).signal(f, checked);
  if (!f.has_backend()) return f.signal_plain(checked, timestamp_ns);
  settlement later;
  return f.decide_into(checked, later, timestamp_ns);
}

bool signaler::decide(int error, settlement& later) noexcept {
  if (fence_ == nullptr) return false;
  const int checked = detail::is_error_in_range(error) ? error : -EINVAL;
  return std::exchange(fence_, nullptr)->decide_into(checked, later);
}

signaler signaler::share() const noexcept {
  if (fence_ != nullptr) {
    fence_->get();
    // relaxed: for the thread that signals, to which both rights are handed after this
    fence_->state_.fetch_or(several, mo::relaxed);
  }
  return signaler(fence_);
}

void signaler::drop() noexcept {
  if (fence_ == nullptr) return;
  const fence_ref f = fence_ref::take(*fence_);
  if (signal(-ECANCELED)) {
    send_report(
        {.kind = report_kind::signaler_dropped,
         .context = f->context(),
         .seqno = f->seqno(),
         .driver_name = f->driver_name(),
         .timeline_name = f->timeline_name(),
         .text = "a signaler was dropped before it signaled; the fence ends with -ECANCELED"});
  }
}

}  // namespace ufence
