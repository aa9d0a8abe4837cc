#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <latch>
#include <thread>
#include <vector>

#include "ufence/driver.h"
#include "ufence/fence/wait.h"
#include "ufence/issuer/host.h"
#include "ufence/issuer/issuer_test_support.h"

namespace ufence {
namespace {

using testing::make_fence;
using testing::scripted_callback;
using ::testing::HasSubstr;
namespace ops = puppet;

TEST(job, completes_with_the_drivers_result) {
  puppet_device p;
  EXPECT_EQ(p.give(ops::now)->status(), 1);
  EXPECT_EQ(p.give(ops::now, {.error = -EIO})->status(), -EIO);
  const fence_ref worked = p.give(ops::work, {.error = -ENOSPC});
  EXPECT_FALSE(worked->wait(testing::patience()));
  EXPECT_EQ(worked->error(), -ENOSPC);
  p.unload();
}

TEST(job, its_fence_has_a_context_of_its_own_and_the_devices_names) {
  puppet_device p;
  const fence_ref first = p.give(ops::now), second = p.give(ops::now);
  EXPECT_EQ(first->owner()->context(), p.device->context());
  EXPECT_EQ(second->owner(), first->owner());
  EXPECT_GT(second->seqno(), first->seqno());
  EXPECT_NE(second->context(), first->context()) << "they complete in any order";
  EXPECT_FALSE(second->is_later_than(*first));
  p.unload();
  EXPECT_EQ(first->driver_name(), "puppet");
  EXPECT_EQ(first->timeline_name(), "strings");
  EXPECT_THAT(first->describe(), HasSubstr("strings puppet signalled"));
}

TEST(job, in_fences_are_waited_for) {
  puppet_device p;
  new_fence one = make_fence(), two = make_fence(), three = make_fence();
  const fence_ref job = p.give(ops::now, {.after = {one.fence, two.fence, three.fence}});
  const auto submits = p.board->submits.load();
  two.signal.signal();
  one.signal.signal();
  EXPECT_EQ(p.board->submits, submits);
  EXPECT_FALSE(job->is_signaled());
  three.signal.signal();
  EXPECT_EQ(p.board->submits, submits + 1);
  EXPECT_EQ(job->status(), 1);
  p.unload();
}

TEST(job, in_fences_that_are_signaled_already_do_not_hold_it_up) {
  puppet_device p;
  new_fence done = make_fence();
  done.signal.signal();
  EXPECT_EQ(p.give(ops::now, {.after = {done.fence, fence::stub()}})->status(), 1);
  p.unload();
}

TEST(job, an_in_fence_given_twice_counts_twice) {
  puppet_device p;
  new_fence in = make_fence();
  const fence_ref job = p.give(ops::now, {.after = {in.fence, in.fence}});
  EXPECT_FALSE(job->is_signaled());
  in.signal.signal();
  EXPECT_EQ(job->status(), 1);
  p.unload();
}

TEST(job, the_error_of_an_in_fence_ends_it) {
  puppet_device p;
  new_fence failed = make_fence(), pending = make_fence();
  const auto submits = p.board->submits.load();
  const fence_ref job = p.give(ops::now, {.after = {failed.fence, pending.fence}});
  failed.signal.signal(-EIO);
  EXPECT_FALSE(job->is_signaled());  // its arguments may be in use by what it waits for
  pending.signal.signal(-ENXIO);
  EXPECT_EQ(job->status(), -EIO);
  EXPECT_EQ(p.board->submits, submits);
  EXPECT_EQ(p.give(ops::now, {.after = {failed.fence}})->status(), -EIO);
  EXPECT_EQ(p.give(ops::now, {.after = {failed.fence}, .even_after_failure = true})->status(), 1);
  p.unload();
}

TEST(job, a_chain_of_jobs_runs_in_order_without_recursion) {
  puppet_device p;
  new_fence start = make_fence();
  std::vector<fence_ref> chain{start.fence};
  for (int i = 0; i < 20000; ++i) chain.push_back(p.give(ops::now, {.after = {chain.back()}}));
  start.signal.signal();
  EXPECT_EQ(chain.back()->status(), 1);
  p.unload();
}

TEST(job, many_in_fences_and_large_arguments_fit) {
  puppet_device p;
  std::vector<new_fence> in;
  std::vector<fence_ref> refs;
  for (int i = 0; i < 1000; ++i) refs.push_back(in.emplace_back(make_fence()).fence);
  std::vector<std::byte> arguments(100'000);
  const puppet::arguments head{.to = p.board.get()};
  std::memcpy(arguments.data(), &head, sizeof head);
  const auto job = p.device->submit({.opcode = ops::now, .args = arguments, .in_fences = refs});
  ASSERT_TRUE(job);
  for (new_fence& f : in) {
    EXPECT_FALSE((*job)->is_signaled());
    f.signal.signal();
  }
  EXPECT_EQ((*job)->status(), 1);
  p.unload();
}

TEST(job, arguments_are_copied) {
  puppet_device p;
  new_fence in = make_fence();
  puppet::arguments arguments{.to = p.board.get(), .error = -EIO};
  const std::array<fence_ref, 1> after{in.fence};
  const auto job = p.device->submit({.opcode = ops::now,
                                     .args = std::as_bytes(std::span(&arguments, 1)),
                                     .in_fences = after});
  arguments.error = -ENXIO;
  in.signal.signal();
  EXPECT_EQ((*job)->status(), -EIO);
  p.unload();
}

TEST(job, bad_requests_are_refused) {
  puppet_device p;
  EXPECT_EQ(error_of(p.submit(ops::now, {.after = {nullptr}})), errno_code(EINVAL));
  EXPECT_EQ(p.device->stats().jobs_pending, 0U);
  EXPECT_EQ(p.device->observe(nullptr), errno_code(EINVAL));
  p.unload();
}

TEST(job, what_the_driver_refuses_ends_with_its_error) {
  puppet_device p;
  const auto retires = p.board->retires.load();
  EXPECT_EQ(p.give(ops::refuse, {.error = -ENOSYS})->status(), -ENOSYS);
  EXPECT_EQ(p.board->retires, retires);  // the driver has forgotten it
  EXPECT_EQ(p.device->stats().jobs_pending, 0U);
  p.unload();
}

TEST(job, counts_are_kept_after_the_module_is_gone) {
  puppet_device p;
  for (int i = 0; i < 5; ++i) p.give(ops::now);
  const fence_ref held = p.give(ops::hold);
  EXPECT_EQ(p.device->stats().jobs_pending, 1U);
  p.give(ops::finish_all);
  p.unload();
  const device_stats stats = p.device->stats();
  EXPECT_EQ(stats.jobs_submitted, 8U);  // attach, finish_all and these
  EXPECT_EQ(stats.jobs_pending, 0U);
  EXPECT_EQ(stats.retired_by_settlement + stats.retired_by_last_op, 8U);
  EXPECT_EQ(stats.entries, 0U);
  EXPECT_EQ(p.board->retires, 8U);
}

TEST(job, ops_reach_the_driver) {
  puppet_device p;
  const fence_ref job = p.give(ops::hold);
  job->enable_signaling();
  job->enable_signaling();
  EXPECT_EQ(p.board->enables, 1U);
  EXPECT_FALSE(job->poll());
  EXPECT_EQ(p.board->polls, 1U);
  job->set_deadline(INT64_C(12345));
  EXPECT_EQ(p.board->deadlines, 1U);
  EXPECT_EQ(p.board->deadline_ns, 12345);
  p.board->poll_result = -EIO;
  EXPECT_TRUE(job->poll());
  EXPECT_EQ(job->error(), -EIO);
  EXPECT_EQ(p.device->stats().jobs_pending, 0U);
  EXPECT_EQ(p.device->stats().retired_by_last_op, p.device->stats().jobs_submitted);
  p.unload();
}

TEST(job, enable_signaling_may_complete_it) {
  puppet_device p;
  p.board->enable_result = 1;
  const fence_ref job = p.give(ops::hold);
  EXPECT_FALSE(job->wait(testing::patience()));
  EXPECT_EQ(job->status(), 1);
  p.unload();
}

TEST(job, what_is_asked_before_the_driver_has_it_is_asked_afterwards) {
  puppet_device p;
  new_fence in = make_fence();
  const fence_ref job = p.give(ops::hold, {.after = {in.fence}});
  scripted_callback told;
  ASSERT_FALSE(job->add_callback(told));
  job->set_deadline(INT64_C(300));
  job->set_deadline(INT64_C(200));
  job->set_deadline(INT64_C(400));
  EXPECT_FALSE(job->poll());
  EXPECT_EQ(p.board->enables + p.board->polls + p.board->deadlines, 0U);
  in.signal.signal();
  EXPECT_EQ(p.board->enables, 1U);
  EXPECT_EQ(p.board->deadlines, 1U);
  EXPECT_EQ(p.board->deadline_ns, 200);
  p.give(ops::finish_all);
  EXPECT_EQ(told.runs(), 1);
  p.unload();
}

TEST(job, a_deferred_enable_may_complete_it) {
  puppet_device p;
  new_fence in = make_fence();
  const fence_ref job = p.give(ops::hold, {.after = {in.fence}});
  job->enable_signaling();
  p.board->enable_result = -EIO;
  in.signal.signal();
  EXPECT_EQ(job->status(), -EIO);
  p.unload();
}

TEST(job, a_driver_without_ops_is_enough) {
  puppet_device p("puppet_plain");
  EXPECT_EQ(p.give(ops::now)->status(), 1);
  const fence_ref job = p.give(ops::work);
  EXPECT_FALSE(job->poll() && false);
  job->set_deadline(INT64_C(1));
  EXPECT_FALSE(job->wait(testing::patience()));
  EXPECT_EQ(p.device->observe(job), errno_code(EOPNOTSUPP));
  EXPECT_EQ(p.device->features(), 0U);
  p.unload();
}

TEST(job, decide_under_the_drivers_lock_runs_no_callback) {
  puppet_device p;
  const fence_ref job = p.give(ops::hold);
  scripted_callback after;
  ASSERT_FALSE(job->add_callback(after));
  p.give(ops::decide_only, {.value = job->seqno()});
  EXPECT_EQ(job->status(), 1);
  EXPECT_FALSE(job->is_settled());
  EXPECT_EQ(after.runs(), 0);
  p.give(ops::settle);
  EXPECT_TRUE(job->is_settled());
  EXPECT_EQ(after.runs(), 1);
  p.unload();
}

TEST(job, observed_fences_call_the_driver_back) {
  puppet_device p;
  new_fence watched = make_fence();
  EXPECT_FALSE(p.device->observe(watched.fence));
  EXPECT_EQ(p.device->observe(fence::stub()), errno_code(ENOENT));
  watched.signal.signal();
  EXPECT_EQ(p.board->callbacks, 1U);
  EXPECT_EQ(p.unload().callbacks_removed, 0U);
}

TEST(job, submitting_from_a_callback_of_its_own_fence_works) {
  puppet_device p;
  const fence_ref job = p.give(ops::hold);
  fence_ref next;
  scripted_callback follow([&](fence&) { next = p.give(ops::now); });
  ASSERT_FALSE(job->add_callback(follow));
  p.give(ops::finish_all);
  ASSERT_TRUE(next);
  EXPECT_EQ(next->status(), 1);
  p.unload();
}

TEST(job, threads_that_submit_and_wait_all_get_their_results) {
  puppet_device p;
  constexpr int threads = 4, jobs = 500;
  std::vector<std::thread> all;
  for (int t = 0; t < threads; ++t) {
    all.emplace_back([&p, t] {
      fence_ref previous;
      for (int i = 0; i < jobs; ++i) {
        const int error = i % 7 == 0 ? -t - 1 : 0;
        std::vector<fence_ref> after;
        if (previous) after.push_back(previous);
        previous = p.give(i % 2 == 0 ? puppet::work : puppet::now,
                          {.error = error, .after = after, .even_after_failure = true});
        if (i % 3 != 0) continue;
        EXPECT_FALSE(previous->wait(testing::patience()));
        EXPECT_EQ(previous->error(), error);
      }
      EXPECT_FALSE(previous->wait(testing::patience()));
    });
  }
  for (std::thread& t : all) t.join();
  EXPECT_EQ(p.unload().jobs_cancelled, 0U);
  EXPECT_EQ(p.board->retires, p.device->stats().jobs_submitted);
}

}  // namespace
}  // namespace ufence
