// F1 to F3, F13, F14, F17: the decision, the result, names, what looking does not do.
#include "ufence/fence/fence.h"

#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <latch>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "ufence/fence/slab.h"
#include "ufence/fence/testing/support.h"

using namespace ufence;
using namespace ufence::testing;

TEST(F01_one_way, pending_then_signaled_for_ever) {
  new_fence made = make_fence();
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(made.fence->is_signaled());
  EXPECT_TRUE(made.signal.signal());
  EXPECT_FALSE(made.signal) << "the right is used up";
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(made.fence->is_signaled());
}

TEST(F01_one_way, the_loser_is_told_and_touches_nothing) {
  new_fence made = make_fence();
  signaler winner = made.signal.share();
  EXPECT_TRUE(winner.signal(-EIO));
  const std::int64_t when = made.fence->timestamp_ns();
  EXPECT_FALSE(made.signal.signal(-ENODEV));
  EXPECT_EQ(made.fence->error(), -EIO);
  EXPECT_EQ(made.fence->timestamp_ns(), when);
}

TEST(F01_one_way, a_losing_decision_leaves_nothing_to_settle) {
  new_fence made = make_fence();
  signaler winner = made.signal.share();
  settlement first;
  settlement second;
  EXPECT_TRUE(winner.decide(-EIO, first));
  EXPECT_FALSE(made.signal.decide(0, second));
  EXPECT_TRUE(second.empty());
  EXPECT_FALSE(made.signal);
  EXPECT_EQ(made.fence->error(), -EIO);
}

TEST(F01_one_way, one_wins_among_concurrent_signallers) {
  for (int round = 0; round < 200; ++round) {
    new_fence made = make_fence();
    std::array<signaler, 4> rights;
    for (signaler& right : rights) right = made.signal.share();
    std::array<bool, 4> won{};
    std::latch go(4);
    {
      std::vector<std::jthread> threads;
      for (std::size_t i = 0; i < 4; ++i) {
        threads.emplace_back([&, i] {
          go.arrive_and_wait();
          won[i] = rights[i].signal(-static_cast<int>(i + 1));
        });
      }
    }
    ASSERT_EQ(won[0] + won[1] + won[2] + won[3], 1);
    const auto winner = static_cast<std::size_t>(-made.fence->error() - 1);
    ASSERT_LT(winner, 4U);
    EXPECT_TRUE(won[winner]) << "the result is the winner's";
    EXPECT_FALSE(made.signal.signal());
  }
}

TEST(F02_error, is_an_argument_of_signal) {
  for (const int error : {0, -1, -EIO, -ECANCELED, -4095}) {
    new_fence made = make_fence();
    EXPECT_TRUE(made.signal.signal(error));
    EXPECT_EQ(made.fence->error(), error);
    EXPECT_EQ(made.fence->status(), error == 0 ? 1 : error);
  }
}

TEST(F02_error, outside_of_errno_becomes_EINVAL_and_is_reported) {
  kept_reports reports;
  for (const int error : {1, EIO, -4096, INT32_MIN, INT32_MAX}) {
    new_fence made = make_fence();
    const int before = reports.count(report_kind::bad_error);
    EXPECT_TRUE(made.signal.signal(error));
    EXPECT_EQ(made.fence->status(), -EINVAL) << error;
    EXPECT_EQ(reports.count(report_kind::bad_error), before + 1);
    EXPECT_EQ(reports.all().back().context, made.fence->context());
  }
}

TEST(F02_error, never_changes_afterwards) {
  new_fence made = make_fence();
  signaler late = made.signal.share();
  signaler later = made.signal.share();
  made.signal.signal(-EIO);
  late.signal(0);
  later = signaler();  // dropped: nothing to report either
  EXPECT_EQ(made.fence->status(), -EIO);
}

