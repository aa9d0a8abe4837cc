// F10 and F11: callbacks run once, in order, without locks; removal is a barrier.
#include "ufence/fence/callback.h"

#include <gtest/gtest.h>

#include <array>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "ufence/fence/fence.h"
#include "ufence/fence/testing/support.h"

using namespace ufence;
using namespace ufence::testing;

namespace {

const result<bool> removed = true;
const result<bool> not_removed = false;

}  // namespace

TEST(F10_add_callback, on_a_signaled_fence_says_so_and_does_not_call) {
  new_fence made = make_fence();
  scripted_callback node;
  settlement later;
  made.signal.decide(0, later);
  EXPECT_EQ(made.fence->add_callback(node), errno_code(ENOENT)) << "not settled yet, but signaled";
  later.settle();
  EXPECT_EQ(made.fence->add_callback(node), errno_code(ENOENT));
  EXPECT_EQ(node.runs(), 0);
}

TEST(F10_add_callback, runs_them_once_in_the_order_they_were_added) {
  new_fence made = make_fence();
  std::vector<int> order;
  std::vector<std::unique_ptr<scripted_callback>> nodes;
  for (int i = 0; i < 100; ++i) {
    nodes.push_back(
        std::make_unique<scripted_callback>([&order, i](fence&) { order.push_back(i); }));
    ASSERT_EQ(made.fence->add_callback(*nodes.back()), no_error);
  }
  for (const std::size_t gone : {0U, 50U, 99U}) {
    EXPECT_EQ(made.fence->remove_callback(*nodes[gone]), removed);
  }
  made.signal.signal();
  std::vector<int> expected;
  for (int i = 0; i < 100; ++i) {
    if (i != 0 && i != 50 && i != 99) expected.push_back(i);
  }
  EXPECT_EQ(order, expected);
}

TEST(F10_add_callback, runs_them_in_the_settling_thread_with_the_fence) {
  new_fence made = make_fence();
  std::thread::id ran_in;
  fence* ran_for = nullptr;
  scripted_callback node([&](fence& f) {
    ran_in = std::this_thread::get_id();
    ran_for = &f;
  });
  ASSERT_EQ(made.fence->add_callback(node), no_error);
  std::thread::id settler;
  std::thread settles([&] {
    settler = std::this_thread::get_id();
    made.signal.signal();
  });
  settles.join();
  EXPECT_EQ(ran_in, settler);
  EXPECT_EQ(ran_for, made.fence.get());
}

TEST(F10_add_callback, runs_them_without_any_lock_of_ours) {
  new_fence made = make_fence();
  scripted_callback after;
  scripted_callback node([&](fence& f) {
    std::jthread other([&] {
      scripted_callback late;
      EXPECT_EQ(f.add_callback(late), errno_code(ENOENT));
      EXPECT_EQ(f.remove_callback(after), removed);
      EXPECT_EQ(f.status(), 1);
    });
  });
  ASSERT_EQ(made.fence->add_callback(node), no_error);
  ASSERT_EQ(made.fence->add_callback(after), no_error);
  made.signal.signal();
  EXPECT_EQ(node.runs(), 1);
  EXPECT_EQ(after.runs(), 0);
}

TEST(F10_add_callback, refuses_what_can_not_work) {
  new_fence made = make_fence();
  callback no_function;
  EXPECT_EQ(made.fence->add_callback(no_function), errno_code(EINVAL));
  scripted_callback node;
  ASSERT_EQ(made.fence->add_callback(node), no_error);
  EXPECT_EQ(made.fence->add_callback(node), errno_code(EBUSY));
  new_fence other = make_fence();
  EXPECT_EQ(other.fence->add_callback(node), errno_code(EBUSY));
  made.signal.signal();
  other.signal.signal();
  EXPECT_EQ(node.runs(), 1);
}

TEST(F10_add_callback, a_node_may_be_used_again_after_it_ran_or_was_removed) {
  scripted_callback node;
  for (int i = 0; i < 3; ++i) {
    new_fence made = make_fence();
    ASSERT_EQ(made.fence->add_callback(node), no_error);
    EXPECT_EQ(made.fence->remove_callback(node), removed);
    ASSERT_EQ(made.fence->add_callback(node), no_error);
    made.signal.signal();
    EXPECT_EQ(node.runs(), i + 1);
  }
}

