#include <gmock/gmock.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <thread>
#include <vector>

#include "drivers/sim/sim.h"
#include "drivers/testing/driver_test.h"
#include "drivers/watch/watch.h"
#include "ufence/fence/wait.h"

namespace ufence::drivers {
namespace {

class watch : public driver_test {
 protected:
  static ufence_watch_counters counters(const device_ref& d) {
    ufence_watch_counters c{};
    EXPECT_EQ(run(d, UFENCE_WATCH_QUERY, ufence_watch_query{&c}), 0);
    return c;
  }
  ufence_watch_counters counters() const { return counters(w); }
  fence_ref work(int error = 0) const {
    ufence_sim_work job{};
    job.ticks = 1;
    job.error = error;
    return give(issuer, UFENCE_SIM_WORK, job);
  }
  void advance(std::uint64_t ticks) const {
    EXPECT_EQ(run(issuer, UFENCE_SIM_ADVANCE, ufence_sim_advance{ticks}), 0);
  }

  device_ref issuer = load("sim_ooo");
  device_ref w = load("watch");
};

TEST_F(watch, sees_fences_of_others) {
  std::vector<fence_ref> fences;
  for (int i = 0; i < 5; ++i) {
    fences.push_back(work(i == 3 ? -EIO : 0));
    EXPECT_FALSE(w->observe(fences.back()));
  }
  EXPECT_EQ(counters().watched, 5u);
  EXPECT_EQ(counters().fired, 0u);
  advance(1);
  for (const fence_ref& f : fences) EXPECT_FALSE(f->wait_settled(patience()));
  EXPECT_EQ(counters().fired, 5u);
  EXPECT_EQ(counters().fired_second, 5u);
  EXPECT_EQ(counters().errors, 1u);
  EXPECT_EQ(counters().watched, 0u);
  EXPECT_FALSE(w->observe(fences.front()));
  EXPECT_EQ(counters().was_signaled, 1u);
}

TEST_F(watch, removes_and_renews_its_callbacks) {
  const std::array fences{work(), work(), work()};
  for (const fence_ref& f : fences) ASSERT_FALSE(w->observe(f));
  EXPECT_EQ(run(w, UFENCE_WATCH_RENEW), 0);
  EXPECT_EQ(counters().renewed, 3u);
  EXPECT_EQ(run(w, UFENCE_WATCH_REMOVE), 0);
  EXPECT_EQ(counters().removed, 3u);
  advance(1);
  for (const fence_ref& f : fences) EXPECT_EQ(result_of(f), 0);
  EXPECT_EQ(counters().fired, 0u);
  EXPECT_EQ(counters().fired_second, 0u);
}

TEST_F(watch, may_be_unloaded_with_callbacks_registered) {
  const std::array fences{work(), work(), work()};
  for (const fence_ref& f : fences) ASSERT_FALSE(w->observe(f));
  const unload_report done = unload(w);
  EXPECT_EQ(done.callbacks_removed, 6u);
  advance(1);
  for (const fence_ref& f : fences) EXPECT_EQ(result_of(f), 0);
}

TEST_F(watch, outlives_the_issuer_of_what_it_watches) {
  const fence_ref f = work();
  ASSERT_FALSE(w->observe(f));
  unload(issuer, unload_policy::cancel);
  EXPECT_EQ(f->status(), -ECANCELED);
  EXPECT_FALSE(f->wait_settled(patience()));
  EXPECT_EQ(counters().fired, 1u);
  EXPECT_EQ(counters().errors, 1u);
}

TEST_F(watch, only_modules_that_can_observe_are_shown_fences) {
  const fence_ref f = work();
  EXPECT_EQ(issuer->observe(f).value(), EOPNOTSUPP);
  device_ref old = w;
  unload(w);
  EXPECT_EQ(old->observe(f).value(), ENODEV);
}

// Callbacks run, are removed and renewed, fences are shown, at once; then the module is unloaded
// among it all.
TEST_F(watch, survives_everything_at_once) {
  ufence_sim_configure c{};
  c.free_running = 1;
  c.order = UFENCE_SIM_SHUFFLED;
  ASSERT_EQ(run(issuer, UFENCE_SIM_CONFIGURE, c), 0);
  for (int round = 0; round < 20; ++round) {
    if (!w) w = load("watch");
    const device_ref watcher = w;
    std::vector<std::thread> threads;
    for (int t = 0; t < 2; ++t) {
      threads.emplace_back([&] {
        for (int i = 0; i < 200; ++i) {
          const fence_ref f = work();
          const int error = watcher->observe(f).value();
          EXPECT_TRUE(error == 0 || error == ENODEV || error == ESHUTDOWN) << error;
          if (error != 0) break;
        }
      });
    }
    threads.emplace_back([&] {
      for (int i = 0; i < 100; ++i) {
        const std::uint32_t opcode = i % 4 == 0 ? UFENCE_WATCH_REMOVE : UFENCE_WATCH_RENEW;
        if (!watcher->submit({.opcode = opcode, .args = {}, .in_fences = {}})) break;
      }
    });
    if (round % 2 == 0) {
      unload(w);
      for (std::thread& t : threads) t.join();
    } else {
      for (std::thread& t : threads) t.join();
      unload(w);
    }
  }
  EXPECT_THAT(reports_.texts(), testing::IsEmpty());
}

}  // namespace
}  // namespace ufence::drivers
