#include "ufence/syncobj/syncobj.h"

#include <dirent.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>
#include <array>
#include <memory>
#include <random>
#include <vector>

#include "ufence/container/chain.h"
#include "ufence/container/container_test_support.h"
#include "ufence/syncobj/chain_walk.h"
#include "ufence/syncobj/testing/syncobj_support.h"

namespace ufence {
namespace {

using namespace testing;
using index_or = result<std::size_t>;
using testing::make_fence;

syncobj_ref make_syncobj() { return syncobj::create().value(); }

TEST(syncobj, holds_what_was_put_there) {
  const syncobj_ref object = make_syncobj();
  EXPECT_EQ(object->current().value(), fence_ref());
  EXPECT_EQ(object->find_fence(0).error(), not_there);
  new_fence made = make_fence();
  EXPECT_EQ(object->replace_fence(made.fence), no_error);
  EXPECT_EQ(object->find_fence(0).value(), made.fence) << "the fence itself";
  EXPECT_EQ(object->find_fence(1).error(), not_there) << "it has no points";
  EXPECT_EQ(object->query(), result<std::uint64_t>(0));
  EXPECT_EQ(object->last_submitted(), result<std::uint64_t>(0));
  EXPECT_EQ(object->reset(), no_error);
  EXPECT_EQ(object->find_fence(0).error(), not_there);
  EXPECT_EQ(object->add_point(nullptr, 1), errno_code(EINVAL));
  EXPECT_EQ(object->current().value(), fence_ref());
  made.signal.signal();
}

TEST(syncobj, a_point_that_is_complete_is_found_signaled) {
  const syncobj_ref object = make_syncobj();
  new_fence made = make_fence();
  EXPECT_EQ(object->signal_point(3), no_error);
  EXPECT_EQ(object->add_point(made.fence, 5), no_error);
  EXPECT_TRUE(object->find_fence(2).value()->is_signaled());
  EXPECT_TRUE(object->find_fence(3).value()->is_signaled());
  const fence_ref fourth = object->find_fence(4).value();
  EXPECT_FALSE(fourth->poll()) << "there with the 5";
  EXPECT_EQ(object->find_fence(5).value(), fourth);
  EXPECT_EQ(object->find_fence(6).error(), not_there);
  made.signal.signal(-EIO);
  EXPECT_TRUE(fourth->poll());
}

// Chains with points in and out of order, some of them signaled, on top of a fence without points.
TEST(syncobj, points_are_found_by_one_walk_as_one_by_one) {
  std::mt19937 random(20261130);
  for (int round = 0; round < 200; ++round) {
    const std::array objects{make_syncobj(), make_syncobj()};
    std::vector<new_fence> made;
    const auto make = [&] { return made.emplace_back(make_fence()).fence; };
    for (const syncobj_ref& object : objects) {
      if (random() % 2 != 0) {
        EXPECT_EQ(object->replace_fence(make()), no_error);
      }
      for (auto n = random() % 12; n != 0; --n) {
        EXPECT_EQ(object->add_point(make(), 1 + random() % 20), no_error);
      }
    }
    for (new_fence& f : made) {
      if (random() % 3 == 0) f.signal.signal();
    }
    std::vector<syncobj_point> points;
    for (int n = 0; n < 60; ++n) points.push_back({objects[random() % 2], random() % 24});
    std::vector<std::size_t> order(points.size());
    order_for_walk(points, order);
    if (round % 2 != 0) std::ranges::shuffle(order, random);
    chain_walk walk;
    for (const std::size_t i : order) {
      const result<fence_ref> expected = points[i].object->find_fence(points[i].point);
      const result<fence_ref> found = walk.find(points[i]);
      ASSERT_EQ(found.has_value(), expected.has_value());
      if (found) {
        EXPECT_EQ(*found, *expected) << points[i].point;
      } else {
        EXPECT_EQ(found.error(), expected.error());
      }
    }
    for (new_fence& f : made) {
      if (f.signal) f.signal.signal();
    }
  }
}

TEST(syncobj, unlinks_points_that_are_signaled) {
  const syncobj_ref object = make_syncobj();
  new_fence pending = make_fence();
  EXPECT_EQ(object->add_point(pending.fence, 1), no_error);
  std::vector<new_fence> made;
  for (std::uint64_t point = 2; point < 200; ++point) {
    new_fence next = make_fence();
    EXPECT_EQ(object->add_point(next.fence, point), no_error);
    next.signal.signal();
  }
  std::size_t nodes = 0;
  const rcu::read_section section;
  const fence_ref last = object->current().value();
  for (fence* at = last.get(); at != nullptr; at = fence_chain::from(*at)->previous_rcu()) ++nodes;
  EXPECT_LE(nodes, 4U) << "as long as what is pending, and what was added last";
  pending.signal.signal();
}

TEST(syncobj, a_timeline_of_4096_pending_points_ends_on_a_small_stack) {
  on_small_stack([] {
    const syncobj_ref object = make_syncobj();
    timeline_issuer issuer = make_timeline();
    for (std::uint64_t point = 1; point <= 4096; ++point) {
      ASSERT_EQ(object->add_point(issuer.emit().value(), point), no_error);
    }
    EXPECT_EQ(object->query(), result<std::uint64_t>(0));
    issuer.signal_up_to(4096);
    EXPECT_EQ(object->query(), result<std::uint64_t>(4096));
  });
}

TEST(syncobj, R22_a_wait_and_an_install_do_not_miss_each_other_after_a_look) {
  // The waiter has looked and found nothing; then it is put there; then the waiter queues. The
  // order is forced by a deadline of the past: whichever comes first, the second look finds it.
  const syncobj_ref object = make_syncobj();
  for (int round = 0; round < 100; ++round) {
    EXPECT_EQ(object->reset(), no_error);
    std::jthread installs([&] { EXPECT_EQ(object->signal(), no_error); });
    EXPECT_EQ(wait(std::array{syncobj_point{object, 0}}, patience(), {.for_submit = true}),
              index_or(0));
  }
}

TEST(syncobj, find_fence_by_waits_for_the_submission_only) {
  const syncobj_ref object = make_syncobj();
  EXPECT_EQ(object->find_fence_by(2, no_wait).error(), timed_out);
  EXPECT_EQ(object->find_fence_by(2, deadline_after(millisecond_ns)).error(), timed_out);
  new_fence made = make_fence();
  blocked_call<result<fence_ref>> call([&] { return object->find_fence_by(2, patience()); });
  call.until_asleep();
  EXPECT_EQ(object->signal_point(1), no_error);
  EXPECT_EQ(object->add_point(made.fence, 3), no_error);
  const result<fence_ref> found = call.get();
  ASSERT_TRUE(found.has_value());
  EXPECT_FALSE((*found)->poll());
  made.signal.signal();
  EXPECT_TRUE((*found)->poll());
}

TEST(syncobj, a_wait_names_the_lowest_index) {
  std::vector<syncobj_point> points;
  for (int i = 0; i < 12; ++i) points.push_back({make_syncobj(), 0});
  EXPECT_EQ(points[5].object->signal(), no_error);
  EXPECT_EQ(points[9].object->signal(), no_error);
  EXPECT_EQ(wait(points, no_wait, {.for_submit = true}), index_or(5));
  EXPECT_EQ(wait(points, no_wait).error(), not_there);
  points[2].object = nullptr;
  EXPECT_EQ(wait(points, no_wait, {.for_submit = true}).error(), errno_code(EINVAL));
}

TEST(syncobj, a_fence_that_failed_is_done) {
  const syncobj_ref object = make_syncobj();
  new_fence made = make_fence();
  EXPECT_EQ(object->add_point(made.fence, 1), no_error);
  made.signal.signal(-EIO);
  EXPECT_EQ(wait(std::array{syncobj_point{object, 1}}, no_wait), index_or(0));
  EXPECT_EQ(object->query(), result<std::uint64_t>(1));
}

TEST(syncobj, enables_what_it_waits_for_also_with_timeout_0) {
  const syncobj_ref object = make_syncobj();
  scripted_backend data;
  data.on_enable_signaling = [] { return 1; };  // says "complete" only once it is asked
  new_fence made = make_fence(&data);
  EXPECT_EQ(object->replace_fence(made.fence), no_error);
  EXPECT_EQ(wait(std::array{syncobj_point{object, 0}}, no_wait), index_or(0));
  EXPECT_EQ(data.enables, 1);
  made.signal.signal();
}

TEST(syncobj, enables_what_is_submitted_while_it_waits_for_all) {
  const std::array points = {syncobj_point{make_syncobj(), 0}, syncobj_point{make_syncobj(), 0}};
  scripted_backend data;
  new_fence made = make_fence(&data);
  blocked_call<index_or> call(
      [&] { return wait(points, patience(), {.all = true, .for_submit = true}); });
  call.until_asleep();
  EXPECT_EQ(points[1].object->replace_fence(made.fence), no_error);
  EXPECT_TRUE(eventually([&] { return data.enables == 1; })) << "before the other one is there";
  made.signal.signal();
  EXPECT_EQ(points[0].object->signal(), no_error);
  EXPECT_EQ(call.get(), index_or(0));
}

TEST(syncobj, transfers_merge_what_is_pending_of_the_source) {
  const syncobj_ref from = make_syncobj();
  const syncobj_ref to = make_syncobj();
  std::vector<new_fence> made;
  for (std::uint64_t point = 1; point <= 3; ++point) {
    made.push_back(make_fence());
    EXPECT_EQ(from->add_point(made.back().fence, point), no_error);
  }
  made[0].signal.signal();
  EXPECT_EQ(transfer({from, 3}, {to, 1}), no_error);
  EXPECT_EQ(leaves_of(to->find_fence(1).value()).size(), 2U);
  EXPECT_EQ(transfer({from, 3}, {from, 9}), no_error) << "to itself";
  EXPECT_EQ(from->last_submitted(), result<std::uint64_t>(9));
  EXPECT_EQ(transfer({nullptr, 0}, {to, 0}), errno_code(EINVAL));
  EXPECT_EQ(transfer({from, 0}, {nullptr, 0}), errno_code(EINVAL));
  made[2].signal.signal();
  EXPECT_FALSE(to->find_fence(1).value()->poll());
  made[1].signal.signal();
  EXPECT_EQ(to->query(), result<std::uint64_t>(1));
}

// --- Events ---

TEST(syncobj_event, of_a_syncobj_that_ends_before_the_submission_never_fires) {
  const event_counter event;
  syncobj_ref object = make_syncobj();
  EXPECT_EQ(object->notify(event.fd.get(), 1), no_error);
  EXPECT_EQ(object->notify(event.fd.get(), 2, true), no_error);
  object = nullptr;
  EXPECT_EQ(event.take(), 0U);
}

TEST(syncobj_event, of_a_submitted_point_fires_also_when_the_syncobj_is_gone) {
  const event_counter event;
  syncobj_ref object = make_syncobj();
  new_fence made = make_fence();
  EXPECT_EQ(object->notify(event.fd.get(), 1), no_error);
  EXPECT_EQ(object->add_point(made.fence, 1), no_error);
  object = nullptr;
  EXPECT_EQ(event.take(), 0U);
  made.signal.signal();
  EXPECT_EQ(event.take(), 1U);
}

TEST(syncobj_event, fires_though_the_caller_has_closed_his_descriptor) {
  event_counter event;
  const unique_fd other(::fcntl(event.fd.get(), F_DUPFD_CLOEXEC, 0));
  const syncobj_ref object = make_syncobj();
  EXPECT_EQ(object->notify(event.fd.get(), 0), no_error);
  event.fd.reset();
  const event_counter in_its_place;
  EXPECT_EQ(object->signal(), no_error);
  EXPECT_EQ(in_its_place.take(), 0U);
  std::uint64_t value = 0;
  EXPECT_EQ(::read(other.get(), &value, sizeof value), static_cast<ssize_t>(sizeof value));
  EXPECT_EQ(value, 1U);
}

TEST(syncobj_event, of_a_full_counter_does_not_block) {
  const unique_fd full(::eventfd(0, EFD_CLOEXEC));
  const std::uint64_t most = UINT64_MAX - 1;
  ASSERT_EQ(::write(full.get(), &most, sizeof most), static_cast<ssize_t>(sizeof most));
  const syncobj_ref object = make_syncobj();
  EXPECT_EQ(object->notify(full.get(), 0), no_error);
  EXPECT_EQ(object->signal(), no_error);
  std::uint64_t value = 0;
  EXPECT_EQ(::read(full.get(), &value, sizeof value), static_cast<ssize_t>(sizeof value));
  EXPECT_EQ(value, UINT64_MAX) << "what was left of the room, as the kernel's own events have it";
}

TEST(syncobj_event, without_a_free_descriptor_is_refused) {
  const event_counter event;
  const syncobj_ref object = make_syncobj();
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  const rlimit none{.rlim_cur = 0, .rlim_max = before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  const std::error_code refused = object->notify(event.fd.get(), 0);
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_EQ(refused, errno_code(EMFILE));
  EXPECT_EQ(object->signal(), no_error);
  EXPECT_EQ(event.take(), 0U);
}

TEST(syncobj_event, may_use_its_syncobj_from_a_callback) {
  // A callback on what a point waits for that puts the next point there: no lock is held over it.
  const event_counter event;
  const syncobj_ref object = make_syncobj();
  new_fence made = make_fence();
  scripted_callback next([&](fence&) { EXPECT_EQ(object->signal_point(2), no_error); });
  ASSERT_EQ(made.fence->add_callback(next), no_error);
  EXPECT_EQ(object->add_point(made.fence, 1), no_error);
  EXPECT_EQ(object->notify(event.fd.get(), 2), no_error);
  made.signal.signal();
  EXPECT_EQ(event.take(), 1U);
}

// --- fork ---

TEST(syncobj, in_a_child_of_fork_answers_EOWNERDEAD) {
  const syncobj_ref object = make_syncobj();
  const event_counter event;
  EXPECT_EQ(object->notify(event.fd.get(), 1), no_error);
  const int child = in_child([&] {
    const std::error_code dead = errno_code(EOWNERDEAD);
    UFENCE_CHILD_EXPECT(object->current().error() == dead);
    UFENCE_CHILD_EXPECT(object->find_fence(0).error() == dead);
    UFENCE_CHILD_EXPECT(object->find_fence_by(0, no_deadline).error() == dead);
    UFENCE_CHILD_EXPECT(object->query().error() == dead);
    UFENCE_CHILD_EXPECT(object->signal() == dead);
    UFENCE_CHILD_EXPECT(object->signal_point(1) == dead);
    UFENCE_CHILD_EXPECT(object->notify(event.fd.get(), 1) == dead);
    UFENCE_CHILD_EXPECT(
        wait(std::array{syncobj_point{object, 0}}, no_deadline, {.for_submit = true}).error() ==
        dead);
    syncobj_ref own = make_syncobj();
    UFENCE_CHILD_EXPECT(own->signal() == no_error);
    UFENCE_CHILD_EXPECT(wait(std::array{syncobj_point{own, 0}}, no_wait).has_value());
    return 0;
  });
  EXPECT_EQ(child, 0);
  EXPECT_EQ(object->signal_point(1), no_error);
  EXPECT_EQ(event.take(), 1U);
}

}  // namespace
}  // namespace ufence