TEST(F10_add_callback, a_callback_may_queue_itself_on_another_fence) {
  new_fence first = make_fence();
  new_fence second = make_fence();
  scripted_callback node;
  node.then([&](fence& f) {
    if (&f == first.fence.get()) {
      EXPECT_EQ(second.fence->add_callback(node), no_error);
    }
  });
  ASSERT_EQ(first.fence->add_callback(node), no_error);
  first.signal.signal();
  EXPECT_EQ(node.runs(), 1);
  second.signal.signal();
  EXPECT_EQ(node.runs(), 2);
}

TEST(F11_remove_callback, removed_means_that_it_never_runs) {
  new_fence made = make_fence();
  scripted_callback node;
  ASSERT_EQ(made.fence->add_callback(node), no_error);
  EXPECT_EQ(made.fence->remove_callback(node), removed);
  EXPECT_EQ(made.fence->remove_callback(node), not_removed) << "only once";
  made.signal.signal();
  EXPECT_EQ(node.runs(), 0);
}

TEST(F11_remove_callback, of_a_node_never_queued_is_false) {
  new_fence made = make_fence();
  scripted_callback node;
  EXPECT_EQ(made.fence->remove_callback(node), not_removed);
  made.signal.signal();
  EXPECT_EQ(made.fence->remove_callback(node), not_removed);
}

TEST(F11_remove_callback, of_a_node_queued_on_another_fence_leaves_it_there) {
  new_fence made = make_fence();
  new_fence other = make_fence();
  scripted_callback before;
  scripted_callback node;
  ASSERT_EQ(other.fence->add_callback(before), no_error);
  ASSERT_EQ(other.fence->add_callback(node), no_error);
  EXPECT_EQ(made.fence->remove_callback(node), not_removed);
  made.signal.signal();
  other.signal.signal();
  EXPECT_EQ(before.runs(), 1);
  EXPECT_EQ(node.runs(), 1);
}

TEST(F11_remove_callback, works_between_decision_and_settling) {
  new_fence made = make_fence();
  scripted_callback node;
  ASSERT_EQ(made.fence->add_callback(node), no_error);
  settlement later;
  made.signal.decide(0, later);
  EXPECT_EQ(made.fence->remove_callback(node), removed);
  later.settle();
  EXPECT_EQ(node.runs(), 0);
  EXPECT_TRUE(made.fence->is_settled());
}

TEST(F11_remove_callback, waits_for_a_callback_that_runs) {
  new_fence made = make_fence();
  door leave;
  bool returned = false;
  auto node = std::make_unique<scripted_callback>([&](fence&) {
    leave.pass();
    returned = true;
  });
  ASSERT_EQ(made.fence->add_callback(*node), no_error);
  std::thread settles([&] { made.signal.signal(); });
  ASSERT_TRUE(eventually([&] { return node->runs() == 1; }));
  std::thread opens([&] { leave.open(); });
  EXPECT_EQ(made.fence->remove_callback(*node), not_removed);
  EXPECT_TRUE(returned);
  node.reset();  // nobody touches it any more
  opens.join();
  settles.join();
}

TEST(F11_remove_callback, does_not_wait_for_others_that_run) {
  new_fence made = make_fence();
  door leave;
  scripted_callback finished;
  scripted_callback running([&](fence&) { leave.pass(); });
  scripted_callback queued;
  for (scripted_callback* node : {&finished, &running, &queued}) {
    ASSERT_EQ(made.fence->add_callback(*node), no_error);
  }
  std::thread settles([&] { made.signal.signal(); });
  ASSERT_TRUE(eventually([&] { return running.runs() == 1; }));
  EXPECT_EQ(made.fence->remove_callback(finished), not_removed);
  EXPECT_EQ(made.fence->remove_callback(queued), removed);
  EXPECT_FALSE(made.fence->is_settled());
  leave.open();
  settles.join();
  EXPECT_EQ(queued.runs(), 0);
}

