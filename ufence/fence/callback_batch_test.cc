// Callbacks are taken off the list in batches; a thread that removes one must not notice.
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include "ufence/fence/callback.h"
#include "ufence/fence/fence.h"
#include "ufence/fence/testing/support.h"

using namespace ufence;
using namespace ufence::testing;

namespace {

const result<bool> removed = true;
const result<bool> not_removed = false;
constexpr std::size_t several_batches = 100;

// A fence with many callbacks, of which one stands at a door until it is opened.
struct halted_settling {
  explicit halted_settling(std::size_t halts_at) {
    for (std::size_t i = 0; i < several_batches; ++i) {
      nodes.push_back(std::make_unique<scripted_callback>([this, i, halts_at](fence&) {
        order.push_back(i);
        if (i == halts_at) leave.pass();
      }));
      EXPECT_EQ(made.fence->add_callback(*nodes.back()), no_error);
    }
    settles = std::thread([this] { made.signal.signal(); });
    EXPECT_TRUE(eventually([&] { return nodes[halts_at]->runs() == 1; }));
  }
  // Lets the rest run.
  void finish() {
    leave.open();
    settles.join();
  }

  new_fence made = make_fence();
  door leave;
  std::vector<std::unique_ptr<scripted_callback>> nodes;
  std::vector<std::size_t> order;  // the settling thread's until it is joined
  std::thread settles;
};

}  // namespace

TEST(callback_batch, any_that_waits_can_be_removed_while_another_runs) {
  for (const std::size_t halts_at : {0U, 7U, 31U, 32U, 63U, 64U, 98U}) {
    halted_settling settling(halts_at);
    std::vector<std::size_t> expected;
    for (std::size_t i = 0; i < several_batches; ++i) {
      const bool is_over = i <= halts_at;
      const bool takes_it_out = i % 3 == 0 || i == halts_at + 1 || i == several_batches - 1;
      if (i != halts_at && takes_it_out) {
        EXPECT_EQ(settling.made.fence->remove_callback(*settling.nodes[i]),
                  is_over ? not_removed : removed)
            << i << " while " << halts_at << " runs";
        if (!is_over) settling.nodes[i].reset();
      }
      if (is_over || !takes_it_out) expected.push_back(i);
    }
    settling.finish();
    EXPECT_EQ(settling.order, expected);
  }
}

TEST(callback_batch, a_removed_one_may_be_used_at_once_on_another_fence) {
  halted_settling settling(3);
  new_fence other = make_fence();
  EXPECT_EQ(other.fence->add_callback(*settling.nodes[5]), errno_code(EBUSY)) << "it waits its turn";
  EXPECT_EQ(settling.made.fence->remove_callback(*settling.nodes[5]), removed);
  EXPECT_EQ(other.fence->add_callback(*settling.nodes[5]), no_error);
  settling.finish();
  EXPECT_EQ(settling.nodes[5]->runs(), 0);
  other.signal.signal();
  EXPECT_EQ(settling.nodes[5]->runs(), 1);
}

TEST(callback_batch, who_removes_the_one_that_runs_waits_for_it_alone) {
  halted_settling settling(10);
  // The one behind it does not end before the remover of the first has returned.
  door second_may_leave;
  settling.nodes[11]->then([&](fence&) { second_may_leave.pass(); });
  std::thread opens([&] { settling.leave.open(); });
  EXPECT_EQ(settling.made.fence->remove_callback(*settling.nodes[10]), not_removed);
  settling.nodes[10].reset();
  EXPECT_EQ(settling.nodes[12]->runs(), 0);
  second_may_leave.open();
  opens.join();
  settling.settles.join();
  EXPECT_EQ(settling.nodes.back()->runs(), 1);
}

TEST(callback_batch, those_of_a_group_keep_their_place_among_others) {
  new_fence made = make_fence();
  callback_group group;
  std::vector<std::size_t> order;
  std::vector<std::unique_ptr<scripted_callback>> nodes;
  std::vector<std::size_t> expected;
  for (std::size_t i = 0; i < several_batches; ++i) {
    nodes.push_back(std::make_unique<scripted_callback>([&order, i](fence&) { order.push_back(i); }));
    ASSERT_EQ(made.fence->add_callback(*nodes.back(), i % 5 == 2 ? &group : nullptr), no_error);
    expected.push_back(i);
  }
  made.signal.signal();
  EXPECT_EQ(order, expected);
  EXPECT_EQ(group.size(), 0U);
  EXPECT_EQ(group.close(), no_error);
}

TEST(callback_batch, a_group_closes_while_others_of_the_batch_run) {
  new_fence made = make_fence();
  callback_group group;
  door leave;
  scripted_callback stands([&](fence&) { leave.pass(); });
  std::array<scripted_callback, 4> grouped;
  scripted_callback last;
  ASSERT_EQ(made.fence->add_callback(stands), no_error);
  for (scripted_callback& node : grouped) ASSERT_EQ(made.fence->add_callback(node, &group), no_error);
  ASSERT_EQ(made.fence->add_callback(last), no_error);
  std::thread settles([&] { made.signal.signal(); });
  ASSERT_TRUE(eventually([&] { return stands.runs() == 1; }));
  std::size_t count = 0;
  EXPECT_EQ(group.close(&count), no_error);
  EXPECT_EQ(count, grouped.size());
  leave.open();
  settles.join();
  for (const scripted_callback& node : grouped) EXPECT_EQ(node.runs(), 0);
  EXPECT_EQ(last.runs(), 1);
}

TEST(callback_batch, each_runs_or_is_removed_never_both) {
  const stress_clock clock(0.5);
  while (clock.runs()) {
    new_fence made = make_fence();
    std::array<scripted_callback, 70> nodes;
    for (scripted_callback& node : nodes) ASSERT_EQ(made.fence->add_callback(node), no_error);
    std::array<int, 70> taken_out{};
    std::atomic<int> ready = 0;
    const auto meet = [&ready] {
      for (++ready; ready != 3;) std::this_thread::yield();
    };
    const auto remove_some = [&](std::size_t first, std::size_t step) {
      meet();
      for (std::size_t i = first; i < nodes.size(); i += step) {
        if (*made.fence->remove_callback(nodes[i])) taken_out[i] = 1;
      }
    };
    std::thread odd(remove_some, 1, 4);
    std::thread even(remove_some, 0, 6);
    meet();
    made.signal.signal();
    odd.join();
    even.join();
    for (std::size_t i = 0; i < nodes.size(); ++i) {
      ASSERT_EQ(nodes[i].runs() + taken_out[i], 1) << i;
    }
  }
}
