// The small headers of base: clock, descriptors, errors, per-thread data, memory, checks, lock
// ranks.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <latch>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "ufence/base/alloc.h"
#include "ufence/base/check.h"
#include "ufence/base/clock.h"
#include "ufence/base/fd.h"
#include "ufence/base/fork.h"
#include "ufence/base/lock.h"
#include "ufence/base/lock_rank.h"
#include "ufence/base/result.h"
#include "ufence/base/tls.h"

using namespace ufence;

namespace {

bool is_open(int fd) { return ::fcntl(fd, F_GETFD) >= 0; }
int open_null() { return ::open("/dev/null", O_RDONLY | O_CLOEXEC); }

// The signal that ends a child that runs the body; 0 if it exits.
template <class Body>
int signal_of(Body body) {
  const pid_t child = ::fork();
  if (child == 0) {
    static_cast<void>(::freopen("/dev/null", "w", stderr));
    body();
    ::_exit(0);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

struct first_tag;
struct second_tag;

}  // namespace

TEST(clock, is_monotonic_and_deadlines_saturate) {
  const std::int64_t before = now_ns();
  EXPECT_GT(before, 0);
  EXPECT_GE(now_ns(), before);
  EXPECT_GE(deadline_after(1000), before + 1000);
  EXPECT_EQ(deadline_after(INT64_MAX), no_deadline);
  EXPECT_EQ(deadline_after(INT64_MAX - 1), no_deadline);
  EXPECT_LT(deadline_after(-1000), now_ns());
}

TEST(unique_fd, closes_what_it_owns_once) {
  const int number = open_null();
  {
    unique_fd fd(number);
    EXPECT_TRUE(fd);
    unique_fd other(std::move(fd));
    EXPECT_FALSE(fd);
    EXPECT_TRUE(is_open(number));
    fd = std::move(other);
    EXPECT_EQ(fd.get(), number);
    EXPECT_TRUE(is_open(number));
  }
  EXPECT_FALSE(is_open(number));
}

TEST(unique_fd, gives_up_and_replaces) {
  unique_fd fd(open_null());
  const int number = fd.release();
  EXPECT_FALSE(fd);
  EXPECT_TRUE(is_open(number));
  fd.reset(number);
  const int second = open_null();
  fd.reset(second);
  EXPECT_FALSE(is_open(number));
  EXPECT_EQ(fd.get(), second);
  fd.reset();
  EXPECT_FALSE(is_open(second));
}

TEST(unique_fd, survives_assignment_to_itself) {
  unique_fd fd(open_null());
  unique_fd& same = fd;
  fd = std::move(same);
  EXPECT_TRUE(fd);
  EXPECT_TRUE(is_open(fd.get()));
}

TEST(result, carries_errno_values) {
  const result<int> good = 7;
  const result<int> bad = failure(ETIME);
  EXPECT_EQ(good.value(), 7);
  EXPECT_EQ(bad.error(), errno_code(ETIME));
  EXPECT_EQ(bad.error(), std::errc::stream_timeout);
  EXPECT_FALSE(errno_code(0));
  EXPECT_EQ(errno_code(0), std::error_code());
}

TEST(per_thread, is_one_value_for_each_thread_and_tag) {
  per_thread<first_tag, int>::get() = 1;
  per_thread<second_tag, int>::get() = 2;
  std::thread([] {
    EXPECT_EQ((per_thread<first_tag, int>::get()), 0);
    per_thread<first_tag, int>::get() = 3;
  }).join();
  EXPECT_EQ((per_thread<first_tag, int>::get()), 1);
  EXPECT_EQ((per_thread<second_tag, int>::get()), 2);
}

TEST(alloc, gives_memory_and_zeroed_pages) {
  void* memory = allocate(100);
  ASSERT_NE(memory, nullptr);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(memory) % alignof(std::max_align_t), 0U);
  std::memset(memory, 1, 100);
  deallocate(memory);
  deallocate(nullptr);
  constexpr std::size_t bytes = 65536;
  auto* pages = static_cast<unsigned char*>(allocate_pages(bytes));
  ASSERT_NE(pages, nullptr);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(pages) % bytes, 0U);
  EXPECT_EQ(pages[0], 0);
  EXPECT_EQ(pages[bytes - 1], 0);
  pages[0] = pages[bytes / 2 - 1] = pages[bytes / 2] = 1;
  EXPECT_TRUE(give_pages_back(pages, bytes / 2));
  EXPECT_EQ(pages[0], 0);
  EXPECT_EQ(pages[bytes / 2 - 1], 0);
  EXPECT_EQ(pages[bytes / 2], 1);
}

