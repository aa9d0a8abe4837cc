#include "ufence/sched/entity.h"

#include <memory>
#include <new>

#include "ufence/base/alloc.h"
#include "ufence/base/check.h"
#include "ufence/base/fork.h"
#include "ufence/sched/core.h"

namespace ufence::sched {
namespace {

constexpr bool is_priority(priority p) noexcept {
  return static_cast<std::size_t>(p) < priority_count;
}

}  // namespace

// --- The handle ---

entity::entity(ref<detail::entity_core> core) noexcept : core_(std::move(core)) {}
entity::entity(entity&& other) noexcept = default;
entity& entity::operator=(entity&& other) noexcept {
  if (this != &other) {
    if (core_) kill(-ESRCH);
    core_ = std::move(other.core_);
  }
  return *this;
}
entity::~entity() {
  if (core_) kill(-ESRCH);
}

result<entity> entity::create(const entity_options& options) noexcept {
  if (!is_priority(options.rank)) return failure(EINVAL);
  result<ref<detail::entity_core>> core = detail::entity_core::create(options);
  if (!core) return std::unexpected(core.error());
  return entity(*std::move(core));
}

result<armed_job> entity::arm(job& j) noexcept {
  if (const std::error_code failed = core_->arm(j, false)) return std::unexpected(failed);
  return armed_job(j);
}
std::error_code entity::push(job& j) noexcept { return core_->arm(j, true); }
void armed_job::push_slow(job& armed) noexcept { armed.entity_->push_armed(armed); }

std::error_code entity::kill(int error) noexcept {
  if (core_->is_inherited()) return errno_code(EOWNERDEAD);
  core_->kill(detail::checked_error(error));
  return {};
}
std::error_code entity::flush(absolute_deadline deadline_ns) noexcept {
  return core_->flush(deadline_ns);
}

std::error_code entity::set_priority(priority rank) noexcept {
  if (!is_priority(rank)) return errno_code(EINVAL);
  if (core_->is_inherited()) return errno_code(EOWNERDEAD);
  core_->set_rank(&rank, nullptr);
  return {};
}
std::error_code entity::set_weight(std::uint32_t weight) noexcept {
  if (core_->is_inherited()) return errno_code(EOWNERDEAD);
  core_->set_rank(nullptr, &weight);
  return {};
}
std::error_code entity::set_schedulers(std::span<const scheduler* const> schedulers) noexcept {
  if (core_->is_inherited()) return errno_code(EOWNERDEAD);
  result<detail::home_list> homes = detail::entity_core::homes_of(schedulers);
  if (!homes) return homes.error();
  core_->set_homes(*std::move(homes));
  return {};
}

entity_statistics entity::statistics() const noexcept { return core_->statistics(); }
bool entity::was_idle() const noexcept { return core_->was_idle(); }
std::string_view entity::name() const noexcept {
  return core_->finished_line_.line()->timeline_name();
}
std::uint64_t entity::scheduled_context() const noexcept {
  return core_->scheduled_line_.line()->context();
}
std::uint64_t entity::finished_context() const noexcept {
  return core_->finished_line_.line()->context();
}

namespace detail {

// --- Making one ---

home_list::~home_list() {
  std::destroy_n(homes, size);
  deallocate(homes);
}

result<home_list> entity_core::homes_of(std::span<const scheduler* const> from) noexcept {
  if (from.empty()) return failure(EINVAL);
  home_list list;
  list.homes = static_cast<scheduler_ref*>(allocate(from.size() * sizeof(scheduler_ref)));
  if (list.homes == nullptr) return failure(ENOMEM);
  for (const scheduler* home : from) {
    if (home == nullptr || !home->core_) return failure(EINVAL);
    ::new (list.homes + list.size++) scheduler_ref(home->core_);
  }
  return list;
}

entity_core::node::node(entity_core& e) noexcept
    : callback(&scheduler_core::dependency_done), of(e) {}

entity_core::entity_core(timeline_issuer scheduled, timeline_issuer finished,
                         const entity_options& options) noexcept
    : generation_(fork_generation()),
      scheduled_line_(std::move(scheduled)),
      finished_line_(std::move(finished)),
      rank_(options.rank),
      weight_(options.weight),
      propagates_errors_(options.propagates_errors),
      error_budget_(options.error_budget) {}

result<entity_ref> entity_core::create(const entity_options& options) noexcept {
  result<home_list> homes = homes_of(options.schedulers);
  if (!homes) return std::unexpected(homes.error());
  const timeline_options names{.driver_name = homes->homes[0]->options_.device_name,
                               .timeline_name = options.name,
                               .made_by = homes->homes[0]->options_.ops};
  result<timeline_issuer> scheduled = timeline_issuer::create(names);
  if (!scheduled) return std::unexpected(scheduled.error());
  result<timeline_issuer> finished = timeline_issuer::create(names);
  if (!finished) return std::unexpected(finished.error());
  void* memory = allocate_aligned(64, sizeof(entity_core));
  if (memory == nullptr) return failure(ENOMEM);
  auto* core = ::new (memory) entity_core(*std::move(scheduled), *std::move(finished), options);
  core->set_homes(*std::move(homes));
  return entity_ref::adopt(core);
}

entity_core::~entity_core() = default;

void entity_core::destroy() noexcept UFENCE_NO_TSA {
  // A fence that was made for a job that could not be armed.
  if (spare_.signal && !is_inherited()) spare_.signal.signal(-ECANCELED);
  this->~entity_core();
  deallocate(this);
}

bool entity_core::is_inherited() const noexcept { return generation_ != fork_generation(); }

std::uint32_t entity_core::weight() const noexcept {
  static constexpr std::uint32_t of_priority[priority_count] = {64, 32, 8, 1};
  return weight_ != 0 ? weight_ : of_priority[static_cast<std::size_t>(rank_)];
}

// --- Arming and pushing ---

std::error_code entity_core::make_fences_locked(job& j, const scheduler_core& home) noexcept {
  if (killed_ != 0) return errno_code(-killed_);
  if (!spare_.fence) {
    result<new_fence> scheduled = scheduled_line_.create_in_order();
    if (!scheduled) return scheduled.error();
    spare_ = *std::move(scheduled);
  }
  // Where the device ends jobs in any order, no fence of finished stands for another (F19).
  result<new_fence> finished = home.options_.is_in_order ? finished_line_.create_in_order(&j)
                                                         : finished_line_.create_unordered(&j);
  if (!finished) return finished.error();
  j.scheduled_ = std::move(spare_.fence);
  j.signal_scheduled_ = std::move(spare_.signal);
  j.finished_ = std::move(finished->fence);
  j.signal_finished_ = std::move(finished->signal);
  return {};
}

void entity_core::link_locked(job& j, bool push) noexcept {
  j.entity_ = this;
  j.where_ = job::where::queued;
  j.next_ = nullptr;
  j.is_committed_ = push;
  // relaxed: shown by the lock, and to ops of finished by its publication
  j.uses_.store(2, mo::relaxed);
  scheduler_core& home = *home_.load(mo::relaxed);  // relaxed: the lock
  // relaxed: only the numbers have to differ
  if (push && home.options_.order != policy::fair) {
    j.stamp_ = home.next_stamp_.fetch_add(1, mo::relaxed);
  }
  (incoming_last_ != nullptr ? incoming_last_->next_ : incoming_first_) = &j;
  incoming_last_ = &j;
  ++pushed_;
  if (!push) ++unpushed_;
  if (push) j.record_push(pushed_);
}

std::error_code entity_core::arm(job& j, bool push) noexcept {
  if (is_inherited()) return errno_code(EOWNERDEAD);
  if (j.where_ != job::where::built) return errno_code(EBUSY);
  if (j.credits_ == 0) return errno_code(EINVAL);
  scheduler_ref to_tell;
  {
    const scoped_lock hold(lock_);
    scheduler_core* const home = home_.load(mo::relaxed);  // relaxed: the lock
    if (home == nullptr) {
      if (killed_ != 0) return errno_code(-killed_);
    } else {
      if (const std::error_code failed = make_fences_locked(j, *home)) return failed;
      link_locked(j, push);
      if (!push || is_listed_) return {};
      is_listed_ = true;
      to_tell = scheduler_ref::take(*home);
    }
  }
  if (!to_tell) return arm_first(j, push);
  to_tell->list(*this);
  return {};
}

// The least loaded scheduler that is open.
scheduler_ref entity_core::pick_home() noexcept {
  const scoped_lock hold(lock_);
  scheduler_core* best = nullptr;
  for (std::size_t i = 0; i < homes_.size; ++i) {
    scheduler_core& home = *homes_.homes[i];
    // relaxed: looked at again with its lock held
    if (home.is_open_.load(mo::relaxed) == 0) continue;
    if (best == nullptr || home.load() < best->load()) best = &home;
  }
  return best != nullptr ? scheduler_ref::take(*best) : nullptr;
}

// Nothing of the entity is queued or runs, so it may choose where its jobs run. Another thread may
// be faster: then it is attached when the locks are held.
std::error_code entity_core::arm_first(job& j, bool push) noexcept {
  for (;;) {
    const scheduler_ref home = pick_home();
    if (!home) return errno_code(ENODEV);
    const scheduler_core::guard at_home(*home);
    const std::error_code failed = home->arm_first_locked(*this, j, push);
    if (failed != errno_code(EALREADY)) return failed;
    if (home_.load(mo::relaxed) != nullptr) break;  // relaxed: arm() looks with the lock held
  }
  return arm(j, push);
}

std::error_code scheduler_core::arm_first_locked(entity_core& e, job& j, bool push) noexcept {
  // relaxed: the lock
  if (is_open_.load(mo::relaxed) == 0) return errno_code(EALREADY);  // another one may be open
  const scoped_lock hold(e.lock_);
  if (e.home_.load(mo::relaxed) != nullptr) return errno_code(EALREADY);  // relaxed: the lock
  if (e.killed_ != 0) return errno_code(-e.killed_);
  if (!ready_.reserve(entity_count_ + 1)) return errno_code(ENOMEM);
  if (!ensure_worker_locked()) return errno_code(EAGAIN);
  if (const std::error_code failed = e.make_fences_locked(j, *this)) return failed;
  e.get();
  e.home_.store(this, mo::relaxed);  // relaxed: both locks
  e.next_ = entities_;
  e.previous_ = nullptr;
  if (entities_ != nullptr) entities_->previous_ = &e;
  entities_ = &e;
  ++entity_count_;
  note_load_locked();
  e.link_locked(j, push);
  if (push) {
    // The work of list_locked(), with both locks held.
    e.first_ = e.last_ = &j;
    e.incoming_first_ = e.incoming_last_ = nullptr;
    ++e.taken_;
    e.is_listed_ = true;
    list_locked(e);
  }
  return {};
}

void entity_core::push_armed(job& j) noexcept {
  scheduler_ref to_tell;
  entity_ref self;  // the job may be freed, and this with it, once the lock is dropped
  {
    const scoped_lock hold(lock_);
    scheduler_core& home = *home_.load(mo::relaxed);  // relaxed: the lock
    if (home.options_.order != policy::fair) {
      // relaxed: only the numbers have to differ
      j.stamp_ = home.next_stamp_.fetch_add(1, mo::relaxed);
    }
    j.is_committed_ = true;
    --unpushed_;
    j.record_push(pushed_);
    if (is_listed_ || !incoming_first_->is_committed_) return;
    is_listed_ = true;
    self = entity_ref::take(*this);
    to_tell = scheduler_ref::take(home);
  }
  to_tell->list(*this);
}

bool entity_core::take_incoming() noexcept {
  const scoped_lock hold(lock_);
  if (incoming_first_ == nullptr || !incoming_first_->is_committed_) {
    is_listed_ = false;
    return false;
  }
  job* last = incoming_last_;
  std::uint64_t n = pushed_ - taken_;
  if (unpushed_ != 0) {
    last = incoming_first_;
    for (n = 1; last->next_ != nullptr && last->next_->is_committed_; ++n) last = last->next_;
  }
  first_ = incoming_first_;
  last_ = last;
  incoming_first_ = last->next_;
  if (incoming_first_ == nullptr) incoming_last_ = nullptr;
  last->next_ = nullptr;
  taken_ += n;
  return true;
}

// --- The end, settings, looking ---

void entity_core::kill(int error) noexcept {
  with_home([&](scheduler_core* home) UFENCE_NO_TSA {
    if (home != nullptr) {
      home->note_killed_locked(*this, error);
    } else if (killed_ == 0) {
      killed_ = error;
    }
  });
}

void entity_core::set_rank(const priority* rank, const std::uint32_t* weight) noexcept {
  with_home([&](scheduler_core* home) UFENCE_NO_TSA {
    if (rank != nullptr) rank_ = *rank;
    if (weight != nullptr) weight_ = *weight;
    if (home != nullptr) home->update_key_locked(*this);
  });
}

void entity_core::set_homes(home_list homes) noexcept {
  // The old list is dropped after the lock: it may have the last reference to a scheduler.
  const scoped_lock hold(lock_);
  std::swap(homes_.homes, homes.homes);
  std::swap(homes_.size, homes.size);
}

entity_statistics entity_core::statistics() noexcept {
  entity_statistics s;
  if (is_inherited()) return s;
  with_home([&](scheduler_core*) UFENCE_NO_TSA {
    s = {.jobs_pushed = pushed_,
         .jobs_ended = ended_,
         .device_time_ns = device_time_ns_,
         .timeouts = timeouts_,
         .last_error = last_error_,
         .last_origin = last_origin_};
  });
  return s;
}

bool entity_core::was_idle() noexcept {
  if (is_inherited()) return false;
  const scoped_lock hold(lock_);
  return home_.load(mo::relaxed) == nullptr;  // relaxed: the lock
}

std::error_code entity_core::flush(std::int64_t deadline_ns) noexcept {
  if (is_inherited()) return errno_code(EOWNERDEAD);
  scheduler_ref home;
  std::uint64_t target = 0;
  {
    const scoped_lock hold(lock_);
    scheduler_core* const now = home_.load(mo::relaxed);  // relaxed: the lock
    if (now == nullptr) return {};
    home = scheduler_ref::take(*now);
    target = pushed_;
  }
  return home->wait_for_entity(*this, target, deadline_ns);
}

}  // namespace detail
}  // namespace ufence::sched
