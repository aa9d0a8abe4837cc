#include "ufence/syncobj/syncobj.h"

#include <new>
#include <utility>

#include "ufence/base/alloc.h"
#include "ufence/base/fork.h"
#include "ufence/container/unwrap.h"
#include "ufence/fence/timeline.h"
#include "ufence/syncobj/point_waiter.h"

namespace ufence {

bool has_point(const fence_ref& f, std::uint64_t point) noexcept {
  if (!f) return false;
  return point == 0 || (fence_chain::from(*f) != nullptr && !is_later(point, f->seqno()));
}

fence_ref fence_of_point(fence_ref f, std::uint64_t point) noexcept {
  // It has the point, so this can't fail.
  static_cast<void>(fence_chain::find_seqno(f, point));
  return f ? std::move(f) : fence::stub();
}

// --- Life ---

syncobj::syncobj() noexcept : generation_(fork_generation()) {}
syncobj::~syncobj() = default;

result<syncobj_ref> syncobj::create(bool signaled) noexcept {
  void* memory = allocate(sizeof(syncobj));
  if (memory == nullptr) return failure(ENOMEM);
  syncobj_ref made = syncobj_ref::adopt(::new (memory) syncobj);
  if (signaled) {
    if (const std::error_code failed = made->signal()) return std::unexpected(failed);
  }
  return made;
}

void syncobj::destroy() noexcept {
  settlement later;
  if (!is_inherited()) {
    // Waiters that are still queued belong to events: a thread that waits has a reference.
    const scoped_lock hold(lock_);
    while (point_waiter* s = waiting_) {
      unlink_locked(*s);
      signaler right = std::move(s->right);
      right.decide(-ECANCELED, later);
    }
  }
  this->~syncobj();
  deallocate(this);
}

bool syncobj::is_inherited() const noexcept { return generation_ != fork_generation(); }

// --- Looking ---

result<fence_ref> syncobj::current() const noexcept {
  if (is_inherited()) return failure(EOWNERDEAD);
  const scoped_lock hold(lock_);
  return fence_;
}

result<fence_ref> syncobj::find_fence(std::uint64_t point) const noexcept {
  result<fence_ref> f = current();
  if (!f) return f;
  if (!has_point(*f, point)) return failure(EINVAL);
  return fence_of_point(std::move(*f), point);
}

result<fence_ref> syncobj::find_fence_by(std::uint64_t point, absolute_deadline deadline_ns) noexcept {
  result<fence_ref> f = find_fence(point);
  if (f || f.error() != errno_code(EINVAL)) return f;
  point_waiter s;
  if (const std::error_code failed = s.prepare(point)) return std::unexpected(failed);
  queue(s, point);
  const std::error_code failed = s.told->wait(deadline_ns);
  unqueue(s);
  // It may have come after the deadline.
  if (s.found) return fence_of_point(std::move(s.found), point);
  return std::unexpected(failed);
}

result<std::uint64_t> syncobj::last_submitted() const noexcept {
  const result<fence_ref> f = current();
  if (!f) return std::unexpected(f.error());
  return *f && fence_chain::from(**f) != nullptr ? (*f)->seqno() : 0;
}

result<std::uint64_t> syncobj::query() const noexcept {
  const result<fence_ref> f = current();
  if (!f) return std::unexpected(f.error());
  if (!*f || fence_chain::from(**f) == nullptr) return 0;
  fence_ref oldest = *f;
  for (fence_ref at = *f; at && at->context() == (*f)->context(); at = fence_chain::walk(*at)) {
    oldest = at;
  }
  return oldest->poll() ? oldest->seqno() : fence_chain::from(*oldest)->previous_point();
}

// --- Changing ---

std::error_code syncobj::replace_fence(fence_ref f) noexcept {
  if (is_inherited()) return errno_code(EOWNERDEAD);
  settlement later;
  const scoped_lock hold(lock_);
  std::swap(fence_, f);  // the old one is dropped by the caller, without the lock
  wake_locked(later);
  return {};
}

std::error_code syncobj::signal() noexcept {
  result<fence_ref> f = fence::create_signaled(now_ns());
  return f ? replace_fence(std::move(*f)) : f.error();
}

std::error_code syncobj::add_point(const fence_ref& f, std::uint64_t point) noexcept {
  if (!f) return errno_code(EINVAL);
  if (is_inherited()) return errno_code(EOWNERDEAD);
  result<fence_chain::room> memory = fence_chain::reserve();
  if (!memory) return memory.error();
  add_point(std::move(*memory), f, point);
  return {};
}

void syncobj::add_point(fence_chain::room memory, const fence_ref& f,
                        std::uint64_t point) noexcept {
  add_point_untold(std::move(memory), f, point);
  tell_of_points();
}

void syncobj::add_point_untold(fence_chain::room memory, const fence_ref& f,
                               std::uint64_t point) noexcept {
  const scoped_lock hold(lock_);
  fence_ = fence_chain::create(std::move(memory), std::move(fence_), f, point);
}

void syncobj::tell_of_points() noexcept {
  fence_ref node;
  {
    settlement later;
    const scoped_lock hold(lock_);
    node = fence_;
    wake_locked(later);
  }
  // Unlinks what is signaled, so that the chain stays as long as what is pending.
  while (node) node = fence_chain::walk(*node);
}

std::error_code syncobj::signal_point(std::uint64_t point) noexcept {
  return add_point(fence::stub(), point);
}

std::error_code transfer(const syncobj_point& from, const syncobj_point& to,
                         std::int64_t submit_by_ns) noexcept {
  if (!from.object || !to.object) return errno_code(EINVAL);
  result<fence_ref> f = submit_by_ns > 0 ? from.object->find_fence_by(from.point, submit_by_ns)
                                         : from.object->find_fence(from.point);
  if (!f) return f.error();
  if (to.point == 0) return to.object->replace_fence(std::move(*f));
  // Of the other timeline only what is pending now.
  f = merge({&*f, 1});
  return f ? to.object->add_point(*f, to.point) : f.error();
}

// --- Submissions ---

std::error_code point_waiter::prepare(std::uint64_t of_point) noexcept {
  const std::uint64_t context =
      submission_contexts | (fence::allocate_contexts(1) & ~submission_context_bits);
  result<new_fence> made = fence::create(context, of_point);
  if (!made) return made.error();
  told = std::move(made->fence);
  right = std::move(made->signal);
  return {};
}

void syncobj::queue(point_waiter& s, std::uint64_t point) noexcept {
  settlement later;
  const scoped_lock hold(lock_);
  s.point = point;
  s.next = waiting_ != nullptr ? waiting_ : &s;
  s.previous = waiting_ != nullptr ? waiting_->previous : &s;
  s.next->previous = &s;
  s.previous->next = &s;
  waiting_ = s.next;
  // It may have been submitted since the caller looked.
  if (has_point(fence_, point)) submitted_locked(s, later);
}

void syncobj::unqueue(point_waiter& s) noexcept {
  // In a child of fork() nobody looks at the queue any more.
  if (is_inherited()) return;
  settlement later;
  const scoped_lock hold(lock_);
  if (s.next == nullptr) return;
  unlink_locked(s);
  s.right.decide(-ECANCELED, later);
}

void syncobj::unlink_locked(point_waiter& s) noexcept {
  if (waiting_ == &s) waiting_ = s.next != &s ? s.next : nullptr;
  s.next->previous = s.previous;
  s.previous->next = s.next;
  s.next = s.previous = nullptr;
}

void syncobj::wake_locked(settlement& later) noexcept {
  point_waiter* const last = waiting_ != nullptr ? waiting_->previous : nullptr;
  for (point_waiter *s = waiting_, *next; last != nullptr && s != nullptr; s = next) {
    next = s != last ? s->next : nullptr;
    if (has_point(fence_, s->point)) submitted_locked(*s, later);
  }
}

void syncobj::submitted_locked(point_waiter& s, settlement& later) noexcept {
  unlink_locked(s);
  s.found = fence_;
  signaler right = std::move(s.right);
  right.decide(0, later);
}

}  // namespace ufence
