// Ending jobs from the host's side, for an unload.
#include <algorithm>
#include <array>
#include <span>
#include <utility>

#include "ufence/base/fork.h"
#include "ufence/fence/thread_state.h"
#include "ufence/foreign/legacy_fence.h"
#include "ufence/issuer/device_impl.h"
#include "ufence/issuer/module_scope.h"

namespace ufence {

using detail::job_phase;
using detail::job_record;

namespace {

constexpr std::size_t batch_max = 64;

// A few records, and a reference to their fences: they are worked on with no lock held.
struct batch {
  std::array<job_record*, batch_max> records;
  std::array<fence_ref, batch_max> fences;
  std::size_t count = 0;

  void add(job_record& r) noexcept {
    records[count] = &r;
    fences[count++] = fence_ref::take(*r.of.get());
  }
};

// Fills the batch with records of the live list that `take` says yes to. Device lock held.
template <class Take>
void collect(const detail::job_pool& jobs, batch& b, Take take) noexcept {
  b.count = 0;
  for (job_record* r = jobs.first(); r != nullptr && b.count < batch_max; r = r->next) {
    if (take(*r)) b.add(*r);
  }
}

bool is_pending(const job_record& r) noexcept {
  const job_phase phase = r.phase_now();
  return phase == job_phase::waiting || phase == job_phase::ready || phase == job_phase::with_driver;
}

// Ends a job whose phase is given_up.
void end_job(device::impl& d, job_record& r) noexcept {
  for (std::uint32_t i = 0; i < r.in_count.get(); ++i) {
    // One that runs now finds the job given up. It waits for nothing, so this never says -EDEADLK.
    if (r.in[i].on) static_cast<void>(r.in[i].on->remove_callback(r.in[i]));
  }
  r.drop_in_fences();
  settlement later;
  d.finish(r, -ECANCELED, later);
}

}  // namespace

std::vector<fence_ref> device::impl::pending_fences() {
  std::vector<fence_ref> fences;
  fences.reserve(pending.count());
  const scoped_lock hold(lock);
  for (job_record* r = jobs.first(); r != nullptr; r = r->next) {
    if (is_pending(*r) && fences.size() < fences.capacity()) {
      fences.push_back(fence_ref::take(*r->of.get()));
    }
  }
  return fences;
}

void device::impl::give_up_waiting() noexcept {
  batch b;
  do {
    {
      const scoped_lock hold(lock);
      collect(jobs, b, [](job_record& r) {
        // [ISSUER.12] acquire: if the job is on its way to the driver, its thread is in submitters;
        // pairs with [ISSUER.18]. All records are complete: the threads that made them have left.
        job_phase phase = r.phase.load(mo::acquire);
        if (phase != job_phase::waiting && !(phase == job_phase::ready && r.turn.is_ready)) return false;
        // [ISSUER.19] acquire: as [ISSUER.12], where it fails; pairs with [ISSUER.18]. Success needs
        // none, but compilers want it to be as strong.
        return r.phase.compare_exchange(phase, job_phase::given_up, mo::acquire, mo::acquire);
      });
    }
    for (job_record* const r : std::span(b.records).first(b.count)) end_job(*this, *r);
    if (b.count != 0 && is_timeline()) submit_in_turn();
  } while (b.count == batch_max);
}

void device::impl::call_cancel(job_record& r) noexcept {
  if (!gate.enter()) return;
  {
    const detail::marked_op mark(r.inside, detail::job_op::cancel);
    detail::call_module(*this, "cancel()", [&] { ops->cancel(state, &r.job); });
  }
  gate.leave();
}

void device::impl::ask_to_cancel() noexcept {
  if (!has(UFENCE_F_CANCEL)) return;
  batch b;
  do {
    {
      const scoped_lock hold(lock);
      collect(jobs, b, [this](job_record& r) {
        if (r.was_cancelled || r.phase_now() != job_phase::with_driver) return false;
        if (is_timeline()) ++r.turn.users;
        return r.was_cancelled = true;
      });
    }
    for (std::size_t i = 0; i < b.count; ++i) {
      job_record& r = *b.records[i];
      {
        const issuer_op op(*b.fences[i]);
        // A timeline's fence has no op; its record is in use.
        if (op || is_timeline()) call_cancel(r);
      }
      if (is_timeline()) {
        const scoped_lock hold(lock);
        --r.turn.users;
      }
    }
    violations.flush(*this);
    settlement later;
    if (is_timeline()) reap(later);
  } while (b.count == batch_max);
}

void device::impl::fail_pending() noexcept {
  give_up_waiting();
  if (is_timeline()) {
    line->fail(-ECANCELED);
    settlement later;
    return reap(later);
  }
  batch b;
  do {
    {
      const scoped_lock hold(lock);
      collect(jobs, b, [](job_record& r) {
        return r.elect(job_phase::with_driver, job_phase::given_up);
      });
    }
    for (job_record* const r : std::span(b.records).first(b.count)) {
      if (r->inside.any()) r->args_size = 0;  // an op that has not returned may read them
      settlement later;
      finish(*r, -ECANCELED, later);
    }
  } while (b.count == batch_max);
  line->fail(-ECANCELED);
}

// --- One job ---

std::error_code device::impl::cancel(fence& f) noexcept {
  if (generation != fork_generation()) return errno_code(EOWNERDEAD);
  // The device stays as it is until this thread is through, as for a job on its way to the driver.
  submitters.add();
  const detail::counted here(submitters);
  if (is_timeline()) return cancel_in_line(f);
  if (is_legacy()) {
    const legacy_fence* const of_job = legacy_fence::from(f);
    if (of_job == nullptr || &of_job->ops() != &old_ops) return errno_code(EINVAL);
    if (f.is_signaled()) return errno_code(EALREADY);
    return cancel_single(*static_cast<job_record*>(of_job->data()));
  }
  const issuer_op op(f);
  if (!op) return errno_code(f.is_signaled() ? EALREADY : EINVAL);
  if (op.data()->ops != &job_ops) return errno_code(EINVAL);
  return cancel_single(*static_cast<job_record*>(op.data()));
}

std::error_code detail::cancel_job_of(fence& f) noexcept {
  // Inside the op the record, and so the device, stays.
  const issuer_op op(f);
  if (!op) return errno_code(f.is_signaled() ? EALREADY : EINVAL);
  if (op.data()->ops->retire != retire_of_jobs()) return errno_code(EINVAL);
  return static_cast<job_record*>(op.data())->owner->cancel(f);
}

// Inside an op of its fence, or with a reference to a legacy one: the record stays.
std::error_code device::impl::cancel_single(job_record& r) noexcept {
  if (r.elect(job_phase::waiting, job_phase::given_up)) {
    end_job(*this, r);
    return {};
  }
  if (!has(UFENCE_F_CANCEL)) return errno_code(EOPNOTSUPP);
  if (detail::ask(r, detail::asked_bit::cancel)) cancel_accepted(r);
  violations.flush(*this);
  return {};
}

void device::impl::cancel_accepted(job_record& r) noexcept {
  {
    const scoped_lock hold(lock);
    if (r.was_cancelled || r.phase_now() != job_phase::with_driver) return;
    r.was_cancelled = true;
  }
  call_cancel(r);
}

std::error_code device::impl::cancel_in_line(fence& f) noexcept {
  job_record* r = nullptr;
  bool is_given_up = false;
  {
    const scoped_lock hold(lock);
    const auto find = [&f](job_record* first) {
      while (first != nullptr && first->turn.held.get() != &f) first = first->turn.next;
      return first;
    };
    r = find(in_order.turns.first);
    if (r != nullptr) {
      is_given_up = r->elect(job_phase::waiting, job_phase::given_up) ||
                    (r->turn.is_ready && r->elect(job_phase::ready, job_phase::given_up));
    } else {
      r = find(in_order.with_device.first);
    }
    if (r == nullptr || r->turn.is_done) return errno_code(f.is_signaled() ? EALREADY : EINVAL);
    if (!is_given_up) {
      if (!has(UFENCE_F_CANCEL)) return errno_code(EOPNOTSUPP);
      // On its way to the driver: the thread that brings it there asks.
      const bool is_on_its_way = r->phase_now() != job_phase::with_driver ||
                                 (in_order.is_submitting && r->seqno.get() == in_order.last_submitted);
      if (is_on_its_way) r->turn.wants_cancel = true;
      if (is_on_its_way || std::exchange(r->was_cancelled, true)) return {};
    }
    ++r->turn.users;
  }
  settlement later;
  if (is_given_up) {
    end_job(*this, *r);
  } else {
    call_cancel(*r);
    violations.flush(*this);
  }
  {
    const scoped_lock hold(lock);
    --r->turn.users;
  }
  if (is_given_up) {
    submit_in_turn();  // it may have been in others' way
  } else {
    reap(later);
  }
  return {};
}

bool device::impl::wait_for_jobs(std::int64_t deadline_ns) noexcept {
  if (!is_timeline()) return pending.wait_zero(deadline_ns) == 0;
  // The library may have found a completion of which the driver tells us nothing more.
  constexpr std::int64_t look_again_ns = 10'000'000;
  for (;;) {
    {
      settlement later;
      reap(later);
    }
    if (pending.wait_zero(std::min(deadline_ns, deadline_after(look_again_ns))) == 0) return true;
    if (now_ns() >= deadline_ns) return false;
  }
}

}  // namespace ufence
