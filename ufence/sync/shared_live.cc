#include "ufence/sync/shared_live.h"

#include <linux/futex.h>

#include <algorithm>
#include <cstddef>

#include "ufence/base/fork.h"
#include "ufence/base/lock.h"
#include "ufence/sync/shared_page.h"

// The members of a class with a private part lie where both compilers say.
#pragma GCC diagnostic ignored "-Winvalid-offsetof"

namespace ufence::detail {
namespace {

constinit mutex shared_lock{lock_rank::leaf};
constinit shared_timeline* live_shared UFENCE_GUARDED_BY(shared_lock) = nullptr;

// A child of fork() has the objects, and must not inherit the lock in the taken state.
const fork_part at_fork(lock_rank::leaf,
                        {.before = [] noexcept { shared_lock.lock_for_fork(); },
                         .in_parent = [] noexcept { shared_lock.unlock_after_fork(); },
                         .in_child = [] noexcept { shared_lock.unlock_after_fork(); }});

}  // namespace

void live_shared_timelines::add(shared_timeline& t) noexcept {
  const scoped_lock guard(shared_lock);
  t.next_ = live_shared;
  if (live_shared != nullptr) live_shared->previous_ = &t;
  live_shared = &t;
}

void live_shared_timelines::remove(shared_timeline& t) noexcept {
  const scoped_lock guard(shared_lock);
  if (t.next_ != nullptr) t.next_->previous_ = t.previous_;
  (t.previous_ != nullptr ? t.previous_->next_ : live_shared) = t.next_;
}

bool live_shared_timelines::find(std::uint64_t context, shared_timeline_state& state) noexcept {
  const scoped_lock guard(shared_lock);
  const shared_timeline* t = live_shared;
  while (t != nullptr && t->context_ != context) t = t->next_;
  if (t == nullptr) return false;
  std::ranges::copy(t->name_bytes_, state.name.begin());
  state.is_owner = t->is_owner_;
  // relaxed, both: told to people, and stale by then
  state.value = t->page_->value.load(mo::relaxed) & ~shared_page::closed;
  const std::uint32_t owner = t->page_->owner.load(mo::relaxed);
  state.owner_thread = (owner & FUTEX_OWNER_DIED) != 0 ? 0 : owner & FUTEX_TID_MASK;
  return true;
}

shared_layout live_shared_timelines::layout() noexcept UFENCE_NO_TSA {
  return {.first = &live_shared,
          .next = offsetof(shared_timeline, next_),
          .page = offsetof(shared_timeline, page_),
          .context = offsetof(shared_timeline, context_),
          .name = offsetof(shared_timeline, name_bytes_),
          .is_owner = offsetof(shared_timeline, is_owner_),
          .page_owner = offsetof(shared_page, owner),
          .page_value = offsetof(shared_page, value)};
}

bool find_shared_timeline(std::uint64_t context, shared_timeline_state& state) noexcept {
  return live_shared_timelines::find(context, state);
}

shared_layout layout_of_shared_timelines() noexcept { return live_shared_timelines::layout(); }

}  // namespace ufence::detail
