// Many threads and jobs, and the end of them at random: nothing is left, nothing is freed twice.
#include <random>

#include "ufence/sched/sched_test_support.h"

namespace ufence::sched::testing {
namespace {

// A million jobs; builds with checks are slower.
#if UFENCE_DEBUG_CHECKS
constexpr int rounds = 20;
#else
constexpr int rounds = 200;
#endif
constexpr int jobs_per_user = 1250;
constexpr std::size_t user_count = 4;

struct user {
  std::uint64_t pushed = 0, refused = 0;
  std::vector<fence_ref> all;
};

// Pushes jobs that wait for those of others, and ends its entities at random.
void use(ring& device, const scheduler& s, user& mine, unsigned seed) {
  std::minstd_rand random(seed);
  const scheduler* const list[] = {&s};
  entity e = entity::create({.schedulers = list}).value();
  for (int i = 0; i < jobs_per_user; ++i) {
    ring_job* const j = device.make(i, 1 + static_cast<std::uint32_t>(random() % 3));
    if (!mine.all.empty() && random() % 4 == 0) {
      EXPECT_FALSE(j->add_dependency(mine.all[random() % mine.all.size()]));
    }
    result<armed_job> armed = e.arm(*j);
    if (!armed) {
      delete j;
      ++mine.refused;
    } else {
      mine.all.push_back(armed->finished());
      armed->push();
      ++mine.pushed;
    }
    switch (random() % 200) {
      case 0: EXPECT_FALSE(e.kill()); break;
      case 1: e = entity::create({.schedulers = list}).value(); break;
      case 2: (void)e.flush(now_ns()); break;
      case 3:
        if (!mine.all.empty()) mine.all.back()->set_deadline(now_ns());
        break;
      case 4: EXPECT_FALSE(e.set_priority(priority(random() % priority_count))); break;
      default: break;
    }
  }
}

TEST(sched_stress, kill_flush_and_fini_at_random_leave_nothing) {
  std::uint64_t pushed = 0, refused = 0;
  for (int round = 0; round < rounds; ++round) {
    ring device(round % 2 == 0 ? manner::by_hand : manner::at_once);
    scheduler_options o = device.options();
    o.order = static_cast<policy>(round % 3);
    o.credit_limit = 8;
    scheduler s = scheduler::create(o).value();
    user users[user_count];
    std::atomic<bool> is_over = false;
    std::thread signals([&] {
      while (!is_over) device.advance(16);
    });
    {
      std::vector<std::jthread> threads;
      for (std::size_t i = 0; i < user_count; ++i) {
        threads.emplace_back([&, i] {
          use(device, s, users[i],
              static_cast<unsigned>(round) * 31 + static_cast<unsigned>(i) + 1);
        });
      }
      if (round % 4 == 3) {
        EXPECT_FALSE(s.fini());
      }
    }
    EXPECT_FALSE(s.fini());
    is_over = true;
    signals.join();
    std::uint64_t here = 0;
    for (const user& u : users) {
      here += u.pushed;
      refused += u.refused;
      for (const fence_ref& f : u.all) EXPECT_NE(f->status(), 0);
    }
    EXPECT_EQ(device.freed(), here);
    EXPECT_EQ(s.statistics().credits_used, 0U);
    EXPECT_EQ(s.statistics().jobs_ended, here);
    pushed += here;
  }
  std::printf("%llu jobs were pushed, %llu refused\n", static_cast<unsigned long long>(pushed),
              static_cast<unsigned long long>(refused));
}

// Resets while jobs come and go: each job is completed once, by whichever run.
TEST(sched_stress, stop_and_start_beside_completions_lose_and_repeat_nothing) {
  ring device;
  scheduler_options o = device.options();
  o.credit_limit = 8;
  scheduler s = scheduler::create(o).value();
  const scheduler* const list[] = {&s};
  entity e = entity::create({.schedulers = list}).value();
  std::atomic<bool> is_over = false;
  std::thread signals([&] {
    while (!is_over) device.advance(4);
  });
  std::thread resets([&] {
    for (int i = 0; !is_over;) {
      if (s.stop()) {
        std::this_thread::yield();  // the worker has not started it yet
      } else {
        EXPECT_FALSE(s.start(i++ % 2 == 0 ? in_flight::keep : in_flight::resubmit));
      }
    }
  });
  std::vector<fence_ref> all;
  for (int i = 0; i < 5000; ++i) all.push_back(device.push(e, i));
  for (const fence_ref& f : all) EXPECT_FALSE(f->wait());
  is_over = true;
  resets.join();
  EXPECT_FALSE(s.fini());
  signals.join();
  while (device.advance(100) != 0) {
  }
  for (const fence_ref& f : all) EXPECT_EQ(f->status(), 1);
  EXPECT_EQ(device.freed(), all.size());
  EXPECT_EQ(s.statistics().credits_used, 0U);
}

}  // namespace
}  // namespace ufence::sched::testing
