// Groups: the callbacks that a module has on fences of others, gone with the module.
#include <gtest/gtest.h>

#include <array>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "ufence/fence/callback.h"
#include "ufence/fence/fence.h"
#include "ufence/fence/testing/support.h"
#include "ufence/fence/timeline.h"

using namespace ufence;
using namespace ufence::testing;

namespace {

const result<bool> removed = true;
const result<bool> not_removed = false;

}  // namespace

TEST(callback_group, closes_by_removing_what_did_not_run) {
  std::vector<new_fence> fences;
  std::vector<std::unique_ptr<scripted_callback>> nodes;
  callback_group group;
  for (int i = 0; i < 10; ++i) {
    fences.push_back(make_fence());
    nodes.push_back(std::make_unique<scripted_callback>());
    ASSERT_EQ(fences.back().fence->add_callback(*nodes.back(), &group), no_error);
  }
  scripted_callback stranger;
  ASSERT_EQ(fences[5].fence->add_callback(stranger), no_error);
  EXPECT_EQ(group.size(), 10U);
  fences[0].signal.signal();
  EXPECT_EQ(fences[1].fence->remove_callback(*nodes[1]), removed);
  EXPECT_EQ(group.size(), 8U);
  std::size_t count = 0;
  EXPECT_EQ(group.close(&count), no_error);
  EXPECT_EQ(count, 8U);
  EXPECT_EQ(group.size(), 0U);
  EXPECT_EQ(fences[2].fence->remove_callback(*nodes[2]), not_removed);
  for (new_fence& made : fences) {
    if (made.signal) made.signal.signal();
  }
  EXPECT_EQ(nodes[0]->runs(), 1);
  for (std::size_t i = 1; i < nodes.size(); ++i) EXPECT_EQ(nodes[i]->runs(), 0);
  EXPECT_EQ(stranger.runs(), 1) << "others' callbacks stay";
}

TEST(callback_group, refuses_registrations_once_it_is_closed) {
  callback_group group;
  EXPECT_EQ(group.close(), no_error);
  new_fence made = make_fence();
  scripted_callback node;
  EXPECT_EQ(made.fence->add_callback(node, &group), errno_code(ESHUTDOWN));
  EXPECT_EQ(made.fence->remove_callback(node), not_removed);
  EXPECT_EQ(made.fence->add_callback(node), no_error) << "the node is free for other use";
  made.signal.signal();
  EXPECT_EQ(node.runs(), 1);
  EXPECT_EQ(group.close(), no_error) << "closing twice is harmless";
}

TEST(callback_group, waits_for_those_that_run) {
  new_fence made = make_fence();
  callback_group group;
  door leave;
  bool returned = false;
  scripted_callback node([&](fence&) {
    leave.pass();
    returned = true;
  });
  ASSERT_EQ(made.fence->add_callback(node, &group), no_error);
  std::thread settles([&] { made.signal.signal(); });
  ASSERT_TRUE(eventually([&] { return node.runs() == 1; }));
  EXPECT_EQ(group.size(), 0U) << "it runs: it is not registered any more";
  std::thread opens([&] { leave.open(); });
  std::size_t count = 1;
  EXPECT_EQ(group.close(&count), no_error);
  EXPECT_TRUE(returned);
  EXPECT_EQ(count, 0U);
  opens.join();
  settles.join();
}

TEST(callback_group, can_not_be_closed_inside_one_of_its_callbacks) {
  new_fence made = make_fence();
  callback_group group;
  std::error_code answer;
  scripted_callback node([&](fence&) { answer = group.close(); });
  ASSERT_EQ(made.fence->add_callback(node, &group), no_error);
  made.signal.signal();
  EXPECT_EQ(answer, errno_code(EDEADLK));
  EXPECT_EQ(group.close(), no_error);
}

TEST(callback_group, may_be_closed_inside_a_callback_of_another_group) {
  new_fence made = make_fence();
  new_fence other = make_fence();
  callback_group mine;
  callback_group theirs;
  scripted_callback in_theirs;
  ASSERT_EQ(other.fence->add_callback(in_theirs, &theirs), no_error);
  std::error_code answer = errno_code(1);
  scripted_callback node([&](fence&) { answer = theirs.close(); });
  ASSERT_EQ(made.fence->add_callback(node, &mine), no_error);
  made.signal.signal();
  EXPECT_EQ(answer, no_error);
  other.signal.signal();
  EXPECT_EQ(in_theirs.runs(), 0);
  EXPECT_EQ(mine.close(), no_error);
}

