#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ufence/driver.h"
#include "ufence/issuer/host.h"
#include "ufence/issuer/issuer_test_support.h"

namespace ufence {
namespace {

using testing::make_fence;
using testing::scripted_callback;
using ::testing::HasSubstr;
namespace ops = puppet;

TEST(legacy_device, its_fences_are_not_independent) {
  puppet_device p("puppet_legacy");
  EXPECT_FALSE(p.device->is_independent());
  {
    const fence_ref job = p.give(ops::hold);
    EXPECT_FALSE(job->is_independent());
    scripted_callback after;
    ASSERT_FALSE(job->add_callback(after));
    EXPECT_EQ(p.board->enables, 1U);
    p.give(ops::finish, {.value = job->seqno(), .error = -EIO});
    EXPECT_EQ(job->status(), -EIO);
    EXPECT_EQ(after.runs(), 1);
  }
  EXPECT_EQ(p.board->releases, p.device->stats().jobs_submitted);
  p.unload();
}

TEST(legacy_device, a_referenced_fence_pins_the_module_by_name) {
  puppet_device p("puppet_legacy");
  fence_ref held = p.give(ops::now);
  const unload_report refused = p.try_unload(unload_policy::cancel);
  EXPECT_EQ(refused.state, unload_state::refused);
  EXPECT_EQ(refused.last_step, 1);
  ASSERT_EQ(refused.pins.size(), 1U);
  EXPECT_THAT(refused.pins[0], HasSubstr(std::to_string(held->context()) + ":" +
                                         std::to_string(held->seqno()) + " strings puppet"));
  EXPECT_THAT(refused.pins[0], HasSubstr("still referenced"));
  EXPECT_EQ(p.give(ops::now)->status(), 1);  // nothing has changed
  held.reset();
  p.unload();
}

TEST(legacy_device, a_pending_fence_pins_the_module_though_nobody_holds_it) {
  puppet_device p("puppet_legacy");
  const std::uint64_t seqno = p.give(ops::hold)->seqno();
  const unload_report refused = p.try_unload();
  EXPECT_EQ(refused.state, unload_state::refused);
  EXPECT_THAT(refused.pins, ::testing::ElementsAre(HasSubstr("pending")));
  p.give(ops::finish, {.value = seqno});
  p.unload();
}

TEST(legacy_device, what_is_asked_before_the_driver_has_the_job_is_asked_afterwards) {
  puppet_device p("puppet_legacy");
  {
    new_fence in = make_fence();
    const fence_ref job = p.give(ops::hold, {.after = {in.fence}});
    scripted_callback after;
    ASSERT_FALSE(job->add_callback(after));
    EXPECT_EQ(p.board->enables, 0U);
    p.board->enable_result = 1;
    in.signal.signal();
    EXPECT_EQ(p.board->enables, 1U);
    EXPECT_EQ(job->status(), 1);
    EXPECT_EQ(after.runs(), 1);
  }
  p.unload();
}

TEST(legacy_device, poll_wait_and_deadline_reach_the_driver) {
  puppet_device p("puppet_legacy");
  {
    const fence_ref job = p.give(ops::hold);
    EXPECT_EQ(job->wait(deadline_after(1'000'000)), errno_code(ETIME));
    job->set_deadline(INT64_C(5));
    EXPECT_EQ(p.board->deadline_ns, 5);
    p.board->poll_result = 1;
    EXPECT_TRUE(job->poll());
  }
  p.unload();
}

TEST(legacy_device, a_refused_job_is_not_released_by_the_driver) {
  puppet_device p("puppet_legacy");
  const auto releases = p.board->releases.load();
  EXPECT_EQ(p.give(ops::refuse, {.error = -ENOSYS})->status(), -ENOSYS);
  EXPECT_EQ(p.board->releases, releases);
  new_fence bad = make_fence();
  bad.signal.signal(-EIO);
  EXPECT_EQ(p.give(ops::now, {.after = {bad.fence}})->status(), -EIO);
  EXPECT_EQ(p.board->releases, releases);
  p.unload();
}

}  // namespace
}  // namespace ufence
