// Storms: threads that lock many mutexes, each in another order.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <functional>
#include <latch>
#include <numeric>
#include <random>
#include <thread>
#include <vector>

#include "ufence/container/resv_locks.h"
#include "ufence/container/ww_mutex.h"

namespace ufence {
namespace {

constexpr unsigned threads = 4;
constexpr std::size_t objects = 6;
constexpr std::uint64_t rounds = 20'000;

void on_threads(const std::function<void(unsigned)>& body) {
  std::latch all_run(threads);
  std::vector<std::thread> running;
  for (unsigned t = 0; t < threads; ++t) {
    running.emplace_back([&, t] {
      all_run.arrive_and_wait();
      body(t);
    });
  }
  for (std::thread& t : running) t.join();
}

std::vector<std::size_t> random_order(std::minstd_rand& random) {
  std::vector<std::size_t> order(objects);
  std::iota(order.begin(), order.end(), 0U);
  std::ranges::shuffle(order, random);
  return order;
}

// Guarded by the mutex of the same index; not atomic.
struct counted {
  ww_mutex lock;
  std::uint64_t count = 0;
};

// The loop that users of ww_mutex write if they do not have resv_locks.
TEST(ww_mutex_stress, a_storm_of_contexts_ends_and_excludes) {
  std::array<counted, objects> all;
  on_threads([&](unsigned t) {
    std::minstd_rand random(t + 1);
    for (std::uint64_t round = 0; round < rounds; ++round) {
      const std::vector<std::size_t> order = random_order(random);
      ww_context context;
      std::vector<std::size_t> held;
      const auto drop = [&] {
        for (const std::size_t i : held) all[i].lock.unlock();
        held.clear();
      };
      for (std::size_t at = 0; at < order.size();) {
        const std::size_t i = order[at];
        if (std::ranges::find(held, i) != held.end()) {
          ++at;
          continue;
        }
        if (const std::error_code failed = all[i].lock.lock(&context)) {
          ASSERT_EQ(failed, errno_code(EDEADLK));
          ASSERT_FALSE(held.empty()) << "who holds nothing gives nothing back";
          drop();
          all[i].lock.lock_slow(context);
          at = 0;
        } else {
          ++at;
        }
        held.push_back(i);
      }
      for (counted& c : all) ++c.count;
      drop();
    }
  });
  for (const counted& c : all) EXPECT_EQ(c.count, threads * rounds);
}

TEST(ww_mutex_stress, contexts_mix_with_single_locks_and_attempts) {
  std::array<counted, objects> all;
  std::array<std::uint64_t, threads> done{};
  on_threads([&](unsigned t) {
    std::minstd_rand random(t + 1);
    for (std::uint64_t round = 0; round < rounds; ++round) {
      counted& one = all[random() % objects];
      counted& other = all[random() % objects];
      switch (t % 4) {
        case 0:
          ASSERT_FALSE(one.lock.lock());
          ++one.count;
          ++done[t];
          one.lock.unlock();
          break;
        case 1:
          if (!one.lock.try_lock()) break;
          ++one.count;
          ++done[t];
          one.lock.unlock();
          break;
        default: {
          ww_context context;
          ASSERT_FALSE(one.lock.lock(&context));
          const std::error_code failed = other.lock.lock(&context);
          if (!failed) {
            ++other.count;
            ++done[t];
            other.lock.unlock();
          } else {
            ASSERT_TRUE(failed == errno_code(EDEADLK) || &one == &other);
          }
          ++one.count;
          ++done[t];
          one.lock.unlock();
        }
      }
    }
  });
  std::uint64_t counted_all = 0;
  for (const counted& c : all) counted_all += c.count;
  EXPECT_EQ(counted_all, std::accumulate(done.begin(), done.end(), std::uint64_t{0}));
}

TEST(ww_mutex_stress, resv_locks_get_all_in_the_end) {
  std::array<resv, objects> all;
  std::array<std::uint64_t, objects> counts{};
  on_threads([&](unsigned t) {
    std::minstd_rand random(t + 1);
    resv_locks locks;
    for (std::uint64_t round = 0; round < rounds; ++round) {
      std::vector<resv*> wanted;
      for (const std::size_t i : random_order(random)) wanted.push_back(&all[i]);
      ASSERT_FALSE(locks.lock_all(wanted));
      for (std::uint64_t& c : counts) ++c;
      locks.unlock_all();
    }
  });
  for (const std::uint64_t c : counts) EXPECT_EQ(c, threads * rounds);
}

}  // namespace
}  // namespace ufence
