// The fences that the first job of an entity waits for.
#include "ufence/base/check.h"
#include "ufence/base/lock_rank.h"
#include "ufence/fence/thread_state.h"
#include "ufence/sched/core.h"

namespace ufence::sched::detail {

// The fence that stands for a dependency: null if there is nothing to wait for.
fence_ref scheduler_core::resolve(const entity_core& e, const fence_ref& f, bool runs) noexcept {
  // Jobs of one entity start in order, and end in order where they do not run.
  if (f->owner() == e.scheduled_line_.line().get()) return nullptr;
  if (f->owner() == e.finished_line_.line().get() && (options_.pipelines || !runs)) {
    return nullptr;
  }
  if (runs && options_.pipelines) {
    // Inside its gate the other job stays, whichever thread ends it.
    const issuer_op op(*f);
    if (op && op.data()->ops == &job::finished_ops) {
      const job& other = job::of(op.data());
      // relaxed: the home does not change until the job is freed
      if (other.entity_->home_.load(mo::relaxed) == this) return other.scheduled_;
    }
  }
  return f;
}

// True: the entity waits for the fence, with a callback, and is another thread's to look at.
bool scheduler_core::waits(entity_core& e, const fence_ref& f) noexcept UFENCE_NO_TSA {
  if (f->is_signaled()) return false;
  {
    const guard at(*this);
    if (is_forced_) return false;
    e.where_ = entity_core::where::waiting;
    e.waits_for_ = f;
  }
  const std::error_code failed = f->add_callback(e.node_);
  if (!failed) return true;
  fence_ref dropped;  // after the lock
  const guard at(*this);
  e.where_ = entity_core::where::handled;
  dropped = std::move(e.waits_for_);
  if (failed != errno_code(ENOENT)) e.first_->error_ = -failed.value();  // it never will be
  return false;
}

// Looks at everything that the first job waits for, one after the other. A fence whose callback
// brings the entity back here is signaled then.
void scheduler_core::examine(entity_core& e) noexcept UFENCE_NO_TSA {
  job& j = *e.first_;
  int killed = 0;
  {
    const guard at(*this);
    killed = e.killed_;
  }
  if (killed != 0 && j.error_ == 0) {
    // It ends after all of what it waits for, also what a job that runs need not wait for.
    j.error_ = killed;
    j.next_dependency_ = 0;
  }
  for (; j.next_dependency_ < j.dependency_count_; ++j.next_dependency_) {
    const fence_ref& f = j.dependencies_[j.next_dependency_];
    const fence_ref awaited = resolve(e, f, j.error_ == 0);
    if (awaited && waits(e, awaited)) return;
    const int error = f->error();
    if (error < 0 && e.propagates_errors_ && j.error_ == 0) {
      j.error_ = error;
      j.origin_ = {.context = f->context(), .seqno = f->seqno(), .error = error};
      // From the first one on, wait for `finished` where `scheduled` was enough.
      j.next_dependency_ = UINT32_MAX;
    }
  }
  if (std::exchange(j.is_put_back_, false) && j.error_ == 0 && waits(e, j.prepared_)) return;
  while (j.error_ == 0 && options_.ops->prepare != nullptr) {
    rank_check_none();
    j.prepared_ = options_.ops->prepare(j);
    if (!j.prepared_) break;
    if (waits(e, j.prepared_)) return;
  }
  const guard at(*this);
  (j.error_ != 0 ? j.is_doomed_ : j.is_examined_) = true;
  // A job that does not run ends after what was given to the device before it.
  e.where_ =
      j.is_doomed_ && e.in_flight_ != 0 ? entity_core::where::draining : entity_core::where::idle;
  list_locked(e);
}

// An entity was killed. What its first job waits for only in order to run is not waited for any
// more.
void scheduler_core::release_killed_locked() noexcept UFENCE_NO_TSA {
  must_release_ = false;
  for (;;) {
    entity_core* e = entities_;
    while (e != nullptr && !(e->killed_ != 0 && e->waits_to_run())) e = e->next_;
    if (e == nullptr) return;
    stop_waiting_locked(*e);
  }
}

// Drops the lock and takes it again. If the fence is calling back just now, that wakes the entity.
void scheduler_core::stop_waiting_locked(entity_core& e) noexcept UFENCE_NO_TSA {
  fence_ref f = e.waits_for_;
  entity_ref kept = entity_ref::take(e);
  lock_.unlock();
  const result<bool> removed = f->remove_callback(e.node_);
  lock_.lock();
  if (removed && *removed) {
    e.waits_for_.reset();  // `f` has one more
    e.where_ = entity_core::where::idle;
    list_locked(e);
  }
  lock_.unlock();
  kept.reset();
  f.reset();
  lock_.lock();
}

void scheduler_core::dependency_done(callback& node, fence&) noexcept {
  entity_core& e = static_cast<entity_core::node&>(node).of;
  // relaxed: it does not change while the first job waits
  scheduler_core& home = *e.home_.load(mo::relaxed);
  fence_ref dropped;  // after the lock
  const guard at(home);
  dropped = std::move(e.waits_for_);
  e.where_ = entity_core::where::idle;
  home.list_locked(e);
}

}  // namespace ufence::sched::detail
