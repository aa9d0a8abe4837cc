#include "ufence/fence/slab.h"

#include <gtest/gtest.h>

#include <sys/mman.h>
#include <sys/syscall.h>

#include <algorithm>
#include <random>
#include <set>
#include <thread>
#include <vector>

#include "ufence/fence/fence.h"
#include "ufence/fence/testing/memory_use.h"
#include "ufence/fence/testing/refuse_call.h"
#include "ufence/fence/testing/support.h"
#include "ufence/fence/timeline.h"

using namespace ufence;
using namespace ufence::testing;

TEST(slab, counts_fences_of_all_threads) {
  const std::size_t before = live_fences();
  timeline_issuer issuer = make_timeline();
  new_fence bare = make_fence();
  fence_ref ordered;
  std::thread([&] { ordered = issuer.emit().value(); }).join();
  EXPECT_EQ(live_fences(), before + 2);
  issuer.signal_up_to(2);
  ordered.reset();
  EXPECT_EQ(live_fences(), before + 1);
  bare.signal.signal();
  bare.fence.reset();
  EXPECT_EQ(live_fences(), before);
}

TEST(slab, memory_of_threads_that_ended_is_used_again) {
  std::set<const fence*> slots;
  for (int i = 0; i < 200; ++i) {
    std::thread([&] {
      std::vector<new_fence> some;
      for (int n = 0; n < 100; ++n) {
        some.push_back(make_fence());
        slots.insert(some.back().fence.get());
      }
      for (new_fence& made : some) made.signal.signal();
    }).join();
  }
  EXPECT_LT(slots.size(), 2'000U) << "of 20,000 fences";
}

TEST(slab, memory_goes_from_who_frees_to_who_creates) {
  // One thread creates, another drops: the slots must come back.
  std::set<const fence*> slots;
  std::vector<fence_ref> handed;
  for (int round = 0; round < 200; ++round) {
    for (int n = 0; n < 100; ++n) {
      new_fence made = make_fence();
      made.signal.signal();
      slots.insert(made.fence.get());
      handed.push_back(std::move(made.fence));
    }
    std::jthread drops([&] { handed.clear(); });
  }
  EXPECT_LT(slots.size(), 2'000U) << "of 20,000 fences";
}

TEST(slab, fences_may_be_dropped_while_a_thread_ends) {
  // A thread_local destroyed after the slab's own cache was given back.
  struct holder {
    fence_ref f;
  };
  const std::size_t before = live_fences();
  std::thread([] {
    static thread_local holder late;
    new_fence made = make_fence();
    made.signal.signal();
    late.f = std::move(made.fence);
  }).join();
  EXPECT_EQ(live_fences(), before);
}

TEST(slab, memory_of_many_fences_goes_back_to_the_system) {
  const std::size_t before = size_of_process().resident_bytes;
  {
    std::vector<fence_ref> all = make_signaled(many_fences());
    const pages_of pages(all);
    EXPECT_EQ(pages.resident_bytes(), pages.bytes());
    all.clear();
    EXPECT_LE(pages.resident_bytes(), stay_bytes_max) << "of " << pages.bytes();
    EXPECT_GT(pages.bytes(), 2 * stay_bytes_max);
  }
  // (A sanitizer has memory of its own for each byte of it.)
  if (UFENCE_SANITIZED == 0) {
    const std::size_t after = size_of_process().resident_bytes;
    EXPECT_LE(after, before + stay_bytes_max);
    RecordProperty("resident_kilobytes_more",
                   static_cast<int>(after / 1024) - static_cast<int>(before / 1024));
  }
}

TEST(slab, memory_goes_back_whichever_thread_drops_in_whatever_order) {
  std::vector<fence_ref> all = make_signaled(many_fences());
  const pages_of pages(all);
  std::shuffle(all.begin(), all.end(), std::minstd_rand(1));
  constexpr std::size_t threads = 4;
  {
    std::vector<std::jthread> drop;
    for (std::size_t t = 0; t < threads; ++t) {
      drop.emplace_back([&, t] {
        for (std::size_t i = t; i < all.size(); i += threads) all[i].reset();
      });
    }
  }
  EXPECT_LE(pages.resident_bytes(), stay_bytes_max) << "of " << pages.bytes();
}

TEST(slab, memory_that_went_back_is_used_again) {
  std::size_t first_round = 0;
  for (int round = 0; round < 6; ++round) {
    {
      const std::vector<fence_ref> all = make_signaled(many_fences() / 2);
      for (const fence_ref& f : all) ASSERT_EQ(f->status(), 1);
    }
    if (round == 0) first_round = size_of_process().address_space_bytes;
  }
  // (Vectors that were freed may take some of it.)
  EXPECT_LE(size_of_process().address_space_bytes, first_round + many_fences() * sizeof(fence))
      << "that much in each of 5 more rounds";
}

// What reads a slot may look at a fence that is gone, wherever its memory went.
TEST(slab, a_reader_of_a_slot_meets_memory_that_goes_back) {
  constexpr std::uint64_t burst = 20'000;  // more than is kept
  atomic<fence*> slot{nullptr};
  std::atomic<fence*> stale = nullptr;
  std::atomic<bool> stop = false;
  std::atomic<bool> holds = true;
  std::thread reads([&] {
    while (!stop) {
      if (const fence_ref f = fence::get_rcu(slot)) {
        if (f->seqno() >= burst || !f->is_signaled()) holds = false;
      }
      fence* const gone = stale;
      if (gone == nullptr || !gone->try_get()) continue;
      if (gone->seqno() >= burst) holds = false;
      gone->put();
    }
  });
  const stress_clock clock(0.25);
  for (int round = 0; round < 3 || clock.runs(); ++round) {
    std::vector<fence_ref> all = make_signaled(burst);
    for (const fence_ref& f : all) {
      slot.store(f.get(), mo::release);
      stale = f.get();
    }
    slot.store(nullptr, mo::release);
    all.clear();
  }
  stop = true;
  reads.join();
  EXPECT_TRUE(holds);
}

TEST(slab, memory_goes_back_in_a_child_of_fork_and_stays_with_the_parent) {
  std::vector<fence_ref> all = make_signaled(many_fences());
  const pages_of pages(all);
  EXPECT_EQ(in_child([&] {
              all.clear();
              UFENCE_CHILD_EXPECT(pages.resident_bytes() <= stay_bytes_max);
              std::vector<fence_ref> own = make_signaled(many_fences());
              for (const fence_ref& f : own) UFENCE_CHILD_EXPECT(f->status() == 1);
              return 0;
            }),
            0);
  for (std::size_t i = 0; i < all.size(); ++i) {
    ASSERT_EQ(all[i]->seqno(), i);
    ASSERT_EQ(all[i]->status(), 1);
  }
}

TEST(slab, memory_that_the_system_does_not_take_is_used_again) {
  for (const int error : {EINVAL, EPERM, ENOSYS}) {
    EXPECT_EQ(in_child([&] {
                UFENCE_CHILD_EXPECT(refuse_call(SYS_madvise, error));
                const std::vector<fence_ref> first = make_signaled(20'000);
                const pages_of pages(first);
                for (int round = 0; round < 3; ++round) {
                  std::vector<fence_ref> more = make_signaled(20'000);
                  for (const fence_ref& f : more) UFENCE_CHILD_EXPECT(f->status() == 1);
                }
                UFENCE_CHILD_EXPECT(pages.resident_bytes() == pages.bytes());
                return 0;
              }),
              0);
  }
}
