// Timelines: what is emitted completes by number, alone, with errors, or with the timeline.
#include "ufence/fence/timeline.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "ufence/fence/slab.h"
#include "ufence/fence/testing/support.h"

using namespace ufence;
using namespace ufence::testing;

namespace {

std::vector<fence_ref> emit(timeline_issuer& issuer, std::size_t n) {
  std::vector<fence_ref> fences;
  for (std::size_t i = 0; i < n; ++i) fences.push_back(issuer.emit().value());
  return fences;
}

// A callback that writes down the seqno.
struct noting : callback {
  explicit noting(std::vector<std::uint64_t>& to) : callback(&noting::run), order(to) {}
  static void run(callback& node, fence& f) noexcept {
    static_cast<noting&>(node).order.push_back(f.seqno());
  }
  std::vector<std::uint64_t>& order;
};

}  // namespace

TEST(timeline, emits_rising_seqnos_of_one_context) {
  timeline_issuer issuer =
      make_timeline({.driver_name = "d", .timeline_name = "l", .initial_seqno = 100});
  timeline_issuer other = make_timeline();
  EXPECT_EQ(issuer.line()->emitted(), 100U);
  EXPECT_EQ(issuer.line()->completed(), 100U);
  const std::vector<fence_ref> fences = emit(issuer, 3);
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(fences[i]->seqno(), 101 + i);
    EXPECT_EQ(fences[i]->context(), issuer.line()->context());
    EXPECT_EQ(fences[i]->owner(), issuer.line().get());
    EXPECT_FALSE(fences[i]->is_signaled());
    EXPECT_TRUE(fences[i]->is_independent());
  }
  EXPECT_TRUE(fences[2]->is_later_than(*fences[1]));
  EXPECT_EQ(issuer.line()->emitted(), 103U);
  EXPECT_NE(issuer.line()->context(), other.line()->context());
  issuer.signal_up_to(103);
}

TEST(timeline, signal_up_to_completes_all_before) {
  timeline_issuer issuer = make_timeline();
  const std::vector<fence_ref> fences = emit(issuer, 5);
  issuer.signal_up_to(3);
  for (const fence_ref& f : fences) EXPECT_EQ(f->status(), f->seqno() <= 3 ? 1 : 0);
  EXPECT_EQ(issuer.line()->completed(), 3U);
  issuer.signal_up_to(2);
  EXPECT_EQ(issuer.line()->completed(), 3U) << "forward only";
  issuer.signal_up_to(5);
  for (const fence_ref& f : fences) {
    EXPECT_EQ(f->status(), 1);
    EXPECT_TRUE(f->is_settled());
    EXPECT_EQ(f->wait(no_wait), no_error);
    EXPECT_EQ(f->wait_settled(no_wait), no_error);
    EXPECT_EQ(f->wait_quiesced(no_wait), no_error);
  }
}

TEST(timeline, unobserved_fences_are_not_touched_by_completing) {
  timeline_issuer issuer = make_timeline();
  const std::vector<fence_ref> fences = emit(issuer, 3);
  scripted_callback node;
  ASSERT_EQ(fences[1]->add_callback(node), no_error);
  issuer.signal_up_to(3);
  const std::int64_t returned = now_ns();
  EXPECT_LE(fences[1]->timestamp_ns(), returned) << "awaited: marked by the signal";
  EXPECT_GE(fences[0]->timestamp_ns(), returned) << "has the time of the first look";
  EXPECT_GE(fences[2]->timestamp_ns(), returned);
  EXPECT_EQ(fences[0]->timestamp_ns(), fences[0]->timestamp_ns()) << "the first, and no other";
}

TEST(timeline, unobserved_fences_are_not_kept_alive) {
  const std::size_t before = live_fences();
  timeline_issuer issuer = make_timeline();
  { const std::vector<fence_ref> fences = emit(issuer, 100); }
  EXPECT_EQ(live_fences(), before);
  issuer.signal_up_to(100);
}

TEST(timeline, awaited_fences_are_kept_alive_until_they_completed) {
  const std::size_t before = live_fences();
  timeline_issuer issuer = make_timeline();
  scripted_callback node;
  fence_ref f = issuer.emit().value();
  ASSERT_EQ(f->add_callback(node), no_error);
  f.reset();
  issuer.signal_up_to(1);
  EXPECT_EQ(node.runs(), 1);
  EXPECT_EQ(live_fences(), before);
}

