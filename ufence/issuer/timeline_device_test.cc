#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

#include "ufence/driver.h"
#include "ufence/issuer/host.h"
#include "ufence/issuer/issuer_test_support.h"

namespace ufence {
namespace {

using testing::kept_reports;
using testing::make_fence;
using testing::scripted_callback;
using ::testing::HasSubstr;
namespace ops = puppet;

TEST(timeline_device, completes_its_jobs_by_seqno) {
  puppet_device p("puppet_line");
  std::vector<fence_ref> jobs;
  for (int i = 0; i < 10; ++i) jobs.push_back(p.give(ops::hold));
  EXPECT_EQ(jobs[3]->owner(), jobs[4]->owner());
  p.give(ops::finish, {.value = jobs[6]->seqno()});
  EXPECT_EQ(jobs[6]->status(), 1);
  EXPECT_EQ(jobs[7]->status(), 0);
  EXPECT_EQ(p.device->stats().jobs_pending, 3U);
  p.give(ops::finish, {.value = jobs[9]->seqno()});
  EXPECT_EQ(p.device->stats().jobs_pending, 0U);
  p.unload();
  EXPECT_EQ(p.device->stats().retired_by_settlement, p.device->stats().jobs_submitted);
  EXPECT_EQ(p.board->line_retires, 1U);
}

TEST(timeline_device, jobs_reach_the_driver_in_the_order_of_their_seqnos) {
  puppet_device p("puppet_line");
  new_fence slow = make_fence();
  const fence_ref first = p.give(ops::now, {.after = {slow.fence}});
  const fence_ref second = p.give(ops::now);
  EXPECT_FALSE(second->is_signaled());  // its turn comes after the first
  slow.signal.signal();
  EXPECT_EQ(first->status(), 1);
  EXPECT_EQ(second->status(), 1);
  p.unload();
}

TEST(timeline_device, a_job_that_fails_in_its_in_fences_does_not_hold_up_others) {
  puppet_device p("puppet_line");
  new_fence bad = make_fence();
  const fence_ref first = p.give(ops::now, {.after = {bad.fence}});
  const fence_ref second = p.give(ops::hold);
  bad.signal.signal(-EIO);
  EXPECT_EQ(first->status(), -EIO);
  EXPECT_EQ(p.board->held, 1U);
  p.give(ops::finish, {.value = second->seqno()});
  EXPECT_EQ(second->status(), 1);
  EXPECT_EQ(first->status(), -EIO);
  p.unload();
}

TEST(timeline_device, a_refused_job_ends_alone) {
  puppet_device p("puppet_line");
  const fence_ref before = p.give(ops::hold);
  const fence_ref refused = p.give(ops::refuse, {.error = -ENOSYS});
  const fence_ref after = p.give(ops::hold);
  EXPECT_EQ(refused->status(), -ENOSYS);
  EXPECT_EQ(before->status(), 0);
  p.give(ops::finish, {.value = after->seqno()});
  EXPECT_EQ(before->status(), 1);
  EXPECT_EQ(refused->status(), -ENOSYS);
  p.unload();
}

TEST(timeline_device, one_job_may_end_with_an_error_out_of_order) {
  puppet_device p("puppet_line");
  const fence_ref first = p.give(ops::hold), second = p.give(ops::hold);
  p.give(ops::finish, {.value = second->seqno(), .error = -EIO});
  EXPECT_EQ(first->status(), 0);
  EXPECT_EQ(second->status(), -EIO);
  p.give(ops::finish, {.value = first->seqno()});
  EXPECT_EQ(first->status(), 1);
  p.unload();
}

TEST(timeline_device, it_is_asked_to_notify_and_hears_deadlines) {
  puppet_device p("puppet_line");
  const fence_ref job = p.give(ops::hold);
  EXPECT_EQ(p.board->notify_requests, 0U);
  scripted_callback after;
  ASSERT_FALSE(job->add_callback(after));
  EXPECT_EQ(p.board->notify_requests, 1U);
  job->set_deadline(INT64_C(77));
  EXPECT_EQ(p.board->deadline_ns, 77);
  p.give(ops::finish, {.value = job->seqno()});
  EXPECT_EQ(after.runs(), 1);
  p.unload();
}

TEST(timeline_device, a_seqno_beyond_the_last_job_is_refused_and_reported) {
  const kept_reports reports;
  puppet_device p("puppet_line");
  const fence_ref job = p.give(ops::hold);
  p.give(ops::finish, {.value = 1000});
  EXPECT_EQ(job->status(), 0);
  ASSERT_EQ(reports.all().size(), 1U);
  EXPECT_THAT(reports.all()[0].text, HasSubstr("D-18"));
  p.unload({.policy = unload_policy::cancel, .give_up_ns = 1'000'000});
  EXPECT_EQ(job->status(), -ECANCELED);
}

TEST(timeline_device, cancel_ends_what_is_pending_and_what_waits) {
  puppet_device p("puppet_line");
  new_fence never = make_fence();
  const fence_ref held = p.give(ops::hold);
  const fence_ref waiting = p.give(ops::hold, {.after = {never.fence}});
  const fence_ref behind = p.give(ops::hold);
  const unload_report done = p.unload({.policy = unload_policy::cancel});
  EXPECT_EQ(done.jobs_cancelled, 3U);
  for (const fence_ref& f : {held, waiting, behind}) EXPECT_EQ(f->status(), -ECANCELED);
  never.signal.signal();
  EXPECT_EQ(p.board->line_retires, 1U);
}

TEST(timeline_device, draining_waits_for_a_worker) {
  puppet_device p("puppet_line");
  std::vector<fence_ref> jobs;
  for (int i = 0; i < 200; ++i) jobs.push_back(p.give(ops::work));
  const unload_report done = p.unload();
  EXPECT_EQ(done.jobs_cancelled, 0U);
  for (const fence_ref& f : jobs) EXPECT_EQ(f->status(), 1);
}

TEST(timeline_device, fences_of_an_unloaded_one_still_answer) {
  puppet_device p("puppet_line");
  std::vector<fence_ref> jobs;
  for (int i = 0; i < 100; ++i) jobs.push_back(p.give(ops::work));
  p.unload();
  for (const fence_ref& f : jobs) {
    EXPECT_EQ(f->status(), 1);
    EXPECT_TRUE(f->poll());
    f->set_deadline(INT64_C(1));
    EXPECT_EQ(f->driver_name(), "puppet");
  }
}

TEST(timeline_device, threads_that_submit_get_ordered_fences) {
  puppet_device p("puppet_line");
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&p] {
      fence_ref previous;
      for (int i = 0; i < 500; ++i) {
        std::vector<fence_ref> after;
        if (previous && i % 5 == 0) after.push_back(previous);
        const fence_ref next = p.give(ops::work, {.after = after});
        if (previous) { EXPECT_TRUE(next->is_later_than(*previous)); }
        previous = next;
      }
      EXPECT_FALSE(previous->wait(testing::patience()));
    });
  }
  for (std::thread& t : threads) t.join();
  p.unload();
}

}  // namespace
}  // namespace ufence
