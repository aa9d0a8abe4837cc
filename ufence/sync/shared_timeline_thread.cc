// The thread of a shared timeline: what the kernel notices the end of, and who signals the fences
// of this process when other processes signal the timeline.
#include <linux/futex.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstddef>

#include "ufence/base/alloc.h"
#include "ufence/base/futex.h"
#include "ufence/sync/shared_page.h"
#include "ufence/sync/shared_timeline.h"

namespace ufence {
namespace {

constexpr std::int64_t look_again_ns = 1'000'000'000;
constexpr std::int64_t poll_ns = 10'000'000;

/// While it lives, the end of this thread marks the word with FUTEX_OWNER_DIED, whatever ends it.
/// The list that the kernel reads is on this thread's stack, where no other process can change it.
class robust_word {
 public:
  explicit robust_word(atomic<std::uint32_t>& word) noexcept {
    ::syscall(SYS_get_robust_list, 0, &before_, &before_bytes_);
    entry_.next = &head_.list;
    head_.list.next = &entry_;
    head_.futex_offset = static_cast<long>(reinterpret_cast<std::uintptr_t>(word.address()) -
                                           reinterpret_cast<std::uintptr_t>(&entry_));
    head_.list_op_pending = nullptr;
    ::syscall(SYS_set_robust_list, &head_, sizeof head_);
    // FUTEX_WAITERS: who waits can't write that he does, and is to be woken.
    // relaxed: the kernel's; the page's maker gives it to nobody before
    word.store(static_cast<std::uint32_t>(::gettid()) | FUTEX_WAITERS, mo::relaxed);
  }
  ~robust_word() { ::syscall(SYS_set_robust_list, before_, before_bytes_); }
  robust_word(const robust_word&) = delete;
  robust_word& operator=(const robust_word&) = delete;

 private:
  robust_list_head* before_ = nullptr;  // the C library's
  std::size_t before_bytes_ = sizeof(robust_list_head);
  robust_list entry_{};
  robust_list_head head_{};
};

}  // namespace

std::error_code shared_timeline::start_thread_locked() noexcept {
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  // It is nobody's to handle signals on.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  pthread_t thread;
  const int failed = pthread_create(
      &thread, &attributes,
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
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  pthread_attr_destroy(&attributes);
  has_thread_ = failed == 0;
  return errno_code(failed);
}

void shared_timeline::wait_until_thread_started() noexcept {
  // [SHARED.10] acquire: the owner's word; pairs with [SHARED.11]
  while (is_started_.load(mo::acquire) == 0) futex_wait(is_started_, 0, INT64_MAX);
}

void shared_timeline::tell_thread(std::uint32_t what) noexcept {
  // [SHARED.6] release: what it has to look at; pairs with [SHARED.7]
  kicks_.fetch_add(what, mo::release);
  // It may be gone now, with the memory.
  futex_wake_all(kicks_);
}

void shared_timeline::follow_as_owner() noexcept {
  const robust_word dies_with_us(page_.owner);
  // [SHARED.11] release: the owner's word; pairs with [SHARED.10]
  is_started_.store(1, mo::release);
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
        futex_waiter{.word = &page_.sequence, .expected = seen.sequence, .is_shared = true},
        futex_waiter{.word = &page_.owner, .expected = seen.owner, .is_shared = true}};
    if (futex_wait_any(words, deadline_after(look_again_ns)) == -ENOSYS) {
      futex_wait_shared(page_.sequence, seen.sequence, deadline_after(poll_ns));
    }
    if (look_at_page().ended == -EOWNERDEAD) futex_wake_all_shared(page_.owner);
  }
}

}  // namespace ufence