TEST(timeline, one_fence_may_be_signaled_by_itself_out_of_order) {
  timeline_issuer issuer = make_timeline();
  const std::vector<fence_ref> fences = emit(issuer, 4);
  scripted_callback on_awaited;
  ASSERT_EQ(fences[2]->add_callback(on_awaited), no_error);
  EXPECT_TRUE(issuer.signal(*fences[1], -EIO)) << "unobserved";
  EXPECT_TRUE(issuer.signal(*fences[2])) << "awaited";
  EXPECT_EQ(on_awaited.runs(), 1);
  EXPECT_EQ(fences[0]->status(), 0);
  EXPECT_EQ(fences[1]->status(), -EIO);
  EXPECT_EQ(fences[2]->status(), 1);
  EXPECT_EQ(fences[3]->status(), 0);
  EXPECT_TRUE(fences[1]->is_settled());
  EXPECT_TRUE(fences[2]->is_settled());
  EXPECT_FALSE(issuer.signal(*fences[1])) << "was decided before";
  issuer.signal_up_to(4);
  EXPECT_EQ(fences[1]->status(), -EIO) << "keeps its result";
  EXPECT_EQ(on_awaited.runs(), 1);
  EXPECT_FALSE(issuer.signal(*fences[3], -EIO)) << "completed by the value, though nobody looked";
  EXPECT_EQ(fences[3]->status(), 1);
}

// --- A fence that is kept for earlier ones ---

namespace {

// Two fences, the second of which somebody keeps for both; and a callback on it.
struct kept_second {
  timeline_issuer issuer = make_timeline();
  std::vector<fence_ref> fences = emit(issuer, 3);
  scripted_callback on_second;
  kept_second() {
    EXPECT_EQ(fences[1]->add_callback(on_second), no_error);
    EXPECT_TRUE(fences[1]->stands_for(*fences[0]));
  }
  void expect_pending(std::size_t i) const { EXPECT_EQ(fences[i]->status(), 0) << i; }
};

}  // namespace

TEST(F19_order, a_fence_that_is_kept_for_an_earlier_one_is_signaled_in_its_turn) {
  kept_second of;
  EXPECT_TRUE(of.issuer.signal(*of.fences[1], -EIO)) << "decided";
  EXPECT_FALSE(of.issuer.signal(*of.fences[1])) << "once";
  of.expect_pending(1);
  EXPECT_EQ(of.on_second.runs(), 0);
  EXPECT_EQ(of.fences[1]->wait(no_wait), errno_code(ETIME));
  EXPECT_TRUE(of.issuer.signal(*of.fences[2])) << "nobody keeps it for another one";
  EXPECT_EQ(of.fences[2]->status(), 1);
  of.issuer.signal_up_to(1);
  EXPECT_EQ(of.fences[1]->status(), -EIO);
  EXPECT_EQ(of.on_second.runs(), 1);
  EXPECT_TRUE(of.fences[1]->is_settled());
  of.issuer.signal_up_to(3);
  EXPECT_EQ(of.fences[1]->status(), -EIO) << "keeps its result";
  EXPECT_EQ(of.on_second.runs(), 1);
}

TEST(F19_order, the_turn_comes_when_the_earlier_one_is_signaled_alone) {
  kept_second of;
  EXPECT_TRUE(of.issuer.signal(*of.fences[1]));
  of.expect_pending(1);
  EXPECT_TRUE(of.issuer.signal(*of.fences[0], -ENODATA));
  EXPECT_EQ(of.fences[0]->status(), -ENODATA);
  EXPECT_EQ(of.fences[1]->status(), 1);
  EXPECT_EQ(of.on_second.runs(), 1);
  of.issuer.signal_up_to(3);
}

TEST(F19_order, the_turn_comes_when_the_earlier_one_has_been_dropped) {
  const std::size_t before = live_fences();
  {
    kept_second of;
    of.fences[0].reset();
    EXPECT_TRUE(of.issuer.signal(*of.fences[1]));
    of.expect_pending(1);
    of.issuer.signal_up_to(1);
    EXPECT_EQ(of.fences[1]->status(), 1);
    of.issuer.signal_up_to(3);
  }
  EXPECT_EQ(live_fences(), before);
}