TEST(F03_is_signaled, true_means_that_error_and_time_are_readable) {
  const std::int64_t before = now_ns();
  new_fence made = make_fence();
  EXPECT_EQ(made.fence->timestamp_ns(), 0);
  std::jthread signals([right = std::move(made.signal)]() mutable { right.signal(-EIO); });
  ASSERT_TRUE(eventually([&] { return made.fence->is_signaled(); }));
  EXPECT_EQ(made.fence->error(), -EIO);
  EXPECT_GE(made.fence->timestamp_ns(), before);
  EXPECT_LE(made.fence->timestamp_ns(), now_ns());
}

TEST(R09_timestamp, may_be_the_signallers) {
  constexpr backend_ops with_retire{.retire = [](backend*, retired_by) noexcept {}};
  backend data{&with_retire};
  new_fence plain = make_fence();
  new_fence with_ops = fence::create(fence::allocate_contexts(1), 1, &data).value();
  for (new_fence* made : {&plain, &with_ops}) {
    EXPECT_TRUE(made->signal.signal(-EIO, 12345));
    EXPECT_EQ(made->fence->timestamp_ns(), 12345);
    EXPECT_EQ(made->fence->status(), -EIO);
  }
}

TEST(F03_is_signaled, may_be_asked_anywhere) {
  scripted_backend data;
  new_fence made = make_fence(&data);
  fence& f = *made.fence;
  std::optional<bool> in_op;
  std::optional<bool> in_retire;
  std::optional<bool> in_callback;
  data.on_set_deadline = [&](std::int64_t) { in_op = f.is_signaled(); };
  data.on_retire = [&](retired_by) { in_retire = f.is_signaled(); };
  scripted_callback node([&](fence& which) { in_callback = which.is_signaled(); });
  ASSERT_EQ(f.add_callback(node), no_error);
  f.set_deadline(INT64_C(1));
  made.signal.signal();
  EXPECT_EQ(in_op, false);
  EXPECT_EQ(in_retire, true);
  EXPECT_EQ(in_callback, true);
}

TEST(F13_names, belong_to_the_timeline_and_are_copied) {
  char driver[] = "some driver";
  char line[] = "ring 7";
  timeline_issuer issuer = make_timeline({.driver_name = driver, .timeline_name = line});
  std::memset(driver, 'x', sizeof driver - 1);
  std::memset(line, 'x', sizeof line - 1);
  const fence_ref f = issuer.emit().value();
  EXPECT_EQ(f->driver_name(), "some driver");
  EXPECT_EQ(f->timeline_name(), "ring 7");
  EXPECT_EQ(issuer.line()->driver_name(), "some driver");
  EXPECT_EQ(issuer.line()->timeline_name(), "ring 7");
  issuer.fail(-ECANCELED);
}

TEST(F13_names, stay_true_after_the_issuer_is_gone) {
  fence_ref ordered;
  fence_ref unordered;
  {
    timeline_issuer issuer = make_timeline({.driver_name = "gone", .timeline_name = "ring"});
    ordered = issuer.emit().value();
    new_fence other = issuer.create_unordered().value();
    unordered = other.fence;
    issuer.signal_up_to(ordered->seqno());
    other.signal.signal(-EIO);
  }
  for (const fence_ref& f : {ordered, unordered}) {
    EXPECT_EQ(f->driver_name(), "gone");
    EXPECT_EQ(f->timeline_name(), "ring");
    ASSERT_NE(f->owner(), nullptr);
    EXPECT_EQ(f->owner()->timeline_name(), "ring");
  }
}

TEST(F13_names, of_a_fence_without_timeline_are_the_kernels_placeholders) {
  new_fence made = make_fence();
  for (int signaled = 0; signaled < 2; ++signaled) {
    EXPECT_EQ(made.fence->driver_name(), "detached-driver");
    EXPECT_EQ(made.fence->timeline_name(), "signaled-timeline");
    EXPECT_EQ(made.fence->owner(), nullptr);
    made.signal.signal();
  }
  EXPECT_FALSE(fence::stub()->driver_name().empty());
  EXPECT_FALSE(fence::stub()->timeline_name().empty());
}

