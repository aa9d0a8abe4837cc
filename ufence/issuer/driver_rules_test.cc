// Rules of the driver contract that a driver can break at run time: each is found out and reported by
// name, and the host stays whole.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <string>
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
using ::testing::IsEmpty;
namespace ops = puppet;

std::vector<std::string> texts(const kept_reports& reports) {
  std::vector<std::string> all;
  for (const auto& r : reports.all()) {
    EXPECT_EQ(r.kind, report_kind::driver);
    EXPECT_EQ(r.driver_name, "puppet");
    all.push_back(r.text);
  }
  return all;
}

void expect_report(const kept_reports& reports, const char* text) {
  EXPECT_THAT(texts(reports), ::testing::ElementsAre(HasSubstr(text)));
}

TEST(driver_rules, D4_an_exception_out_of_submit_ends_the_job) {
  const kept_reports reports;
  puppet_device p;
  EXPECT_EQ(p.give(ops::throw_it)->status(), -EIO);
  expect_report(reports, "D-4: submit() threw an exception (std::runtime_error): as told");
  p.unload();
}

TEST(driver_rules, D4_exceptions_out_of_ops_are_caught) {
  const kept_reports reports;
  puppet_device p;
  const fence_ref job = p.give(ops::hold);
  new_fence watched = make_fence();
  EXPECT_FALSE(p.device->observe(watched.fence));
  p.board->throws = 1;
  job->enable_signaling();
  EXPECT_FALSE(job->poll());
  watched.signal.signal();
  p.board->throws = 0;
  p.give(ops::finish_all);
  EXPECT_EQ(job->status(), 1);
  p.board->throws = 1;
  p.unload();
  EXPECT_THAT(texts(reports), ::testing::ElementsAre(HasSubstr("D-4: enable_signaling() threw"),
                                                     HasSubstr("D-4: poll() threw"),
                                                     HasSubstr("D-4: a callback threw"),
                                                     HasSubstr("D-4: stop() threw")));
}

TEST(driver_rules, D4_an_exception_out_of_retire_is_caught) {
  const kept_reports reports;
  puppet_device p;
  const fence_ref job = p.give(ops::hold);
  p.give(ops::decide_only, {.value = job->seqno()});
  p.board->throws = 1;
  p.give(ops::settle);
  EXPECT_TRUE(job->is_settled());
  p.board->throws = 0;
  EXPECT_THAT(texts(reports), ::testing::Each(HasSubstr("D-4: retire() threw")));
  EXPECT_EQ(texts(reports).size(), 2U);  // of that job, and of the one that settled it
  p.unload();
}

TEST(driver_rules, D5_a_job_that_is_decided_twice_is_reported) {
  const kept_reports reports;
  puppet_device p;
  const fence_ref job = p.give(ops::twice);
  EXPECT_EQ(job->status(), 1);
  EXPECT_EQ(p.board->double_decide, -EALREADY);
  expect_report(reports, "D-5: the job was decided again");
  EXPECT_EQ(reports.all()[0].context, job->context());
  EXPECT_EQ(reports.all()[0].seqno, job->seqno());
  p.unload();
}

TEST(driver_rules, D5_a_job_that_is_refused_after_its_decision_is_reported) {
  const kept_reports reports;
  puppet_device p;
  EXPECT_EQ(p.give(ops::refuse_decided, {.error = -EIO})->status(), 1);
  expect_report(reports, "D-5: submit() refused a job that it had decided");
  p.unload();
}

TEST(driver_rules, D5_a_copy_of_a_job_is_no_job) {
  const kept_reports reports;
  puppet_device p;
  EXPECT_EQ(p.give(ops::copy)->status(), 1);
  EXPECT_EQ(p.board->copy_decide, -EINVAL);
  expect_report(reports, "D-5: decided something that is not a job");
  p.unload();
}