TEST(F19_order, many_signaled_alone_backwards_end_with_the_first) {
  timeline_issuer issuer = make_timeline();
  const std::vector<fence_ref> fences = emit(issuer, 50);
  for (std::size_t i = 1; i < 50; ++i) EXPECT_TRUE(fences[i]->stands_for(*fences[i - 1]));
  for (std::size_t i = 49; i != 0; --i) {
    EXPECT_TRUE(issuer.signal(*fences[i], -static_cast<int>(i)));
    EXPECT_EQ(fences[i]->status(), 0);
  }
  EXPECT_TRUE(issuer.signal(*fences[0]));
  EXPECT_EQ(fences[0]->status(), 1);
  for (std::size_t i = 1; i < 50; ++i) EXPECT_EQ(fences[i]->status(), -static_cast<int>(i));
  issuer.signal_up_to(50);
}

TEST(F19_order, a_value_or_an_end_that_passes_both_leaves_each_its_result) {
  {
    kept_second of;
    EXPECT_TRUE(of.issuer.signal(*of.fences[1], -EIO));
    of.issuer.signal_up_to(3);
    EXPECT_EQ(of.fences[0]->status(), 1);
    EXPECT_EQ(of.fences[1]->status(), -EIO);
    EXPECT_EQ(of.on_second.runs(), 1);
  }
  kept_second of;
  EXPECT_TRUE(of.issuer.signal(*of.fences[1]));
  of.issuer.fail(-ENODEV);
  EXPECT_EQ(of.fences[0]->status(), -ENODEV);
  EXPECT_EQ(of.fences[1]->status(), 1);
}

TEST(F19_order, what_is_signaled_alone_stands_for_nothing_that_is_pending) {
  timeline_issuer issuer = make_timeline();
  const std::vector<fence_ref> fences = emit(issuer, 3);
  EXPECT_TRUE(issuer.signal(*fences[1]));
  EXPECT_FALSE(fences[1]->stands_for(*fences[0]));
  issuer.signal_up_to(2);
  EXPECT_TRUE(fences[1]->stands_for(*fences[0])) << "both are";
  EXPECT_TRUE(fences[2]->stands_for(*fences[1]));
  issuer.signal_up_to(3);
}

TEST(F19_order, what_was_given_away_waits_for_what_was_given_away_before) {
  timeline_issuer issuer = make_timeline();
  const std::vector<fence_ref> fences = emit(issuer, 2);
  fences[0]->keep_turn();
  fences[1]->keep_turn();
  EXPECT_TRUE(issuer.signal(*fences[1]));
  EXPECT_EQ(fences[1]->status(), 0);
  issuer.signal_up_to(1);
  EXPECT_EQ(fences[1]->status(), 1);
  issuer.signal_up_to(2);
}

TEST(timeline, refuses_to_signal_what_it_did_not_emit) {
  timeline_issuer issuer = make_timeline();
  timeline_issuer other = make_timeline();
  const fence_ref stranger = other.emit().value();
  new_fence unordered = issuer.create_unordered().value();
  new_fence bare = make_fence();
  EXPECT_FALSE(issuer.signal(*stranger));
  EXPECT_FALSE(issuer.signal(*unordered.fence));
  EXPECT_FALSE(issuer.signal(*bare.fence));
  EXPECT_FALSE(issuer.signal(*fence::stub()));
  EXPECT_FALSE(stranger->is_signaled());
  EXPECT_FALSE(unordered.fence->is_signaled());
  EXPECT_FALSE(bare.fence->is_signaled());
  unordered.signal.signal();
  bare.signal.signal();
  other.signal_up_to(1);
}

TEST(timeline, a_bad_error_of_one_fence_becomes_EINVAL_and_is_reported) {
  kept_reports reports;
  timeline_issuer issuer = make_timeline();
  const fence_ref f = issuer.emit().value();
  EXPECT_TRUE(issuer.signal(*f, 7));
  EXPECT_EQ(f->error(), -EINVAL);
  EXPECT_EQ(reports.count(report_kind::bad_error), 1);
  issuer.signal_up_to(1);
}

