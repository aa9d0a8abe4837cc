#include "ufence/kernel/gpu_scheduler.h"

#include <algorithm>
#include <new>

#include "ufence/base/alloc.h"
#include "ufence/base/futex.h"
#include "ufence/fence/thread_state.h"
#include "ufence/kernel/kernel_fence.h"

using ufence::drm_entity;
using ufence::drm_job;
using ufence::drm_scheduler;
namespace mo = ufence::mo;
namespace sched = ufence::sched;

namespace {

constexpr long flush_within = HZ;
constexpr std::int64_t end_within_ns = 1'000'000'000;

sched::priority rank_of(drm_sched_priority p) noexcept {
  return static_cast<sched::priority>(std::clamp<int>(p, 0, DRM_SCHED_PRIORITY_COUNT - 1));
}

}  // namespace

// --- Schedulers ---

int drm_sched_init(drm_gpu_scheduler* s, const drm_sched_init_args* args) {
  if (args->num_rqs > DRM_SCHED_PRIORITY_COUNT || args->ops == nullptr) return -EINVAL;
  if (s->ufence_scheduler != nullptr) {
    ufence::warn("drm_sched_init() of a scheduler that is begun already");
    return 0;
  }
  const char* const name = args->name != nullptr ? args->name : "";
  sched::scheduler_options options{.ops = &ufence::native_ops_for(*args->ops),
                                   .name = name,
                                   .device_name = "drm_sched",
                                   .credit_limit = args->credit_limit,
                                   .resubmits = false};
  if (args->timeout < MAX_SCHEDULE_TIMEOUT / NSEC_PER_MSEC) {
    options.timeout_ns = std::max(args->timeout, 0L) * NSEC_PER_MSEC;
  }
  auto native = sched::scheduler::create(options);
  if (!native) return -native.error().value();
  void* memory = ufence::allocate_aligned(64, sizeof(drm_scheduler));
  if (memory == nullptr) return -ENOMEM;
  *s = {.ops = args->ops,
        .credit_limit = args->credit_limit,
        .timeout = args->timeout,
        .name = args->name,
        .num_rqs = args->num_rqs,
        .hang_limit = static_cast<int>(args->hang_limit),
        .score = args->score != nullptr ? args->score : &s->_score,
        ._score = {0},
        .ready = true,
        .pause_submit = false,
        .dev = args->dev,
        .ufence_scheduler = nullptr};
  s->ufence_scheduler = ::new (memory) drm_scheduler(*s, *std::move(native));
  return 0;
}

void drm_sched_fini(drm_gpu_scheduler* s) {
  if (s->ufence_scheduler == nullptr) return;
  drm_scheduler& mine = drm_scheduler::of_c(*s);
  WRITE_ONCE(s->ready, false);
  // A device that can't cancel may never end what it has: then the jobs end by force.
  const std::int64_t deadline_ns = s->ops->cancel_job != nullptr
                                       ? ufence::no_deadline
                                       : ufence::deadline_after(end_within_ns);
  if (mine.of.fini(deadline_ns) == ufence::errno_code(EDEADLK)) {
    ufence::warn("drm_sched_fini() inside a function of the scheduler, or a callback");
    return;
  }
  bool has_refused = false;
  {
    const ufence::scoped_lock hold(mine.lock);
    has_refused = mine.has_refused;
  }
  if (has_refused) rcu_barrier();
  mine.~drm_scheduler();
  ufence::deallocate(&mine);
  s->ufence_scheduler = nullptr;
}

void drm_sched_stop(drm_gpu_scheduler* s, drm_sched_job*) {
  WRITE_ONCE(s->pause_submit, true);
  (void)drm_scheduler::of_c(*s).of.stop();
}

void drm_sched_start(drm_gpu_scheduler* s, int errno_of_rest) {
  drm_scheduler& mine = drm_scheduler::of_c(*s);
  bool resubmits = false;
  {
    const ufence::scoped_lock hold(mine.lock);
    std::swap(resubmits, mine.must_resubmit);
  }
  WRITE_ONCE(s->pause_submit, false);
  (void)mine.of.start(resubmits ? sched::in_flight::resubmit : sched::in_flight::fail,
                      errno_of_rest != 0 ? errno_of_rest : -ECANCELED);
  (void)mine.of.resume();
}

void drm_sched_resubmit_jobs(drm_gpu_scheduler* s) {
  drm_scheduler& mine = drm_scheduler::of_c(*s);
  const ufence::scoped_lock hold(mine.lock);
  mine.must_resubmit = true;
}

