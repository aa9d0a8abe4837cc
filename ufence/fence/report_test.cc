// F12: what is dropped ends, and is reported.
#include "ufence/fence/report.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <latch>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "ufence/fence/fence.h"
#include "ufence/fence/signalling.h"
#include "ufence/fence/testing/support.h"
#include "ufence/fence/timeline.h"
#include "ufence/rcu/rcu.h"

using namespace ufence;
using namespace ufence::testing;

TEST(F12_dropped, a_signaler_signals_ECANCELED_and_is_reported) {
  kept_reports reports;
  timeline_issuer issuer = make_timeline({.driver_name = "drv", .timeline_name = "ring"});
  new_fence made = issuer.create_unordered().value();
  scripted_callback node;
  ASSERT_EQ(made.fence->add_callback(node), no_error);
  made.signal = signaler();
  EXPECT_EQ(made.fence->status(), -ECANCELED);
  EXPECT_EQ(node.runs(), 1) << "dropping settles";
  ASSERT_EQ(reports.all().size(), 1U);
  const kept_reports::entry report = reports.all().front();
  EXPECT_EQ(report.kind, report_kind::signaler_dropped);
  EXPECT_EQ(report.context, made.fence->context());
  EXPECT_EQ(report.seqno, made.fence->seqno());
  EXPECT_EQ(report.driver_name, "drv");
  EXPECT_EQ(report.timeline_name, "ring");
  EXPECT_FALSE(report.text.empty());
}

TEST(F12_dropped, a_signaler_whose_fence_is_signaled_is_dropped_silently) {
  kept_reports reports;
  {
    new_fence made = make_fence();
    signaler second = made.signal.share();
    signaler moved = std::move(second);
    signaler empty;
    made.signal.signal();
  }
  EXPECT_TRUE(reports.all().empty());
}

TEST(F12_dropped, a_right_that_is_assigned_to_itself_stays) {
  kept_reports reports;
  new_fence made = make_fence();
  signaler& same = made.signal;
  made.signal = std::move(same);
  EXPECT_FALSE(made.fence->is_signaled());
  EXPECT_TRUE(made.signal.signal());
  EXPECT_EQ(made.fence->status(), 1);
  EXPECT_TRUE(reports.all().empty());
}

TEST(F12_dropped, a_signaler_runs_its_fences_retire) {
  kept_reports reports;
  scripted_backend data;
  fence_ref f = make_fence(&data).fence;  // the signaler dies with the temporary
  EXPECT_EQ(data.retires, 1);
  EXPECT_EQ(f->wait_quiesced(no_wait), no_error);
  EXPECT_EQ(reports.count(report_kind::signaler_dropped), 1);
}

TEST(F12_dropped, a_timeline_fails_the_rest_and_is_reported) {
  kept_reports reports;
  std::optional<timeline_issuer> issuer =
      make_timeline({.driver_name = "drv", .timeline_name = "ring"});
  const fence_ref done = issuer->emit().value();
  const fence_ref awaited = issuer->emit().value();
  const fence_ref unobserved = issuer->emit().value();
  const std::uint64_t context = issuer->line()->context();
  const timeline_ref line = issuer->line();
  scripted_callback node;
  ASSERT_EQ(awaited->add_callback(node), no_error);
  issuer->signal_up_to(done->seqno());
  issuer.reset();
  EXPECT_EQ(done->status(), 1);
  EXPECT_EQ(awaited->status(), -ECANCELED);
  EXPECT_EQ(unobserved->status(), -ECANCELED);
  EXPECT_EQ(node.runs(), 1);
  EXPECT_TRUE(line->is_closed());
  ASSERT_EQ(reports.all().size(), 1U);
  EXPECT_EQ(reports.all().front().kind, report_kind::timeline_dropped);
  EXPECT_EQ(reports.all().front().context, context);
  EXPECT_EQ(reports.all().front().driver_name, "drv");
}

TEST(F12_dropped, a_timeline_without_pending_fences_is_dropped_silently) {
  kept_reports reports;
  {
    timeline_issuer completed = make_timeline();
    const fence_ref f = completed.emit().value();
    completed.signal_up_to(f->seqno());
    timeline_issuer unused = make_timeline();
    timeline_issuer failed = make_timeline();
    const fence_ref g = failed.emit().value();
    failed.fail(-EIO);
    timeline_issuer moved = std::move(unused);
  }
  EXPECT_TRUE(reports.all().empty());
}