TEST(timeline, failing_with_no_negative_errno_is_EINVAL_and_reported) {
  for (const int error : {0, 7, -4096}) {
    kept_reports reports;
    timeline_issuer issuer = make_timeline();
    const fence_ref f = issuer.emit().value();
    issuer.fail(error);
    EXPECT_EQ(f->status(), -EINVAL) << error;
    EXPECT_EQ(reports.count(report_kind::bad_error), 1) << error;
  }
  kept_reports reports;
  timeline_issuer issuer = make_timeline();
  const fence_ref f = issuer.emit().value();
  settlement later;
  issuer.decide_fail(7, later);
  EXPECT_EQ(f->status(), -EINVAL);
  EXPECT_TRUE(reports.all().empty()) << "a decision runs no foreign code (F5)";
}

TEST(timeline, a_seqno_that_no_fence_has_completes_nothing) {
  for (const std::uint64_t seqno : {std::uint64_t{1} << 63U, UINT64_MAX}) {
    timeline_issuer issuer = make_timeline();
    const fence_ref f = issuer.emit().value();
    issuer.signal_up_to(seqno);
    EXPECT_FALSE(f->is_signaled());
    EXPECT_FALSE(issuer.line()->is_closed());
    issuer.signal_up_to(f->seqno());
    EXPECT_EQ(f->status(), 1);
  }
}

TEST(timeline, fail_ends_everything_later_now_and_in_future) {
  timeline_issuer issuer = make_timeline();
  const std::vector<fence_ref> fences = emit(issuer, 4);
  scripted_callback on_done;
  scripted_callback on_failed;
  ASSERT_EQ(fences[1]->add_callback(on_done), no_error);
  ASSERT_EQ(fences[2]->add_callback(on_failed), no_error);
  issuer.signal_up_to(2);
  EXPECT_FALSE(issuer.line()->is_closed());
  issuer.fail(-ENODEV);
  EXPECT_TRUE(issuer.line()->is_closed());
  EXPECT_EQ(fences[0]->status(), 1);
  EXPECT_EQ(fences[1]->status(), 1);
  EXPECT_EQ(fences[2]->status(), -ENODEV);
  EXPECT_EQ(fences[3]->status(), -ENODEV) << "unobserved";
  EXPECT_EQ(on_done.runs(), 1);
  EXPECT_EQ(on_failed.runs(), 1);
  const fence_ref born_failed = issuer.emit().value();
  EXPECT_EQ(born_failed->status(), -ENODEV);
  EXPECT_EQ(born_failed->wait(), no_error);
  EXPECT_EQ(born_failed->add_callback(on_done), errno_code(ENOENT));
  EXPECT_EQ(issuer.create_unordered().error(), errno_code(ECANCELED));
}

TEST(timeline, the_first_failure_decides_and_nothing_changes_a_closed_timeline) {
  timeline_issuer issuer = make_timeline();
  const std::vector<fence_ref> fences = emit(issuer, 3);
  issuer.signal_up_to(1);
  issuer.fail(-EIO);
  issuer.fail(-ENODEV);
  issuer.signal_up_to(3);
  EXPECT_EQ(issuer.line()->completed(), 1U);
  EXPECT_FALSE(issuer.signal(*fences[2]));
  EXPECT_EQ(fences[0]->status(), 1);
  EXPECT_EQ(fences[1]->status(), -EIO);
  EXPECT_EQ(fences[2]->status(), -EIO);
}

TEST(timeline, fail_needs_an_error) {
  for (const int error : {0, 1, -4096}) {
    timeline_issuer issuer = make_timeline();
    const fence_ref f = issuer.emit().value();
    issuer.fail(error);
    EXPECT_EQ(f->status(), -EINVAL) << error;
  }
}

TEST(timeline, an_unordered_fence_completes_by_itself) {
  timeline_issuer issuer = make_timeline();
  scripted_backend data;
  const fence_ref first = issuer.emit().value();
  new_fence made = issuer.create_unordered(&data).value();
  const fence_ref third = issuer.emit().value();
  EXPECT_EQ(made.fence->seqno(), 2U);
  EXPECT_EQ(third->seqno(), 3U);
  issuer.signal_up_to(3);
  EXPECT_FALSE(made.fence->is_signaled());
  EXPECT_FALSE(made.fence->poll());
  EXPECT_EQ(data.polls, 1);
  made.signal.signal(-EIO);
  EXPECT_EQ(made.fence->status(), -EIO);
  EXPECT_EQ(data.retires, 1);
}

