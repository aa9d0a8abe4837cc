// F6 to F9: the issuer's ops, and when its data is its own again.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <latch>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "ufence/fence/fence.h"
#include "ufence/fence/slab.h"
#include "ufence/fence/testing/support.h"
#include "ufence/rcu/rcu.h"

using namespace ufence;
using namespace ufence::testing;

namespace {

// Uses the fence from another thread in every way that takes its lock, and comes back.
bool is_free_elsewhere(fence& f) {
  bool done = false;
  std::jthread other([&] {
    scripted_callback node;
    if (!f.add_callback(node)) static_cast<void>(f.remove_callback(node));
    done = true;
  });
  other.join();
  return done;
}

// An op that stays inside until it is told to leave.
struct slow_backend : scripted_backend {
  slow_backend() {
    on_poll = [this] {
      ++inside;
      leave.pass();
      return 0;
    };
  }
  std::atomic<int> inside = 0;
  door leave;
};

}  // namespace

TEST(F06_ops, run_without_any_lock_of_ours) {
  scripted_backend data;
  new_fence made = make_fence(&data);
  fence& f = *made.fence;
  int free = 0;
  data.on_enable_signaling = [&] { return free += is_free_elsewhere(f), 0; };
  data.on_poll = [&] { return free += is_free_elsewhere(f), 0; };
  data.on_set_deadline = [&](std::int64_t) { free += is_free_elsewhere(f); };
  data.on_retire = [&](retired_by) { free += is_free_elsewhere(f); };
  f.enable_signaling();
  EXPECT_FALSE(f.poll());
  f.set_deadline(INT64_C(1));
  made.signal.signal();
  EXPECT_EQ(free, 4);
}

TEST(F06_ops, get_the_pinned_backend_as_argument) {
  static constexpr backend_ops ops = {
      .enable_signaling = [](backend* b) noexcept { return b->ops == &ops ? 0 : -EFAULT; },
      .poll = [](backend* b) noexcept { return b->ops == &ops ? 1 : -EFAULT; },
  };
  backend data{&ops};
  new_fence made = make_fence(&data);
  made.fence->enable_signaling();
  EXPECT_FALSE(made.fence->is_signaled());
  EXPECT_TRUE(made.fence->poll());
  EXPECT_EQ(made.fence->status(), 1);
  made.signal.signal();
}

TEST(F06_ops, are_all_optional) {
  static constexpr backend_ops none = {};
  backend data{&none};
  new_fence made = make_fence(&data);
  made.fence->enable_signaling();
  made.fence->set_deadline(INT64_C(1));
  EXPECT_FALSE(made.fence->poll());
  EXPECT_EQ(made.fence->wait(no_wait), errno_code(ETIME));
  EXPECT_EQ(made.fence->wait_quiesced(no_wait), errno_code(ETIME));
  made.signal.signal();
  EXPECT_EQ(made.fence->wait_quiesced(no_wait), no_error);
}

TEST(F06_ops, enable_signaling_may_say_that_it_is_complete) {
  for (const int answer : {1, -EIO}) {
    scripted_backend data;
    data.on_enable_signaling = [&] { return answer; };
    new_fence made = make_fence(&data);
    scripted_callback node;
    EXPECT_EQ(made.fence->add_callback(node), errno_code(ENOENT));
    EXPECT_EQ(made.fence->status(), answer);
    EXPECT_EQ(node.runs(), 0);
    EXPECT_EQ(data.retires, 1);
    EXPECT_FALSE(made.signal.signal());
  }
}

TEST(F06_ops, a_result_that_is_no_errno_becomes_EINVAL_and_is_reported) {
  kept_reports reports;
  scripted_backend data;
  data.on_poll = [] { return -4096; };
  new_fence made = make_fence(&data);
  EXPECT_TRUE(made.fence->poll());
  EXPECT_EQ(made.fence->error(), -EINVAL);
  EXPECT_EQ(reports.count(report_kind::bad_error), 1);
  made.signal.signal();
}

TEST(F07_enable_signaling, is_called_by_the_first_who_waits_or_adds) {
  for (int way = 0; way < 4; ++way) {
    scripted_backend data;
    new_fence made = make_fence(&data);
    scripted_callback node;
    EXPECT_EQ(data.enables, 0);
    if (way == 0) made.fence->enable_signaling();
    if (way == 1) static_cast<void>(made.fence->wait(no_wait));
    if (way == 2) static_cast<void>(made.fence->add_callback(node));
    if (way == 3) static_cast<void>(made.fence->pollable_fd());
    EXPECT_EQ(data.enables, 1) << way;
    made.signal.signal();
  }
}

