#include "ufence/base/futex.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <ctime>

#include "ufence/base/check.h"
#include "ufence/base/clock.h"

namespace ufence {
namespace {

timespec to_timespec(std::int64_t ns) noexcept {
  if (ns < 0) ns = 0;
  return {.tv_sec = ns / 1'000'000'000, .tv_nsec = ns % 1'000'000'000};
}

// The system refuses the call (a sandbox): looking from time to time has to do.
int pause_instead(std::int64_t deadline_ns) noexcept {
  constexpr std::int64_t pause_ns = 1'000'000;
  const std::int64_t now = now_ns();
  if (now >= deadline_ns) return -ETIME;
  const timespec until = to_timespec(deadline_ns - now < pause_ns ? deadline_ns : now + pause_ns);
  ::clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, nullptr);
  return 0;
}

int wait(int operation, const atomic<std::uint32_t>& word, std::uint32_t expected,
         std::int64_t deadline_ns, std::uint32_t sleepers) noexcept {
  const timespec deadline = to_timespec(deadline_ns);
  const long rc = ::syscall(SYS_futex, word.address(), operation, expected,
                            deadline_ns == no_deadline ? nullptr : &deadline, nullptr, sleepers);
  if (rc == 0 || errno == EAGAIN) return 0;
  if (errno == EINTR) return -EINTR;
  return errno == ETIMEDOUT ? -ETIME : pause_instead(deadline_ns);
}

int without_interrupts(int how) noexcept { return how == -EINTR ? 0 : how; }

}  // namespace

int futex_wait(const atomic<std::uint32_t>& word, std::uint32_t expected, std::int64_t deadline_ns,
               std::uint32_t sleepers) noexcept {
  return without_interrupts(
      wait(FUTEX_WAIT_BITSET_PRIVATE, word, expected, deadline_ns, sleepers));
}

int futex_wait_interruptible(const atomic<std::uint32_t>& word, std::uint32_t expected,
                             std::int64_t deadline_ns, std::uint32_t sleepers) noexcept {
  return wait(FUTEX_WAIT_BITSET_PRIVATE, word, expected, deadline_ns, sleepers);
}

void futex_wake_all(const atomic<std::uint32_t>& word, std::uint32_t sleepers) noexcept {
  ::syscall(SYS_futex, word.address(), FUTEX_WAKE_BITSET_PRIVATE, INT_MAX, nullptr, nullptr,
            sleepers);
}

int futex_wait_shared(const atomic<std::uint32_t>& word, std::uint32_t expected,
                      std::int64_t deadline_ns) noexcept {
  return without_interrupts(
      wait(FUTEX_WAIT_BITSET, word, expected, deadline_ns, futex_class::any));
}

void futex_wake_all_shared(const atomic<std::uint32_t>& word) noexcept {
  ::syscall(SYS_futex, word.address(), FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
}

int futex_wait_any(std::span<const futex_waiter> words, std::int64_t deadline_ns) noexcept {
#if defined(SYS_futex_waitv)
  UFENCE_CHECK(words.size() <= futex_wait_any_max);
  std::array<futex_waitv, futex_wait_any_max> waiters;
  for (std::size_t i = 0; i < words.size(); ++i) {
    waiters[i] = {.val = words[i].expected,
                  .uaddr = reinterpret_cast<std::uintptr_t>(words[i].word->address()),
                  .flags = FUTEX_32 | (words[i].is_shared ? 0U : FUTEX_PRIVATE_FLAG),
                  .__reserved = 0};
  }
  const timespec deadline = to_timespec(deadline_ns);
  const long rc = ::syscall(SYS_futex_waitv, waiters.data(), words.size(), 0,
                            deadline_ns == no_deadline ? nullptr : &deadline, CLOCK_MONOTONIC);
  if (rc >= 0 || errno == EAGAIN || errno == EINTR) return 0;
  // A sandbox may answer anything for a call that it does not know.
  return errno == ETIMEDOUT ? -ETIME : -ENOSYS;
#else
  static_cast<void>(words);
  static_cast<void>(deadline_ns);
  return -ENOSYS;
#endif
}

}  // namespace ufence