void drm_sched_fault(drm_gpu_scheduler* s) { (void)drm_scheduler::of_c(*s).of.fault(); }
void drm_sched_tdr_queue_imm(drm_gpu_scheduler* s) { drm_sched_fault(s); }

unsigned long drm_sched_suspend_timeout(drm_gpu_scheduler* s) {
  const std::int64_t left = drm_scheduler::of_c(*s).of.suspend_timeout();
  if (left == ufence::no_deadline) return MAX_SCHEDULE_TIMEOUT;
  return static_cast<unsigned long>((left + NSEC_PER_MSEC - 1) / NSEC_PER_MSEC);
}

void drm_sched_resume_timeout(drm_gpu_scheduler* s, unsigned long remaining) {
  constexpr auto longest = static_cast<unsigned long>(ufence::no_deadline / NSEC_PER_MSEC);
  drm_scheduler::of_c(*s).of.resume_timeout(
      static_cast<std::int64_t>(std::min(remaining, longest)) * NSEC_PER_MSEC);
}

void drm_sched_wqueue_stop(drm_gpu_scheduler* s) {
  WRITE_ONCE(s->pause_submit, true);
  (void)drm_scheduler::of_c(*s).of.pause();
}

void drm_sched_wqueue_start(drm_gpu_scheduler* s) {
  WRITE_ONCE(s->pause_submit, false);
  (void)drm_scheduler::of_c(*s).of.resume();
}

drm_gpu_scheduler* drm_sched_pick_best(drm_gpu_scheduler** sched_list, unsigned int num_sched_list) {
  drm_gpu_scheduler* best = nullptr;
  int lowest = 0;
  for (unsigned int i = 0; i < num_sched_list; ++i) {
    drm_gpu_scheduler* const s = sched_list[i];
    if (!READ_ONCE(s->ready)) continue;
    const int score = atomic_read(s->score);
    if (best != nullptr && score >= lowest) continue;
    best = s;
    lowest = score;
  }
  return best;
}

drm_sched_job* ufence_drm_sched_next_pending(drm_gpu_scheduler* s, const drm_sched_entity* entity,
                                             drm_sched_job* after) {
  drm_scheduler& mine = drm_scheduler::of_c(*s);
  const ufence::scoped_lock hold(mine.lock);
  drm_job* j = after != nullptr ? drm_job::of_c(*after->s_fence).next_pending : mine.first_pending;
  while (j != nullptr && (j->job == nullptr ||
                          (entity != nullptr && &j->entity != &drm_entity::of_c(*entity)))) {
    j = j->next_pending;
  }
  return j != nullptr ? j->job : nullptr;
}

// --- Entities ---

int drm_sched_entity_init(drm_sched_entity* e, drm_sched_priority priority,
                          drm_gpu_scheduler** sched_list, unsigned int num_sched_list,
                          atomic_t* guilty) {
  if (e == nullptr || sched_list == nullptr || num_sched_list == 0 || sched_list[0] == nullptr) {
    return -EINVAL;
  }
  const sched::scheduler* const home[] = {&drm_scheduler::of_c(*sched_list[0]).of};
  auto native = sched::entity::create({.schedulers = home,
                                       .name = sched_list[0]->name != nullptr ? sched_list[0]->name : "",
                                       .rank = rank_of(priority)});
  if (!native) return -native.error().value();
  void* memory = ufence::allocate_aligned(64, sizeof(drm_entity));
  if (memory == nullptr) return -ENOMEM;
  *e = {.priority = static_cast<drm_sched_priority>(rank_of(priority)),
        .fence_context = dma_fence_context_alloc(2),
        .guilty = guilty,
        .stopped = false,
        .ufence_entity = nullptr};
  auto* mine = ::new (memory) drm_entity(*e, *std::move(native), *sched_list[0]);
  mine->set_list(sched_list, num_sched_list);
  e->ufence_entity = mine;
  return 0;
}

long drm_sched_entity_flush(drm_sched_entity* e, long timeout) {
  if (e->ufence_entity == nullptr) return timeout;
  const std::int64_t deadline_ns = ufence::deadline_of(timeout);
  if (!drm_entity::of_c(*e).flush(deadline_ns)) return 0;
  return timeout == 0 ? 0 : ufence::jiffies_left(timeout, deadline_ns);
}

void drm_sched_entity_fini(drm_sched_entity* e) {
  if (e->ufence_entity == nullptr) return;
  drm_entity& mine = drm_entity::of_c(*e);
  WRITE_ONCE(e->stopped, true);
  (void)mine.native().kill(-ESRCH);
  mine.end();
  e->ufence_entity = nullptr;
  mine.put();
}

