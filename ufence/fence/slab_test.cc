#include "ufence/fence/slab.h"

#include <gtest/gtest.h>

#include <set>
#include <thread>
#include <vector>

#include "ufence/fence/fence.h"
#include "ufence/fence/legacy.h"
#include "ufence/fence/testing/support.h"
#include "ufence/fence/timeline.h"

using namespace ufence;
using namespace ufence::testing;

TEST(slab, counts_fences_of_all_kinds_and_threads) {
  static constexpr legacy_ops ops = {.lock = [](void*) noexcept {},
                                     .unlock = [](void*) noexcept {}};
  const std::size_t before = live_fences();
  timeline_issuer issuer = make_timeline();
  new_fence bare = make_fence();
  new_fence legacy = create_legacy_fence(issuer, ops, nullptr).value();
  fence_ref ordered;
  std::thread([&] { ordered = issuer.emit().value(); }).join();
  EXPECT_EQ(live_fences(), before + 3);
  issuer.signal_up_to(2);
  ordered.reset();
  EXPECT_EQ(live_fences(), before + 2);
  bare.signal.signal();
  legacy.signal.signal();
  bare.fence.reset();
  legacy.fence.reset();
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