TEST(F07_enable_signaling, happens_at_most_once) {
  for (int round = 0; round < 100; ++round) {
    scripted_backend data;
    new_fence made = make_fence(&data);
    std::latch go(4);
    {
      std::vector<std::jthread> threads;
      for (int i = 0; i < 4; ++i) {
        threads.emplace_back([&, i] {
          scripted_callback node;
          go.arrive_and_wait();
          if (i % 2 == 0) {
            made.fence->enable_signaling();
          } else if (!made.fence->add_callback(node)) {
            static_cast<void>(made.fence->remove_callback(node));
          }
        });
      }
    }
    EXPECT_EQ(data.enables, 1);
    made.signal.signal();
  }
}

TEST(F07_enable_signaling, no_op_starts_after_the_decision) {
  scripted_backend data;
  new_fence made = make_fence(&data);
  settlement later;
  made.signal.decide(0, later);
  for (int settled = 0; settled < 2; ++settled) {
    made.fence->enable_signaling();
    made.fence->set_deadline(INT64_C(1));
    EXPECT_TRUE(made.fence->poll());
    EXPECT_EQ(made.fence->wait(), no_error);
    EXPECT_EQ(data.ops(), 0);
    later.settle();
  }
}

TEST(F08_retire, is_run_by_the_settlement_before_its_callbacks) {
  scripted_backend data;
  new_fence made = make_fence(&data);
  std::string order;
  data.on_retire = [&](retired_by who) { order += who == retired_by::settlement ? 's' : 'l'; };
  scripted_callback node([&](fence&) { order += 'c'; });
  ASSERT_EQ(made.fence->add_callback(node), no_error);
  EXPECT_TRUE(order.empty());
  made.signal.signal();
  EXPECT_EQ(order, "sc");
  EXPECT_EQ(made.fence->wait_quiesced(no_wait), no_error);
}

TEST(F08_retire, is_run_by_the_last_op_to_leave) {
  slow_backend data;
  new_fence made = make_fence(&data);
  scripted_callback node;
  ASSERT_EQ(made.fence->add_callback(node), no_error);
  std::array<std::thread, 3> threads;
  for (std::thread& t : threads) t = std::thread([&] { EXPECT_TRUE(made.fence->poll()); });
  ASSERT_TRUE(eventually([&] { return data.inside == 3; }));
  made.signal.signal();
  EXPECT_TRUE(made.fence->is_settled()) << "neither the signal nor the callbacks wait for ops";
  EXPECT_EQ(node.runs(), 1);
  EXPECT_EQ(data.retires, 0);
  EXPECT_EQ(made.fence->wait_quiesced(deadline_after(millisecond_ns)), errno_code(ETIME));
  std::thread waits([&] { EXPECT_EQ(made.fence->wait_quiesced(patience()), no_error); });
  data.leave.open();
  for (std::thread& t : threads) t.join();
  waits.join();
  EXPECT_EQ(data.retires, 1);
  EXPECT_EQ(data.retires_by_last_op, 1);
}

TEST(F08_retire, does_not_wait_for_the_settlement_if_the_last_op_leaves_before) {
  slow_backend data;
  new_fence made = make_fence(&data);
  scripted_callback node;
  ASSERT_EQ(made.fence->add_callback(node), no_error);
  std::thread polls([&] { EXPECT_TRUE(made.fence->poll()); });
  ASSERT_TRUE(eventually([&] { return data.inside == 1; }));
  settlement later;
  made.signal.decide(0, later);
  data.leave.open();
  polls.join();
  EXPECT_EQ(data.retires_by_last_op, 1);
  EXPECT_EQ(made.fence->wait_quiesced(no_wait), no_error);
  EXPECT_EQ(node.runs(), 0);
  later.settle();
  EXPECT_EQ(data.retires, 1) << "once";
  EXPECT_EQ(node.runs(), 1);
}

