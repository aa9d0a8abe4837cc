#include "ufence/container/chain.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <numeric>
#include <thread>

#include "ufence/container/container_test_support.h"

namespace ufence {
namespace {

std::error_code find(fence_ref& f, std::uint64_t point) {
  return fence_chain::find_seqno(f, point);
}

TEST(dma_fence_chain, DC01_sanitycheck) {
  new_fence made = make_fence();
  const fence_ref point = *fence_chain::create(nullptr, made.fence, 1);
  EXPECT_FALSE(point->poll());
  made.signal.signal();
  EXPECT_TRUE(point->is_signaled());
}

TEST(dma_fence_chain, DC02_find_seqno) {
  const chain_of_fences chain(64);
  fence_ref f = chain.tail();
  EXPECT_FALSE(find(f, 0)) << "point 0 is always there";
  EXPECT_EQ(f, chain.tail());
  for (std::uint64_t n = 1; n <= 64; ++n) {
    f = chain.tail();
    ASSERT_FALSE(find(f, n));
    EXPECT_EQ(f, chain.points[n - 1]);
    ASSERT_FALSE(find(f, n)) << "from the node itself";
    EXPECT_EQ(f, chain.points[n - 1]);
    EXPECT_EQ(find(f, n + 1), errno_code(EINVAL)) << "not submitted from this node on";
    EXPECT_EQ(f, chain.points[n - 1]);
    ASSERT_FALSE(find(f, n - 1));
    EXPECT_EQ(f, n == 1 ? chain.points[0] : chain.points[n - 2]);
  }
  fence_ref leaf = chain.fences[0].fence;
  EXPECT_EQ(find(leaf, 1), errno_code(EINVAL)) << "not a chain";
}

TEST(dma_fence_chain, DC03_find_signaled) {
  chain_of_fences chain(2);
  chain.fences[0].signal.signal();
  fence_ref f = chain.tail();
  ASSERT_FALSE(find(f, 1));
  EXPECT_TRUE(!f || f == chain.points[0]);
}

TEST(dma_fence_chain, DC04_find_out_of_order) {
  chain_of_fences chain(3);
  chain.fences[1].signal.signal();
  fence_ref f = chain.tail();
  ASSERT_FALSE(find(f, 2));
  EXPECT_EQ(f, chain.points[0]) << "still to wait for; the node of 2 was unlinked on the way";
}

TEST(dma_fence_chain, DC05_find_gap) {
  const chain_of_fences chain(64, [](std::size_t i) { return 2 * i + 2; });
  for (std::size_t i = 0; i < 64; ++i) {
    for (const std::uint64_t point : {2 * i + 1, 2 * i + 2}) {
      fence_ref f = chain.tail();
      ASSERT_FALSE(find(f, point));
      EXPECT_EQ(f, chain.points[i]);
    }
  }
}

TEST(dma_fence_chain, DC06_find_race) {
  constexpr std::size_t nodes = 4096;
  chain_of_fences chain(nodes);
  std::vector<signaler> rights;
  for (new_fence& f : chain.fences) rights.push_back(f.signal.share());
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < 2; ++t) {
    threads.emplace_back([&, t] {
      std::mt19937 random(t + 1);
      for (int i = 0; i < 2000; ++i) {
        const std::uint64_t point = random() % nodes + 1;
        fence_ref f = chain.tail();
        ASSERT_FALSE(find(f, point));
        if (f && f->seqno() == point) {
          ASSERT_FALSE(find(f, point)) << "a second look at the node itself";
        }
        // Not the last one.
        signaler right = chain.fences[random() % (nodes - 1)].signal.share();
        right.signal();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (signaler& right : rights) right.signal();
  EXPECT_TRUE(chain.tail()->poll());
}

TEST(dma_fence_chain, DC07_signal_forward) {
  chain_of_fences chain(64);
  for (std::size_t i = 0; i < 64; ++i) {
    chain.fences[i].signal.signal();
    EXPECT_TRUE(chain.points[i]->poll());
    if (i + 1 < 64) {
      EXPECT_FALSE(chain.points[i + 1]->poll());
    }
  }
}

TEST(dma_fence_chain, DC08_signal_backward) {
  chain_of_fences chain(64);
  for (std::size_t i = 64; i-- > 0;) {
    chain.fences[i].signal.signal();
    if (i > 0) {
      EXPECT_FALSE(chain.points[i]->poll()) << "an earlier one is active";
    }
  }
  for (const fence_ref& point : chain.points) EXPECT_TRUE(point->poll());
}

void wait_while_signaling(std::vector<std::size_t> order) {
  chain_of_fences chain(order.size());
  std::error_code failed = errno_code(EAGAIN);
  std::thread waiter([&] { failed = chain.tail()->wait(); });
  for (const std::size_t i : order) chain.fences[i].signal.signal();
  waiter.join();
  EXPECT_FALSE(failed);
}

std::vector<std::size_t> forward_order() {
  std::vector<std::size_t> order(4096);
  std::iota(order.begin(), order.end(), std::size_t{0});
  return order;
}

TEST(dma_fence_chain, DC09_wait_forward) { wait_while_signaling(forward_order()); }

TEST(dma_fence_chain, DC10_wait_backward) {
  std::vector<std::size_t> order = forward_order();
  std::ranges::reverse(order);
  wait_while_signaling(order);
}

TEST(dma_fence_chain, DC11_wait_random) {
  std::vector<std::size_t> order = forward_order();
  std::ranges::shuffle(order, std::mt19937(7));
  wait_while_signaling(order);
}

TEST(fence_chain, a_point_that_is_not_later_starts_a_context_of_its_own) {
  chain_of_fences chain(2);
  new_fence made = make_fence();
  const fence_ref again = *fence_chain::create(chain.tail(), made.fence, 2);
  EXPECT_NE(again->context(), chain.tail()->context());
  EXPECT_EQ(again->seqno(), 2U);
  EXPECT_EQ(fence_chain::from(*again)->previous_point(), 0U);
  const fence_ref earlier = *fence_chain::create(chain.tail(), made.fence, 1);
  EXPECT_EQ(earlier->seqno(), 2U) << "the larger of the two points";
  made.signal.signal();
  EXPECT_FALSE(again->poll()) << "the chain before still counts";
}

TEST(fence_chain, is_signaled_exactly_with_the_last_of_its_fences) {
  chain_of_fences chain(3);
  int runs = 0;
  callback_registration registration([&](fence&) { ++runs; });
  ASSERT_FALSE(registration.add(chain.tail()));
  chain.fences[2].signal.signal();
  chain.fences[0].signal.signal();
  EXPECT_EQ(runs, 0);
  EXPECT_FALSE(chain.tail()->is_signaled());
  chain.fences[1].signal.signal();
  EXPECT_EQ(runs, 1);
  EXPECT_TRUE(chain.tail()->is_signaled());
}

TEST(fence_chain, identity_stays_testable_after_signal) {
  chain_of_fences chain(1);
  ASSERT_FALSE(chain.tail()->poll());
  chain.fences[0].signal.signal();
  ASSERT_TRUE(chain.tail()->is_signaled());
  EXPECT_NE(fence_chain::from(*chain.tail()), nullptr);
  EXPECT_EQ(fence_chain::from(*chain.fences[0].fence), nullptr);
  EXPECT_EQ(chain.tail()->driver_name(), "dma_fence_chain");
}

TEST(fence_chain, walkers_unlink_what_is_signaled) {
  chain_of_fences chain(64);
  std::vector<fence*> waited;
  for (std::size_t i = 0; i < 63; ++i) chain.fences[i].signal.signal();
  EXPECT_EQ(leaves_of(chain.tail()).size(), 1U);
  EXPECT_FALSE(fence_chain::walk(*chain.tail()));
  const rcu::read_section section;
  EXPECT_EQ(fence_chain::from(*chain.tail())->previous_rcu(), nullptr);
}

TEST(fence_chain, knows_the_first_error_below_a_point_also_of_unlinked_nodes) {
  chain_of_fences chain(8);
  fence_chain& tail = *fence_chain::from(*chain.tail());
  EXPECT_FALSE(tail.first_failed());
  chain.fences[5].signal.signal(-EIO);
  EXPECT_EQ(tail.first_failed(), chain.fences[5].fence);
  chain.fences[2].signal.signal(-ETIME);
  EXPECT_EQ(tail.first_failed(), chain.fences[2].fence) << "the order of points, not of time";
  for (const std::size_t i : {6U, 4U, 3U, 1U, 0U}) chain.fences[i].signal.signal();
  EXPECT_FALSE(fence_chain::walk(tail)) << "everything before is unlinked";
  EXPECT_EQ(tail.first_failed(), chain.fences[2].fence);
  EXPECT_EQ(error_origin(chain.tail()), chain.fences[2].fence);
}

TEST(fence_chain, refuses_to_contain_nothing) {
  EXPECT_EQ(fence_chain::create(nullptr, nullptr, 1).error(), errno_code(EINVAL));
}

TEST(fence_chain, takes_over_references_that_are_moved_into_it_unless_it_fails) {
  std::array<new_fence, 2> made{make_fence(), make_fence()};
  std::array<fence*, 2> fences{made[0].fence.get(), made[1].fence.get()};
  fence_ref tail = *fence_chain::create(nullptr, std::move(made[0].fence), 1);
  EXPECT_FALSE(made[0].fence);
  fence* const first = tail.get();
  fence_ref none;
  EXPECT_EQ(fence_chain::create(std::move(tail), std::move(none), 2).error(), errno_code(EINVAL));
  ASSERT_EQ(tail.get(), first) << "it is not moved from";
  const fence_ref last = *fence_chain::create(std::move(tail), std::move(made[1].fence), 2);
  EXPECT_FALSE(tail);
  EXPECT_FALSE(made[1].fence);
  EXPECT_EQ(leaves_of(last), (std::vector<fence*>{fences[1], fences[0]}));
  EXPECT_EQ(fence_chain::walk(*last).get(), first);
  for (new_fence& f : made) f.signal.signal();
  EXPECT_FALSE(fence_chain::walk(*last));
}

TEST(fence_chain, of_100000_points_is_signaled_and_released_on_a_small_stack) {
  on_small_stack([] {
    chain_of_fences chain(100'000);
    int runs = 0;
    callback_registration registration([&](fence&) { ++runs; });
    ASSERT_FALSE(registration.add(chain.tail()));
    for (new_fence& f : chain.fences) f.signal.signal();
    EXPECT_EQ(runs, 1);
  });
  on_small_stack([] {
    // Dropped while pending: nothing was unlinked.
    chain_of_fences chain(100'000);
    const fence_ref tail = chain.tail();
    chain.points.clear();
  });
}

TEST(fence_chain, forwards_deadlines_to_every_fence) {
  struct data : backend {
    std::int64_t asked = 0;
  };
  static const backend_ops ops{.set_deadline = [](backend* b, std::int64_t ns) noexcept {
    static_cast<data*>(b)->asked = ns;
  }};
  std::array<data, 3> issuers{data{{&ops}}, data{{&ops}}, data{{&ops}}};
  std::vector<new_fence> fences;
  fence_ref tail;
  std::uint64_t point = 0;
  for (data& d : issuers) {
    fences.push_back(std::move(*fence::create(fence::allocate_contexts(1), 1, &d)));
    tail = *fence_chain::create(tail, fences.back().fence, ++point);
  }
  tail->set_deadline(INT64_C(12345));
  for (const data& d : issuers) EXPECT_EQ(d.asked, 12345);
  for (new_fence& f : fences) f.signal.signal();
}

}  // namespace
}  // namespace ufence
