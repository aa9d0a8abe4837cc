#include "ufence/base/process_barrier.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <thread>

using namespace ufence;

namespace {

// One thread stores and looks with a point between, the other one with a barrier. True: in each of many
// rounds at least one of them saw the other one's store.
bool one_sees_the_other() {
  constexpr std::uint32_t rounds = 2'000;
  alignas(64) ufence::atomic<std::uint32_t> frequent{0};
  alignas(64) ufence::atomic<std::uint32_t> rare{0};
  alignas(64) ufence::atomic<std::uint32_t> begun{0};
  alignas(64) ufence::atomic<std::uint32_t> done{0};
  std::uint32_t seen_by_frequent = 0;
  std::jthread other([&] {
    for (std::uint32_t round = 1; round <= rounds; ++round) {
      while (begun.load(mo::acquire) != round) std::this_thread::yield();
      frequent.store(round, mo::relaxed);
      barrier_point(mo::acq_rel);
      seen_by_frequent = rare.load(mo::relaxed);
      done.store(round, mo::release);
    }
  });
  bool holds = true;
  for (std::uint32_t round = 1; round <= rounds; ++round) {
    begun.store(round, mo::release);
    rare.store(round, mo::relaxed);
    process_barrier(mo::acq_rel);
    const std::uint32_t seen = frequent.load(mo::relaxed);
    while (done.load(mo::acquire) != round) std::this_thread::yield();
    holds = holds && (seen == round || seen_by_frequent == round);
  }
  return holds;
}

}  // namespace

TEST(process_barrier, of_a_point_and_a_barrier_one_sees_what_was_before_the_other) {
  EXPECT_TRUE(one_sees_the_other());
}

TEST(process_barrier, holds_where_the_kernel_refuses_it) {
  const detail::membarrier_is before = detail::membarrier.load(mo::relaxed);
  detail::membarrier.store(detail::membarrier_is::refused, mo::relaxed);
  EXPECT_TRUE(one_sees_the_other());
  detail::membarrier.store(before, mo::relaxed);
}

TEST(process_barrier, works_in_a_child_of_fork) {
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) _exit(one_sees_the_other() ? 0 : 1);
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}
