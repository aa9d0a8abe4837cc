// Each allocation fails once: -ENOMEM, and the job is as it was and its owner's. Built with the
// sources of the layer and of those below, and the double of ufence/base/alloc.h.
#include <gtest/gtest.h>

#include "ufence/base/alloc.h"
#include "ufence/fence/testing/fail_each.h"
#include "ufence/sched/sched_test_support.h"

namespace ufence::sched::testing {
namespace {

using ufence::testing::allocations;
using ufence::testing::fail_each;

template <class T>
std::error_code error_of(const result<T>& r) {
  return r ? std::error_code() : r.error();
}

TEST(sched_allocation, a_scheduler_and_an_entity_are_made_or_not) {
  ring device;
  EXPECT_EQ(fail_each([&] { return error_of(scheduler::create(device.options())); }, [] {}), 1);
  const scheduler s = scheduler::create(without_thread(device.options())).value();
  const scheduler* const list[] = {&s};
  // The list of schedulers, two timelines, the entity.
  EXPECT_EQ(fail_each([&] { return error_of(entity::create({.schedulers = list})); }, [] {}), 4);
}

TEST(sched_allocation, a_dependency_is_added_or_not) {
  ring device;
  ring_job j(device);
  std::vector<fence_ref> all;
  int failures = 0;
  for (int i = 0; i < 9; ++i) {
    all.push_back(fence::create_signaled(1).value());
    // Fences of context 0 would replace each other.
    new_fence made = fence::create(fence::allocate_contexts(1), 1).value();
    failures += fail_each([&] { return j.add_dependency(made.fence); },
                          [&] { EXPECT_FALSE(j.has_dependency(*made.fence)); });
    EXPECT_TRUE(j.has_dependency(*made.fence));
    made.signal.signal();
  }
  EXPECT_EQ(failures, 3) << "from 2 to 4, 8 and 16";
}

// Takes every slot of this thread and of the slabs: the next fence needs memory.
std::vector<fence_ref> take_all_slots() {
  std::vector<fence_ref> taken;
  allocations::refuse_all = 1;
  for (;;) {
    result<fence_ref> f = fence::create_signaled(1);
    if (!f) break;
    taken.push_back(*std::move(f));
  }
  allocations::refuse_all = 0;
  return taken;
}

TEST(sched_allocation, a_job_that_can_not_be_armed_is_its_owners) {
  ring device(manner::at_once);
  loop s(without_thread(device.options()));
  entity e = s.make();
  for (const bool are_fences_to_be_had : {true, false}) {
    ring_job* const j = device.make();
    const auto is_untouched = [&] {
      EXPECT_EQ(j->scheduled(), nullptr);
      EXPECT_EQ(j->finished(), nullptr);
      EXPECT_EQ(s.of.statistics().entities, 0U);
      EXPECT_TRUE(e.was_idle());
      EXPECT_FALSE(j->add_dependency(nullptr)) << "it may still be changed";
    };
    // Slots for the two fences are there, or none is.
    std::vector<fence_ref> taken;
    for (int i = 0; i < 8; ++i) taken.push_back(fence::create_signaled(1).value());
    taken.clear();
    if (!are_fences_to_be_had) taken = take_all_slots();
    // The first time room in the run queue, later memory for the fences.
    EXPECT_EQ(fail_each([&] { return e.push(*j); }, is_untouched), 1);
    EXPECT_EQ(s.run(), 1U);
  }
  EXPECT_EQ(device.freed(), 2U);
}

// The scheduled fence is made, and there is no memory for the finished one.
TEST(sched_allocation, a_fence_that_was_made_for_nothing_is_used_next) {
  ring device(manner::at_once);
  loop s(without_thread(device.options()));
  entity e = s.make();
  device.push(e, 1);
  const auto refuse = [&](job& j) {
    std::vector<fence_ref> taken = take_all_slots();
    taken.pop_back();  // one slot is free
    allocations::refuse_all = 1;
    EXPECT_EQ(e.push(j), errno_code(ENOMEM));
    allocations::refuse_all = 0;
    EXPECT_EQ(j.scheduled(), nullptr);
  };
  ring_job* const j = device.make(2);
  refuse(*j);
  {
    const armed_job armed = e.arm(*j).value();
    EXPECT_EQ(armed.scheduled()->seqno(), armed.finished()->seqno());
  }
  EXPECT_EQ(s.run(), 2U);
  // One that is never used is ended with the entity.
  ring_job* const other = device.make(3);
  device.push(e, 4);
  refuse(*other);
  delete other;
  EXPECT_EQ(s.run(), 1U);
}

}  // namespace
}  // namespace ufence::sched::testing
