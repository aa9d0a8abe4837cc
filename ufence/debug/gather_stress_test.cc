// Looks while everything changes: what is told makes sense, and nothing is lost by the looking.
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <thread>
#include <vector>

#include "ufence/container/array.h"
#include "ufence/container/chain.h"
#include "ufence/debug/gather.h"
#include "ufence/fence/timeline.h"
#include "ufence/fence/wait.h"

namespace ufence {
namespace {

TEST(gather, while_fences_are_made_waited_for_and_signaled) {
  constexpr int looks = 2'000;
  std::atomic<bool> is_over{false};
  std::vector<std::thread> threads;
  for (int i = 0; i < 2; ++i) {
    threads.emplace_back([&] {
      while (!is_over) {
        auto line = timeline_issuer::create({.timeline_name = "busy"});
        auto plain = fence::create(fence::allocate_contexts(1), 1);
        ASSERT_TRUE(line && plain);
        const std::array<fence_ref, 3> children{*line->emit(), *line->emit(), plain->fence};
        const fence_ref all = *fence_array::create(children);
        const fence_ref chain = *fence_chain::create(fence_ref(), all, 1);
        callback_registration called([](fence&) noexcept {});
        ASSERT_FALSE(called.add(chain));
        std::thread waiter([&] { EXPECT_FALSE(chain->wait()); });
        std::thread any([&] { EXPECT_TRUE(wait_any(children, no_deadline)); });
        line->signal_up_to(2);
        plain->signal.signal();
        waiter.join();
        any.join();
      }
    });
  }
  for (int i = 0; i < looks; ++i) {
    const debug::snapshot s = debug::gather();
    for (const debug::edge& e : s.edges) {
      ASSERT_LT(e.from, s.nodes.size());
      ASSERT_LT(e.to, s.nodes.size());
    }
    for (const debug::node& n : s.nodes) {
      if (n.kind == debug::node_kind::thread) continue;
      ASSERT_FALSE(n.state.empty());
      ASSERT_NE(n.context, 0U);
    }
    for (const debug::timeline_info& t : s.timelines) {
      ASSERT_LE(t.completed, 2U);
      ASSERT_EQ(t.name, "busy");
    }
  }
  is_over = true;
  for (std::thread& t : threads) t.join();
}

}  // namespace
}  // namespace ufence