TEST(timeline, unordered_fences_have_a_context_each) {
  timeline_issuer issuer = make_timeline();
  timeline_issuer other = make_timeline();
  std::set<std::uint64_t> contexts{issuer.line()->context(), other.line()->context()};
  for (int i = 0; i < 100; ++i) {
    for (timeline_issuer* line : {&issuer, &other}) {
      new_fence made = line->create_unordered().value();
      EXPECT_TRUE(contexts.insert(made.fence->context()).second);
      EXPECT_EQ(made.fence->owner(), line->line().get());
      made.signal.signal();
    }
  }
  contexts.insert(fence::allocate_contexts(1));
  EXPECT_EQ(contexts.size(), 203U);
}

TEST(timeline, fences_that_complete_in_order_by_themselves_share_its_context) {
  timeline_issuer issuer = make_timeline();
  new_fence first = issuer.create_in_order().value();
  scripted_backend data;
  new_fence second = issuer.create_in_order(&data).value();
  EXPECT_EQ(first.fence->context(), issuer.line()->context());
  EXPECT_TRUE(second.fence->is_later_than(*first.fence));
  EXPECT_EQ(second.fence->seqno(), 2U);
  first.signal.signal();
  EXPECT_FALSE(second.fence->poll());
  second.signal.signal(-EIO);
  EXPECT_EQ(second.fence->status(), -EIO);
  EXPECT_EQ(data.retires, 1);
}

TEST(timeline, decides_now_and_settles_later) {
  timeline_issuer issuer = make_timeline();
  const std::vector<fence_ref> fences = emit(issuer, 5);
  std::vector<std::uint64_t> order;
  std::vector<std::unique_ptr<noting>> nodes;
  for (const fence_ref& f : fences) {
    nodes.push_back(std::make_unique<noting>(order));
    ASSERT_EQ(f->add_callback(*nodes.back()), no_error);
  }
  std::error_code waited = errno_code(1);
  std::thread waits([&] { waited = fences[0]->wait(patience()); });
  {
    settlement later;
    issuer.decide_up_to(2, later);
    waits.join();
    EXPECT_TRUE(issuer.decide(*fences[3], -EIO, later));
    issuer.decide_fail(-ENODEV, later);
    for (const fence_ref& f : fences) {
      EXPECT_TRUE(f->is_signaled());
      EXPECT_FALSE(f->is_settled());
    }
    EXPECT_TRUE(order.empty());
  }
  EXPECT_EQ(waited, no_error);
  EXPECT_EQ(order, (std::vector<std::uint64_t>{1, 2, 4, 3, 5}));
  EXPECT_EQ(fences[1]->status(), 1);
  EXPECT_EQ(fences[2]->status(), -ENODEV);
  EXPECT_EQ(fences[3]->status(), -EIO);
  for (const fence_ref& f : fences) EXPECT_TRUE(f->is_settled());
}

TEST(timeline, settles_at_once_what_nobody_observes) {
  timeline_issuer issuer = make_timeline();
  const std::vector<fence_ref> fences = emit(issuer, 3);
  settlement later;
  issuer.decide_up_to(2, later);
  issuer.decide(*fences[2], -EIO, later);
  EXPECT_TRUE(later.empty());
  for (const fence_ref& f : fences) EXPECT_TRUE(f->is_settled());
}

TEST(timeline, a_callback_may_look_at_what_completes_with_its_fence) {
  timeline_issuer issuer = make_timeline();
  const fence_ref first = issuer.emit().value();
  const fence_ref second = issuer.emit().value();
  const fence_ref third = issuer.emit().value();
  std::vector<bool> seen;
  scripted_callback on_second;
  scripted_callback on_first([&](fence&) {
    seen = {second->is_signaled(), second->is_settled(), third->is_signaled(), third->is_settled()};
  });
  ASSERT_EQ(first->add_callback(on_first), no_error);
  ASSERT_EQ(second->add_callback(on_second), no_error);
  issuer.signal_up_to(3);
  EXPECT_EQ(seen, (std::vector<bool>{true, false, true, true}));
  EXPECT_EQ(on_second.runs(), 1);
  EXPECT_TRUE(second->is_settled());
}