TEST(F13_names, describe_says_who_and_how_far) {
  timeline_issuer issuer = make_timeline({.driver_name = "drv", .timeline_name = "ring"});
  const fence_ref good = issuer.emit().value();
  const fence_ref bad = issuer.emit().value();
  const std::string id = std::to_string(good->context());
  EXPECT_EQ(good->describe(), id + ":1 ring drv unsignalled");
  issuer.signal_up_to(1);
  issuer.signal(*bad, -EIO);
  EXPECT_EQ(good->describe(), id + ":1 ring drv signalled");
  EXPECT_EQ(bad->describe(), id + ":2 ring drv error -5");
}

TEST(F13_names, may_be_empty_or_long_and_hold_any_bytes) {
  const std::string driver(5000, 'd');
  const std::string line("a\0b", 3);
  timeline_issuer issuer =
      timeline_issuer::create({.driver_name = driver, .timeline_name = line}).value();
  EXPECT_EQ(issuer.line()->driver_name(), driver);
  EXPECT_EQ(issuer.line()->timeline_name(), line);
  timeline_issuer unnamed = timeline_issuer::create({}).value();
  EXPECT_EQ(unnamed.line()->driver_name(), "");
  EXPECT_EQ(unnamed.line()->timeline_name(), "");
}

TEST(F14_size, a_fence_is_one_cache_line) {
  static_assert(sizeof(fence) == 64 && fence::preferred_alignment == 64);
  static_assert(sizeof(callback) <= 64);
  static_assert(sizeof(settlement) == sizeof(void*));
  std::vector<new_fence> many;
  for (int i = 0; i < 1000; ++i) many.push_back(make_fence());
  for (new_fence& made : many) {
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(made.fence.get()) % 64, 0U);
    made.signal.signal();
  }
}

TEST(F17_looking, calls_no_op_and_no_callback) {
  scripted_backend data;
  data.on_poll = [] { return 1; };  // would say "complete" if it were asked
  new_fence made = make_fence(&data);
  scripted_callback node;
  ASSERT_EQ(made.fence->add_callback(node), no_error);
  const int ops = data.ops();
  EXPECT_FALSE(made.fence->is_signaled());
  EXPECT_FALSE(made.fence->is_settled());
  EXPECT_EQ(made.fence->status(), 0);
  EXPECT_EQ(made.fence->error(), 0);
  EXPECT_EQ(made.fence->timestamp_ns(), 0);
  EXPECT_FALSE(made.fence->describe().empty());
  EXPECT_EQ(data.ops(), ops);
  settlement later;
  made.signal.decide(-EIO, later);
  EXPECT_TRUE(made.fence->is_signaled());
  EXPECT_EQ(made.fence->status(), -EIO);
  EXPECT_FALSE(made.fence->describe().empty());
  EXPECT_EQ(node.runs(), 0);
  EXPECT_EQ(data.retires, 0);
  later.settle();
  EXPECT_EQ(node.runs(), 1);
}

TEST(F17_looking, set_deadline_calls_its_op_alone) {
  scripted_backend data;
  data.on_poll = [] { return 1; };
  std::int64_t seen = 0;
  data.on_set_deadline = [&](std::int64_t deadline_ns) { seen = deadline_ns; };
  new_fence made = make_fence(&data);
  made.fence->set_deadline(INT64_C(12345));
  EXPECT_EQ(seen, 12345);
  EXPECT_EQ(data.ops(), 1);
  EXPECT_FALSE(made.fence->is_signaled());
  made.signal.signal();
}

