// The worker: gives jobs to the device and takes them back.
#include "ufence/base/check.h"
#include "ufence/base/futex.h"
#include "ufence/base/lock_rank.h"
#include "ufence/base/own_thread.h"
#include "ufence/base/system_thread.h"
#include "ufence/fence/thread_state.h"
#include "ufence/fence/trace.h"
#include "ufence/sched/core.h"

namespace ufence::sched::detail {
namespace {

// How long the thread stays when there is nothing to do.
constexpr std::int64_t linger_ns = 10'000'000;
// After so many rounds without a pause the worker looks whether a job is late.
constexpr std::uint32_t rounds_between_looks = 64;

}  // namespace

// --- One job ---

// Hands a job to the device. Returns it if it has ended with that: both fences are signaled, and
// the caller takes it back under the lock. A job that was put back is in its queue again.
job* scheduler_core::give(job& j) noexcept {
  if (j.is_doomed_) {
    j.signal_scheduled_.signal();
    j.signal_finished_.signal(j.error_);
    return &j;
  }
  ++j.runs_;
  if (clock_ns_ == 0) clock_ns_ = now_ns();
  j.began_ns_ = clock_ns_;
  rank_check_none();
  if (trace::is_recording()) [[unlikely]]
    trace::record_job(trace::event::job_scheduled, *j.finished_);
  result<fence_ref> device = options_.ops->run(j);
  if (j.is_put_back_) {
    put_back(j);
    return nullptr;
  }
  if (device && *device) {
    clock_ns_ = 0;
    put_in_flight(j, *std::move(device));
    return nullptr;
  }
  const int error = device ? 0 : -device.error().value();
  // A job that was not in flight when this one was chosen is not now: only this thread adds to it.
  if (fence_ref before = j.is_alone_ ? nullptr : last_in_flight_of(*j.entity_)) {
    // Its result is known, but finished is signaled in order (F19): it follows the job before it.
    j.is_done_ = true;
    j.error_ = error;
    put_in_flight(j, std::move(before));
    return nullptr;
  }
  j.signal_scheduled_.signal(0, j.began_ns_);
  if (trace::is_recording()) [[unlikely]]
    trace::record_job(trace::event::job_done, *j.finished_, 0, 0, error);
  j.signal_finished_.signal(error);
  clock_ns_ = j.finished_->timestamp_ns();
  return &j;
}

// Undoes take_locked(): nothing else of the entity was taken meanwhile, by this thread alone.
void scheduler_core::put_back(job& j) noexcept UFENCE_NO_TSA {
  const guard at(*this);
  entity_core& e = *j.entity_;
  --j.runs_;
  j.where_ = job::where::queued;
  j.is_examined_ = false;
  credits_used_ -= j.credits_;
  e.virtual_time_ -= j.charged_;
  --e.in_flight_;
  --statistics_.jobs_run;
  j.next_ = e.first_;
  if (e.first_ == nullptr) e.last_ = &j;
  e.first_ = &j;
  if (e.where_ == entity_core::where::ready) {
    ready_.update(e, key_of(e));
  } else {
    list_locked(e);
  }
}

// The fence that is signaled when the last job in flight of an entity has ended; null: none is in flight.
fence_ref scheduler_core::last_in_flight_of(const entity_core& e) noexcept UFENCE_NO_TSA {
  const guard at(*this);
  if (e.in_flight_ == 1) return nullptr;  // the one that asks
  const job* j = newest_;
  while (j != nullptr && j->entity_ != &e) j = j->previous_;
  return j != nullptr ? j->finished_ : nullptr;
}

void scheduler_core::put_in_flight(job& j, fence_ref device) noexcept {
  {
    const guard at(*this);
    j.where_ = job::where::in_flight;
    j.has_callback_ = true;
    j.next_ = nullptr;
    j.previous_ = newest_;
    if (newest_ != nullptr) {
      newest_->next_ = &j;
    } else {
      oldest_ = &j;
      if (!is_resumed_) oldest_since_ns_ = j.began_ns_;
    }
    newest_ = &j;
    ++in_flight_count_;
    note_load_locked();
  }
  if (trace::is_recording()) [[unlikely]]
    trace::record_run(*j.finished_, *device);
  const fence_ref watched = device;
  j.set_parent(std::move(device));
  j.signal_scheduled_.signal(0, j.began_ns_);
  // From here on the job may end on another thread, but it is freed on this one only.
  const std::error_code failed = watched->add_callback(j);
  if (failed) complete(j, failed == errno_code(ENOENT) ? watched->error() : -failed.value());
}

// The device is done with a job in flight.
void scheduler_core::complete(job& j, int error) noexcept {
  settlement later;
  const guard at(*this);
  if (j.where_ == job::where::in_flight) end_locked(j, j.is_done_ ? j.error_ : error, later);
}

void scheduler_core::unlink_in_flight_locked(job& j) noexcept {
  (j.previous_ != nullptr ? j.previous_->next_ : oldest_) = j.next_;
  (j.next_ != nullptr ? j.next_->previous_ : newest_) = j.previous_;
  j.next_ = j.previous_ = nullptr;
  --in_flight_count_;
  note_load_locked();
}

void scheduler_core::end_locked(job& j, int error, settlement& later) noexcept {
  const bool was_oldest = oldest_ == &j;
  unlink_in_flight_locked(j);
  j.has_callback_ = false;
  if (trace::is_recording()) [[unlikely]]
    trace::record_job(trace::event::job_done, *j.finished_, 0, 0, error);
  // Under the lock, so that jobs of an entity that will not run end after this one.
  j.signal_finished_.decide(error, later);
  ended_locked(j);
  if (was_oldest) oldest_since_ns_ = last_end_ns_;
  j.next_ = done_;
  done_ = &j;
  wake_locked();
}

// --- Freeing ---

void scheduler_core::give_back_locked(job& j) noexcept {
  if (j.drop_use()) bury_locked(j);
}
void scheduler_core::bury(job& j) noexcept {
  const guard at(*this);
  bury_locked(j);
}
void scheduler_core::bury_locked(job& j) noexcept {
  j.next_ = dead_;
  dead_ = &j;
  ++j.entity_->freed_;
  // From here on others may attach the entity again, here or elsewhere, and detach it.
  j.was_last_ = detach_if_done_locked(*j.entity_);
  wake_locked();
}

// --- The loop ---

bool scheduler_core::is_mine() const noexcept { return worker_ == &thread_state::mine(); }
void scheduler_core::enter_locked() noexcept { worker_ = &thread_state::mine(); }
void scheduler_core::leave_locked() noexcept {
  worker_ = nullptr;
  clock_ns_ = 0;
  progress_locked();
}

// Does what there is to do, at most so many runs. The lock is dropped and taken again.
void scheduler_core::work_locked(std::size_t jobs_max, std::size_t& ran) noexcept UFENCE_NO_TSA {
  job* ended = nullptr;
  bool look_at_clock = true;
  for (std::uint32_t round = 1;; ++round) {
    if (ended != nullptr) {
      ended_locked(*ended);
      give_back_locked(*ended);
      ended = nullptr;
    }
    while (done_ != nullptr) give_back_locked(*std::exchange(done_, done_->next_));
    if (do_asked_locked(look_at_clock)) continue;
    job* dead = is_paused_ ? nullptr : std::exchange(dead_, nullptr);
    const choice next = ran < jobs_max && !is_paused_ ? choose_locked() : choice{};
    const bool is_idle = next.give == nullptr && next.examine == nullptr;
    if (is_idle && dead == nullptr) {
      if (look_at_clock) return;
      look_at_clock = true;
      continue;
    }
    look_at_clock = round % rounds_between_looks == 0;
    is_giving_ = next.give != nullptr;
    lock_.unlock();
    while (dead != nullptr) {
      job& j = *std::exchange(dead, dead->next_);
      entity_core* const detached = j.was_last_ ? j.entity_ : nullptr;
      rank_check_none();
      options_.ops->free(j);
      if (detached != nullptr) detached->put();
    }
    if (next.give != nullptr) {
      ran += next.give->is_doomed_ ? 0 : 1;
      ended = give(*next.give);
    } else if (next.examine != nullptr) {
      examine(*next.examine);
      clock_ns_ = 0;  // what was waited for was signaled later
    }
    lock_.lock();
    is_giving_ = is_resumed_ = false;
  }
}

bool scheduler_core::do_asked_locked(bool look_at_clock) noexcept {
  if (must_start_) {
    restart_locked(start_with_, start_error_);
    return true;
  }
  if (must_release_) {
    release_killed_locked();
    return true;
  }
  if (must_force_) {
    force_locked();
    return true;
  }
  if (must_cancel_) {
    cancel_locked();
    return true;
  }
  if (!must_time_out_) {
    const std::int64_t at_ns = look_at_clock ? next_timeout_locked() : no_deadline;
    if (at_ns == no_deadline || at_ns > now_ns()) return false;
  }
  must_time_out_ = false;
  if (pace_ != pace::running || oldest_ == nullptr) return false;
  time_out_locked();
  return true;
}

result<std::size_t> scheduler_core::run_ready(std::size_t jobs_max) noexcept {
  if (is_inherited()) return failure(EOWNERDEAD);
  if (options_.has_thread) return failure(EINVAL);
  const guard at(*this);
  if (worker_ != nullptr) return failure(EBUSY);
  was_told_ = false;
  std::size_t ran = 0;
  enter_locked();
  work_locked(jobs_max, ran);
  leave_locked();
  if (ran == jobs_max && !ready_.empty()) wake_locked();
  return ran;
}

// --- The thread ---

bool scheduler_core::ensure_worker_locked() noexcept {
  if (!options_.has_thread || has_worker_) return true;
  get();
  if (ufence::detail::start_own_thread(&scheduler_core::run_worker, this) != 0) {
    static_cast<void>(references_.put(counted));  // the caller has one
    return false;
  }
  has_worker_ = true;
  return true;
}

void* scheduler_core::run_worker(void* self) noexcept {
  system_thread::name_this("ufence-sched");
  auto* core = static_cast<scheduler_core*>(self);
  core->worker();
  core->put();
  return nullptr;
}

void scheduler_core::worker() noexcept UFENCE_NO_TSA {
  lock_.lock();
  for (;;) {
    std::size_t ran = 0;
    enter_locked();
    work_locked(SIZE_MAX, ran);
    leave_locked();
    // Nothing is left to free where no entity is attached, but in a pause.
    const bool is_idle = entity_count_ == 0 && dead_ == nullptr;
    if (is_idle && is_closing_) break;
    const std::uint32_t seen = wakes_.load(mo::relaxed);  // relaxed: the lock
    const std::int64_t until = is_idle ? deadline_after(linger_ns) : next_timeout_locked();
    is_asleep_ = true;
    lock_.unlock();
    const int woken = futex_wait(wakes_, seen, until);
    lock_.lock();
    is_asleep_ = false;
    // relaxed: the lock
    if (woken == -ETIME && entity_count_ == 0 && wakes_.load(mo::relaxed) == seen) break;
  }
  has_worker_ = false;
  progress_locked();
  lock_.unlock();
}

// There is something to do. A worker that works looks again before it stops.
void scheduler_core::wake_locked() noexcept {
  if (worker_ != nullptr) return;
  if (options_.has_thread) {
    // relaxed: written and read with the lock held, but for the sleeper, which looks again
    wakes_.store(wakes_.load(mo::relaxed) + 1, mo::relaxed);
    if (is_asleep_) futex_wake_all(wakes_);
    is_asleep_ = false;
    return;
  }
  progress_locked();  // who waits for an end may work
  if (options_.wake == nullptr || was_told_) return;
  was_told_ = true;
  must_tell_ = true;
}

void scheduler_core::unlock_and_tell() noexcept {
  if (!must_tell_) {
    lock_.unlock();
    return;
  }
  must_tell_ = false;
  ++telling_;
  lock_.unlock();
  rank_check_none();
  options_.wake(options_.wake_context);
  lock_.lock();
  --telling_;
  progress_locked();
  lock_.unlock();
}

// --- Waiting for an end ---

// Something has changed that may be waited for: wakes those for whom it is so.
void scheduler_core::progress_locked() noexcept {
  const bool may_work = !options_.has_thread && worker_ == nullptr;
  for (waiter* w = waiters_; w != nullptr; w = w->next) {
    // relaxed: as wakes_
    if (w->is_woken.load(mo::relaxed) != 0 || !(may_work || w->is_so(w->of))) continue;
    w->is_woken.store(1, mo::relaxed);  // relaxed: the same
    futex_wake_all(w->is_woken);  // it is there: it leaves with the lock held
  }
}

void scheduler_core::sleep_locked(waiter& self, std::int64_t deadline_ns) noexcept {
  self.is_woken.store(0, mo::relaxed);  // relaxed: as wakes_
  self.next = waiters_;
  waiters_ = &self;
  lock_.unlock();
  futex_wait(self.is_woken, 0, deadline_ns);
  lock_.lock();
  waiter** link = &waiters_;
  while (*link != &self) link = &(*link)->next;
  *link = self.next;
}

std::error_code scheduler_core::wait_for_entity(entity_core& e, std::uint64_t ended,
                                                std::int64_t deadline_ns) noexcept {
  // A fence that this thread has yet to settle could never be waited for.
  if (thread_state::mine().top != nullptr) return errno_code(EDEADLK);
  const guard at(*this);
  if (is_mine()) return errno_code(EDEADLK);
  // An entity that is detached, or elsewhere by now, has ended all that it had here.
  const auto is_so = [&]() UFENCE_NO_TSA {
    return e.home_.load(mo::relaxed) != this || e.ended_ >= ended;  // relaxed: the lock
  };
  return wait_locked(is_so, deadline_ns) ? std::error_code() : errno_code(ETIME);
}

std::error_code scheduler_core::fini(std::int64_t deadline_ns) noexcept {
  if (is_inherited()) return {};
  if (thread_state::mine().top != nullptr) return errno_code(EDEADLK);
  const guard at(*this);
  if (is_mine()) return errno_code(EDEADLK);
  if (!is_closing_) {
    is_closing_ = true;
    is_paused_ = false;
    is_open_.store(0, mo::relaxed);  // relaxed: looked at again with the lock held
    kill_all_locked(-ECANCELED);
    must_cancel_ = true;
    if (pace_ == pace::stopped) {
      pace_ = pace::starting;
      must_start_ = true;
      start_with_ = in_flight::keep;
    }
    wake_locked();
  }
  const auto is_over = [&]() UFENCE_NO_TSA {
    return entity_count_ == 0 && worker_ == nullptr && !has_worker_ && dead_ == nullptr &&
           telling_ == 0;
  };
  if (wait_locked(is_over, deadline_ns)) return {};
  must_force_ = true;
  wake_locked();
  (void)wait_locked(is_over, no_deadline);
  return errno_code(ETIME);
}

}  // namespace ufence::sched::detail
