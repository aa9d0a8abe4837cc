// F15: a signal inside foreign code decides at once; its settling is queued, so that no chain
// recurses.
#include <gtest/gtest.h>

#include <cstddef>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "ufence/fence/fence.h"
#include "ufence/fence/testing/small_stack.h"
#include "ufence/fence/testing/support.h"
#include "ufence/fence/timeline.h"

using namespace ufence;
using namespace ufence::testing;

namespace {

constexpr std::size_t chain_length = 100'000;

// Signals the next link of a chain when its own fence is signaled.
struct chain_link : callback {
  chain_link() : callback(&chain_link::run) {}
  static void run(callback& node, fence&) noexcept {
    auto& self = static_cast<chain_link&>(node);
    self.ran = true;
    if (self.next) self.next.signal();
  }
  signaler next;
  bool ran = false;
};

// Signals the next fence of a chain when its own is retired.
struct retiring : backend {
  retiring() : backend{&table} {}
  static void retire(backend* b, retired_by) noexcept {
    auto& self = *static_cast<retiring*>(b);
    self.retired = true;
    if (self.next) self.next.signal();
  }
  static constexpr backend_ops table = {.retire = &retiring::retire};
  signaler next;
  bool retired = false;
};

// Signals its own fence when it is polled.
struct polling : backend {
  polling() : backend{&table} {}
  static int poll(backend* b) noexcept {
    auto& self = *static_cast<polling*>(b);
    self.own.signal();
    return 0;
  }
  static constexpr backend_ops table = {.poll = &polling::poll};
  signaler own;
};

}  // namespace

TEST(F15_cascade, a_chain_of_callbacks_does_not_recurse) {
  std::vector<chain_link> links(chain_length);
  std::vector<fence_ref> fences(chain_length);
  signaler first;
  for (std::size_t i = 0; i < chain_length; ++i) {
    new_fence made = make_fence();
    ASSERT_EQ(made.fence->add_callback(links[i]), no_error);
    fences[i] = made.fence;
    (i == 0 ? first : links[i - 1].next) = std::move(made.signal);
  }
  on_small_stack([&] { first.signal(); });
  for (std::size_t i = 0; i < chain_length; ++i) {
    ASSERT_TRUE(links[i].ran);
    ASSERT_TRUE(fences[i]->is_settled());
  }
}

TEST(F15_cascade, a_chain_of_retires_does_not_recurse) {
  std::vector<retiring> data(chain_length);
  signaler first;
  for (std::size_t i = 0; i < chain_length; ++i) {
    new_fence made = make_fence(&data[i]);
    (i == 0 ? first : data[i - 1].next) = std::move(made.signal);
  }
  on_small_stack([&] { first.signal(); });
  for (const retiring& one : data) ASSERT_TRUE(one.retired);
}

TEST(F15_cascade, a_chain_over_timelines_does_not_recurse) {
  constexpr std::size_t n = 10'000;
  struct hop : callback {
    hop() : callback(&hop::run) {}
    static void run(callback& node, fence&) noexcept {
      auto& self = static_cast<hop&>(node);
      self.ran = true;
      if (self.next != nullptr) self.next->signal_up_to(1);
    }
    timeline_issuer* next = nullptr;
    bool ran = false;
  };
  std::vector<timeline_issuer> lines;
  std::vector<fence_ref> fences;
  std::vector<hop> hops(n);
  lines.reserve(n);
  for (std::size_t i = 0; i < n; ++i) {
    lines.push_back(make_timeline());
    fences.push_back(lines[i].emit().value());
    ASSERT_EQ(fences[i]->add_callback(hops[i]), no_error);
    if (i > 0) hops[i - 1].next = &lines[i];
  }
  on_small_stack([&] { lines[0].signal_up_to(1); });
  for (const hop& one : hops) ASSERT_TRUE(one.ran);
}

TEST(F15_cascade, a_star_settles_in_the_order_of_the_signals) {
  constexpr int n = 1000;
  std::vector<new_fence> leaves;
  std::vector<std::unique_ptr<scripted_callback>> nodes;
  std::vector<int> order;
  for (int i = 0; i < n; ++i) {
    leaves.push_back(make_fence());
    nodes.push_back(
        std::make_unique<scripted_callback>([&order, i](fence&) { order.push_back(i); }));
    ASSERT_EQ(leaves.back().fence->add_callback(*nodes.back()), no_error);
  }
  new_fence root = make_fence();
  scripted_callback fan([&](fence&) {
    for (new_fence& leaf : leaves) leaf.signal.signal();
    EXPECT_TRUE(order.empty()) << "queued";
  });
  ASSERT_EQ(root.fence->add_callback(fan), no_error);
  root.signal.signal();
  ASSERT_EQ(order.size(), leaves.size());
  for (int i = 0; i < n; ++i) EXPECT_EQ(order[static_cast<std::size_t>(i)], i);
}