TEST(fork_generation, counts_forks) {
  const std::uint32_t here = fork_generation();
  const pid_t child = ::fork();
  if (child == 0) ::_exit(fork_generation() == here + 1 ? 0 : 1);
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(fork_generation(), here);
}

TEST(check, stops_the_process_if_it_does_not_hold) {
  EXPECT_EQ(signal_of([] { UFENCE_CHECK(1 + 1 == 2); }), 0);
  EXPECT_EQ(signal_of([] { UFENCE_CHECK(1 + 1 == 3); }), SIGABRT);
#if UFENCE_DEBUG_CHECKS
  EXPECT_EQ(signal_of([] { UFENCE_DEBUG_CHECK(1 + 1 == 3); }), SIGABRT);
#else
  EXPECT_EQ(signal_of([] { UFENCE_DEBUG_CHECK(1 + 1 == 3); }), 0) << "not looked at";
#endif
}

TEST(check, says_what_did_not_hold_and_where) {
  ::testing::internal::CaptureStderr();
  const pid_t child = ::fork();
  if (child == 0) UFENCE_CHECK(2 + 2 == 5);
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  const std::string text = ::testing::internal::GetCapturedStderr();
  EXPECT_NE(text.find("2 + 2 == 5"), text.npos) << text;
  EXPECT_NE(text.find("base_test.cc"), text.npos) << text;
}

TEST(base_mutex, regress_a_child_of_fork_takes_what_another_thread_held) {
  mutex lock{lock_rank::leaf};
  std::latch is_held(1);
  std::latch may_end(1);
  std::jthread holder([&] {
    const scoped_lock guard(lock);
    is_held.count_down();
    may_end.wait();
  });
  is_held.wait();
  const pid_t child = ::fork();
  if (child == 0) {
    ::alarm(250);
    for (int i = 0; i < 2; ++i) const scoped_lock guard(lock);
    ::_exit(0);
  }
  int status = -1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  may_end.count_down();
}

namespace {

// What the parts of this file did around a fork(), in order.
std::string done_at_fork;
template <char Before, char InParent, char InChild>
fork_part::functions noting() {
  return {.before = [] noexcept { done_at_fork += Before; },
          .in_parent = [] noexcept { done_at_fork += InParent; },
          .in_child = [] noexcept { done_at_fork += InChild; }};
}
const fork_part part_with_leaf(lock_rank::leaf, noting<'c', 'D', '4'>());
const fork_part part_with_host(lock_rank::host, noting<'b', 'E', '5'>());
const fork_part part_that_waits(noting<'a', 'F', '6'>());

}  // namespace

TEST(fork_part, regress_grace_periods_come_before_locks_and_locks_by_rank) {
  done_at_fork.clear();
  const pid_t child = ::fork();
  if (child == 0) ::_exit(done_at_fork == "abc456" ? 0 : 1);
  int status = -1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(done_at_fork, "abcDEF");
}

TEST(base_mutex, excludes) {
  mutex lock{lock_rank::leaf};
  int count = 0;
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 2; ++i) {
      threads.emplace_back([&] {
        for (int n = 0; n < 10'000; ++n) {
          const scoped_lock guard(lock);
          ++count;
        }
      });
    }
  }
  EXPECT_EQ(count, 20'000);
}

#if UFENCE_DEBUG_CHECKS
TEST(lock_rank, stops_the_process_if_locks_are_not_taken_in_rising_order) {
  EXPECT_EQ(signal_of([] {
              mutex low{lock_rank::timeline};
              mutex high{lock_rank::leaf};
              const scoped_lock first(low);
              const scoped_lock second(high);
            }),
            0);
  EXPECT_EQ(signal_of([] {
              mutex low{lock_rank::timeline};
              mutex high{lock_rank::leaf};
              const scoped_lock first(high);
              const scoped_lock second(low);
            }),
            SIGABRT);
  EXPECT_EQ(signal_of([] {
              mutex one{lock_rank::fence};
              mutex other{lock_rank::fence};
              const scoped_lock first(one);
              const scoped_lock second(other);
            }),
            SIGABRT)
      << "nor two of one rank";
}

TEST(lock_rank, knows_whether_this_thread_holds_any) {
  EXPECT_EQ(signal_of([] { rank_check_none(); }), 0);
  EXPECT_EQ(signal_of([] {
              mutex lock{lock_rank::fence};
              const scoped_lock guard(lock);
              rank_check_none();
            }),
            SIGABRT);
  EXPECT_EQ(signal_of([] {
              mutex lock{lock_rank::fence};
              { const scoped_lock guard(lock); }
              rank_check_none();
            }),
            0);
}
#endif
