// F4 and F5: what is signaled, settled, quiesced; deciding and settling are two steps.
#include "ufence/fence/settlement.h"

#include <gtest/gtest.h>

#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "ufence/fence/fence.h"
#include "ufence/fence/testing/support.h"

using namespace ufence;
using namespace ufence::testing;

namespace {

const std::error_code deadlock = errno_code(EDEADLK);

}  // namespace

TEST(F04_questions, settled_once_all_callbacks_have_returned) {
  new_fence made = make_fence();
  std::vector<bool> settled_inside;
  scripted_callback first([&](fence& f) { settled_inside.push_back(f.is_settled()); });
  scripted_callback last([&](fence& f) { settled_inside.push_back(f.is_settled()); });
  ASSERT_EQ(made.fence->add_callback(first), no_error);
  ASSERT_EQ(made.fence->add_callback(last), no_error);
  EXPECT_FALSE(made.fence->is_settled());
  EXPECT_EQ(made.fence->wait_settled(no_wait), errno_code(ETIME));
  made.signal.signal();
  EXPECT_EQ(settled_inside, (std::vector<bool>{false, false}));
  EXPECT_TRUE(made.fence->is_settled());
  EXPECT_EQ(made.fence->wait_settled(no_wait), no_error);
}

TEST(F04_questions, decided_is_signaled_but_not_settled) {
  new_fence made = make_fence();
  scripted_callback node;
  ASSERT_EQ(made.fence->add_callback(node), no_error);
  settlement later;
  made.signal.decide(0, later);
  EXPECT_TRUE(made.fence->is_signaled());
  EXPECT_EQ(made.fence->wait(no_wait), no_error);
  EXPECT_FALSE(made.fence->is_settled());
  later.settle();
  EXPECT_TRUE(made.fence->is_settled());
}

TEST(F04_questions, wait_settled_waits_for_a_callback_that_runs) {
  new_fence made = make_fence();
  door leave;
  bool returned = false;
  scripted_callback node([&](fence&) {
    leave.pass();
    returned = true;
  });
  ASSERT_EQ(made.fence->add_callback(node), no_error);
  std::jthread settles([&] { made.signal.signal(); });
  ASSERT_TRUE(eventually([&] { return node.runs() == 1; }));
  EXPECT_EQ(made.fence->wait(patience()), no_error)
      << "signaled: waiters do not wait for callbacks";
  EXPECT_EQ(made.fence->wait_settled(deadline_after(millisecond_ns)), errno_code(ETIME));
  std::jthread opens([&] { leave.open(); });
  EXPECT_EQ(made.fence->wait_settled(patience()), no_error);
  EXPECT_TRUE(returned);
}

TEST(F04_questions, quiesce_does_not_wait_for_callbacks) {
  scripted_backend data;
  new_fence made = make_fence(&data);
  door leave;
  scripted_callback node([&](fence&) { leave.pass(); });
  ASSERT_EQ(made.fence->add_callback(node), no_error);
  EXPECT_EQ(made.fence->wait_quiesced(no_wait), errno_code(ETIME)) << "pending";
  std::jthread settles([&] { made.signal.signal(); });
  ASSERT_TRUE(eventually([&] { return node.runs() == 1; }));
  EXPECT_EQ(made.fence->wait_quiesced(patience()), no_error);
  EXPECT_EQ(data.retires, 1);
  EXPECT_FALSE(made.fence->is_settled());
  leave.open();
}

TEST(F04_questions, quiesce_of_a_fence_without_backend_waits_for_the_decision_alone) {
  new_fence made = make_fence();
  scripted_callback node;
  ASSERT_EQ(made.fence->add_callback(node), no_error);
  EXPECT_EQ(made.fence->wait_quiesced(no_wait), errno_code(ETIME));
  settlement later;
  made.signal.decide(0, later);
  EXPECT_EQ(made.fence->wait_quiesced(no_wait), no_error);
}

TEST(F04_questions, waiting_inside_a_callback_of_the_fence_is_EDEADLK) {
  scripted_backend data;
  new_fence made = make_fence(&data);
  std::error_code waited = errno_code(1);
  std::error_code settled;
  scripted_callback node([&](fence& f) {
    waited = f.wait();
    settled = f.wait_settled();
  });
  ASSERT_EQ(made.fence->add_callback(node), no_error);
  made.signal.signal();
  EXPECT_EQ(waited, no_error) << "it is signaled";
  EXPECT_EQ(settled, deadlock);
}

