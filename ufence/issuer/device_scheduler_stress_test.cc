// Entities push jobs while their module is unloaded and loaded again, as often as the time allows:
// UFENCE_STRESS_SECONDS (default 2) for each test. No fence may stay pending, and what waits for
// the next instance must not end without one.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <deque>
#include <random>
#include <thread>
#include <vector>

#include "ufence/fence/wait.h"
#include "ufence/issuer/device_scheduler.h"
#include "ufence/issuer/issuer_test_support.h"

namespace ufence {
namespace {

using testing::stress_clock;
namespace ops = puppet;

struct totals {
  std::atomic<std::uint64_t> pushed{0}, succeeded{0}, canceled{0}, without_device{0}, killed{0};
};

// One user: keeps some jobs queued, and counts how they end.
class client {
 public:
  client(const device_scheduler& at, const puppet::board& board, without_device when_gone,
         totals& sums, unsigned seed)
      : at_(at),
        board_(board),
        when_gone_(when_gone),
        sums_(sums),
        random_(seed),
        entity_(make()) {}
  ~client() {
    while (!queued_.empty()) take_first();
  }
  client(const client&) = delete;
  client& operator=(const client&) = delete;

  void step() {
    while (queued_.size() < 8) push();
    if (random_() % 500 == 0) {
      static_cast<void>(entity_.kill());
      entity_ = make();
    }
    take_first();
  }

 private:
  device_entity make() const {
    return device_entity::create(at_, {.name = "client",
                                       .weight = 1 + static_cast<std::uint32_t>(random_() % 8),
                                       .when_gone = when_gone_})
        .value();
  }
  void push() {
    const puppet::arguments arguments{.to = const_cast<puppet::board*>(&board_)};
    std::vector<fence_ref> after;
    if (!queued_.empty() && random_() % 4 == 0) after.push_back(queued_.back());
    const auto pushed = entity_.push({.opcode = random_() % 2 == 0 ? ops::work : ops::now,
                                      .args = std::as_bytes(std::span(&arguments, 1)),
                                      .in_fences = after});
    ASSERT_TRUE(pushed) << pushed.error().message();
    queued_.push_back(pushed->finished);
    ++sums_.pushed;
  }
  void take_first() {
    const fence_ref f = std::move(queued_.front());
    queued_.pop_front();
    ASSERT_FALSE(f->wait());
    switch (f->status()) {
      case 1: ++sums_.succeeded; break;
      case -ECANCELED: ++sums_.canceled; break;
      case -ESRCH: ++sums_.killed; break;
      case -ENODEV:
        EXPECT_EQ(when_gone_, without_device::end);
        ++sums_.without_device;
        break;
      default: ADD_FAILURE() << f->status();
    }
  }

  const device_scheduler& at_;
  const puppet::board& board_;
  const without_device when_gone_;
  totals& sums_;
  mutable std::minstd_rand random_;
  device_entity entity_;
  std::deque<fence_ref> queued_;
};

void push_while_it_is_unloaded(const char* module, unload_policy policy, bool detaches) {
  const stress_clock clock;
  totals sums;
  std::uint64_t unloads = 0;
  host h;
  puppet::board board;
  const auto load = [&] {
    device_ref fresh = load_module(h, test_module(module));
    const puppet::arguments arguments{.to = &board};
    EXPECT_TRUE(
        fresh->submit({.opcode = ops::attach, .args = std::as_bytes(std::span(&arguments, 1))}));
    return fresh;
  };
  device_ref now = load();
  {
    device_scheduler s = device_scheduler::create(now, {.credit_limit = 4}).value();
    std::vector<std::thread> threads;
    for (unsigned i = 0; i < 4; ++i) {
      threads.emplace_back([&, i] {
        client c(s, board, i % 2 == 0 ? without_device::wait : without_device::end, sums, i + 1);
        while (clock.runs()) c.step();
      });
    }
    while (clock.runs()) {
      const std::uint64_t enough = now->stats().jobs_submitted + 50;
      while (clock.runs() && now->stats().jobs_submitted < enough) {
        std::this_thread::sleep_for(std::chrono::microseconds(20));
      }
      if (detaches) {
        EXPECT_FALSE(s.detach());
      }
      expect_unmapped(h.unload(now, {.policy = policy}));
      ++unloads;
      now = load();
      EXPECT_FALSE(s.attach(now));
    }
    for (std::thread& t : threads) t.join();
    EXPECT_FALSE(s.fini());
    EXPECT_EQ(s.statistics().entities, 0U);
  }
  expect_unmapped(h.unload(now, {.policy = unload_policy::cancel}));
  EXPECT_EQ(sums.pushed, sums.succeeded + sums.canceled + sums.without_device + sums.killed);
  EXPECT_GT(unloads, 0U);
  std::printf("%llu jobs over %llu unloads: %llu cancelled, %llu without a device, %llu killed\n",
              static_cast<unsigned long long>(sums.pushed),
              static_cast<unsigned long long>(unloads),
              static_cast<unsigned long long>(sums.canceled),
              static_cast<unsigned long long>(sums.without_device),
              static_cast<unsigned long long>(sums.killed));
}

TEST(device_scheduler_stress, queued_jobs_outlive_instances_that_are_drained) {
  push_while_it_is_unloaded("puppet", unload_policy::drain, false);
}
TEST(device_scheduler_stress, queued_jobs_outlive_instances_that_are_cancelled) {
  push_while_it_is_unloaded("puppet", unload_policy::cancel, true);
}
TEST(device_scheduler_stress, queued_jobs_outlive_timelines) {
  push_while_it_is_unloaded("puppet_line", unload_policy::cancel, false);
}

}  // namespace
}  // namespace ufence
