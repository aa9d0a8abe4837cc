#include "ufence/base/futex.h"

#include <gtest/gtest.h>

#include <array>
#include <cerrno>
#include <thread>
#include <vector>

#include "ufence/base/clock.h"

using namespace ufence;

namespace {

using word = ufence::atomic<std::uint32_t>;
constexpr std::int64_t millisecond_ns = 1'000'000;

}  // namespace

TEST(futex, returns_at_once_if_the_value_differs) {
  const word w{1};
  EXPECT_EQ(futex_wait(w, 2, no_deadline), 0);
}

TEST(futex, sleeps_until_the_deadline_and_not_less) {
  const word w{1};
  const std::int64_t deadline = deadline_after(2 * millisecond_ns);
  int rc = 0;
  while ((rc = futex_wait(w, 1, deadline)) == 0) {
  }
  EXPECT_EQ(rc, -ETIME);
  EXPECT_GE(now_ns(), deadline);
}

TEST(futex, takes_deadlines_in_the_past_and_before_the_beginning_of_time) {
  const word w{1};
  EXPECT_EQ(futex_wait(w, 1, now_ns() - 1), -ETIME);
  EXPECT_EQ(futex_wait(w, 1, 0), -ETIME);
  EXPECT_EQ(futex_wait(w, 1, -1), -ETIME);
  EXPECT_EQ(futex_wait(w, 1, INT64_MIN), -ETIME);
}

TEST(futex, wakes_all_who_sleep) {
  word w{0};
  std::vector<std::jthread> sleepers;
  for (int i = 0; i < 4; ++i) {
    sleepers.emplace_back([&] {
      while (w.load(mo::acquire) == 0) futex_wait(w, 0, no_deadline);
    });
  }
  w.store(1, mo::release);
  futex_wake_all(w);
}

TEST(futex, wakes_only_the_classes_that_are_meant) {
  word w{0};
  std::atomic<int> asleep = 0;
  std::atomic<bool> lock_sleeper_woke = false;
  std::jthread state_sleeper([&] {
    ++asleep;
    while (w.load(mo::acquire) != 2) futex_wait(w, 0, no_deadline, futex_class::state);
  });
  std::jthread lock_sleeper([&] {
    ++asleep;
    while (w.load(mo::acquire) == 0)
      futex_wait(w, 0, deadline_after(millisecond_ns), futex_class::lock);
    lock_sleeper_woke = true;
  });
  while (asleep != 2) std::this_thread::yield();
  w.store(1, mo::release);
  futex_wake_all(w, futex_class::lock);
  while (!lock_sleeper_woke) std::this_thread::yield();
  w.store(2, mo::release);
  futex_wake_all(w, futex_class::state);
}

TEST(futex, waits_for_any_of_several_words) {
  std::array<word, futex_wait_any_max> words;
  std::vector<futex_waiter> waiters;
  for (const word& w : words) waiters.push_back({.word = &w, .expected = 0});
  const std::int64_t deadline = deadline_after(millisecond_ns);
  int rc = 0;
  while ((rc = futex_wait_any(waiters, deadline)) == 0) {
  }
  if (rc == -ENOSYS) GTEST_SKIP() << "this kernel has no futex_waitv";
  EXPECT_EQ(rc, -ETIME);
  EXPECT_GE(now_ns(), deadline);
  EXPECT_EQ(futex_wait_any(waiters, 0), -ETIME);
  waiters[77].expected = 1;
  EXPECT_EQ(futex_wait_any(waiters, no_deadline), 0) << "one differs";
  waiters[77].expected = 0;
  std::jthread wakes([&] {
    words[100].store(1, mo::release);
    futex_wake_all(words[100]);
  });
  while (words[100].load(mo::acquire) == 0) EXPECT_EQ(futex_wait_any(waiters, no_deadline), 0);
}
