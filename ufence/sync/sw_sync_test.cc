// The software timeline, without descriptors.
#include "ufence/sync/sw_sync.h"

#include <atomic>
#include <climits>
#include <latch>
#include <thread>
#include <vector>

#include "ufence/rcu/rcu.h"
#include "ufence/sync/sync_test_support.h"
#include "ufence/syncobj/testing/syncobj_support.h"

namespace ufence::testing {
namespace {

TEST(sw_sync, signals_what_its_value_reaches) {
  sw_sync line = sw_sync::create("hand").value();
  const fence_ref five = line.create_fence(5).value();
  EXPECT_EQ(five->driver_name(), "sw_sync");
  EXPECT_EQ(five->timeline_name(), "hand");
  EXPECT_EQ(five->seqno(), 5U);
  EXPECT_EQ(five->context(), line.context());
  line.increment(4);
  EXPECT_FALSE(five->is_signaled());
  line.increment(1);
  EXPECT_EQ(five->status(), 1);
  EXPECT_TRUE(five->is_settled());
  EXPECT_EQ(line.value(), 5U);
}

TEST(sw_sync, regress_who_makes_a_fence_waits_for_no_reader) {
  std::latch is_reading(1);
  std::latch may_end(1);
  std::jthread reader([&] {
    const rcu::read_section section;
    is_reading.count_down();
    may_end.wait();
  });
  is_reading.wait();
  sw_sync line = sw_sync::create("hand").value();
  for (std::uint32_t i = 1; i <= 500; ++i) {
    const fence_ref next = line.create_fence(i).value();
    line.increment(1);
    EXPECT_FALSE(next->wait());
  }
  may_end.count_down();
}

TEST(sw_sync, regress_answers_in_a_child_of_fork_while_the_parent_is_busy) {
  sw_sync line = sw_sync::create("hand").value();
  const fence_ref never = line.create_fence(0x70000000).value();
  never->set_deadline(INT64_C(1000));
  std::atomic<bool> stop = false;
  std::jthread busy([&] {
    while (!stop) line.increment(1);
  });
  for (int forks = 0; forks < 100; ++forks) {
    const std::uint32_t before = line.value();
    const int child = in_child([&] {
      UFENCE_CHILD_EXPECT(line.value() >= before);
      UFENCE_CHILD_EXPECT(sw_sync_deadline(never) == result<std::int64_t>(1000));
      UFENCE_CHILD_EXPECT(never->wait() == errno_code(EOWNERDEAD));
      UFENCE_CHILD_EXPECT(line.create_fence(1).error() == errno_code(EOWNERDEAD));
      line.increment(0x70000000);
      UFENCE_CHILD_EXPECT(!never->is_signaled());
      return 0;
    });
    ASSERT_EQ(child, 0);
  }
  stop = true;
}

TEST(sw_sync, has_the_threads_name_without_another) {
  const sw_sync line = sw_sync::create().value();
  char name[16] = {};
  ::pthread_getname_np(::pthread_self(), name, sizeof name);
  sw_sync again = sw_sync::create().value();
  EXPECT_EQ(again.create_fence(0).value()->timeline_name(), name);
}

TEST(sw_sync, gives_the_same_fence_for_the_same_pending_value) {
  sw_sync line = sw_sync::create("same").value();
  const fence_ref a = line.create_fence(3).value();
  const fence_ref between = line.create_fence(2).value();
  EXPECT_EQ(line.create_fence(3).value(), a);
  EXPECT_NE(line.create_fence(4).value(), a);
  EXPECT_EQ(line.create_fence(2).value(), between);
  line.increment(3);
  const fence_ref late = line.create_fence(3).value();
  EXPECT_NE(late, a);
  EXPECT_TRUE(late->is_signaled());
}

TEST(sw_sync, makes_a_new_fence_where_the_last_reference_was_dropped) {
  sw_sync line = sw_sync::create("dropped").value();
  static_cast<void>(line.create_fence(7).value());
  const fence_ref again = line.create_fence(7).value();
  EXPECT_FALSE(again->is_signaled());
  line.increment(7);
  EXPECT_TRUE(again->is_signaled());
}

TEST(sw_sync, is_born_signaled_at_or_before_the_value) {
  sw_sync line = sw_sync::create("born").value();
  EXPECT_TRUE(line.create_fence(0).value()->is_signaled());
  line.increment(10);
  EXPECT_TRUE(line.create_fence(10).value()->is_signaled());
  EXPECT_TRUE(line.create_fence(1).value()->is_signaled());
  const fence_ref next = line.create_fence(11).value();
  EXPECT_FALSE(next->is_signaled());
}

TEST(sw_sync, wraps_at_32_bits) {
  sw_sync line = sw_sync::create("wraps").value();
  line.increment(UINT32_MAX - 1);
  EXPECT_EQ(line.value(), UINT32_MAX - 1);
  const fence_ref last = line.create_fence(UINT32_MAX).value();
  const fence_ref wrapped = line.create_fence(1).value();
  EXPECT_FALSE(wrapped->is_signaled());
  EXPECT_TRUE(wrapped->is_later_than(*last));
  line.increment(1);
  EXPECT_TRUE(last->is_signaled());
  EXPECT_FALSE(wrapped->is_signaled());
  line.increment(2);
  EXPECT_EQ(line.value(), 1U);
  EXPECT_TRUE(wrapped->is_signaled());
}

TEST(sw_sync, takes_half_of_the_values_for_later) {
  sw_sync line = sw_sync::create("half").value();
  EXPECT_FALSE(line.create_fence(INT_MAX).value()->is_signaled());
  EXPECT_TRUE(line.create_fence(std::uint32_t{INT_MAX} + 1).value()->is_signaled());
  const fence_ref far = line.create_fence(INT_MAX).value();
  line.increment(UINT32_MAX);  // in steps: nothing is jumped over
  EXPECT_TRUE(far->is_signaled());
  EXPECT_EQ(line.value(), UINT32_MAX);
}

TEST(sw_sync, ends_what_is_pending_when_it_is_closed) {
  fence_ref done;
  fence_ref pending;
  {
    sw_sync line = sw_sync::create("closed").value();
    done = line.create_fence(1).value();
    pending = line.create_fence(2).value();
    line.increment(1);
  }
  EXPECT_EQ(done->status(), 1);
  EXPECT_EQ(pending->status(), -ENOENT);
  EXPECT_EQ(pending->timeline_name(), "closed");
}

TEST(sw_sync, signals_in_the_order_of_values) {
  sw_sync line = sw_sync::create("order").value();
  std::vector<std::uint64_t> order;
  std::vector<fence_ref> fences;
  const auto note = [&order](fence& f) { order.push_back(f.seqno()); };
  scripted_callback callbacks[4] = {scripted_callback(note), scripted_callback(note),
                                    scripted_callback(note), scripted_callback(note)};
  for (const std::uint32_t value : {3U, 1U, 4U, 2U}) {
    fences.push_back(line.create_fence(value).value());
    EXPECT_EQ(fences.back()->add_callback(callbacks[fences.size() - 1]), no_error);
  }
  line.increment(3);
  EXPECT_EQ(order, (std::vector<std::uint64_t>{1, 2, 3}));
  line.increment(1);
  EXPECT_EQ(order.size(), 4U);
}

TEST(sw_sync, keeps_the_soonest_deadline) {
  sw_sync line = sw_sync::create("deadline").value();
  const fence_ref f = line.create_fence(1).value();
  EXPECT_EQ(sw_sync_deadline(f).error(), errno_code(ENOENT));
  f->set_deadline(INT64_C(300));
  f->set_deadline(INT64_C(100));
  f->set_deadline(INT64_C(200));
  EXPECT_EQ(sw_sync_deadline(f).value(), 100);
  EXPECT_EQ(sw_sync_deadline(fence::stub()).error(), errno_code(EINVAL));
  EXPECT_EQ(sw_sync_deadline(nullptr).error(), errno_code(EINVAL));
}

TEST(sw_sync, callbacks_may_move_and_drop_it) {
  auto line = std::make_unique<sw_sync>(sw_sync::create("inside").value());
  const fence_ref first = line->create_fence(1).value();
  const fence_ref second = line->create_fence(2).value();
  const fence_ref third = line->create_fence(3).value();
  scripted_callback move([&](fence&) { line->increment(1); });
  scripted_callback drop([&](fence&) { line.reset(); });
  EXPECT_EQ(first->add_callback(move), no_error);
  EXPECT_EQ(second->add_callback(drop), no_error);
  line->increment(1);
  EXPECT_EQ(second->status(), 1);
  EXPECT_EQ(third->status(), -ENOENT);
  EXPECT_EQ(line, nullptr);
}

TEST(syncobj, regress_an_event_keeps_its_fence) {
  const syncobj_ref object = syncobj::create().value();
  const event_counter event;
  // A software timeline does not keep its fences.
  result<sw_sync> timeline = sw_sync::create("t");
  ASSERT_TRUE(timeline);
  EXPECT_EQ(object->replace_fence(timeline->create_fence(1).value()), no_error);
  EXPECT_EQ(object->notify(event.fd.get(), 0), no_error);
  EXPECT_EQ(object->reset(), no_error);
  EXPECT_EQ(event.take(), 0U);
  timeline->increment(1);
  EXPECT_EQ(event.take(), 1U);
}

}  // namespace
}  // namespace ufence::testing