TEST(F12_dropped, an_issuing_handle_that_is_assigned_over_is_dropped) {
  kept_reports reports;
  timeline_issuer issuer = make_timeline();
  const fence_ref f = issuer.emit().value();
  issuer = make_timeline();
  EXPECT_EQ(f->status(), -ECANCELED);
  EXPECT_EQ(reports.count(report_kind::timeline_dropped), 1);
  const fence_ref g = issuer.emit().value();
  EXPECT_FALSE(g->is_signaled());
  issuer.signal_up_to(g->seqno());
}

TEST(F12_dropped, a_settlement_settles) {
  new_fence made = make_fence();
  scripted_callback node;
  ASSERT_EQ(made.fence->add_callback(node), no_error);
  {
    settlement later;
    made.signal.decide(0, later);
  }
  EXPECT_EQ(node.runs(), 1);
}

TEST(F12_dropped, nobody_waits_for_a_vanished_owner) {
  kept_reports reports;
  new_fence made = make_fence();
  timeline_issuer issuer = make_timeline();
  const fence_ref ordered = issuer.emit().value();
  std::error_code waited = errno_code(1);
  std::error_code waited_ordered = errno_code(1);
  std::thread waits([&] { waited = made.fence->wait(patience()); });
  std::thread waits_ordered([&] { waited_ordered = ordered->wait(patience()); });
  {
    const signaler vanishes = std::move(made.signal);
    const timeline_issuer vanishes_too = std::move(issuer);
  }
  waits.join();
  waits_ordered.join();
  EXPECT_EQ(waited, no_error);
  EXPECT_EQ(waited_ordered, no_error);
  EXPECT_EQ(made.fence->error(), -ECANCELED);
  EXPECT_EQ(ordered->error(), -ECANCELED);
}

TEST(F12_report_handler, the_default_prints_one_line_on_stderr) {
  ::testing::internal::CaptureStderr();
  new_fence made = make_fence();
  const std::string id =
      std::to_string(made.fence->context()) + ":" + std::to_string(made.fence->seqno());
  made.signal = signaler();
  const std::string text = ::testing::internal::GetCapturedStderr();
  EXPECT_TRUE(text.starts_with("ufence: signaler dropped")) << text;
  EXPECT_NE(text.find(id), text.npos) << text;
  EXPECT_EQ(text.find('\n'), text.size() - 1) << text;
}

TEST(F12_report_handler, gets_what_is_sent_and_its_context) {
  kept_reports reports;
  send_report({.kind = report_kind::driver,
               .context = 0,
               .seqno = 0,
               .driver_name = "drv",
               .timeline_name = {},
               .text = "broke rule D-1"});
  ASSERT_EQ(reports.all().size(), 1U);
  EXPECT_EQ(reports.all().front().kind, report_kind::driver);
  EXPECT_EQ(reports.all().front().text, "broke rule D-1");
}

TEST(F12_report_handler, does_not_run_any_more_once_it_was_replaced) {
  struct record {
    std::atomic<bool> valid = true;
    std::atomic<int> late = 0;
    std::atomic<int> calls = 0;
  };
  const report_handler count = [](const report&, void* context) noexcept {
    auto& r = *static_cast<record*>(context);
    ++r.calls;
    if (!r.valid) ++r.late;
  };
  std::atomic<bool> stop = false;
  std::jthread sends([&] {
    while (!stop) send_report({report_kind::driver, 0, 0, {}, {}, "again"});
  });
  record records[20];
  ASSERT_EQ(set_report_handler(count, &records[0]), no_error);
  for (int i = 1; i < 20; ++i) {
    EXPECT_TRUE(eventually([&] { return records[i - 1].calls > 0; }));
    ASSERT_EQ(set_report_handler(count, &records[i]), no_error);
    records[i - 1].valid = false;
  }
  stop = true;
  sends.join();
  ASSERT_EQ(set_report_handler(nullptr, nullptr), no_error);
  for (const record& r : records) EXPECT_EQ(r.late, 0);
}

TEST(F12_report_handler, may_use_fences) {
  static std::atomic<int> calls = 0;
  ASSERT_EQ(set_report_handler(
                [](const report&, void*) noexcept {
                  new_fence made = make_fence();
                  made.signal.signal();
                  if (made.fence->wait(no_wait) == no_error) ++calls;
                },
                nullptr),
            no_error);
  make_fence().signal = signaler();
  ASSERT_EQ(set_report_handler(nullptr, nullptr), no_error);
  EXPECT_EQ(calls, 1);
}

