// The thread of a shared timeline: the kernel notices its end, and it signals the fences
// of this process when other processes signal the timeline.
#include <pthread.h>

#include <array>

#include "ufence/base/alloc.h"
#include "ufence/base/futex.h"
#include "ufence/base/own_thread.h"
#include "ufence/sync/robust_word.h"
#include "ufence/sync/shared_page.h"
#include "ufence/sync/shared_timeline.h"

namespace ufence {
namespace {

constexpr std::int64_t look_again_ns = 1'000'000'000;
constexpr std::int64_t poll_ns = 10'000'000;

}  // namespace

std::error_code shared_timeline::start_thread_locked() noexcept {
  const int failed = detail::start_own_thread(
      [](void* self) -> void* {
        pthread_setname_np(pthread_self(), "ufence-timeline");
        auto* line = static_cast<shared_timeline*>(self);
        if (line->is_owner_) {
          line->follow_as_owner();
        } else {
          line->follow();
        }
        // Dropped, and nothing is pending.
        line->~shared_timeline();
        deallocate(line);
        return nullptr;
      },
      this);
  has_thread_ = failed == 0;
  return errno_code(failed);
}

void shared_timeline::wait_until_thread_started() noexcept {
  // relaxed: the thread has told the kernel of the owner's word. A thread that sees that word as it was
  // before does not sleep on it: a futex compares what is there now.
  while (is_started_.load(mo::relaxed) == 0) futex_wait(is_started_, 0, no_deadline);
}

void shared_timeline::tell_thread(std::uint32_t what) noexcept {
  // [SHARED.6] release: what it has to look at; pairs with [SHARED.7]
  kicks_.fetch_add(what, mo::release);
  // It may be gone now, with the memory.
  futex_wake_all(kicks_);
}

void shared_timeline::follow_as_owner() noexcept {
  const detail::robust_word dies_with_us(page_->owner);
  // relaxed: see wait_until_thread_started()
  is_started_.store(1, mo::relaxed);
  futex_wake_all(is_started_);
  follow();
}

void shared_timeline::follow() noexcept {
  for (;;) {
    // [SHARED.7] acquire: see pending_; a dropped object is ours alone; pairs with [SHARED.6]
    const std::uint32_t kicks = kicks_.load(mo::acquire);
    const look seen = look_at_page();
    const bool is_pending = complete_pending();
    if (!is_pending && (kicks & drop) != 0) return;
    if (!is_pending || !follows()) {
      futex_wait(kicks_, kicks, no_deadline);
      continue;
    }
    const std::array<futex_waiter, 3> words = {
        futex_waiter{.word = &kicks_, .expected = kicks},
        futex_waiter{.word = &page_->sequence, .expected = seen.sequence, .is_shared = true},
        futex_waiter{.word = &page_->owner, .expected = seen.owner, .is_shared = true}};
    if (futex_wait_any(words, deadline_after(look_again_ns)) == -ENOSYS) {
      futex_wait_shared(page_->sequence, seen.sequence, deadline_after(poll_ns));
    }
    if (look_at_page().ended == -EOWNERDEAD) futex_wake_all_shared(page_->owner);
  }
}

}  // namespace ufence