TEST(callback_group, gives_up_waiting_at_the_deadline_and_can_be_asked_again) {
  new_fence made = make_fence();
  new_fence pending = make_fence();
  callback_group group;
  door leave;
  scripted_callback running([&](fence&) { leave.pass(); });
  scripted_callback queued;
  ASSERT_EQ(made.fence->add_callback(running, &group), no_error);
  ASSERT_EQ(pending.fence->add_callback(queued, &group), no_error);
  std::thread settles([&] { made.signal.signal(); });
  ASSERT_TRUE(eventually([&] { return running.runs() == 1; }));
  std::size_t count = 0;
  EXPECT_EQ(group.close(&count, deadline_after(millisecond_ns)), errno_code(ETIME));
  EXPECT_EQ(count, 1U) << "removed all the same";
  scripted_callback late;
  EXPECT_EQ(pending.fence->add_callback(late, &group), errno_code(ESHUTDOWN));
  EXPECT_EQ(group.close(&count, no_wait), errno_code(ETIME));
  leave.open();
  EXPECT_EQ(group.close(&count, patience()), no_error);
  EXPECT_EQ(count, 0U);
  settles.join();
  pending.signal.signal();
  EXPECT_EQ(queued.runs(), 0);
}

TEST(callback_group, removes_without_knowing_the_fence) {
  callback_group group;
  scripted_callback queued;
  scripted_callback ran;
  scripted_callback never_added;
  new_fence made = make_fence();
  new_fence gone = make_fence();
  ASSERT_EQ(made.fence->add_callback(queued, &group), no_error);
  ASSERT_EQ(gone.fence->add_callback(ran, &group), no_error);
  gone.signal.signal();
  gone.fence.reset();  // the fence of `ran` does not exist any more
  EXPECT_EQ(group.remove(ran), not_removed);
  EXPECT_EQ(group.remove(queued), removed);
  EXPECT_EQ(group.remove(queued), not_removed);
  EXPECT_EQ(group.remove(never_added), not_removed);
  made.signal.signal();
  EXPECT_EQ(queued.runs(), 0);
  EXPECT_EQ(ran.runs(), 1);
  EXPECT_EQ(group.close(), no_error);
}

TEST(callback_group, remove_waits_for_one_that_runs_elsewhere_but_not_for_itself) {
  callback_group group;
  new_fence made = make_fence();
  door leave;
  bool returned = false;
  result<bool> inside = true;
  scripted_callback node;
  node.then([&](fence&) {
    inside = group.remove(node);
    leave.pass();
    returned = true;
  });
  ASSERT_EQ(made.fence->add_callback(node, &group), no_error);
  std::thread settles([&] { made.signal.signal(); });
  ASSERT_TRUE(eventually([&] { return node.runs() == 1; }));
  std::thread opens([&] { leave.open(); });
  EXPECT_EQ(group.remove(node), not_removed);
  EXPECT_TRUE(returned);
  EXPECT_EQ(inside, not_removed);
  opens.join();
  settles.join();
  EXPECT_EQ(group.close(), no_error);
}

TEST(callback_group, takes_callbacks_of_timelines) {
  timeline_issuer issuer = make_timeline();
  callback_group group;
  std::vector<std::unique_ptr<scripted_callback>> nodes;
  for (int i = 0; i < 4; ++i) {
    nodes.push_back(std::make_unique<scripted_callback>());
    ASSERT_EQ(issuer.emit().value()->add_callback(*nodes.back(), &group), no_error);
  }
  issuer.signal_up_to(1);
  EXPECT_EQ(group.remove(*nodes[1]), removed);
  std::size_t count = 0;
  EXPECT_EQ(group.close(&count), no_error);
  EXPECT_EQ(count, 2U);
  issuer.signal_up_to(4);
  EXPECT_EQ(nodes[0]->runs(), 1);
  for (std::size_t i = 1; i < nodes.size(); ++i) EXPECT_EQ(nodes[i]->runs(), 0);
}
