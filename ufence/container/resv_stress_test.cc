// Readers without a lock against writers.
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <functional>
#include <random>
#include <thread>
#include <vector>

#include "ufence/container/container_test_support.h"
#include "ufence/container/resv.h"
#include "ufence/container/resv_locks.h"
#include "ufence/rcu/rcu.h"

namespace ufence {
namespace {

constexpr int rounds = 20'000;

// Runs readers until the writer has returned.
void read_while(const std::function<void()>& write, const std::function<void()>& read) {
  std::atomic<bool> done = false;
  std::vector<std::thread> readers;
  for (int i = 0; i < 2; ++i) {
    readers.emplace_back([&] {
      do read();
      while (!done.load());
    });
  }
  write();
  done.store(true);
  for (std::thread& t : readers) t.join();
}

// The writer drops each fence that was replaced, and makes others, of contexts of their own, in the
// memory: a reader that meets one of those met a fence that was gone.
TEST(resv_stress, readers_never_meet_a_fence_that_is_gone) {
  constexpr std::uint64_t contexts = 6;
  const std::uint64_t first = fence::allocate_contexts(contexts);
  const std::uint64_t strangers = fence::allocate_contexts(1);
  resv r;
  const auto check = [&](fence* f, resv_usage usage) {
    const std::uint64_t index = f->context() - first;
    ASSERT_LT(index, contexts);
    ASSERT_EQ(usage, static_cast<resv_usage>(index % 4));
    ASSERT_NE(f->seqno(), 0U);
  };
  read_while(
      [&] {
        std::minstd_rand random(1);
        std::array<new_fence, contexts> newest;
        for (std::uint64_t seqno = 1; seqno <= rounds; ++seqno) {
          const std::uint64_t i = random() % contexts;
          new_fence next = make_fence(first + i, seqno);
          ASSERT_FALSE(r.lock());
          ASSERT_FALSE(r.reserve(1));
          ASSERT_FALSE(r.add(next.fence, static_cast<resv_usage>(i % 4)));
          r.unlock();
          if (newest[i].signal) newest[i].signal.signal();
          newest[i] = std::move(next);
          make_fence(strangers, 0).signal.signal();
        }
        for (new_fence& f : newest) {
          if (f.signal) f.signal.signal();
        }
      },
      [&] {
        {
          const rcu::read_section section;
          resv_rcu_cursor all(r, resv_usage::bookkeep);
          while (fence* f = all.next()) check(f, all.usage());
        }
        resv_unlocked_cursor all(r, resv_usage::bookkeep);
        while (fence* f = all.next()) check(f, all.usage());
      });
}

// At each moment a fence is pending: a new one is there before the last one is signaled.
TEST(resv_stress, readers_never_miss_the_fence_that_stands_for_another) {
  for (const bool same_context : {true, false}) {
    const std::uint64_t context = fence::allocate_contexts(rounds + 1);
    resv r;
    std::atomic<bool> has_begun = false;
    read_while(
        [&] {
          new_fence last;
          for (std::uint64_t seqno = 1; seqno <= rounds; ++seqno) {
            new_fence next = make_fence(same_context ? context : context + seqno, seqno);
            ASSERT_FALSE(r.lock());
            ASSERT_FALSE(r.reserve(1 + static_cast<std::uint32_t>(seqno % 3)));
            ASSERT_FALSE(r.add(next.fence, resv_usage::write));
            r.unlock();
            if (last.signal) last.signal.signal();
            last = std::move(next);
            has_begun.store(true);
          }
          // The readers look to the end.
          has_begun.store(false);
          last.signal.signal();
        },
        [&] {
          if (!has_begun.load()) return;
          const bool rcu_says = r.test_signaled(resv_usage::write);
          const result<fence_list> found = r.get_fences(resv_usage::write);
          const bool has_ended = !has_begun.load();
          ASSERT_TRUE(!rcu_says || has_ended);
          ASSERT_TRUE(found.has_value());
          ASSERT_TRUE(!found->empty() || has_ended);
        });
  }
}

TEST(resv_stress, writers_replace_copy_and_add_under_readers) {
  constexpr std::uint64_t contexts = 5;
  const std::uint64_t first = fence::allocate_contexts(contexts);
  std::array<resv, 2> both;
  read_while(
      [&] {
        std::minstd_rand random(2);
        std::vector<new_fence> pending;
        for (std::uint64_t seqno = 1; seqno <= rounds / 4; ++seqno) {
          pending.push_back(make_fence(first + random() % contexts, seqno));
          const fence_ref& f = pending.back().fence;
          resv_locks locks;
          ASSERT_FALSE(locks.lock_all(std::array{&both[0], &both[1]}));
          resv& r = both[random() % 2];
          switch (random() % 4) {
            case 0: ASSERT_FALSE(r.replace(f->context(), f, resv_usage::read)); break;
            case 1: ASSERT_FALSE(r.copy_from(both[random() % 2])); break;
            default: ASSERT_FALSE(r.reserve(2)); ASSERT_FALSE(r.add(f, resv_usage::read));
          }
          locks.unlock_all();
          if (pending.size() > 8) {
            const auto at = static_cast<std::ptrdiff_t>(random() % pending.size());
            pending[static_cast<std::size_t>(at)].signal.signal();
            pending.erase(pending.begin() + at);
          }
        }
        for (new_fence& f : pending) f.signal.signal();
      },
      [&] {
        for (const resv& r : both) {
          resv_unlocked_cursor all(r, resv_usage::bookkeep);
          while (fence* f = all.next()) ASSERT_LT(f->context() - first, contexts);
        }
      });
}

}  // namespace
}  // namespace ufence
