// Jobs that are ended one by one, and devices with a limit for jobs.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <string>
#include <thread>
#include <vector>

#include "ufence/issuer/host.h"
#include "ufence/issuer/issuer_test_support.h"

namespace ufence {
namespace {

using testing::eventually;
using ::testing::HasSubstr;
using testing::make_fence;
using testing::scripted_callback;
namespace ops = puppet;

class cancel : public ::testing::TestWithParam<const char*> {};

TEST_P(cancel, ends_the_job_that_it_is_asked_for_and_no_other) {
  puppet_device p(GetParam());
  const fence_ref first = p.give(ops::hold), second = p.give(ops::hold), third = p.give(ops::hold);
  EXPECT_EQ(p.device->cancel(second), std::error_code());
  EXPECT_EQ(p.board->cancels, 1U);
  EXPECT_EQ(second->error(), -ECANCELED);
  EXPECT_FALSE(third->is_signaled());
  p.give(ops::finish_all);
  EXPECT_EQ(first->status(), 1);
  EXPECT_EQ(third->status(), 1);
  p.unload();
}

TEST_P(cancel, ends_a_job_that_waits_for_its_in_fences_at_once) {
  puppet_device p(GetParam());
  new_fence in = make_fence();
  const fence_ref job = p.give(ops::hold, {.after = {in.fence}});
  const fence_ref later = p.give(ops::now);  // of a timeline: it waits for its turn
  EXPECT_EQ(p.device->cancel(job), std::error_code());
  EXPECT_TRUE(job->is_signaled());
  EXPECT_EQ(job->error(), -ECANCELED);
  EXPECT_EQ(p.board->cancels, 0U);  // the driver never saw it
  EXPECT_FALSE(later->wait(testing::patience()));
  EXPECT_EQ(later->status(), 1);
  in.signal.signal();
  EXPECT_EQ(p.board->held, 0U);
  p.unload();
}

TEST_P(cancel, reaches_a_job_that_is_on_its_way_to_the_driver) {
  puppet_device p(GetParam());
  new_fence in = make_fence();
  const fence_ref job = p.give(ops::block_and_hold, {.after = {in.fence}});
  std::thread submitter([&] { in.signal.signal(); });
  EXPECT_TRUE(eventually([&] { return p.board->blocked == 1; }));
  EXPECT_EQ(p.device->cancel(job), std::error_code());
  EXPECT_EQ(p.device->cancel(job), std::error_code());
  EXPECT_FALSE(job->is_signaled());
  p.board->let_go();
  submitter.join();
  EXPECT_EQ(p.board->cancels, 1U);
  EXPECT_EQ(job->error(), -ECANCELED);
  p.unload();
}

TEST_P(cancel, is_a_request_that_a_driver_may_answer_with_a_result) {
  puppet_device p(GetParam());
  p.board->ignores_cancel = 1;
  const fence_ref job = p.give(ops::hold);
  EXPECT_EQ(p.device->cancel(job), std::error_code());
  EXPECT_EQ(p.device->cancel(job), std::error_code());
  EXPECT_EQ(p.board->cancels, 1U);  // once
  EXPECT_FALSE(job->is_signaled());
  p.give(ops::finish, {.value = job->seqno()});
  EXPECT_EQ(job->status(), 1);
  EXPECT_EQ(p.device->cancel(job), errno_code(EALREADY));
  p.unload();
}

TEST_P(cancel, refuses_what_is_not_its_to_end) {
  puppet_device p(GetParam()), other("puppet_build_2");
  const new_fence alone = make_fence();
  const fence_ref of_other = other.give(ops::hold);
  EXPECT_EQ(p.device->cancel(nullptr), errno_code(EINVAL));
  EXPECT_EQ(p.device->cancel(alone.fence), errno_code(EINVAL));
  EXPECT_EQ(p.device->cancel(of_other), errno_code(EINVAL));
  EXPECT_EQ(p.device->cancel(fence::stub()).value() == 0, false);
  EXPECT_FALSE(of_other->is_signaled());
  EXPECT_EQ(other.board->cancels, 0U);
  static_cast<void>(other.unload({.policy = unload_policy::cancel}));
  p.unload();
  // The device is gone: so are its jobs.
  EXPECT_EQ(p.device->cancel(of_other).value() == 0, false);
}

TEST_P(cancel, races_with_all_that_ends_a_job) {
  for (int round = 0; round < 50; ++round) {
    puppet_device p(GetParam());
    std::vector<fence_ref> jobs;
    new_fence in = make_fence();
    for (int n = 0; n < 8; ++n) {
      jobs.push_back(n % 2 == 0 ? p.give(ops::work) : p.give(ops::work, {.after = {in.fence}}));
    }
    std::thread canceller([&] {
      for (const fence_ref& job : jobs) static_cast<void>(p.device->cancel(job));
    });
    std::thread signaller([&] { in.signal.signal(); });
    const unload_report done = p.unload();
    canceller.join();
    signaller.join();
    for (const fence_ref& job : jobs) EXPECT_TRUE(job->is_signaled());
    EXPECT_EQ(done.state, unload_state::unmapped);
  }
}

INSTANTIATE_TEST_SUITE_P(kinds, cancel, ::testing::Values("puppet", "puppet_line"),
                         [](const auto& kind) { return std::string(kind.param); });

TEST(cancel, of_a_driver_that_can_not_is_refused_once_it_has_the_job) {
  puppet_device p("puppet_plain");
  new_fence in = make_fence();
  const fence_ref held = p.give(ops::hold), waiting = p.give(ops::hold, {.after = {in.fence}});
  EXPECT_EQ(p.device->cancel(held), errno_code(EOPNOTSUPP));
  EXPECT_EQ(p.device->cancel(waiting), std::error_code());
  EXPECT_EQ(waiting->error(), -ECANCELED);
  EXPECT_FALSE(held->is_signaled());
  p.unload({.policy = unload_policy::cancel});
}

TEST(cancel, ends_a_legacy_drivers_job) {
  puppet_device p("puppet_legacy");
  {
    const fence_ref job = p.give(ops::hold);
    EXPECT_EQ(p.device->cancel(job), std::error_code());
    EXPECT_EQ(job->error(), -ECANCELED);
    EXPECT_EQ(p.device->cancel(job), errno_code(EALREADY));
  }
  p.unload();
}

// --- Room ---

// A device that takes two jobs at once.
struct limited {
  explicit limited(const char* kind) {
    std::string why;
    device = at.load(test_module(kind), {.pending_max = 2}, &why).value_or(nullptr);
    EXPECT_TRUE(device) << why;
    const puppet::arguments arguments{.to = &board};
    EXPECT_TRUE(device->submit({.opcode = ops::attach, .args = std::as_bytes(std::span(&arguments, 1))}));
  }
  result<fence_ref> submit(ops::opcode what, std::uint64_t value = 0) {
    const puppet::arguments arguments{.to = &board, .value = value};
    return device->submit({.opcode = what, .args = std::as_bytes(std::span(&arguments, 1))});
  }
  puppet::board board;
  host at;
  device_ref device;
};

class room : public ::testing::TestWithParam<const char*> {};

TEST_P(room, comes_when_a_job_ends) {
  limited p(GetParam());
  EXPECT_TRUE(p.device->room().value()->is_signaled());
  const fence_ref first = p.submit(ops::hold).value(), second = p.submit(ops::hold).value();
  EXPECT_EQ(error_of(p.submit(ops::hold)), errno_code(EAGAIN));
  const fence_ref wanted = p.device->room().value(), same = p.device->room().value();
  EXPECT_FALSE(wanted->is_signaled());
  EXPECT_EQ(wanted, same);
  int runs = 0;
  scripted_callback submits_again([&](fence& f) {
    EXPECT_EQ(f.error(), 0);
    runs += p.submit(ops::hold) ? 1 : 0;
  });
  ASSERT_FALSE(wanted->add_callback(submits_again));
  EXPECT_EQ(p.device->cancel(first), std::error_code());
  EXPECT_EQ(first->error(), -ECANCELED);
  EXPECT_EQ(runs, 1);
  EXPECT_EQ(p.device->stats().jobs_pending, 2U);
  EXPECT_EQ(error_of(p.submit(ops::hold)), errno_code(EAGAIN));
  expect_unmapped(p.at.unload(p.device, {.policy = unload_policy::cancel}));
}

TEST_P(room, does_not_come_any_more_once_the_unload_begins) {
  limited p(GetParam());
  const fence_ref first = p.submit(ops::hold).value(), second = p.submit(ops::hold).value();
  const fence_ref wanted = p.device->room().value();
  expect_unmapped(p.at.unload(p.device, {.policy = unload_policy::cancel}));
  EXPECT_EQ(wanted->error(), -ENODEV);
  EXPECT_EQ(error_of(p.device->room()), errno_code(ENODEV));
}

TEST_P(room, is_enough_for_threads_that_wait_for_it) {
  limited p(GetParam());
  constexpr int threads = 3, jobs = 200;
  std::vector<std::thread> all;
  std::atomic<int> given{0};
  for (int t = 0; t < threads; ++t) {
    all.emplace_back([&] {
      for (int n = 0; n < jobs;) {
        if (p.submit(ops::work)) {
          ++given;
          ++n;
          continue;
        }
        EXPECT_LE(p.device->stats().jobs_pending, 2U);
        EXPECT_FALSE(p.device->room().value()->wait(testing::patience()));
      }
    });
  }
  for (std::thread& t : all) t.join();
  EXPECT_EQ(given, threads * jobs);
  expect_unmapped(p.at.unload(p.device));
}

INSTANTIATE_TEST_SUITE_P(kinds, room, ::testing::Values("puppet", "puppet_line"),
                         [](const auto& kind) { return std::string(kind.param); });

TEST(room, of_a_device_without_a_limit_is_there) {
  puppet_device p;
  for (int n = 0; n < 1000; ++n) p.give(ops::hold);
  EXPECT_TRUE(p.device->room().value()->is_signaled());
  p.unload({.policy = unload_policy::cancel});
}

TEST(room, is_nothing_for_legacy_drivers) {
  host h;
  std::string why;
  EXPECT_EQ(error_of(h.load(test_module("puppet_legacy"), {.pending_max = 2}, &why)),
            errno_code(EOPNOTSUPP));
  EXPECT_THAT(why, HasSubstr("legacy"));
}

// --- An unload that nobody waits for ---

TEST(unload_async, tells_by_a_fence_when_the_module_is_unmapped) {
  puppet_device p;
  const fence_ref job = p.give(ops::hold);
  unload_report report;
  const fence_ref done =
      p.at->unload_async(p.device, {.policy = unload_policy::drain}, &report).value();
  EXPECT_TRUE(eventually([&] { return error_of(p.submit(ops::now)) == errno_code(ENODEV); }));
  EXPECT_FALSE(done->is_signaled());
  EXPECT_EQ(error_of(p.at->unload(p.device)), errno_code(EBUSY));
  EXPECT_EQ(p.device->cancel(job), std::error_code());
  EXPECT_FALSE(done->wait(testing::patience()));
  EXPECT_EQ(done->error(), 0);
  EXPECT_EQ(report.state, unload_state::unmapped);
  EXPECT_EQ(report.jobs_cancelled, 1U);
  EXPECT_TRUE(p.at->devices().empty());
  EXPECT_EQ(error_of(p.at->unload_async(p.device)), errno_code(ENODEV));
}

TEST(unload_async, says_that_a_module_stays) {
  puppet_device p;
  const fence_ref job = p.give(ops::hold);
  unload_report report;
  fence_ref done = p.at->unload_async(p.device, {.policy = unload_policy::refuse}, &report).value();
  EXPECT_FALSE(done->wait(testing::patience()));
  EXPECT_EQ(done->error(), -EBUSY);
  EXPECT_EQ(report.state, unload_state::refused);
  EXPECT_EQ(report.pins.size(), 1U);
  // Also from a callback on one of its fences, where unload() must refuse.
  scripted_callback after([&](fence&) { done = p.at->unload_async(p.device, {}, &report).value(); });
  ASSERT_FALSE(job->add_callback(after));
  p.give(ops::finish_all);
  EXPECT_FALSE(done->wait(testing::patience()));
  EXPECT_EQ(done->error(), 0);
  EXPECT_EQ(report.state, unload_state::unmapped);
}

TEST(unload_async, is_waited_for_when_its_host_goes) {
  puppet_device p;
  const fence_ref done = p.at->unload_async(p.device).value();
  p.at.reset();
  EXPECT_FALSE(done->wait(testing::patience()));
  EXPECT_EQ(done->error(), 0);
}

TEST(names, of_states_policies_and_features_are_words) {
  EXPECT_EQ(to_string(unload_state::deferred), "deferred");
  EXPECT_EQ(to_string(unload_policy::cancel), "cancel");
  EXPECT_EQ(features_to_string(0), "");
  EXPECT_EQ(features_to_string(UFENCE_F_POLL | UFENCE_F_OBSERVE), "poll, observe");
}

}  // namespace
}  // namespace ufence