TEST(F04_questions, waiting_inside_retire_of_the_fence_is_EDEADLK) {
  scripted_backend data;
  new_fence made = make_fence(&data);
  fence& f = *made.fence;
  std::error_code settled;
  std::error_code quiesced;
  data.on_retire = [&](retired_by) {
    settled = f.wait_settled();
    quiesced = f.wait_quiesced();
  };
  scripted_callback node;  // otherwise the decision is the settling too
  ASSERT_EQ(f.add_callback(node), no_error);
  made.signal.signal();
  EXPECT_EQ(settled, deadlock);
  EXPECT_EQ(quiesced, deadlock);
}

TEST(F04_questions, waiting_inside_an_op_of_the_fence_is_EDEADLK) {
  scripted_backend data;
  new_fence made = make_fence(&data);
  fence& f = *made.fence;
  std::vector<std::error_code> answers;
  const auto wait_all_ways = [&] {
    answers.push_back(f.wait());
    answers.push_back(f.wait_settled());
    answers.push_back(f.wait_quiesced());
  };
  data.on_enable_signaling = [&] {
    wait_all_ways();
    return 0;
  };
  data.on_poll = data.on_enable_signaling;
  data.on_set_deadline = [&](std::int64_t) { wait_all_ways(); };
  f.enable_signaling();
  EXPECT_FALSE(f.poll());
  f.set_deadline(INT64_C(1));
  EXPECT_EQ(answers, std::vector<std::error_code>(9, deadlock));
  made.signal.signal();
}

TEST(F04_questions, waiting_for_what_is_queued_on_this_thread_is_EDEADLK) {
  scripted_backend data;
  new_fence outer = make_fence();
  new_fence inner = make_fence(&data);
  scripted_callback inner_node;
  ASSERT_EQ(inner.fence->add_callback(inner_node), no_error);
  std::error_code waited = errno_code(1);
  std::error_code settled;
  std::error_code quiesced;
  scripted_callback node([&](fence&) {
    inner.signal.signal();
    waited = inner.fence->wait();
    settled = inner.fence->wait_settled();
    quiesced = inner.fence->wait_quiesced();
  });
  ASSERT_EQ(outer.fence->add_callback(node), no_error);
  outer.signal.signal();
  EXPECT_EQ(waited, no_error);
  EXPECT_EQ(settled, deadlock);
  EXPECT_EQ(quiesced, deadlock);
  EXPECT_TRUE(inner.fence->is_settled());
  EXPECT_EQ(inner.fence->wait_quiesced(no_wait), no_error);
}

TEST(F04_questions, other_fences_may_be_waited_for_in_callbacks_and_ops) {
  new_fence other = make_fence();
  scripted_backend data;
  new_fence made = make_fence(&data);
  std::vector<std::error_code> answers;
  data.on_poll = [&] {
    answers.push_back(other.fence->wait(no_wait));
    return 0;
  };
  scripted_callback node([&](fence&) { answers.push_back(other.fence->wait(patience())); });
  ASSERT_EQ(made.fence->add_callback(node), no_error);
  EXPECT_FALSE(made.fence->poll());
  std::jthread signals([&] { other.signal.signal(); });
  made.signal.signal();
  EXPECT_EQ(answers, (std::vector<std::error_code>{errno_code(ETIME), no_error}));
}

#if UFENCE_DEBUG_CHECKS
TEST(F04_questions, waiting_for_a_settlement_held_here_is_reported_in_debug_builds) {
  kept_reports reports;
  new_fence made = make_fence();
  scripted_callback node;
  ASSERT_EQ(made.fence->add_callback(node), no_error);
  settlement later;
  made.signal.decide(0, later);
  EXPECT_EQ(made.fence->wait_settled(deadline_after(second_ns)), errno_code(ETIME));
  EXPECT_EQ(reports.count(report_kind::own_settlement_wait), 1);
}
#endif

TEST(F05_decide, runs_no_foreign_code) {
  scripted_backend data;
  new_fence made = make_fence(&data);
  scripted_callback node;
  ASSERT_EQ(made.fence->add_callback(node), no_error);
  const int ops = data.ops();
  settlement later;
  EXPECT_TRUE(made.signal.decide(-EIO, later));
  EXPECT_FALSE(later.empty());
  EXPECT_TRUE(made.fence->is_signaled());
  EXPECT_EQ(made.fence->error(), -EIO);
  EXPECT_EQ(data.ops(), ops);
  EXPECT_EQ(data.retires, 0);
  EXPECT_EQ(node.runs(), 0);
  later.settle();
  EXPECT_TRUE(later.empty());
  EXPECT_EQ(data.retires, 1);
  EXPECT_EQ(node.runs(), 1);
}

