// Decisions, and what they leave of a job's record: nothing.
#include <utility>

#include "ufence/fence/trace.h"
#include "ufence/issuer/device_impl.h"

namespace ufence {

using detail::job_phase;
using detail::job_record;
using detail::violation;

void device::impl::finish(job_record& r, int error, settlement& later) noexcept {
  // relaxed, as below: counters of an unload, read when the jobs have ended
  if (refuses_callbacks.load(mo::relaxed) != 0) {
    (error == -ECANCELED ? unload_cancelled : unload_drained).fetch_add(1, mo::relaxed);
  }
  r.poison_args();
  if (trace::is_recording()) [[unlikely]]
    trace::record_job(trace::event::job_done, *r.of.get(), 0, 0, error);
  // Before the decision: the device may go right after a record is vacant.
  if (pending.sub()) tell_room(later);
  if (!is_timeline()) {
    signaler right = std::move(r.right);
    right.decide(error, later);
    return;
  }
  line->decide(*r.turn.held, error, later);
  {
    const scoped_lock hold(lock);
    r.turn.is_done = true;
  }
  reap(later);
}

void device::impl::reap(settlement& later) noexcept {
  // A fence beyond the value of a closed timeline has failed.
  const bool is_closed = line->line()->is_closed();
  const std::uint64_t completed = line->line()->completed();
  job_record* gone = nullptr;
  std::uint32_t count = 0;
  std::uint32_t passed = 0;
  std::uint32_t failed = 0;
  {
    const scoped_lock hold(lock);
    while (job_record* const r = in_order.with_device.first) {
      const bool is_passed = !is_later(r->seqno.get(), completed);
      if (r->turn.users != 0) break;
      if (!r->turn.is_done) {
        if (!(is_passed || is_closed) || !r->elect(job_phase::with_driver, job_phase::decided))
          break;
        r->poison_args();
        ++(is_passed ? passed : failed);
      }
      in_order.with_device.pop();
      jobs.unlink(*r);
      r->next = gone;
      gone = r;
      ++count;
    }
  }
  if (count == 0) return;
  for (job_record* r = gone; r != nullptr; r = r->next) r->turn.held.reset();
  // relaxed: counters
  if (refuses_callbacks.load(mo::relaxed) != 0) {
    unload_drained.fetch_add(passed, mo::relaxed);
    unload_cancelled.fetch_add(failed, mo::relaxed);
  }
  retired_by_settlement.fetch_add(count, mo::relaxed);
  {
    const scoped_lock hold(lock);
    while (job_record* const r = gone) {
      gone = r->next;
      jobs.put(*r);
    }
  }
  if (pending.sub(passed + failed)) tell_room(later);
  unretired.sub(count);
}

void device::impl::retired(job_record& r, retired_by who) noexcept {
  if (!r.is_poison_intact()) {
    violations.note(violation::wrote_after_decision, r.seqno.get());
    r.is_poisoned = false;
  }
  violations.flush(*this);
  // relaxed: counters
  (who == retired_by::last_op ? retired_by_last_op : retired_by_settlement)
      .fetch_add(1, mo::relaxed);
  {
    const scoped_lock hold(lock);
    jobs.unlink(r);
    jobs.put(r);
  }
  unretired.sub();
}

}  // namespace ufence
