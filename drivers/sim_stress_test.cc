// Free-running devices under waiters, pollers, hints and unloads.
#include <gmock/gmock.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <string>
#include <thread>
#include <vector>

#include "drivers/sim/sim.h"
#include "drivers/testing/driver_test.h"
#include "ufence/fence/wait.h"

namespace ufence::drivers {
namespace {

class sim_stress : public driver_test, public testing::WithParamInterface<const char*> {
 protected:
  static fence_ref random_work(const device_ref& d) {
    ufence_sim_work w{};
    w.flags = UFENCE_SIM_RANDOM;
    const job_request request{.opcode = UFENCE_SIM_WORK, .args = bytes_of(w), .in_fences = {}};
    const result<fence_ref> f = d->submit(request);
    return f ? *f : fence_ref();
  }
  static void let_run(const device_ref& d, std::uint64_t seed, std::uint32_t hangs) {
    ufence_sim_configure c{};
    c.seed = seed;
    c.order = UFENCE_SIM_SHUFFLED;
    c.free_running = 1;
    c.ticks_more = 3;
    c.late_more = 2;
    c.errors = 50;
    c.hangs = hangs;
    EXPECT_EQ(run(d, UFENCE_SIM_CONFIGURE, c), 0);
  }
};

TEST_P(sim_stress, every_waiter_gets_its_result) {
  device_ref d = load(GetParam());
  let_run(d, 1, 0);
  std::vector<std::thread> threads;
  std::atomic<int> failed = 0;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 500; ++i) {
        const fence_ref f = random_work(d);
        if ((i + t) % 3 == 0) f->set_deadline(now_ns());
        if ((i + t) % 5 == 0) f->poll();
        const int error = result_of(f);
        EXPECT_TRUE(error == 0 || error == -EIO) << error;
        if (error != 0) ++failed;
      }
    });
  }
  for (std::thread& t : threads) t.join();
  EXPECT_GT(failed, 20);
  EXPECT_LT(failed, 300);
  unload(d);
  EXPECT_THAT(reports_.texts(), testing::IsEmpty());
}

// Some hang, so each unload has to cancel; waiters of all rounds get an answer.
TEST_P(sim_stress, unloads_end_what_hangs) {
  constexpr int rounds = 30;
  for (int round = 0; round < rounds; ++round) {
    device_ref d = load(GetParam());
    ASSERT_NE(d, nullptr);
    let_run(d, static_cast<std::uint64_t>(round), 30);
    std::vector<std::thread> threads;
    for (int t = 0; t < 3; ++t) {
      threads.emplace_back([d, t] {
        std::vector<fence_ref> fences;
        for (int i = 0; i < 100; ++i) {
          fence_ref f = random_work(d);
          if (!f) break;  // being unloaded
          if (t == 1) f->poll();
          if (t == 2) f->set_deadline(now_ns() + i);
          fences.push_back(std::move(f));
        }
        for (const fence_ref& f : fences) {
          const int error = result_of(f);
          EXPECT_TRUE(error == 0 || error == -EIO || error == -ECANCELED) << error;
        }
      });
    }
    unload(d, unload_policy::cancel);
    for (std::thread& t : threads) t.join();
  }
  EXPECT_THAT(reports_.texts(), testing::IsEmpty());
}

INSTANTIATE_TEST_SUITE_P(, sim_stress, testing::Values("sim", "sim_ooo"),
                         [](const auto& which) { return std::string(which.param); });

}  // namespace
}  // namespace ufence::drivers