TEST(F05_decide, settles_retire_then_callbacks_then_settled) {
  scripted_backend data;
  new_fence made = make_fence(&data);
  std::string order;
  data.on_retire = [&](retired_by) { order += made.fence->is_settled() ? "R!" : "r"; };
  scripted_callback node([&](fence& f) { order += f.is_settled() ? "C!" : "c"; });
  scripted_callback second([&](fence& f) { order += f.is_settled() ? "C!" : "c"; });
  ASSERT_EQ(made.fence->add_callback(node), no_error);
  ASSERT_EQ(made.fence->add_callback(second), no_error);
  made.signal.signal();
  order += made.fence->is_settled() ? "s" : "S!";
  EXPECT_EQ(order, "rccs");
}

TEST(F05_decide, wakes_waiters_before_anything_is_settled) {
  new_fence made = make_fence();
  std::error_code waited = errno_code(1);
  std::thread waits([&] { waited = made.fence->wait(patience()); });
  settlement later;
  made.signal.decide(0, later);
  waits.join();
  EXPECT_EQ(waited, no_error);
}

TEST(F05_decide, may_be_called_with_locks_that_callbacks_and_retire_take) {
  std::mutex issuer_lock;
  scripted_backend data;
  new_fence made = make_fence(&data);
  data.on_retire = [&](retired_by) { const std::lock_guard guard(issuer_lock); };
  scripted_callback node([&](fence&) { const std::lock_guard guard(issuer_lock); });
  ASSERT_EQ(made.fence->add_callback(node), no_error);
  {
    settlement later;
    const std::lock_guard guard(issuer_lock);
    EXPECT_TRUE(made.signal.decide(0, later));
    EXPECT_EQ(node.runs(), 0);
  }
  EXPECT_EQ(node.runs(), 1);
  EXPECT_EQ(data.retires, 1);
}

TEST(F05_decide, a_settlement_settles_in_its_destructor_in_order_of_decisions) {
  std::vector<int> order;
  std::vector<new_fence> fences;
  std::vector<std::unique_ptr<scripted_callback>> nodes;
  for (int i = 0; i < 10; ++i) {
    fences.push_back(make_fence());
    nodes.push_back(
        std::make_unique<scripted_callback>([&order, i](fence&) { order.push_back(i); }));
    ASSERT_EQ(fences.back().fence->add_callback(*nodes.back()), no_error);
  }
  {
    settlement later;
    for (new_fence& made : fences) made.signal.decide(0, later);
    EXPECT_TRUE(order.empty());
  }
  EXPECT_EQ(order, (std::vector<int>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}));
}

TEST(F05_decide, a_settlement_moves_between_owners_and_threads) {
  new_fence made = make_fence();
  new_fence other = make_fence();
  scripted_callback node;
  scripted_callback other_node;
  std::thread::id settler;
  node.then([&](fence&) { settler = std::this_thread::get_id(); });
  ASSERT_EQ(made.fence->add_callback(node), no_error);
  ASSERT_EQ(other.fence->add_callback(other_node), no_error);
  settlement first;
  made.signal.decide(0, first);
  settlement second(std::move(first));
  EXPECT_TRUE(first.empty());
  settlement third;
  other.signal.decide(0, third);
  third = std::move(second);
  EXPECT_EQ(other_node.runs(), 1) << "what it held before is settled";
  EXPECT_EQ(node.runs(), 0);
  std::thread::id thread;
  std::jthread elsewhere([&, later = std::move(third)]() mutable {
    thread = std::this_thread::get_id();
    later.settle();
  });
  EXPECT_EQ(made.fence->wait_settled(patience()), no_error);
  elsewhere.join();
  EXPECT_EQ(settler, thread);
}

TEST(F05_decide, a_settlement_travels_as_one_pointer) {
  new_fence made = make_fence();
  scripted_callback node;
  ASSERT_EQ(made.fence->add_callback(node), no_error);
  settlement later;
  made.signal.decide(0, later);
  void* head = later.give_up();
  EXPECT_TRUE(later.empty());
  EXPECT_NE(head, nullptr);
  EXPECT_EQ(node.runs(), 0);
  settlement::adopt(head).settle();
  EXPECT_EQ(node.runs(), 1);
  settlement::adopt(nullptr).settle();
}

TEST(F05_decide, the_settlement_keeps_the_fence_alive) {
  scripted_backend data;
  new_fence made = make_fence(&data);
  scripted_callback node;
  ASSERT_EQ(made.fence->add_callback(node), no_error);
  settlement later;
  made.signal.decide(0, later);
  made.fence.reset();
  later.settle();
  EXPECT_EQ(node.runs(), 1);
  EXPECT_EQ(data.retires, 1);
}
