// A job's way to the driver: record, fence, in-fences, submit().
#include <algorithm>
#include <cstring>
#include <utility>

#include "ufence/base/check.h"
#include "ufence/base/fork.h"
#include "ufence/fence/thread_state.h"
#include "ufence/fence/trace.h"
#include "ufence/issuer/device_impl.h"
#include "ufence/issuer/module_scope.h"
#include "ufence/issuer/process_end.h"

namespace ufence {

using detail::job_phase;
using detail::job_record;
using detail::violation;

namespace detail {
namespace {

void note_in_error(job_record& r, int error) noexcept {
  std::int32_t none = 0;
  // relaxed: the first one is kept; the last to leave in_pending sees it
  if (error < 0) r.in_error.compare_exchange(none, error, mo::relaxed, mo::relaxed);
}

void leave_in_fences(job_record& r) noexcept {
  // [ISSUER.10] acq_rel: the last one sees errors and records of all; pairs with [ISSUER.10]
  if (r.in_pending.fetch_sub(1, mo::acq_rel) == 1) r.owner->job_ready(r);
}

void on_in_fence(callback& node, fence& f) noexcept {
  job_record& r = *static_cast<in_fence&>(node).job;
  note_in_error(r, f.error());
  leave_in_fences(r);
}

// Registers on all in-fences. The submitting thread counts as one of them until it is through.
void watch_in_fences(job_record& r) noexcept {
  for (std::uint32_t i = 0; i < r.in_count.get(); ++i) {
    fence& f = *r.in[i].on;
    const std::error_code refused = f.add_callback(r.in[i]);
    if (!refused) continue;
    note_in_error(r, refused == errno_code(ENOENT) ? f.error() : -refused.value());
    // relaxed: this thread still counts, it is not the last
    r.in_pending.fetch_sub(1, mo::relaxed);
  }
}

// Fills the part of the record that the driver sees.
void describe_job(job_record& r, const job_request& request, const fence& f) noexcept {
  r.job = {};
  r.job.size = sizeof r.job;
  r.job.opcode = request.opcode;
  r.job.context = f.context();
  r.job.seqno = f.seqno();
  r.job.args = request.args.empty() ? nullptr : r.args;
  r.job.args_size = request.args.size();
  r.job.host = &r;
  if (!request.args.empty()) std::memcpy(r.args, request.args.data(), request.args.size());
  r.runs_after_failure = request.run_after_failed_in_fence;
  for (std::uint32_t i = 0; i < r.in_count.get(); ++i) {
    r.in[i].job = &r;
    r.in[i].set_function(&on_in_fence);
    r.in[i].on = request.in_fences[i];
  }
  // relaxed: nobody else knows the record yet
  r.in_pending.store(r.in_count.get() + 1, mo::relaxed);
  r.in_error.store(0, mo::relaxed);
  r.asked.store(0, mo::relaxed);
  r.deadline.store(no_deadline, mo::relaxed);
  r.is_known.set(false);
  r.was_cancelled = false;
}

// Calls the driver's submit(). The job is with the driver if that is 0.
int call_submit(device::impl& d, job_record& r) noexcept {
  int error = 0;
  if (trace::is_recording()) [[unlikely]]
    trace::record_job(trace::event::job_run, *r.of.get());
  {
    const marked_op mark(r.inside, job_op::submit);
    error = call_module(d, "submit()", -EIO, [&] { return d.ops->submit(d.state, &r.job); });
  }
  // relaxed, as the exchange: only one thread has to do it
  if (d.makes_late_objects.load(mo::relaxed) != 0 &&
      d.makes_late_objects.exchange(0, mo::relaxed) != 0) {
    stop_before_late_objects(d);
  }
  if (error > 0 || error < -4095) {
    d.violations.note(violation::bad_error, r.seqno.get());
    return -EINVAL;
  }
  return error;
}

}  // namespace

callback_function callback_of_in_fences() noexcept { return &on_in_fence; }
}  // namespace detail

result<fence_ref> device::impl::submit(const job_request& request) noexcept {
  if (generation != fork_generation()) return failure(EOWNERDEAD);
  if (!std::ranges::all_of(request.in_fences, [](const fence_ref& f) { return bool(f); })) {
    return failure(EINVAL);
  }
  job_record* r = nullptr;
  fence_ref f;
  {
    const scoped_lock hold(lock);
    if (!is_accepting) return failure(ENODEV);
    if (pending_max != 0 && pending.count() >= pending_max) return failure(EAGAIN);
    r = jobs.take();
    if (r == nullptr) return failure(ENOMEM);
    // relaxed: under the lock; not yet a job for a thread that looks through the list
    r->phase.store(job_phase::preparing, mo::relaxed);
    pending.add();
    unretired.add();
    submitters.add();
  }
  const detail::counted here(submitters);
  if (!r->is_poison_intact()) violations.note(violation::wrote_after_decision, r->seqno.get());
  if (!r->is_private_intact()) violations.note(violation::wrote_after_retire, r->seqno.get());
  violations.flush(*this);
  int failed = r->reserve(request.args.size(), request.in_fences.size()) ? 0 : ENOMEM;
  if (failed == 0) failed = make_fence(*r, f);
  if (failed != 0) {
    forget(*r);
    return failure(failed);
  }
  // relaxed: a counter
  submitted.fetch_add(1, mo::relaxed);
  detail::describe_job(*r, request, *f);
  if (trace::is_recording()) [[unlikely]] {
    trace::record_job(trace::event::job_queue, *f);
    for (const fence_ref& in : request.in_fences) trace::record_dependency(*f, *in);
  }
  detail::watch_in_fences(*r);
  // [ISSUER.11] release: the record is complete for the thread that tells its name; pairs with
  // [ISSUER.7]. A thread that gives the job up has waited for this thread; one that takes it to the
  // driver was in in_pending.
  r->phase.store(job_phase::waiting, mo::release);
  detail::leave_in_fences(*r);
  return f;
}

int device::impl::make_fence(job_record& r, fence_ref& f) noexcept {
  r.owner = this;
  if (is_timeline()) {
    const scoped_lock hold(lock);  // seqnos rise in the order of the turns
    result<fence_ref> emitted = line->emit();
    if (!emitted) return emitted.error().value();
    f = std::move(*emitted);
    r.turn = {.held = f};
    r.was_cancelled = false;
    in_order.turns.push(r);
  } else {
    r.ops = &job_ops;
    result<new_fence> made =
        is_legacy() ? create_legacy_fence(*line, old_ops, &r) : line->create_unordered(&r);
    if (!made) return made.error().value();
    f = std::move(made->fence);
    r.right = std::move(made->signal);
  }
  r.of.set(f.get());
  r.seqno.set(f->seqno());
  return 0;
}

// A record that got no fence.
void device::impl::forget(job_record& r) noexcept {
  settlement later;
  if (pending.sub()) tell_room(later);
  {
    const scoped_lock hold(lock);
    jobs.unlink(r);
    jobs.put(r);
  }
  unretired.sub();
}

void device::impl::job_ready(job_record& r) noexcept {
  submitters.add();  // the device stays until this thread is through, whatever becomes of the job
  const detail::counted here(submitters);
  // relaxed: ordered by leaving in_pending
  const int error = r.runs_after_failure ? 0 : r.in_error.load(mo::relaxed);
  const job_phase next = error != 0 ? job_phase::decided : job_phase::ready;
  job_phase expected = job_phase::waiting;
  // [ISSUER.18] release: a thread that finds the job on its way to the driver finds this thread in
  // submitters; pairs with [ISSUER.12], [ISSUER.19]. Given up on failure.
  if (!r.phase.compare_exchange(expected, next, mo::release, mo::relaxed)) return;
  r.drop_in_fences();
  if (error != 0) {
    settlement later;
    finish(r, error, later);
    if (is_timeline()) submit_in_turn();  // it may have been in others' way
  } else if (is_timeline()) {
    {
      const scoped_lock hold(lock);
      r.turn.is_ready = true;
    }
    submit_in_turn();
  } else {
    submit_now(r);
  }
}

// The phase is `ready`: nobody but this thread may decide the job, until the driver has it.
void device::impl::submit_now(job_record& r) noexcept {
  const issuer_op op(*r.of.get());  // for a legacy fence only a reference
  const bool is_open = gate.enter();
  // [ISSUER.8] release: the record is complete for the thread that tells its name; pairs with [ISSUER.7]
  r.phase.store(is_open ? job_phase::with_driver : job_phase::given_up, mo::release);
  if (!is_open) {
    settlement later;
    return finish(r, -ECANCELED, later);
  }
  r.is_known.set(true);
  if (const int error = detail::call_submit(*this, r); error == 0) {
    detail::accept(r);
  } else {
    r.is_known.set(false);
    settlement later;
    if (r.elect(job_phase::with_driver, job_phase::decided)) {
      finish(r, error, later);
    } else {
      violations.note(violation::refused_decided, r.seqno.get());
    }
  }
  gate.leave();
  violations.flush(*this);
}

// --- Room for jobs, where their number is limited ---

result<fence_ref> device::impl::room() noexcept {
  signaler at_once;
  fence_ref f;
  {
    const scoped_lock hold(lock);
    if (!is_accepting) return failure(ENODEV);
    if (pending_max == 0 || pending.count() < pending_max) return fence::stub();
    if (room_fence) return room_fence;
    result<new_fence> made = line->create_unordered();
    if (!made) return failure(made.error().value());
    f = room_fence = std::move(made->fence);
    room_right = std::move(made->signal);
    if (pending.watch() < pending_max) at_once = take_room();
  }
  if (at_once) at_once.signal();
  return f;
}

signaler device::impl::take_room() noexcept {
  pending.unwatch();
  room_fence.reset();
  return std::move(room_right);
}

void device::impl::tell_room(settlement& later) noexcept {
  signaler right;
  {
    const scoped_lock hold(lock);
    if (!room_right || pending.count() >= pending_max) return;
    right = take_room();
  }
  right.decide(0, later);
}

void device::impl::close_room() noexcept {
  signaler right;
  {
    const scoped_lock hold(lock);
    if (!room_right) return;
    right = take_room();
  }
  right.signal(-ENODEV);
}

// One thread at a time gives the driver its jobs; one that comes meanwhile leaves them to it.
void device::impl::submit_in_turn() noexcept {
  for (;;) {
    job_record* r = nullptr;
    {
      const scoped_lock hold(lock);
      if (in_order.is_submitting) return;
      while (in_order.turns.first != nullptr && in_order.turns.first->turn.is_done) {
        in_order.with_device.push(in_order.turns.pop());  // reap() takes them from there
      }
      r = in_order.turns.first;
      if (r != nullptr && (!r->turn.is_ready || !r->elect(job_phase::ready, job_phase::with_driver))) {
        r = nullptr;  // not yet; or given up, by a thread that comes here when it is done
      }
      if (r != nullptr) {
        in_order.turns.pop();
        in_order.with_device.push(*r);
        ++r->turn.users;
        in_order.last_submitted = r->seqno.get();
        in_order.is_submitting = true;
      }
    }
    if (r == nullptr) {
      settlement later;
      return reap(later);
    }
    take_turn(*r);
  }
}

// The phase is `with_driver`, the record is in use.
void device::impl::take_turn(job_record& r) noexcept {
  int error = -ECANCELED;
  const bool is_open = gate.enter();
  if (is_open) {
    error = detail::call_submit(*this, r);
    gate.leave();
  }
  if (error != 0) {
    settlement later;
    if (r.elect(job_phase::with_driver, job_phase::decided)) {
      finish(r, error, later);
    } else if (is_open) {
      violations.note(violation::refused_decided, r.seqno.get());
    }
  }
  violations.flush(*this);
  {
    const scoped_lock hold(lock);
    in_order.is_submitting = false;  // from here on cancel() asks the driver itself
    const bool is_cancelled = error == 0 && r.turn.wants_cancel && !std::exchange(r.was_cancelled, true);
    if (!is_cancelled) {
      --r.turn.users;
      return;
    }
  }
  call_cancel(r);
  violations.flush(*this);
  const scoped_lock hold(lock);
  --r.turn.users;
}

}  // namespace ufence
