#include <gmock/gmock.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <deque>
#include <string>
#include <thread>
#include <vector>

#include "drivers/sim/sim.h"
#include "drivers/testing/driver_test.h"
#include "ufence/fence/callback.h"
#include "ufence/fence/timeline.h"
#include "ufence/fence/wait.h"

namespace ufence::drivers {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class sim_test : public driver_test {
 protected:
  static ufence_sim_work takes(std::uint32_t ticks) {
    ufence_sim_work w{};
    w.ticks = ticks;
    return w;
  }
  static fence_ref work(const device_ref& d, const ufence_sim_work& w) {
    return give(d, UFENCE_SIM_WORK, w);
  }
  static void advance(const device_ref& d, std::uint64_t ticks) {
    EXPECT_EQ(run(d, UFENCE_SIM_ADVANCE, ufence_sim_advance{ticks}), 0);
  }
  static void configure(const device_ref& d, const ufence_sim_configure& c) {
    EXPECT_EQ(run(d, UFENCE_SIM_CONFIGURE, c), 0);
  }
  static ufence_sim_counters counters(const device_ref& d) {
    ufence_sim_counters c{};
    EXPECT_EQ(run(d, UFENCE_SIM_QUERY, ufence_sim_query{&c}), 0);
    return c;
  }

  // Appends its name to a list when its fence is signaled.
  struct recorder : callback {
    recorder(std::vector<int>& l, int n) : callback(&record), list(l), name(n) {}
    static void record(callback& self, fence&) noexcept {
      auto& r = static_cast<recorder&>(self);
      r.list.push_back(r.name);
    }
    std::vector<int>& list;
    int name;
  };
};

class sim : public sim_test {
 protected:
  device_ref d = load("sim");
};

TEST_F(sim, runs_nothing_while_its_clock_stands) {
  const fence_ref f = work(d, takes(1));
  EXPECT_EQ(f->wait(no_wait).value(), ETIME);
  EXPECT_EQ(counters(d).pending, 1u);
  EXPECT_EQ(counters(d).enabled, 1u);
  advance(d, 1);
  EXPECT_TRUE(f->is_signaled());
  EXPECT_EQ(f->status(), 1);
  EXPECT_EQ(f->driver_name(), "sim");
  EXPECT_EQ(f->timeline_name(), "ring");
}

TEST_F(sim, completes_in_order_one_after_the_other) {
  std::vector<int> order;
  std::vector<fence_ref> fences;
  for (const std::uint32_t ticks : {3u, 1u, 2u}) fences.push_back(work(d, takes(ticks)));
  std::array recorders{recorder(order, 0), recorder(order, 1), recorder(order, 2)};
  for (std::size_t i = 3; i-- > 0;) ASSERT_FALSE(fences[i]->add_callback(recorders[i]));
  advance(d, 2);
  EXPECT_THAT(order, IsEmpty());
  advance(d, 1);
  EXPECT_THAT(order, ElementsAre(0));
  advance(d, 1);
  EXPECT_THAT(order, ElementsAre(0, 1));
  advance(d, 2);
  EXPECT_THAT(order, ElementsAre(0, 1, 2));
}

TEST_F(sim, writes_before_it_completes) {
  std::uint64_t written = 0;
  ufence_sim_work w = takes(1);
  w.target = &written;
  w.value = 42;
  const fence_ref f = work(d, w);
  EXPECT_EQ(written, 0u);
  advance(d, 1);
  EXPECT_EQ(result_of(f), 0);
  EXPECT_EQ(written, 42u);
}

// Nobody awaited it, so the device told nobody: a thread that waits finds it in the word.
TEST_F(sim, tells_only_what_was_awaited) {
  const fence_ref f = work(d, takes(1));
  advance(d, 5);
  EXPECT_EQ(counters(d).completed, 1u);
  EXPECT_EQ(counters(d).told, 0u);
  EXPECT_EQ(f->status(), 0);
  EXPECT_EQ(result_of(f), 0);
  const fence_ref next = work(d, takes(1));
  next->enable_signaling();
  advance(d, 1);
  EXPECT_TRUE(next->is_signaled());
  EXPECT_GE(counters(d).told, 1u);
}

// Awaited: 5 only, then also 7; the device was told of 5 alone, and tells both.
TEST_F(sim, goes_on_telling_after_the_first_awaited_one) {
  const fence_ref first = work(d, takes(1));
  const fence_ref second = work(d, takes(1));
  const fence_ref third = work(d, takes(1));
  first->enable_signaling();
  third->enable_signaling();
  EXPECT_EQ(counters(d).enabled, 1u);
  advance(d, 1);
  EXPECT_TRUE(first->is_signaled());
  EXPECT_EQ(third->status(), 0);
  advance(d, 2);
  EXPECT_TRUE(second->is_signaled());
  EXPECT_TRUE(third->is_signaled());
}

TEST_F(sim, may_tell_late) {
  ufence_sim_work w = takes(2);
  w.late = 3;
  const fence_ref f = work(d, w);
  f->enable_signaling();
  advance(d, 4);
  EXPECT_EQ(counters(d).completed, 1u);
  EXPECT_EQ(f->status(), 0);
  advance(d, 1);
  EXPECT_EQ(f->status(), 1);
}

TEST_F(sim, ends_single_jobs_with_errors) {
  std::array<fence_ref, 3> fences;
  for (std::size_t i = 0; i < fences.size(); ++i) {
    ufence_sim_work w = takes(1);
    w.error = i == 1 ? -EIO : 0;
    fences[i] = work(d, w);
  }
  advance(d, 3);
  EXPECT_EQ(result_of(fences[0]), 0);
  EXPECT_EQ(result_of(fences[1]), -EIO);
  EXPECT_EQ(result_of(fences[2]), 0);
}

TEST_F(sim, hangs_until_it_is_released) {
  ufence_sim_work w = takes(1);
  w.flags = UFENCE_SIM_HANG;
  const fence_ref f = work(d, w);
  const fence_ref behind = work(d, takes(1));
  behind->enable_signaling();
  advance(d, 1000);
  EXPECT_EQ(counters(d).hanging, 1u);
  EXPECT_EQ(f->status(), 0);
  EXPECT_EQ(run(d, UFENCE_SIM_RELEASE), 0);
  advance(d, 2);
  EXPECT_EQ(result_of(f), 0);
  EXPECT_EQ(result_of(behind), 0);
}

TEST_F(sim, runs_faster_for_a_deadline) {
  const fence_ref slow = work(d, takes(10));
  slow->set_deadline(now_ns() + 1'000'000'000);
  slow->set_deadline(now_ns() + 2'000'000'000);  // later than the first: no news
  EXPECT_EQ(counters(d).boosts, 1u);
  slow->enable_signaling();
  advance(d, 5);
  EXPECT_TRUE(slow->is_signaled());
  const fence_ref next = work(d, takes(2));
  next->enable_signaling();
  advance(d, 1);
  EXPECT_EQ(next->status(), 0);  // at normal speed again
  advance(d, 1);
  EXPECT_TRUE(next->is_signaled());
}

TEST_F(sim, gets_its_jobs_in_order_whatever_they_wait_for) {
  new_fence start = *fence::create(fence::allocate_contexts(1), 1);
  const std::array in{start.fence};
  const fence_ref first = give(d, UFENCE_SIM_WORK, takes(1), in);
  const fence_ref second = work(d, takes(1));
  second->enable_signaling();
  EXPECT_LT(first->seqno(), second->seqno());
  start.signal.signal();
  advance(d, 2);
  EXPECT_EQ(result_of(second), 0);
  EXPECT_EQ(result_of(first), 0);
}

TEST_F(sim, ends_what_it_can_when_cancelled_and_the_host_the_rest) {
  std::array<fence_ref, 4> fences;
  for (std::size_t i = 0; i < fences.size(); ++i) {
    ufence_sim_work w = takes(1);
    w.flags = i == 0 ? UFENCE_SIM_HANG | UFENCE_SIM_NO_CANCEL : UFENCE_SIM_HANG;
    fences[i] = work(d, w);
  }
  // What can't be cancelled is not waited for longer than this.
  const result<unload_report> done =
      host_.unload(d, {.policy = unload_policy::cancel, .give_up_ns = 100'000'000});
  ASSERT_TRUE(done.has_value());
  EXPECT_EQ(done->state, unload_state::unmapped);
  EXPECT_EQ(done->jobs_cancelled, fences.size());
  for (const fence_ref& f : fences) {
    EXPECT_EQ(f->status(), -ECANCELED);
    EXPECT_EQ(f->driver_name(), "sim");
  }
}

// Complete in the word, though nobody was told: unload must not take the success away.
TEST_F(sim, keeps_results_that_nobody_looked_at) {
  const fence_ref f = work(d, takes(1));
  advance(d, 1);
  ASSERT_EQ(f->status(), 0);
  unload(d, unload_policy::cancel);
  EXPECT_EQ(f->status(), 1);
}

TEST_F(sim, gives_the_same_history_for_the_same_seed) {
  const auto history = [this](std::uint64_t seed) {
    ufence_sim_configure c{};
    c.seed = seed;
    c.ticks_more = 5;
    c.errors = 200;
    c.error = -ENOSPC;
    configure(d, c);
    std::vector<fence_ref> fences;
    for (int i = 0; i < 50; ++i) {
      ufence_sim_work w = takes(1);
      w.flags = UFENCE_SIM_RANDOM;
      fences.push_back(work(d, w));
    }
    fences.back()->enable_signaling();
    std::vector<int> told;
    while (counters(d).pending != 0) {
      advance(d, 1);
      told.push_back(static_cast<int>(counters(d).completed % 50));
    }
    for (const fence_ref& f : fences) told.push_back(result_of(f));
    return told;
  };
  const std::vector<int> first = history(1);
  EXPECT_EQ(history(1), first);
  EXPECT_NE(history(2), first);
  EXPECT_THAT(first, testing::Contains(-ENOSPC));
}

TEST_F(sim, refuses_wrong_arguments) {
  ufence_sim_work w = takes(1);
  w.flags = 8;
  EXPECT_EQ(result_of(work(d, w)), -EINVAL);
  w = takes(UFENCE_SIM_TICKS_MAX + 1);
  EXPECT_EQ(result_of(work(d, w)), -EINVAL);
  w = takes(1);
  w.error = 1;
  EXPECT_EQ(result_of(work(d, w)), -EINVAL);
  EXPECT_EQ(run(d, UFENCE_SIM_WORK, 1), -EINVAL);
  EXPECT_EQ(run(d, 99), -EINVAL);
  ufence_sim_configure c{};
  c.errors = 1001;
  EXPECT_EQ(run(d, UFENCE_SIM_CONFIGURE, c), -EINVAL);
  EXPECT_THAT(reports_.texts(), IsEmpty());
}

class sim_ooo : public sim_test {
 protected:
  device_ref d = load("sim_ooo");

  // In which order jobs complete that are due at the same tick.
  std::vector<int> order_of(ufence_sim_order order, std::uint64_t seed, int n) {
    ufence_sim_configure c{};
    c.order = order;
    c.seed = seed;
    configure(d, c);
    std::vector<int> told;
    std::deque<recorder> recorders;
    std::vector<fence_ref> fences;
    for (int i = 0; i < n; ++i) {
      fences.push_back(work(d, takes(1)));
      EXPECT_FALSE(fences.back()->add_callback(recorders.emplace_back(told, i)));
    }
    advance(d, 1);
    for (const fence_ref& f : fences) EXPECT_FALSE(f->wait_settled(patience()));
    return told;
  }
};

TEST_F(sim_ooo, completes_in_the_order_it_is_told) {
  EXPECT_THAT(order_of(UFENCE_SIM_FIFO, 0, 4), ElementsAre(0, 1, 2, 3));
  EXPECT_THAT(order_of(UFENCE_SIM_LIFO, 0, 4), ElementsAre(3, 2, 1, 0));
  const std::vector<int> shuffled = order_of(UFENCE_SIM_SHUFFLED, 1, 20);
  EXPECT_EQ(order_of(UFENCE_SIM_SHUFFLED, 1, 20), shuffled);
  EXPECT_NE(order_of(UFENCE_SIM_SHUFFLED, 2, 20), shuffled);
}

TEST_F(sim_ooo, tells_only_what_it_was_asked_for) {
  const fence_ref f = work(d, takes(1));
  advance(d, 1);
  EXPECT_EQ(f->status(), 0);
  EXPECT_EQ(counters(d).completed, 1u);
  EXPECT_TRUE(f->poll());
  EXPECT_EQ(f->status(), 1);
  EXPECT_EQ(counters(d).polled, 1u);
  EXPECT_EQ(counters(d).told, 0u);
}

TEST_F(sim_ooo, tells_at_once_what_is_complete_when_it_is_asked) {
  ufence_sim_work w = takes(1);
  w.error = -EIO;
  const fence_ref f = work(d, w);
  advance(d, 1);
  EXPECT_EQ(result_of(f), -EIO);
  EXPECT_EQ(counters(d).enabled, 1u);
  EXPECT_EQ(counters(d).told, 0u);  // the host decided it for what enable_signaling returned
}

TEST_F(sim_ooo, may_tell_late_or_never) {
  ufence_sim_work w = takes(1);
  w.late = 2;
  const fence_ref late = work(d, w);
  w = takes(1);
  w.flags = UFENCE_SIM_HANG;
  const fence_ref hangs = work(d, w);
  late->enable_signaling();
  hangs->enable_signaling();
  advance(d, 2);
  EXPECT_EQ(late->status(), 0);
  advance(d, 1);
  EXPECT_EQ(late->status(), 1);
  advance(d, 1000);
  EXPECT_EQ(hangs->status(), 0);
  unload(d, unload_policy::cancel);
  EXPECT_EQ(hangs->status(), -ECANCELED);
}

TEST_F(sim_ooo, retires_each_job_once) {
  std::vector<fence_ref> fences;
  for (int i = 0; i < 10; ++i) fences.push_back(work(d, takes(1)));
  advance(d, 1);
  for (const fence_ref& f : fences) EXPECT_EQ(result_of(f), 0);
  for (const fence_ref& f : fences) EXPECT_FALSE(f->wait_quiesced(patience()));
  EXPECT_EQ(counters(d).retired, 10u);
  unload(d);
  EXPECT_THAT(reports_.texts(), IsEmpty());
}

// exit() looks itself whether a job was not retired before it, and reports it (D-11).
TEST_F(sim_ooo, exits_after_its_last_retire) {
  std::vector<fence_ref> held;
  for (int i = 0; i < 10; ++i) {
    ufence_sim_work w = takes(1);
    w.flags = i % 2 == 0 ? UFENCE_SIM_HANG : 0;
    held.push_back(work(d, w));
    held.back()->enable_signaling();
  }
  advance(d, 1);
  unload(d, unload_policy::cancel);
  for (std::size_t i = 0; i < held.size(); ++i) {
    EXPECT_EQ(held[i]->status(), i % 2 == 0 ? -ECANCELED : 1);
  }
  EXPECT_THAT(reports_.texts(), IsEmpty());
}

// What nobody asked for is complete on the device: draining must ask, or it would never end.
TEST_F(sim_ooo, is_drained_though_nobody_asked) {
  ufence_sim_configure c{};
  c.free_running = 1;
  configure(d, c);
  std::vector<fence_ref> fences;
  for (int i = 0; i < 100; ++i) fences.push_back(work(d, takes(1)));
  const unload_report done = unload(d, unload_policy::drain);
  EXPECT_EQ(done.jobs_cancelled, 0u);
  for (const fence_ref& f : fences) EXPECT_EQ(f->status(), 1);
}

}  // namespace
}  // namespace ufence::drivers
