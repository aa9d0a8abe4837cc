// Which job the device gets next.
#include <algorithm>

#include "ufence/base/check.h"
#include "ufence/sched/core.h"

namespace ufence::sched::detail {
namespace {

// How many entities are looked at where the first one's job does not fit.
constexpr std::uint32_t looked_at_max = 8;

// Virtual time: device time by weight, in 1/1024 ns at weight 1.
std::uint64_t virtual_time_of(std::uint64_t device_ns, std::uint32_t weight) noexcept {
  return std::max<std::uint64_t>((device_ns << 10) / weight, 1);
}

}  // namespace

// --- Entities come and go ---

// Something of the entity was pushed, and nobody looks for it yet.
void scheduler_core::list(entity_core& e) noexcept {
  const guard at(*this);
  list_locked(e);
}

// The entity is looked at if it has a first job; else the thread that pushes next lists it.
void scheduler_core::list_locked(entity_core& e) noexcept UFENCE_NO_TSA {
  // An entity that was detached meanwhile, and maybe attached elsewhere, has nothing here.
  if (e.home_.load(mo::relaxed) != this) return;  // relaxed: the lock, if it is this one
  if (e.where_ != entity_core::where::idle) return;
  if (e.first_ == nullptr && !e.take_incoming()) return;
  e.where_ = entity_core::where::ready;
  // The share that it did not use while it was away is not saved up.
  e.virtual_time_ = std::max(e.virtual_time_, virtual_time_);
  ready_.insert(e, key_of(e));
  wake_locked();
}

// True: the scheduler's reference to the entity is the caller's, which drops it without the lock.
bool scheduler_core::detach_if_done_locked(entity_core& e) noexcept UFENCE_NO_TSA {
  if (e.freed_ != e.taken_ || e.first_ != nullptr) return false;
  const scoped_lock hold(e.lock_);
  if (e.freed_ != e.pushed_) return false;
  e.home_.store(nullptr, mo::relaxed);  // relaxed: both locks
  e.is_listed_ = false;
  (e.previous_ != nullptr ? e.previous_->next_ : entities_) = e.next_;
  if (e.next_ != nullptr) e.next_->previous_ = e.previous_;
  --entity_count_;
  note_load_locked();
  return true;
}

run_key scheduler_core::key_of(const entity_core& e) const noexcept {
  // A job that will not run waits for no turn.
  if (e.killed_ != 0) return {};
  const std::uint64_t rank = static_cast<std::uint64_t>(e.rank_) << 62;
  switch (options_.order) {
    case policy::fifo: return {.first = rank, .second = e.first_->stamp_};
    case policy::deadline: {
      // relaxed: the thread that sets one tells deadline_moved() after it
      const std::int64_t soonest = e.first_->deadline_.load(mo::relaxed);
      return {.first = rank | (static_cast<std::uint64_t>(std::max<std::int64_t>(soonest, 0)) >> 1),
              .second = e.first_->stamp_};
    }
    case policy::fair: break;
  }
  // Of those that had the same, the one with the shorter jobs delays the others less.
  return {.first = e.virtual_time_, .second = e.average_ns_};
}

void scheduler_core::update_key_locked(entity_core& e) noexcept {
  if (e.where_ != entity_core::where::ready) return;
  ready_.update(e, key_of(e));
  wake_locked();
}

void scheduler_core::note_killed_locked(entity_core& e, int error) noexcept {
  if (e.killed_ == 0) e.killed_ = error;
  update_key_locked(e);
  if (!e.waits_to_run()) return;
  must_release_ = true;
  wake_locked();
}

void scheduler_core::deadline_moved(job& j) noexcept {
  if (options_.order != policy::deadline) return;
  const guard at(*this);
  entity_core& e = *j.entity_;
  if (e.first_ == &j) update_key_locked(e);
}

// --- Choosing ---

bool scheduler_core::fits_locked(const job& j) const noexcept {
  // A job that is larger than the limit runs alone.
  return credits_used_ == 0 || credits_used_ + j.credits_ <= options_.credit_limit;
}

// The first job of an entity of the run queue: it may run, or will not run, or is to be examined;
// or its credits do not fit, then the choice is empty.
scheduler_core::choice scheduler_core::look_at_locked(entity_core& e) noexcept {
  job& j = *e.first_;
  const bool is_simple =
      j.dependency_count_ == 0 && options_.ops->prepare == nullptr && !j.is_put_back_;
  if (!j.is_doomed_ && (e.killed_ != 0 || !(j.is_examined_ || is_simple))) {
    ready_.remove(e);
    e.where_ = entity_core::where::handled;
    return {.examine = &e};
  }
  if (!j.is_doomed_ && !fits_locked(j)) return {};
  return {.give = &take_locked(e)};
}

scheduler_core::choice scheduler_core::choose_locked() noexcept {
  if (pace_ != pace::running || ready_.empty()) return {};
  const choice first = look_at_locked(ready_.at(0));
  if (first.give != nullptr || first.examine != nullptr) return first;
  return pass_over_locked();
}

// The first job does not fit. Others may be chosen before it, but each job is passed over a limited
// number of times: then all wait for it.
scheduler_core::choice scheduler_core::pass_over_locked() noexcept {
  if (credits_used_ >= options_.credit_limit) return {};
  entity_core* passed[looked_at_max];
  std::uint32_t n = 0;
  choice made;
  while (n < looked_at_max && !ready_.empty()) {
    entity_core& e = ready_.at(0);
    made = look_at_locked(e);
    if (made.give != nullptr || made.examine != nullptr) break;
    if (e.first_->passed_over_ >= options_.passes_max) break;
    ready_.remove(e);
    passed[n++] = &e;
  }
  for (std::uint32_t i = 0; i < n; ++i) {
    ready_.insert(*passed[i], key_of(*passed[i]));
    if (made.give == nullptr || made.give->is_doomed_) continue;
    ++passed[i]->first_->passed_over_;
    ++statistics_.passes;
  }
  return made;
}

// Takes the first job of an entity of the run queue, which stays there if it has another one.
job& scheduler_core::take_locked(entity_core& e) noexcept {
  job& j = *e.first_;
  e.first_ = j.next_;
  if (e.first_ == nullptr) e.last_ = nullptr;
  j.next_ = nullptr;
  j.where_ = job::where::running;
  if (!j.is_doomed_) {
    credits_used_ += j.credits_;
    virtual_time_ = std::max(virtual_time_, e.virtual_time_);
    // The time that it will take is not known yet: as much as others before. Corrected when it has ended.
    j.charged_ = virtual_time_of(e.average_ns_, e.weight());
    e.virtual_time_ += j.charged_;
    ++statistics_.jobs_run;
  }
  j.is_alone_ = e.in_flight_ == 0;
  ++e.in_flight_;
  if (e.first_ != nullptr || e.take_incoming()) {
    ready_.update(e, key_of(e));
  } else {
    ready_.remove(e);
    e.where_ = entity_core::where::idle;
  }
  return j;
}

// A job has ended: what it took is given back, and its entity's share is corrected.
void scheduler_core::ended_locked(job& j) noexcept {
  entity_core& e = *j.entity_;
  j.where_ = job::where::ended;
  --e.in_flight_;
  ++e.ended_;
  ++statistics_.jobs_ended;
  e.last_error_ = j.finished_->error();
  e.last_origin_ = j.origin_;
  if (!j.is_doomed_) {
    credits_used_ -= j.credits_;
    // relaxed: the scheduler's lock, or the worker that stored it
    fence* const device = j.parent_.load(mo::relaxed);
    const std::int64_t end = device != nullptr && device->is_signaled()
                                 ? device->timestamp_ns()
                                 : j.finished_->timestamp_ns();
    const std::int64_t begin = std::max(j.began_ns_, last_end_ns_);
    const std::int64_t took = std::max<std::int64_t>(end - begin, 0);
    last_end_ns_ = std::max(last_end_ns_, end);
    e.device_time_ns_ += took;
    const auto device_ns = static_cast<std::uint64_t>(took);
    e.average_ns_ = e.ended_ == 1 ? device_ns : e.average_ns_ - e.average_ns_ / 4 + device_ns / 4;
    e.virtual_time_ += virtual_time_of(device_ns, e.weight()) - j.charged_;
    if (options_.order == policy::fair && e.where_ == entity_core::where::ready) {
      ready_.update(e, key_of(e));
    }
  }
  if (e.in_flight_ == 0 && e.where_ == entity_core::where::draining) {
    e.where_ = entity_core::where::idle;
    list_locked(e);
  }
  progress_locked();
}

}  // namespace ufence::sched::detail