TEST(F17_looking, poll_calls_its_op_alone) {
  scripted_backend data;
  new_fence made = make_fence(&data);
  EXPECT_FALSE(made.fence->poll());
  EXPECT_EQ(data.polls, 1);
  EXPECT_EQ(data.ops(), 1);
  scripted_callback node;
  ASSERT_EQ(made.fence->add_callback(node), no_error);
  data.on_poll = [] { return -EIO; };
  EXPECT_TRUE(made.fence->poll()) << "complete, so the library signals";
  EXPECT_EQ(node.runs(), 1) << "and settles";
  EXPECT_EQ(made.fence->error(), -EIO);
  EXPECT_FALSE(made.signal.signal());
}

TEST(F17_looking, set_deadline_runs_callbacks_only_if_its_op_signals) {
  scripted_backend data;
  new_fence made = make_fence(&data);
  data.on_set_deadline = [&](std::int64_t) { made.signal.signal(); };
  scripted_callback node;
  ASSERT_EQ(made.fence->add_callback(node), no_error);
  made.fence->set_deadline(INT64_C(1));
  EXPECT_EQ(node.runs(), 1);
  EXPECT_TRUE(made.fence->is_settled());
}

TEST(fence, tells_its_context_and_seqno_and_which_is_later) {
  const std::uint64_t context = fence::allocate_contexts(1);
  new_fence first = fence::create(context, 5).value();
  new_fence second = fence::create(context, (std::uint64_t{1} << 62) + 1).value();
  new_fence stranger = make_fence(nullptr, 9);
  EXPECT_EQ(first.fence->context(), context);
  EXPECT_EQ(first.fence->seqno(), 5U);
  EXPECT_TRUE(second.fence->is_later_than(*first.fence)) << "64-bit, no wrap";
  EXPECT_FALSE(first.fence->is_later_than(*second.fence));
  EXPECT_FALSE(first.fence->is_later_than(*first.fence));
  EXPECT_FALSE(stranger.fence->is_later_than(*first.fence)) << "other contexts do not compare";
  EXPECT_FALSE(first.fence->is_later_than(*stranger.fence));
  for (new_fence* made : {&first, &second, &stranger}) made->signal.signal();
}

TEST(fence, contexts_are_reserved_once_and_never_0) {
  const std::uint64_t first = fence::allocate_contexts(10);
  EXPECT_NE(first, 0U);
  EXPECT_GE(fence::allocate_contexts(1), first + 10);
}

TEST(fence, is_alive_while_anybody_has_a_reference) {
  const std::size_t before = live_fences();
  new_fence made = make_fence();
  EXPECT_EQ(live_fences(), before + 1);
  fence_ref copy = made.fence;
  made.fence.reset();
  made.signal.signal();
  EXPECT_EQ(live_fences(), before + 1);
  EXPECT_TRUE(copy->is_signaled());
  copy.reset();
  EXPECT_EQ(live_fences(), before);
}

TEST(fence, settles_when_nobody_but_the_signaler_holds_it) {
  const std::size_t before = live_fences();
  scripted_backend data;
  new_fence made = make_fence(&data);
  scripted_callback node;
  ASSERT_EQ(made.fence->add_callback(node), no_error);
  made.fence.reset();
  made.signal.signal();
  EXPECT_EQ(node.runs(), 1);
  EXPECT_EQ(data.retires, 1);
  EXPECT_EQ(live_fences(), before);
}

TEST(fence, get_rcu_takes_a_reference_or_nothing) {
  ufence::atomic<fence*> slot;
  EXPECT_EQ(fence::get_rcu(slot), nullptr);
  new_fence made = make_fence();
  slot.store(made.fence.get(), mo::release);
  fence_ref got = fence::get_rcu(slot);
  EXPECT_EQ(got, made.fence);
  made.fence.reset();
  made.signal.signal();
  EXPECT_TRUE(got->is_signaled()) << "kept alive";
  slot.store(nullptr, mo::release);
  EXPECT_EQ(fence::get_rcu(slot), nullptr);
  const fence_ref stub = fence::stub();
  slot.store(stub.get(), mo::release);
  EXPECT_EQ(fence::get_rcu(slot), stub);
}