TEST(timeline, completes_awaited_fences_in_seqno_order_whatever_the_order_of_awaiting) {
  for (const char* way : {"forward", "backward", "shuffled"}) {
    timeline_issuer issuer = make_timeline();
    std::vector<fence_ref> fences = emit(issuer, 2'000);
    std::vector<fence_ref> awaiting = fences;
    if (std::string(way) == "backward") std::ranges::reverse(awaiting);
    if (std::string(way) == "shuffled") {
      for (std::size_t i = 0; i < awaiting.size(); ++i) {
        std::swap(awaiting[i], awaiting[(i * 7919) % awaiting.size()]);
      }
    }
    std::vector<std::uint64_t> order;
    std::vector<std::unique_ptr<noting>> nodes;
    for (const fence_ref& f : awaiting) {
      nodes.push_back(std::make_unique<noting>(order));
      ASSERT_EQ(f->add_callback(*nodes.back()), no_error);
    }
    issuer.signal_up_to(1'000);
    EXPECT_EQ(order.size(), 1'000U) << way;
    issuer.signal_up_to(2'000);
    ASSERT_EQ(order.size(), 2'000U) << way;
    EXPECT_TRUE(std::ranges::is_sorted(order)) << way;
  }
}

TEST(timeline, takes_100000_awaited_fences_in_either_order) {
  for (const bool backward : {false, true}) {
    constexpr std::size_t n = 100'000;
    timeline_issuer issuer = make_timeline();
    std::vector<fence_ref> fences = emit(issuer, n);
    std::vector<std::uint64_t> order;
    order.reserve(n);
    std::vector<std::unique_ptr<noting>> nodes;
    for (std::size_t i = 0; i < n; ++i) {
      nodes.push_back(std::make_unique<noting>(order));
      const fence_ref& f = fences[backward ? n - 1 - i : i];
      ASSERT_EQ(f->add_callback(*nodes.back()), no_error);
    }
    issuer.signal_up_to(n);
    ASSERT_EQ(order.size(), n);
    EXPECT_TRUE(std::ranges::is_sorted(order));
    EXPECT_TRUE(fences[n / 2]->is_settled());
  }
}

TEST(timeline, outlives_its_issuing_handle_with_its_fences) {
  fence_ref f;
  {
    timeline_issuer issuer = make_timeline({.driver_name = "drv", .timeline_name = "ring"});
    f = issuer.emit().value();
    issuer.signal_up_to(1);
  }
  EXPECT_EQ(f->status(), 1);
  EXPECT_TRUE(f->owner()->is_closed());
  EXPECT_EQ(f->owner()->completed(), 1U);
}

TEST(timeline, a_fence_emitted_after_its_seqno_completed_is_born_signaled) {
  timeline_issuer issuer = make_timeline();
  issuer.signal_up_to(2);
  EXPECT_EQ(issuer.emit().value()->status(), 1);
  EXPECT_EQ(issuer.emit().value()->status(), 1);
  const fence_ref pending = issuer.emit().value();
  EXPECT_EQ(pending->status(), 0);
  issuer.signal_up_to(3);
}

TEST(timeline, refuses_an_initial_seqno_that_does_not_fit) {
  const auto create = [](std::uint64_t initial) {
    return timeline_issuer::create(
        {.driver_name = {}, .timeline_name = {}, .initial_seqno = initial});
  };
  constexpr std::uint64_t limit = std::uint64_t{1} << 62;
  EXPECT_EQ(create(limit).error(), errno_code(EINVAL));
  EXPECT_EQ(create(UINT64_MAX).error(), errno_code(EINVAL));
  timeline_issuer late = create(limit - 1).value();
  const fence_ref f = late.emit().value();
  EXPECT_EQ(f->seqno(), limit) << "there are as many again to emit";
  EXPECT_FALSE(f->is_signaled());
  late.signal_up_to(UINT64_MAX);
  EXPECT_FALSE(f->is_signaled()) << "no seqno: ignored";
  late.signal_up_to(f->seqno());
  EXPECT_EQ(f->status(), 1);
}
