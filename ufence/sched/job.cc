#include "ufence/sched/job.h"

#include <new>
#include <utility>

#include "ufence/base/alloc.h"
#include "ufence/base/check.h"
#include "ufence/container/later.h"
#include "ufence/fence/trace.h"
#include "ufence/rcu/rcu.h"
#include "ufence/sched/core.h"

namespace ufence::sched {

const backend_ops job::finished_ops{.set_deadline = &job::set_finished_deadline,
                                    .retire = &job::retire};

job::job(std::uint32_t credits) noexcept
    : backend{&finished_ops}, callback(&job::device_done), credits_(credits) {}

job::~job() {
  // relaxed: in free() the last use was seen, and a job that was never armed has none
  UFENCE_CHECK(uses_.load(mo::relaxed) == 0 && "an armed job is destroyed in free() only");
  drop_parent();
  if (dependencies_ != few_.data()) {
    std::destroy_n(dependencies_, dependency_count_);
    deallocate(dependencies_);
  }
}

// --- What it waits for ---

bool job::make_room() noexcept {
  if (dependency_count_ < dependency_room_) return true;
  const std::uint32_t room = dependency_room_ * 2;
  auto* more = static_cast<fence_ref*>(allocate(room * sizeof(fence_ref)));
  if (more == nullptr) return false;
  std::uninitialized_move_n(dependencies_, dependency_count_, more);
  if (dependencies_ != few_.data()) {
    std::destroy_n(dependencies_, dependency_count_);
    deallocate(dependencies_);
  }
  dependencies_ = more;
  dependency_room_ = room;
  return true;
}

// Asked by the owner, which pushes it: nobody else looks at what it waits for before.
bool job::was_pushed() const noexcept {
  return where_ != where::built && (where_ != where::queued || is_committed_);
}

std::error_code job::add_dependency(fence_ref f) noexcept {
  if (was_pushed()) return errno_code(EBUSY);
  if (!f) return {};
  for (std::uint32_t i = 0; i < dependency_count_; ++i) {
    fence_ref& known = dependencies_[i];
    if (known == f) return {};
    if (known->context() != f->context()) continue;
    if (f->is_later_than(*known)) std::swap(known, f);
    // `f` is the earlier one now.
    if (!ufence::detail::stands_for(*known, *f)) known = std::move(f);
    return {};
  }
  if (!make_room()) return errno_code(ENOMEM);
  fence_ref* place = dependencies_ + dependency_count_;
  if (dependencies_ == few_.data()) {
    *place = std::move(f);
  } else {
    ::new (place) fence_ref(std::move(f));
  }
  ++dependency_count_;
  return {};
}

std::error_code job::add_dependencies(const resv& buffer, resv_usage usage) noexcept {
  if (was_pushed()) return errno_code(EBUSY);
  result<fence_list> pending = buffer.get_fences(usage);
  if (!pending) return pending.error();
  for (fence_ref& f : pending->items()) {
    if (const std::error_code failed = add_dependency(std::move(f))) return failed;
  }
  return {};
}

std::error_code job::add_dependency(const syncobj& object, std::uint64_t point) noexcept {
  if (was_pushed()) return errno_code(EBUSY);
  result<fence_ref> f = object.find_fence(point);
  if (!f) return f.error();
  if (!*f) return errno_code(EINVAL);
  return add_dependency(*std::move(f));
}

bool job::has_dependency(const fence& f) const noexcept {
  for (std::uint32_t i = 0; i < dependency_count_; ++i) {
    if (dependencies_[i].get() == &f) return true;
  }
  return false;
}

void job::put_back(fence_ref until) noexcept {
  UFENCE_CHECK(until);
  prepared_ = std::move(until);
  is_put_back_ = true;
}

void job::record_push(std::uint64_t number) const noexcept {
  if (!trace::is_recording()) return;
  const timeline* const line = finished_->owner();
  trace::record_job(trace::event::job_queue, *finished_, line != nullptr ? line->context() : 0,
                    number);
  for (std::uint32_t i = 0; i < dependency_count_; ++i) {
    trace::record_dependency(*finished_, *dependencies_[i]);
  }
}

// --- The device fence and the deadline ---

void job::set_parent(fence_ref parent) noexcept {
  fence& device = *parent;
  // [SCHED.1] seq_cst: SB, the device fence before the look at the deadline; pairs with [SCHED.4]
  fence* const old = parent_.exchange(parent.release(), mo::seq_cst);
  // A deadline op may be looking at it: fences of the library stay fences, containers stay for a
  // grace period.
  if (old != nullptr) old->put();
  // [SCHED.2] seq_cst: SB, see a deadline that was set before; pairs with [SCHED.3]
  const std::int64_t deadline = deadline_.load(mo::seq_cst);
  if (deadline != no_deadline) device.set_deadline(deadline);
}

void job::drop_parent() noexcept {
  // relaxed: no op is inside any more, so nobody looks
  fence* const old = parent_.exchange(nullptr, mo::relaxed);
  if (old != nullptr) old->put();
}

// By who changes it alone: the worker, or with the callback on it removed.
fence_ref job::parent() const noexcept {
  // relaxed: this thread stored it, or the scheduler's lock shows it
  fence* const device = parent_.load(mo::relaxed);
  return device != nullptr ? fence_ref::take(*device) : nullptr;
}

// The gate of `finished` keeps the job: retire() comes after this has returned.
void job::set_finished_deadline(backend* data, std::int64_t deadline_ns) noexcept {
  job& j = of(data);
  // relaxed: the exchange below decides
  std::int64_t known = j.deadline_.load(mo::relaxed);
  do {
    if (known <= deadline_ns) return;
    // [SCHED.3] seq_cst: SB, the deadline before the look at the device fence; pairs with [SCHED.2]
  } while (!j.deadline_.compare_exchange_weak(known, deadline_ns, mo::seq_cst, mo::relaxed));
  fence_ref device;
  {
    const rcu::read_section section;
    // [SCHED.4] seq_cst: SB, see the device fence that was stored before; pairs with [SCHED.1]
    if (j.parent_.load(mo::seq_cst) != nullptr) device = fence::get_rcu(j.parent_);
  }
  if (device) device->set_deadline(deadline_ns);
  // The entity stays attached until the job is freed, which is after this op.
  // relaxed: the home does not change until then
  j.entity_->home_.load(mo::relaxed)->deadline_moved(j);
}

// --- Uses ---

void job::add_use() noexcept {
  // relaxed: the caller knows of a use that stays meanwhile
  uses_.fetch_add(1, mo::relaxed);
}

bool job::drop_use() noexcept {
  // [SCHED.5] acq_rel: the last one sees what the others did with the job; pairs with [SCHED.5]
  return uses_.fetch_sub(1, mo::acq_rel) == 1;
}

void job::retire(backend* data, retired_by) noexcept {
  job& j = of(data);
  // relaxed: the home does not change until the job is freed
  detail::scheduler_core& home = *j.entity_->home_.load(mo::relaxed);
  if (j.drop_use()) home.bury(j);
}

void job::device_done(callback& node, fence& f) noexcept {
  job& j = of(node);
  // relaxed: the home does not change until the job is freed
  j.entity_->home_.load(mo::relaxed)->complete(j, f.error());
}

}  // namespace ufence::sched
