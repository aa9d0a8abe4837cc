// The ops that the fences of a device call, and their way to the driver.
//
// An op of a job's fence runs in that fence's gate, so the record stays until it has returned. Before
// the driver has the job, what is asked is kept in the record and asked by the submitting thread:
//   ISSUER.13/17  the asking op's request against the submitting thread's "accepted": one word
#include <algorithm>
#include <utility>

#include "ufence/issuer/device_impl.h"
#include "ufence/issuer/module_scope.h"

namespace ufence {
namespace {

using detail::ask;
using detail::call_module;
using detail::job_op;
using detail::job_phase;
using detail::job_record;
using detail::marked_op;
using detail::violation;
namespace asked_bit = detail::asked_bit;

// Calls an op of the driver unless the module is closing; then the answer is 0.
template <class Call>
int call_op(job_record& r, job_op op, std::string_view name, Call call) noexcept {
  device::impl& d = *r.owner;
  if (!d.gate.enter()) return 0;
  int op_result = 0;
  {
    const marked_op mark(r.inside, op);
    op_result = call_module(d, name, 0, [&] { return call(d); });
  }
  d.gate.leave();
  if (op_result > 1 || op_result < -4095) {
    d.violations.note(violation::bad_op_result, r.seqno.get());
    op_result = 0;
  }
  d.violations.flush(d);
  return op_result;
}

// The answer of an op; the library is told "pending", since the host decides.
int complete(job_record& r, int op_result) noexcept {
  if (op_result == 0 || !r.elect(job_phase::with_driver, job_phase::completed)) return 0;
  settlement later;
  r.owner->finish(r, op_result > 0 ? 0 : op_result, later);
  return 0;
}

int call_enable(job_record& r) noexcept {
  return call_op(r, job_op::enable_signaling, "enable_signaling()", [&r](device::impl& d) {
    return d.ops->enable_signaling(d.state, &r.job);
  });
}

void call_deadline(job_record& r, std::int64_t deadline_ns) noexcept {
  call_op(r, job_op::set_deadline, "set_deadline()", [&](device::impl& d) {
    d.ops->set_deadline(d.state, &r.job, deadline_ns);
    return 0;
  });
}

bool is_accepted(job_record& r) noexcept {
  // [ISSUER.14] acquire: the job as the driver left it in submit(); pairs with [ISSUER.17]
  return (r.asked.load(mo::acquire) & asked_bit::accepted) != 0;
}

job_record& record(backend* data) noexcept { return *static_cast<job_record*>(data); }

// --- Fences of single jobs ---

int enable_job(backend* data) noexcept {
  job_record& r = record(data);
  return ask(r, asked_bit::enable) ? complete(r, call_enable(r)) : 0;
}

int poll_job(backend* data) noexcept {
  job_record& r = record(data);
  if (!is_accepted(r)) return 0;
  return complete(r, call_op(r, job_op::poll, "poll()", [&r](device::impl& d) {
                    return d.ops->poll(d.state, &r.job);
                  }));
}

void set_job_deadline(backend* data, std::int64_t deadline_ns) noexcept {
  job_record& r = record(data);
  // relaxed, as the CAS: ordered by asking
  std::int64_t soonest = r.deadline.load(mo::relaxed);
  while (deadline_ns < soonest &&
         !r.deadline.compare_exchange_weak(soonest, deadline_ns, mo::relaxed, mo::relaxed)) {
  }
  if (ask(r, asked_bit::deadline)) call_deadline(r, deadline_ns);
}

void retire_job(backend* data, retired_by who) noexcept {
  job_record& r = record(data);
  device::impl& d = *r.owner;
  if (d.has(UFENCE_F_RETIRE) && r.is_known.get()) {
    call_module(d, "retire()", [&] { d.ops->retire(d.state, &r.job); });
  }
  d.retired(r, who);
}

// --- A timeline ---

device::impl& device_of(backend* data) noexcept {
  return *static_cast<detail::timeline_backend*>(data)->owner;
}

template <class Call>
void call_line_op(backend* data, std::string_view name, Call call) noexcept {
  device::impl& d = device_of(data);
  if (!d.gate.enter()) return;
  call_module(d, name, [&] { call(d); });
  d.gate.leave();
  d.violations.flush(d);
}

void request_line_notify(backend* data, std::uint64_t seqno) noexcept {
  call_line_op(data, "request_notify()",
               [seqno](device::impl& d) { d.ops->request_notify(d.state, seqno); });
}

void set_line_deadline(backend* data, std::int64_t deadline_ns) noexcept {
  call_line_op(data, "set_deadline()", [deadline_ns](device::impl& d) {
    d.ops->set_deadline(d.state, nullptr, deadline_ns);
  });
}

void retire_line(backend* data, retired_by) noexcept {
  device::impl& d = device_of(data);
  if (d.ops->retire_timeline != nullptr) {
    call_module(d, "retire_timeline()", [&d] { d.ops->retire_timeline(d.state); });
  }
  d.unretired.sub();
}

// --- Legacy fences: they pin the module, so the gate is open as long as one lives ---

job_record& old_record(void* data) noexcept { return *static_cast<job_record*>(data); }

void lock_old(void* data) noexcept {
  job_record& r = old_record(data);
  device::impl& d = *r.owner;
  call_module(d, "lock()", [&] { d.ops->lock(d.state, &r.job); });
}

void unlock_old(void* data) noexcept {
  job_record& r = old_record(data);
  device::impl& d = *r.owner;
  call_module(d, "unlock()", [&] { d.ops->unlock(d.state, &r.job); });
}

int enable_old(void* data) noexcept { return enable_job(&old_record(data)); }
int poll_old(void* data) noexcept { return poll_job(&old_record(data)); }
void set_old_deadline(void* data, std::int64_t deadline_ns) noexcept {
  set_job_deadline(&old_record(data), deadline_ns);
}

int wait_old(void* data, std::int64_t deadline_ns) noexcept {
  job_record& r = old_record(data);
  if (!is_accepted(r)) return 0;
  device::impl& d = *r.owner;
  const marked_op mark(r.inside, job_op::wait);
  const int waited =
      call_module(d, "wait()", -EIO, [&] { return d.ops->wait(d.state, &r.job, deadline_ns); });
  return std::clamp(waited, -4095, 0);
}

void release_old(void* data) noexcept {
  job_record& r = old_record(data);
  device::impl& d = *r.owner;
  if (r.is_known.get()) call_module(d, "release()", [&] { d.ops->release(d.state, &r.job); });
  d.retired(r, retired_by::settlement);
}

}  // namespace

bool detail::ask(job_record& r, std::uint32_t what) noexcept {
  // [ISSUER.13] acq_rel: the request before the look, and the job as the driver left it in submit();
  // pairs with [ISSUER.17]
  return (r.asked.fetch_or(what, mo::acq_rel) & asked_bit::accepted) != 0;
}

void detail::accept(job_record& r) noexcept {
  device::impl& d = *r.owner;
  // [ISSUER.17] acq_rel: the job as the driver left it, and what was asked before; pairs with
  // [ISSUER.13], [ISSUER.14]
  const auto asked = r.asked.fetch_or(asked_bit::accepted, mo::acq_rel);
  if ((asked & asked_bit::enable) != 0 && r.phase_now() == job_phase::with_driver) {
    if (d.is_legacy()) lock_old(&r);
    const int op_result = call_enable(r);
    if (d.is_legacy()) unlock_old(&r);
    complete(r, op_result);
  }
  if ((asked & asked_bit::deadline) != 0 && r.phase_now() == job_phase::with_driver) {
    // relaxed: ordered by asking
    call_deadline(r, r.deadline.load(mo::relaxed));
  }
  if ((asked & asked_bit::cancel) != 0) d.cancel_accepted(r);
}

detail::retire_function detail::retire_of_jobs() noexcept { return &retire_job; }

void device::impl::set_ops() noexcept {
  const bool enables = has(UFENCE_F_ENABLE), polls = has(UFENCE_F_POLL);
  const bool hears_deadlines = has(UFENCE_F_DEADLINE);
  job_ops.enable_signaling = enables ? &enable_job : nullptr;
  job_ops.poll = polls ? &poll_job : nullptr;
  job_ops.set_deadline = hears_deadlines ? &set_job_deadline : nullptr;
  job_ops.retire = &retire_job;

  line_ops.request_notify = ops->request_notify != nullptr ? &request_line_notify : nullptr;
  line_ops.set_deadline = hears_deadlines ? &set_line_deadline : nullptr;
  line_ops.retire = &retire_line;

  old_ops.lock = &lock_old;
  old_ops.unlock = &unlock_old;
  old_ops.enable_signaling = enables ? &enable_old : nullptr;
  old_ops.poll = polls ? &poll_old : nullptr;
  old_ops.set_deadline = hears_deadlines ? &set_old_deadline : nullptr;
  old_ops.wait = &wait_old;
  old_ops.release = &release_old;
}

}  // namespace ufence
