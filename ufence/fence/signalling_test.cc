#include "ufence/fence/signalling.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

#include "ufence/fence/fence.h"
#include "ufence/fence/testing/support.h"
#include "ufence/fence/timeline.h"
#include "ufence/fence/wait.h"

using namespace ufence;
using namespace ufence::testing;

namespace {

#if UFENCE_DEBUG_CHECKS
constexpr int reported = 1;
#else
constexpr int reported = 0;
#endif

// What is reported of the call inside a signalling section, and outside of it.
template <class Call>
void expect_reported_inside(const char* what, Call call) {
  kept_reports reports;
  call();
  EXPECT_TRUE(reports.all().empty()) << what << " outside";
  {
    const signalling_section section;
    call();
  }
  EXPECT_EQ(reports.count(report_kind::signalling_path), reported) << what;
  call();
  EXPECT_EQ(reports.count(report_kind::signalling_path), reported) << what << " afterwards";
}

}  // namespace

TEST(signalling_section, a_wait_inside_is_reported_and_goes_on) {
  new_fence made = make_fence();
  const std::vector<fence_ref> fences = {made.fence};
  const std::int64_t past = now_ns();
  expect_reported_inside("wait", [&] { EXPECT_EQ(made.fence->wait(past), errno_code(ETIME)); });
  expect_reported_inside("wait_any", [&] { EXPECT_FALSE(wait_any(fences, past).has_value()); });
  made.signal.signal();
}

TEST(signalling_section, an_allocation_inside_is_reported_and_goes_on) {
  timeline_issuer issuer = make_timeline();
  expect_reported_inside("create", [&] { make_fence().signal.signal(); });
  expect_reported_inside("emit", [&] { EXPECT_TRUE(issuer.emit().has_value()); });
  expect_reported_inside("timeline", [] { EXPECT_TRUE(timeline_issuer::create({}).has_value()); });
  new_fence made = make_fence();
  expect_reported_inside("fd", [&] { EXPECT_TRUE(made.fence->pollable_fd().has_value()); });
  made.signal.signal();
  issuer.signal_up_to(3);
}

TEST(signalling_section, signalling_inside_is_what_it_is_for) {
  kept_reports reports;
  timeline_issuer issuer = make_timeline();
  const fence_ref ordered = issuer.emit().value();
  new_fence made = make_fence();
  scripted_callback node;
  ASSERT_EQ(made.fence->add_callback(node), no_error);
  {
    const signalling_section outer;
    const signalling_section inner;
    settlement later;
    made.signal.decide(0, later);
    issuer.decide_up_to(1, later);
    EXPECT_TRUE(made.fence->is_signaled());
    EXPECT_EQ(made.fence->status(), 1);
  }
  EXPECT_EQ(node.runs(), 1);
  EXPECT_TRUE(reports.all().empty());
}

TEST(signalling_section, is_of_one_thread) {
  kept_reports reports;
  const signalling_section section;
  std::thread([] { make_fence().signal.signal(); }).join();
  EXPECT_EQ(reports.count(report_kind::signalling_path), 0);
}