TEST(driver_rules, D5_a_job_that_the_driver_forgets_is_ended_by_the_host) {
  puppet_device p;
  const fence_ref job = p.give(ops::unlinked);
  EXPECT_EQ(p.unload({.policy = unload_policy::cancel, .give_up_ns = 10'000'000}).jobs_cancelled, 1U);
  EXPECT_EQ(job->status(), -ECANCELED);
}

TEST(driver_rules, D6_a_write_to_the_arguments_after_the_decision_is_reported) {
  {
    const kept_reports reports;
    puppet_device p;
    EXPECT_EQ(p.give(ops::spoil)->status(), 1);
    p.unload();
    expect_report(reports, "D-6: wrote to the job's arguments");
  }
  {
    // Also when the record is used again before the unload.
    const kept_reports reports;
    puppet_device p;
    const fence_ref job = p.give(ops::spoil);
    for (int i = 0; i < 2000; ++i) p.give(ops::now);
    expect_report(reports, "D-6: wrote to the job's arguments");
    EXPECT_EQ(reports.all()[0].seqno, job->seqno());
    p.unload();
    EXPECT_EQ(reports.all().size(), 1U);
  }
}

TEST(driver_rules, D8_a_thread_that_outlives_stop_pins_the_module_by_its_name) {
  puppet_device p;
  p.give(ops::linger);
  const unload_report pinned = p.try_unload();
  EXPECT_EQ(pinned.state, unload_state::pinned);
  EXPECT_EQ(pinned.last_step, 5);
  EXPECT_THAT(pinned.pins, ::testing::ElementsAre("D-8: thread lingerer has not ended after stop()"));
  EXPECT_EQ(error_of(p.submit(ops::now)), errno_code(ENODEV));
  p.board->let_go();
  p.unload();
  EXPECT_EQ(p.board->stops, 1U);
}

TEST(driver_rules, D16_errors_out_of_range_are_reported) {
  const kept_reports reports;
  puppet_device p;
  EXPECT_EQ(p.give(ops::refuse, {.error = 7})->status(), -EINVAL);
  EXPECT_EQ(p.give(ops::refuse, {.error = -5000})->status(), -EINVAL);
  const fence_ref job = p.give(ops::hold);
  p.board->poll_result = 2;
  EXPECT_FALSE(job->poll());
  EXPECT_THAT(texts(reports), ::testing::ElementsAre(HasSubstr("D-16: an error"),
                                                     HasSubstr("D-16: an error"),
                                                     HasSubstr("D-16: the result of an op")));
  p.unload({.policy = unload_policy::cancel, .give_up_ns = 1'000'000});
}

TEST(driver_rules, D16_a_bad_error_decides_nothing) {
  const kept_reports reports;
  puppet_device p;
  const fence_ref job = p.give(ops::now, {.error = 1});
  EXPECT_FALSE(job->is_signaled());
  expect_report(reports, "D-16");
  p.unload({.policy = unload_policy::cancel, .give_up_ns = 1'000'000});
  EXPECT_EQ(job->status(), -ECANCELED);
}

TEST(driver_rules, a_storm_of_broken_rules_is_counted) {
  const kept_reports reports;
  puppet_device p;
  new_fence gate = make_fence();
  std::vector<fence_ref> jobs;
  for (int i = 0; i < 100; ++i) jobs.push_back(p.give(ops::twice, {.after = {gate.fence}}));
  gate.signal.signal();
  for (const fence_ref& j : jobs) EXPECT_EQ(j->status(), 1);
  EXPECT_GE(reports.all().size(), 16U);
  for (const std::string& text : texts(reports)) {
    EXPECT_THAT(text, ::testing::AnyOf(HasSubstr("D-5: the job was decided again"),
                                       HasSubstr("broke rules")));
  }
  p.unload();
}

TEST(driver_rules, nothing_is_reported_about_a_driver_that_keeps_them) {
  const kept_reports reports;
  {
    puppet_device p;
    for (int i = 0; i < 1000; ++i) p.give(i % 2 == 0 ? ops::now : ops::work);
    p.unload();
  }
  EXPECT_THAT(reports.all(), IsEmpty());
}

}  // namespace
}  // namespace ufence