// It is outside of read sections: what waits for a grace period does not wait for the handler itself.
TEST(F12_report_handler, regress_may_wait_for_grace_periods) {
  static std::atomic<int> calls = 0;
  ASSERT_EQ(set_report_handler(
                [](const report&, void*) noexcept {
                  EXPECT_FALSE(rcu::is_reading());
                  rcu::synchronize();
                  rcu::flush_deferred();
                  ++calls;
                },
                nullptr),
            no_error);
  make_fence().signal = signaler();
  ASSERT_EQ(set_report_handler(nullptr, nullptr), no_error);
  EXPECT_EQ(calls, 1);
}

TEST(F12_report_handler, regress_may_report_and_replace_itself) {
  struct heard {
    int first = 0;
    int second = 0;
    static void by_first(const report& what, void* context) noexcept {
      auto& self = *static_cast<heard*>(context);
      if (++self.first == 1) {
        send_report(what);  // inside of itself
        EXPECT_EQ(set_report_handler(&heard::by_second, context), no_error);
        send_report(what);
      }
    }
    static void by_second(const report&, void* context) noexcept {
      ++static_cast<heard*>(context)->second;
    }
  } here;
  ASSERT_EQ(set_report_handler(&heard::by_first, &here), no_error);
  make_fence().signal = signaler();
  make_fence().signal = signaler();
  ASSERT_EQ(set_report_handler(nullptr, nullptr), no_error);
  EXPECT_EQ(here.first, 2);
  EXPECT_EQ(here.second, 2);
}

// Also where it is a callback that reports. What that has signaled is settled after it.
TEST(F12_report_handler, regress_settles_what_it_signals_wherever_the_report_comes_from) {
  static std::atomic<int> calls = 0;
  ASSERT_EQ(set_report_handler(
                [](const report&, void*) noexcept {
                  ++calls;
                  new_fence made = make_fence();
                  new_fence next = make_fence();
                  scripted_callback of_made([&](fence&) { next.signal.signal(); });
                  scripted_callback of_next;
                  EXPECT_EQ(made.fence->add_callback(of_made), no_error);
                  EXPECT_EQ(next.fence->add_callback(of_next), no_error);
                  made.signal.signal();
                  EXPECT_EQ(made.fence->wait_settled(patience()), no_error);
                  EXPECT_EQ(next.fence->wait_settled(patience()), no_error);
                  EXPECT_EQ(of_next.runs(), 1);
                },
                nullptr),
            no_error);
  new_fence reporting = make_fence();
  new_fence queued = make_fence();
  scripted_callback of_queued;
  scripted_callback of_reporting([&](fence& f) {
    queued.signal.signal();
    {
      const signalling_section path;
      make_fence().signal = signaler();
    }
    EXPECT_EQ(of_queued.runs(), 0);
    EXPECT_EQ(f.wait_settled(patience()), errno_code(EDEADLK));
    EXPECT_EQ(queued.fence->wait_settled(patience()), errno_code(EDEADLK));
  });
  EXPECT_EQ(reporting.fence->add_callback(of_reporting), no_error);
  EXPECT_EQ(queued.fence->add_callback(of_queued), no_error);
  reporting.signal.signal();
  EXPECT_EQ(of_queued.runs(), 1);
  ASSERT_EQ(set_report_handler(nullptr, nullptr), no_error);
  EXPECT_GE(calls, 1);
}

// A reader of another thread does not hold up a report, nor does a handler that takes its time hold up
// grace periods.
TEST(F12_report_handler, regress_holds_up_no_grace_period) {
  static std::latch* is_in = nullptr;
  static std::latch* may_leave = nullptr;
  std::latch in(1);
  std::latch leave(1);
  is_in = &in;
  may_leave = &leave;
  ASSERT_EQ(set_report_handler(
                [](const report&, void*) noexcept {
                  is_in->count_down();
                  may_leave->wait();
                },
                nullptr),
            no_error);
  std::jthread reports([] { make_fence().signal = signaler(); });
  in.wait();
  rcu::synchronize();
  // In a child of fork() that call is nobody's.
  EXPECT_EQ(in_child([] {
              UFENCE_CHILD_EXPECT(set_report_handler(nullptr, nullptr) == no_error);
              return 0;
            }),
            0);
  leave.count_down();
  ASSERT_EQ(set_report_handler(nullptr, nullptr), no_error);
}

TEST(F12_report_handler, every_kind_has_a_name_of_its_own) {
  std::vector<std::string_view> names;
  for (int k = 0; k <= static_cast<int>(report_kind::stuck); ++k) {
    const std::string_view name = to_string(static_cast<report_kind>(k));
    EXPECT_FALSE(name.empty());
    EXPECT_EQ(std::find(names.begin(), names.end(), name), names.end()) << name;
    names.push_back(name);
  }
}