TEST(F15_cascade, a_signal_inside_a_callback_decides_at_once) {
  new_fence outer = make_fence();
  new_fence inner = make_fence();
  std::error_code waited = errno_code(1);
  std::thread waits([&] { waited = inner.fence->wait(patience()); });
  scripted_callback in_inner;
  ASSERT_EQ(inner.fence->add_callback(in_inner), no_error);
  scripted_callback node([&](fence&) {
    EXPECT_TRUE(inner.signal.signal(-EIO));
    EXPECT_TRUE(inner.fence->is_signaled());
    EXPECT_EQ(inner.fence->error(), -EIO);
    EXPECT_FALSE(inner.fence->is_settled());
    EXPECT_EQ(in_inner.runs(), 0);
    waits.join();  // wakes although nothing is settled
  });
  ASSERT_EQ(outer.fence->add_callback(node), no_error);
  outer.signal.signal();
  EXPECT_EQ(waited, no_error);
  EXPECT_EQ(in_inner.runs(), 1) << "before the outermost settling returns";
  EXPECT_TRUE(inner.fence->is_settled());
}

TEST(F15_cascade, a_settlement_inside_a_callback_is_queued_too) {
  new_fence outer = make_fence();
  new_fence inner = make_fence();
  scripted_callback in_inner;
  ASSERT_EQ(inner.fence->add_callback(in_inner), no_error);
  scripted_callback node([&](fence&) {
    {
      settlement later;
      inner.signal.decide(0, later);
    }
    EXPECT_EQ(in_inner.runs(), 0);
  });
  ASSERT_EQ(outer.fence->add_callback(node), no_error);
  outer.signal.signal();
  EXPECT_EQ(in_inner.runs(), 1);
}

TEST(F15_cascade, the_outer_fence_is_settled_before_the_inner_one) {
  new_fence outer = make_fence();
  new_fence inner = make_fence();
  bool outer_was_settled = false;
  scripted_callback in_inner([&](fence&) { outer_was_settled = outer.fence->is_settled(); });
  scripted_callback node([&](fence&) { inner.signal.signal(); });
  ASSERT_EQ(inner.fence->add_callback(in_inner), no_error);
  ASSERT_EQ(outer.fence->add_callback(node), no_error);
  outer.signal.signal();
  EXPECT_TRUE(outer_was_settled);
}

TEST(F15_cascade, a_signal_inside_an_op_is_settled_when_the_op_has_left_its_gate) {
  scripted_backend data;
  new_fence made = make_fence(&data);
  new_fence other = make_fence();
  int retires_seen = -1;
  scripted_callback in_other([&](fence&) {
    made.signal.signal();
    retires_seen = data.retires_by_last_op;
  });
  ASSERT_EQ(other.fence->add_callback(in_other), no_error);
  data.on_poll = [&] {
    other.signal.signal();
    EXPECT_TRUE(other.fence->is_signaled());
    EXPECT_EQ(in_other.runs(), 0);
    return 0;
  };
  EXPECT_TRUE(made.fence->poll());
  EXPECT_EQ(in_other.runs(), 1) << "before poll() returns";
  EXPECT_EQ(retires_seen, 0);
  EXPECT_EQ(data.retires, 1) << "and outside of the gate: retired by the settlement";
  EXPECT_EQ(data.retires_by_last_op, 0);
}

TEST(F15_cascade, a_signal_inside_retire_is_settled_before_the_signal_returns) {
  scripted_backend data;
  new_fence made = make_fence(&data);
  new_fence other = make_fence();
  std::string order;
  scripted_callback in_other([&](fence&) { order += 'o'; });
  scripted_callback node([&](fence&) { order += 'c'; });
  ASSERT_EQ(other.fence->add_callback(in_other), no_error);
  ASSERT_EQ(made.fence->add_callback(node), no_error);
  data.on_retire = [&](retired_by) {
    order += 'r';
    other.signal.signal();
  };
  made.signal.signal();
  EXPECT_EQ(order, "rco");
}

TEST(F15_cascade, what_the_last_op_retires_may_signal_others) {
  scripted_backend data;
  new_fence made = make_fence(&data);
  new_fence other = make_fence();
  scripted_callback in_other;
  ASSERT_EQ(other.fence->add_callback(in_other), no_error);
  data.on_retire = [&](retired_by) { other.signal.signal(); };
  data.on_poll = [&] { return made.signal.signal(), 0; };
  EXPECT_TRUE(made.fence->poll());
  EXPECT_EQ(data.retires_by_last_op, 1);
  EXPECT_EQ(in_other.runs(), 1);
}

TEST(F15_cascade, ops_inside_callbacks_inside_ops_settle_once_outside) {
  polling data;
  new_fence made = make_fence(&data);
  data.own = std::move(made.signal);
  new_fence outer = make_fence();
  scripted_callback in_made;
  ASSERT_EQ(made.fence->add_callback(in_made), no_error);
  scripted_callback node([&](fence&) {
    EXPECT_TRUE(made.fence->poll());
    EXPECT_EQ(in_made.runs(), 0) << "the outer settling goes on with it";
  });
  ASSERT_EQ(outer.fence->add_callback(node), no_error);
  outer.signal.signal();
  EXPECT_EQ(in_made.runs(), 1);
}