TEST(F11_remove_callback, does_not_wait_inside_the_callback_itself) {
  new_fence made = make_fence();
  result<bool> answer = true;
  scripted_callback node;
  node.then([&](fence& f) { answer = f.remove_callback(node); });
  ASSERT_EQ(made.fence->add_callback(node), no_error);
  made.signal.signal();
  EXPECT_EQ(answer, not_removed);
  EXPECT_EQ(node.runs(), 1);
}

TEST(F11_remove_callback, may_remove_a_later_one_from_inside_an_earlier_one) {
  new_fence made = make_fence();
  auto later = std::make_unique<scripted_callback>();
  scripted_callback last;
  result<bool> answer = false;
  scripted_callback earlier([&](fence& f) {
    answer = f.remove_callback(*later);
    later.reset();
  });
  ASSERT_EQ(made.fence->add_callback(earlier), no_error);
  ASSERT_EQ(made.fence->add_callback(*later), no_error);
  ASSERT_EQ(made.fence->add_callback(last), no_error);
  made.signal.signal();
  EXPECT_EQ(answer, removed);
  EXPECT_EQ(last.runs(), 1);
}

TEST(F11_remove_callback, a_callback_may_free_its_own_node) {
  new_fence made = make_fence();
  int freed = 0;
  for (int i = 0; i < 3; ++i) {
    auto node = std::make_unique<scripted_callback>();
    scripted_callback* raw = node.release();
    raw->then([&freed, raw](fence&) {
      delete raw;
      ++freed;
    });
    ASSERT_EQ(made.fence->add_callback(*raw), no_error);
  }
  made.signal.signal();
  EXPECT_EQ(freed, 3);
  EXPECT_TRUE(made.fence->is_settled());
}

TEST(F11_remove_callback, a_callback_may_drop_the_last_reference_but_the_signalers) {
  new_fence made = make_fence();
  scripted_callback node([&](fence&) { made.fence.reset(); });
  ASSERT_EQ(made.fence->add_callback(node), no_error);
  made.signal.signal();
  EXPECT_EQ(node.runs(), 1);
}

TEST(F11_registration, removes_when_it_is_dropped) {
  new_fence made = make_fence();
  int runs = 0;
  {
    callback_registration count([&](fence&) { ++runs; });
    EXPECT_FALSE(count.remove()) << "nothing registered";
    ASSERT_EQ(count.add(made.fence), no_error);
    EXPECT_EQ(count.add(made.fence), errno_code(EBUSY));
  }
  made.signal.signal();
  EXPECT_EQ(runs, 0);
}

TEST(F11_registration, runs_its_function_with_the_fence) {
  new_fence made = make_fence();
  fence* seen = nullptr;
  callback_registration look([&](fence& f) { seen = &f; });
  ASSERT_EQ(look.add(made.fence), no_error);
  fence* expected = made.fence.get();
  made.fence.reset();  // the registration holds a reference
  made.signal.signal();
  EXPECT_EQ(seen, expected);
  EXPECT_FALSE(look.remove());
  new_fence other = make_fence();
  ASSERT_EQ(look.add(other.fence), no_error) << "may be used again";
  EXPECT_TRUE(look.remove());
  other.signal.signal();
  EXPECT_EQ(look.add(other.fence), errno_code(ENOENT));
}

TEST(F11_registration, waits_for_its_function_when_it_is_dropped) {
  new_fence made = make_fence();
  door leave;
  std::atomic<bool> runs = false;
  bool returned = false;
  std::thread settles;
  std::thread opens;
  {
    callback_registration slow([&](fence&) {
      runs = true;
      leave.pass();
      returned = true;
    });
    ASSERT_EQ(slow.add(made.fence), no_error);
    settles = std::thread([&] { made.signal.signal(); });
    ASSERT_TRUE(eventually([&] { return runs.load(); }));
    opens = std::thread([&] { leave.open(); });
  }
  EXPECT_TRUE(returned);
  opens.join();
  settles.join();
}
