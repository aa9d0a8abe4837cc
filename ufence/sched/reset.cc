// Jobs that are late, and what comes after: the device is reset, or gone, or the scheduler ends.
#include <cstdio>

#include "ufence/base/lock_rank.h"
#include "ufence/fence/report.h"
#include "ufence/fence/thread_state.h"
#include "ufence/sched/core.h"

namespace ufence::sched::detail {

std::int64_t scheduler_core::next_timeout_locked() const noexcept {
  if (oldest_ == nullptr || options_.timeout_ns == no_deadline || pace_ != pace::running ||
      is_untimed_) {
    return no_deadline;
  }
  return oldest_since_ns_ >= no_deadline - options_.timeout_ns
             ? no_deadline
             : oldest_since_ns_ + options_.timeout_ns;
}

std::int64_t scheduler_core::next_timeout_ns() noexcept {
  if (is_inherited()) return no_deadline;
  const guard at(*this);
  return must_time_out_ ? 0 : next_timeout_locked();
}

// Names the job, its entity, device and module, and the device fence.
void scheduler_core::report_late(const job& j, std::string_view what) noexcept {
  const fence_ref device = j.parent();
  const timeline_ref& line = j.entity_->finished_line_.line();
  char text[512];
  const int size = std::snprintf(
      text, sizeof text,
      "job %llu of entity \"%.*s\", scheduler \"%.*s\", device \"%.*s\", module \"%.*s\": %.*s; it "
      "waits for fence %llu:%llu of \"%.*s\"",
      static_cast<unsigned long long>(j.seqno()), static_cast<int>(line->timeline_name().size()),
      line->timeline_name().data(), static_cast<int>(options_.name.size()), options_.name.data(),
      static_cast<int>(options_.device_name.size()), options_.device_name.data(),
      static_cast<int>(options_.module_name.size()), options_.module_name.data(),
      static_cast<int>(what.size()), what.data(),
      static_cast<unsigned long long>(device ? device->context() : 0),
      static_cast<unsigned long long>(device ? device->seqno() : 0),
      device ? static_cast<int>(device->timeline_name().size()) : 0,
      device ? device->timeline_name().data() : "");
  const std::size_t length = std::min(static_cast<std::size_t>(std::max(size, 0)), sizeof text - 1);
  send_report({.kind = report_kind::job_late,
               .context = line->context(),
               .seqno = j.seqno(),
               .driver_name = line->driver_name(),
               .timeline_name = line->timeline_name(),
               .text = {text, length}});
}

// The oldest job in flight did not end in time. On the worker.
void scheduler_core::time_out_locked() noexcept UFENCE_NO_TSA {
  job& j = *oldest_;
  entity_core& e = *j.entity_;
  const fence_ref device = j.parent();
  if (device->is_signaled()) {
    // Its callback is on the way, on another thread.
    oldest_since_ns_ = now_ns();
    return;
  }
  ++statistics_.timeouts;
  ++e.timeouts_;
  j.add_use();
  lock_.unlock();
  report_late(j, "not ended in time");
  rank_check_none();
  const timeout_verdict verdict =
      options_.ops->timed_out != nullptr ? options_.ops->timed_out(j) : timeout_verdict::reset;
  lock_.lock();
  const bool is_guilty = verdict != timeout_verdict::no_hang;
  if (is_guilty && e.faults_++ >= e.error_budget_) {
    const scoped_lock hold(e.lock_);
    note_killed_locked(e, -ECANCELED);
  }
  switch (verdict) {
    case timeout_verdict::reset:
      ++statistics_.resets;
      stop_locked();
      if (j.where_ == job::where::in_flight) {
        end_and_settle_locked(j, device->status() == 1 ? 0 : -ETIMEDOUT);
      }
      restart_locked(options_.resubmits ? in_flight::resubmit : in_flight::fail, -ECANCELED);
      break;
    case timeout_verdict::gone: lose_device_locked(); break;
    case timeout_verdict::no_hang:
      if (pace_ == pace::stopped) restart_locked(in_flight::keep, 0);
      oldest_since_ns_ = now_ns();
      break;
    case timeout_verdict::handled: oldest_since_ns_ = now_ns(); break;
  }
  give_back_locked(j);
}

void scheduler_core::lose_device_locked() noexcept {
  is_open_.store(0, mo::relaxed);  // relaxed: looked at again with the lock held
  kill_all_locked(-ENODEV);
  stop_locked();
  restart_locked(in_flight::fail, -ENODEV);
}

void scheduler_core::kill_all_locked(int error) noexcept UFENCE_NO_TSA {
  for (entity_core* e = entities_; e != nullptr; e = e->next_) {
    const scoped_lock hold(e->lock_);
    note_killed_locked(*e, error);
  }
}

// --- Stopping: no callback completes a job any more. ---

std::error_code scheduler_core::stop() noexcept {
  if (is_inherited()) return errno_code(EOWNERDEAD);
  const guard at(*this);
  if (pace_ != pace::running) return errno_code(EALREADY);
  if (is_mine()) {
    stop_locked();
    return {};
  }
  pace_ = pace::stopping;
  (void)wait_locked([&]() UFENCE_NO_TSA { return worker_ == nullptr; }, no_deadline);
  detach_callbacks_locked();
  pace_ = pace::stopped;
  if (is_closing_) {
    // fini() came meanwhile: nobody would start it again.
    pace_ = pace::starting;
    must_start_ = true;
    start_with_ = in_flight::keep;
    wake_locked();
  }
  return {};
}

// On the worker, or with nobody working.
void scheduler_core::stop_locked() noexcept {
  if (pace_ != pace::running) return;
  pace_ = pace::stopping;
  detach_callbacks_locked();
  pace_ = pace::stopped;
}

void scheduler_core::detach_callbacks_locked() noexcept UFENCE_NO_TSA {
  for (;;) {
    job* j = oldest_;
    while (j != nullptr && !j->has_callback_) j = j->next_;
    if (j == nullptr) return;
    j->add_use();
    j->has_callback_ = false;
    const fence_ref device = j->parent();
    lock_.unlock();
    // If it ran, the job has ended when this returns.
    (void)device->remove_callback(*j);
    lock_.lock();
    give_back_locked(*j);
  }
}

// --- Starting again ---

std::error_code scheduler_core::start(in_flight rest, int error) noexcept {
  if (is_inherited()) return errno_code(EOWNERDEAD);
  const guard at(*this);
  if (pace_ != pace::stopped) return errno_code(EALREADY);
  if (entity_count_ == 0) {
    pace_ = pace::running;
    return {};
  }
  pace_ = pace::starting;
  must_start_ = true;
  start_with_ = rest;
  start_error_ = checked_error(error);
  wake_locked();
  return {};
}

// --- Pausing: jobs are completed, but none is given, looked at or freed. ---

std::error_code scheduler_core::set_paused(bool is_paused) noexcept {
  if (is_inherited()) return errno_code(EOWNERDEAD);
  const guard at(*this);
  is_paused_ = is_paused && !is_closing_;
  if (!is_paused_) {
    wake_locked();
  } else if (!is_mine()) {
    (void)wait_locked([&]() UFENCE_NO_TSA { return worker_ == nullptr; }, no_deadline);
  }
  return {};
}

std::int64_t scheduler_core::suspend_timeout() noexcept {
  if (is_inherited()) return no_deadline;
  const guard at(*this);
  const std::int64_t at_ns = next_timeout_locked();
  is_untimed_ = true;
  if (options_.timeout_ns == no_deadline) return no_deadline;
  if (at_ns == no_deadline) return options_.timeout_ns;
  return std::clamp<std::int64_t>(at_ns - now_ns(), 0, options_.timeout_ns);
}

void scheduler_core::resume_timeout(std::int64_t left_ns) noexcept {
  if (is_inherited()) return;
  const guard at(*this);
  is_untimed_ = false;
  if (options_.timeout_ns == no_deadline) return;
  const std::int64_t left = std::clamp<std::int64_t>(left_ns, 0, options_.timeout_ns);
  oldest_since_ns_ = now_ns() - (options_.timeout_ns - left);
  is_resumed_ = oldest_ == nullptr && is_giving_;
  wake_locked();
}

void scheduler_core::end_and_settle_locked(job& j, int error) noexcept UFENCE_NO_TSA {
  settlement later;
  end_locked(j, error, later);
  lock_.unlock();
  later.settle();
  lock_.lock();
}

// On the worker. What is in flight has no callback; each job gets one again, or ends.
void scheduler_core::restart_locked(in_flight rest, int error) noexcept {
  pace_ = pace::starting;
  must_start_ = false;
  for (;;) {
    job* j = oldest_;
    while (j != nullptr && j->has_callback_) j = j->next_;
    if (j == nullptr) break;
    restart_one_locked(*j, rest, error);
  }
  pace_ = pace::running;
  oldest_since_ns_ = now_ns();
}

void scheduler_core::restart_one_locked(job& j, in_flight rest, int error) noexcept UFENCE_NO_TSA {
  fence_ref device = j.parent();
  const bool is_done = j.is_done_ || device->status() == 1;
  j.add_use();
  if (!is_done && rest == in_flight::fail) {
    if (is_forced_) {
      lock_.unlock();
      report_late(j, "ended by force, as its scheduler does");
      lock_.lock();
    }
    end_and_settle_locked(j, error);
    give_back_locked(j);
    return;
  }
  if (!is_done && rest == in_flight::resubmit) {
    ++j.runs_;
    lock_.unlock();
    rank_check_none();
    result<fence_ref> again = options_.ops->run(j);
    if (std::exchange(j.is_put_back_, false)) j.prepared_.reset();  // it stays where it is
    if (again && *again) {
      j.set_parent(*again);
      device = *again;  // without the lock: the old one may end with that, and call its issuer
    }
    lock_.lock();
    if (!again || !*again) {
      end_and_settle_locked(j, again ? 0 : -again.error().value());
      give_back_locked(j);
      return;
    }
  }
  j.has_callback_ = true;
  lock_.unlock();
  const std::error_code failed = device->add_callback(j);
  if (failed) complete(j, failed == errno_code(ENOENT) ? device->error() : -failed.value());
  lock_.lock();
  give_back_locked(j);
}

std::error_code scheduler_core::fault() noexcept {
  if (is_inherited()) return errno_code(EOWNERDEAD);
  const guard at(*this);
  if (oldest_ == nullptr && !is_giving_) return {};
  must_time_out_ = true;
  wake_locked();
  return {};
}

// --- The end of a scheduler, on its worker ---

void scheduler_core::cancel_locked() noexcept UFENCE_NO_TSA {
  must_cancel_ = false;
  if (options_.ops->cancel == nullptr) return;
  for (;;) {
    job* j = newest_;
    while (j != nullptr && j->was_canceled_) j = j->previous_;
    if (j == nullptr) return;
    j->was_canceled_ = true;
    if (j->is_done_) continue;
    j->add_use();
    lock_.unlock();
    rank_check_none();
    options_.ops->cancel(*j);
    lock_.lock();
    give_back_locked(*j);
  }
}

// Nothing is waited for any more: neither what jobs wait for, nor the device.
void scheduler_core::force_locked() noexcept UFENCE_NO_TSA {
  must_force_ = false;
  is_forced_ = true;
  for (;;) {
    entity_core* e = entities_;
    while (e != nullptr && e->where_ != entity_core::where::waiting) e = e->next_;
    if (e == nullptr) break;
    stop_waiting_locked(*e);
  }
  stop_locked();
  restart_locked(in_flight::fail, -ECANCELED);
}

}  // namespace ufence::sched::detail
