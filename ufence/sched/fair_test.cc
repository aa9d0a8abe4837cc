// Shares of a device, in its own time: the ring's clock goes on by the length of each job.
#include <algorithm>
#include <cmath>
#include <cstdio>

#include "ufence/sched/sched_test_support.h"

namespace ufence::sched::testing {
namespace {

struct shared_ring {
  shared_ring() : s(without_thread(device.options())) {
    // The first job has the time from now to the ring's clock.
    entity first = s.make();
    device.push(first);
    s.run();
  }
  void push(entity& e, std::int64_t length_ns) {
    ring_job* const j = device.make();
    j->length_ns = length_ns;
    ASSERT_FALSE(e.push(*j));
  }
  ring device{manner::by_clock};
  loop s;
};

struct user {
  std::uint32_t weight;
  std::int64_t length_ns;
};

// Everybody always has a job waiting. Returns the largest error of a share, in per cent of the
// ideal.
double largest_error(const std::vector<user>& users, std::int64_t device_ns) {
  shared_ring r;
  std::vector<entity> entities;
  std::vector<std::uint64_t> pushed(users.size());
  std::int64_t begin = 0;
  for (const user& u : users) entities.push_back(r.s.make({.weight = u.weight}));
  for (std::int64_t used = 0; used < device_ns;) {
    for (std::size_t i = 0; i < users.size(); ++i) {
      for (; pushed[i] < entities[i].statistics().jobs_ended + 2; ++pushed[i]) {
        r.push(entities[i], users[i].length_ns);
      }
    }
    EXPECT_EQ(r.s.run(1), 1U);
    used = 0;
    for (const entity& e : entities) used += e.statistics().device_time_ns;
    if (begin == 0) begin = used;
  }
  double weights = 0, time = 0, worst = 0;
  for (std::size_t i = 0; i < users.size(); ++i) {
    weights += users[i].weight;
    time += static_cast<double>(entities[i].statistics().device_time_ns);
  }
  for (std::size_t i = 0; i < users.size(); ++i) {
    const double ideal = time * users[i].weight / weights;
    const auto had = static_cast<double>(entities[i].statistics().device_time_ns);
    worst = std::max(worst, std::abs(had - ideal) / ideal * 100);
  }
  return worst;
}

TEST(sched_fair, shares_device_time_by_weight_whatever_the_lengths_of_jobs) {
  const double even = largest_error({{1, 1000}, {1, 1000}, {1, 1000}}, 1'000'000'000 / 100);
  // A second, jobs from 2 us to 2 ms.
  const double mixed =
      largest_error({{1, 2'000'000}, {2, 2'000}, {8, 200'000}}, INT64_C(1'000'000'000));
  const double reversed =
      largest_error({{8, 2'000}, {2, 2'000'000}, {1, 200'000}}, INT64_C(1'000'000'000));
  std::printf("largest error of a share: %.2f %%, %.2f %%, %.2f %%\n", even, mixed, reversed);
  EXPECT_LE(even, 0.1);
  EXPECT_LE(mixed, 5.0);
  EXPECT_LE(reversed, 5.0);
}

TEST(sched_fair, neighbouring_priorities_differ_by_2_4_and_8) {
  shared_ring r;
  std::vector<entity> entities;
  for (const priority p : {priority::kernel, priority::high, priority::normal, priority::low}) {
    entities.push_back(r.s.make({.rank = p}));
    for (int i = 0; i < 7000; ++i) r.push(entities.back(), 1000);
  }
  ASSERT_EQ(r.s.run(105 * 100), 105U * 100);
  const double expected[] = {64, 32, 8, 1};
  for (std::size_t i = 0; i < 4; ++i) {
    EXPECT_NEAR(static_cast<double>(entities[i].statistics().jobs_ended), expected[i] * 100, 2)
        << i;
  }
}

// Who sleeps has no claim to what he did not use, but comes soon when he wakes.
TEST(sched_fair, time_that_was_not_used_is_not_saved_up) {
  shared_ring r;
  entity busy = r.s.make(), sleeper = r.s.make();
  for (int i = 0; i < 1000; ++i) r.push(busy, 1000);
  EXPECT_EQ(r.s.run(500), 500U);
  for (int i = 0; i < 500; ++i) r.push(sleeper, 1000);
  EXPECT_EQ(r.s.run(1), 1U);
  EXPECT_EQ(sleeper.statistics().jobs_ended, 1U) << "it is chosen next";
  EXPECT_EQ(r.s.run(199), 199U);
  EXPECT_NEAR(static_cast<double>(sleeper.statistics().jobs_ended), 100, 1);
}

// Several jobs are in flight before the first has ended: its entity is charged before that.
TEST(sched_fair, an_entity_is_charged_before_its_jobs_have_ended) {
  ring device;
  loop s(without_thread(device.options()));
  entity a = s.make(), b = s.make();
  for (int i = 0; i < 20; ++i) {
    device.push(a, 1);
    device.push(b, 2);
  }
  EXPECT_EQ(s.run(8), 8U);
  const std::vector<int> ran = device.ran();
  EXPECT_EQ(std::ranges::count(ran, 1), 4);
  EXPECT_EQ(std::ranges::count(ran, 2), 4);
  s.run();
  while (device.advance(100) != 0) s.run();
}

TEST(sched_fair, a_weight_that_changes_counts_from_then_on) {
  shared_ring r;
  entity a = r.s.make(), b = r.s.make();
  for (int i = 0; i < 3000; ++i) r.push(a, 1000), r.push(b, 1000);
  EXPECT_EQ(r.s.run(1000), 1000U);
  EXPECT_NEAR(static_cast<double>(a.statistics().jobs_ended), 500, 1);
  EXPECT_FALSE(a.set_weight(24));
  EXPECT_EQ(r.s.run(1000), 1000U);
  EXPECT_NEAR(static_cast<double>(a.statistics().jobs_ended), 1250, 3) << "3 to 1";
}

}  // namespace
}  // namespace ufence::sched::testing