TEST(F08_retire, unlinks_what_a_late_enable_linked_after_the_decision) {
  std::mutex issuer_lock;
  std::vector<scripted_backend*> issuer_list;
  door leave;
  auto data = std::make_unique<scripted_backend>();
  scripted_backend* raw = data.get();
  raw->on_enable_signaling = [&, raw] {
    leave.pass();
    const std::lock_guard guard(issuer_lock);
    issuer_list.push_back(raw);
    return 0;
  };
  raw->on_retire = [&](retired_by) {
    const std::lock_guard guard(issuer_lock);
    std::erase(issuer_list, raw);
    data.reset();
  };
  new_fence made = make_fence(raw);
  std::thread enables([&] { made.fence->enable_signaling(); });
  ASSERT_TRUE(eventually([&] { return raw->enables == 1; }));
  made.signal.signal();
  EXPECT_NE(data, nullptr);
  leave.open();
  enables.join();
  EXPECT_EQ(data, nullptr) << "freed, by the op that left last";
  EXPECT_TRUE(issuer_list.empty());
  EXPECT_EQ(made.fence->wait_quiesced(no_wait), no_error);
}

TEST(F08_retire, may_take_the_issuers_locks_and_free_its_data) {
  std::mutex issuer_lock;
  auto data = std::make_unique<scripted_backend>();
  data->on_retire = [&](retired_by) {
    const std::lock_guard guard(issuer_lock);
    data.reset();
  };
  new_fence made = make_fence(data.get());
  {
    settlement later;
    const std::lock_guard guard(issuer_lock);
    made.signal.decide(0, later);
    EXPECT_NE(data, nullptr);
  }
  EXPECT_EQ(data, nullptr);
}

TEST(F08_retire, needs_no_grace_period) {
  scripted_backend data;
  new_fence made = make_fence(&data);
  const rcu::read_section reader;
  made.signal.signal();
  EXPECT_EQ(data.retires, 1);
  EXPECT_EQ(made.fence->wait_quiesced(no_wait), no_error);
}

TEST(F08_retire, is_optional_for_quiesce) {
  static constexpr backend_ops ops = {.poll = [](backend*) noexcept { return 0; }};
  backend data{&ops};
  new_fence made = make_fence(&data);
  settlement later;
  made.signal.decide(0, later);
  EXPECT_EQ(made.fence->wait_quiesced(no_wait), errno_code(ETIME)) << "the settlement has not run";
  later.settle();
  EXPECT_EQ(made.fence->wait_quiesced(no_wait), no_error);
}

TEST(F09_op, may_signal_its_own_fence) {
  scripted_backend data;
  new_fence made = make_fence(&data);
  std::string order;
  data.on_poll = [&] {
    EXPECT_TRUE(made.signal.signal(-EIO));
    EXPECT_TRUE(made.fence->is_signaled());
    order += 'p';  // nothing is settled while the op is inside
    return 0;
  };
  data.on_retire = [&](retired_by) { order += 'r'; };
  scripted_callback node([&](fence&) { order += 'c'; });
  ASSERT_EQ(made.fence->add_callback(node), no_error);
  EXPECT_TRUE(made.fence->poll());
  EXPECT_EQ(order, "prc");
  EXPECT_EQ(data.retires_by_last_op, 1);
  EXPECT_EQ(made.fence->error(), -EIO);
  EXPECT_TRUE(made.fence->is_settled());
}

TEST(F09_op, enable_signaling_may_signal_its_own_fence) {
  scripted_backend data;
  new_fence made = make_fence(&data);
  data.on_enable_signaling = [&] { return made.signal.signal(), 0; };
  scripted_callback node;
  EXPECT_EQ(made.fence->add_callback(node), errno_code(ENOENT));
  EXPECT_EQ(node.runs(), 0);
  EXPECT_EQ(made.fence->wait(), no_error);
  EXPECT_EQ(data.retires, 1);
}

TEST(F09_op, may_drop_references) {
  const std::size_t before = live_fences();
  scripted_backend data;
  new_fence made = make_fence(&data);
  fence_ref issuers = made.fence;
  data.on_poll = [&] {
    issuers.reset();
    made.signal.signal();
    return 0;
  };
  EXPECT_TRUE(made.fence->poll());
  made.fence.reset();
  EXPECT_EQ(live_fences(), before);
}

TEST(F09_op, may_take_the_issuers_lock_while_the_issuer_decides_under_it) {
  // Lock order: consumer, then issuer; the signaller's issuer lock nests nothing of ours.
  std::mutex issuer_lock;
  scripted_backend data;
  data.on_set_deadline = [&](std::int64_t) { const std::lock_guard guard(issuer_lock); };
  new_fence made = make_fence(&data);
  std::jthread hints([&] {
    while (!made.fence->is_signaled()) made.fence->set_deadline(INT64_C(1));
  });
  ASSERT_TRUE(eventually([&] { return data.deadlines > 0; }));
  settlement later;
  const std::lock_guard guard(issuer_lock);
  EXPECT_TRUE(made.signal.decide(0, later));
}