void drm_sched_entity_destroy(drm_sched_entity* e) {
  (void)drm_sched_entity_flush(e, flush_within);
  drm_sched_entity_fini(e);
}

void drm_sched_entity_set_priority(drm_sched_entity* e, drm_sched_priority priority) {
  WRITE_ONCE(e->priority, static_cast<drm_sched_priority>(rank_of(priority)));
  (void)drm_entity::of_c(*e).native().set_priority(rank_of(priority));
}

void drm_sched_entity_modify_sched(drm_sched_entity* e, drm_gpu_scheduler** sched_list,
                                   unsigned int num_sched_list) {
  if (sched_list == nullptr || num_sched_list == 0) {
    ufence::warn("drm_sched_entity_modify_sched() without a scheduler");
    return;
  }
  drm_entity::of_c(*e).set_list(sched_list, num_sched_list);
}

int drm_sched_entity_error(drm_sched_entity* e) { return drm_entity::of_c(*e).last_error(); }

namespace ufence {

void drm_entity::put() noexcept UFENCE_NO_TSA {
  if (!references_.put(counted)) return;
  dma_fence_put(last_);
  this->~drm_entity();
  deallocate(this);
}

void drm_entity::changed_locked() noexcept {
  if (waiters_ == 0) return;
  // relaxed: written and read with the lock held, but for the sleeper, which looks again
  changes_.store(changes_.load(mo::relaxed) + 1, mo::relaxed);
  futex_wake_all(changes_);
}

// Until something has changed; the lock is dropped and taken again. False: not by then.
bool drm_entity::wait_locked(std::int64_t deadline_ns) noexcept UFENCE_NO_TSA {
  const std::uint32_t seen = changes_.load(mo::relaxed);  // relaxed: the lock
  ++waiters_;
  lock_.unlock();
  const int how = futex_wait(changes_, seen, deadline_ns);
  lock_.lock();
  --waiters_;
  return how != -ETIME;
}

bool drm_entity::enter() noexcept {
  const scoped_lock hold(lock_);
  if (has_ended_) return false;
  inside_ = &thread_state::mine();
  return true;
}

void drm_entity::leave() noexcept {
  const scoped_lock hold(lock_);
  inside_ = nullptr;
  changed_locked();
}

void drm_entity::add_queued() noexcept {
  const scoped_lock hold(lock_);
  ++queued_;
}

void drm_entity::drop_queued() noexcept {
  const scoped_lock hold(lock_);
  if (--queued_ == 0) changed_locked();
}

bool drm_entity::flush(std::int64_t deadline_ns) noexcept {
  const scoped_lock hold(lock_);
  while (queued_ != 0 && !has_ended_) {
    if (!wait_locked(deadline_ns)) return queued_ == 0;
  }
  return true;
}

void drm_entity::end() noexcept {
  const scoped_lock hold(lock_);
  has_ended_ = true;
  changed_locked();
  // A function of the driver may end its own entity.
  while (inside_ != nullptr && inside_ != &thread_state::mine()) (void)wait_locked(no_deadline);
}

void drm_entity::note_last(dma_fence& finished) noexcept {
  dma_fence* before = &finished;
  dma_fence_get(before);
  {
    const scoped_lock hold(lock_);
    std::swap(before, last_);
  }
  dma_fence_put(before);
}

int drm_entity::last_error() noexcept {
  dma_fence* last = nullptr;
  {
    const scoped_lock hold(lock_);
    if (last_ == nullptr) return 0;
    last = dma_fence_get(last_);
  }
  const int error = dma_fence_test_signaled_flag(last) ? as_cell(last->error).get() : 0;
  dma_fence_put(last);
  return error;
}

void drm_entity::note_guilty() noexcept {
  const scoped_lock hold(lock_);
  if (!has_ended_ && c_->guilty != nullptr) atomic_set(c_->guilty, 1);
}

void drm_entity::set_list(drm_gpu_scheduler** list, unsigned int size) noexcept {
  // A list of one need not stay in place.
  single_ = list[0];
  list_ = size > 1 ? list : &single_;
  list_size_ = size;
}

drm_gpu_scheduler& drm_entity::choose_home() noexcept {
  // Only the caller may attach it: what is idle stays so.
  if ((list_size_ == 1 && single_ == home_) || !native_.was_idle()) return *home_;
  drm_gpu_scheduler* const best = drm_sched_pick_best(list_, list_size_);
  if (best == nullptr || best == home_) return *home_;
  const sched::scheduler* const homes[] = {&drm_scheduler::of_c(*best).of};
  // Without memory it stays where it is.
  if (!native_.set_schedulers(homes)) home_ = best;
  return *home_;
}

}  // namespace ufence
