#include "ufence/io/side_work.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <latch>
#include <vector>

namespace ufence::detail {
namespace {

// Work that blocks until the test opens the gate.
struct gate {
  std::latch opened{1};
  std::atomic<int> arrived{0};
  std::atomic<int> left{0};

  static void wait_at(std::uint64_t self) noexcept {
    auto* const g = reinterpret_cast<gate*>(self);
    ++g->arrived;
    g->arrived.notify_all();
    g->opened.wait();
    ++g->left;
    g->left.notify_all();
  }
  [[nodiscard]] side_work work() { return {&gate::wait_at, reinterpret_cast<std::uint64_t>(this)}; }
};
void until(std::atomic<int>& count, int n) {
  for (int now = count; now < n; now = count) count.wait(now);
}

unique_fd closed_by(unique_fd& other) {
  std::array<int, 2> ends{};
  EXPECT_EQ(::pipe2(ends.data(), O_CLOEXEC), 0);
  other.reset(ends[1]);
  return unique_fd(ends[0]);
}
bool hangs_up(int fd) {
  pollfd p{.fd = fd, .events = POLLIN, .revents = 0};
  return ::poll(&p, 1, 120'000) == 1 && (p.revents & POLLHUP) != 0;
}

TEST(side_work, closes_what_it_is_given) {
  unique_fd ours;
  const unique_fd theirs = closed_by(ours);
  close_aside(std::move(ours));
  EXPECT_FALSE(ours);
  EXPECT_TRUE(hangs_up(theirs.get()));
}

TEST(side_work, goes_on_beside_work_that_blocks) {
  gate held;
  for (std::size_t i = 0; i + 1 < side_work_threads_max; ++i) {
    ASSERT_TRUE(run_aside(held.work()));
    until(held.arrived, static_cast<int>(i) + 1);
  }
  unique_fd ours;
  const unique_fd theirs = closed_by(ours);
  close_aside(std::move(ours));
  EXPECT_TRUE(hangs_up(theirs.get()));
  held.opened.count_down();
  until(held.left, static_cast<int>(side_work_threads_max) - 1);
}

TEST(side_work, refuses_more_than_it_has_room_for_and_closes_at_once_then) {
  gate held;
  for (std::size_t i = 0; i < side_work_threads_max; ++i) {
    ASSERT_TRUE(run_aside(held.work()));
    until(held.arrived, static_cast<int>(i) + 1);
  }
  for (std::size_t i = 0; i < side_work_waiting_max; ++i) ASSERT_TRUE(run_aside(held.work()));
  EXPECT_FALSE(run_aside(held.work()));
  unique_fd ours;
  const unique_fd theirs = closed_by(ours);
  close_aside(std::move(ours));
  pollfd p{.fd = theirs.get(), .events = POLLIN, .revents = 0};
  EXPECT_EQ(::poll(&p, 1, 0), 1) << "it was closed by the caller";
  held.opened.count_down();
  until(held.left, static_cast<int>(side_work_threads_max + side_work_waiting_max));
}

}  // namespace
}  // namespace ufence::detail
