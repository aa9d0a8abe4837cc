// Jobs that the device does not take when it is asked, and those that a kill finds waiting to run.
#include <latch>

#include "ufence/sched/sched_test_support.h"

namespace ufence::sched::testing {
namespace {

using ids = std::vector<int>;

// A fence that says when a device is back, and the answer of jobs that need it.
struct absence {
  absence() : made(fence::create(fence::allocate_contexts(1), 1).value()) {}
  ~absence() {
    if (made.signal) made.signal.signal();
  }
  absence(const absence&) = delete;
  absence& operator=(const absence&) = delete;
  [[nodiscard]] std::function<fence_ref()> answer() const {
    return [f = made.fence] { return f->is_signaled() ? nullptr : f; };
  }
  fence_ref push(entity& e, ring& r, int id, std::uint32_t credits = 1) const {
    ring_job* const j = r.make(id, credits);
    j->not_before = answer();
    return e.arm(*j).value().finished();
  }
  new_fence made;
};

TEST(sched_put_back, a_job_stays_first_in_its_queue_and_others_go_on) {
  ring device;
  loop s(without_thread(device.options()));
  entity a = s.make(), b = s.make();
  absence away;
  const fence_ref first = away.push(a, device, 1);
  device.push(a, 2);
  device.push(b, 3);
  s.run();
  EXPECT_EQ(device.ran(), (ids{3})) << "2 is behind 1";
  EXPECT_EQ(s.of.statistics().credits_used, 1U);
  EXPECT_EQ(s.of.statistics().jobs_run, 1U);
  EXPECT_EQ(first->status(), 0);
  away.made.signal.signal();
  s.run();
  EXPECT_EQ(device.ran(), (ids{3, 1, 2}));
  EXPECT_EQ(device.advance(3), 3U);
  EXPECT_EQ(first->status(), 1);
}

TEST(sched_put_back, also_if_it_was_the_only_one_and_more_come_meanwhile) {
  ring device;
  scheduler_options o = without_thread(device.options());
  o.order = policy::fifo;
  loop s(o);
  entity a = s.make();
  absence away;
  away.push(a, device, 1);
  s.run();
  device.push(a, 2);
  s.run();
  EXPECT_EQ(device.ran(), (ids{}));
  away.made.signal.signal(-EIO);  // whatever the end is, the job is tried again
  s.run();
  EXPECT_EQ(device.ran(), (ids{1, 2}));
  device.advance(2);
}

TEST(sched_put_back, costs_no_credits_and_no_share) {
  ring device(manner::by_clock);
  scheduler_options o = without_thread(device.options());
  o.credit_limit = 4;
  loop s(o);
  entity a = s.make(), b = s.make();
  absence away;
  const fence_ref large = away.push(a, device, 1, 4);
  s.run();
  for (int i = 2; i < 6; ++i) device.push(b, i);
  s.run();
  EXPECT_EQ(device.ran(), (ids{2, 3, 4, 5}));
  away.made.signal.signal();
  s.run();
  EXPECT_EQ(large->status(), 1);
  EXPECT_EQ(a.statistics().jobs_ended, 1U);
}

TEST(sched_put_back, a_job_is_killed_without_the_fence_it_waits_for) {
  ring device;
  loop s(without_thread(device.options()));
  entity a = s.make();
  const absence away;
  const fence_ref one = away.push(a, device, 1), two = away.push(a, device, 2);
  s.run();
  EXPECT_FALSE(a.kill(-ENXIO));
  s.run();
  EXPECT_EQ(one->status(), -ENXIO);
  EXPECT_EQ(two->status(), -ENXIO);
  EXPECT_EQ(device.ran(), (ids{}));
}

TEST(sched_put_back, a_scheduler_ends_with_jobs_that_were_put_back) {
  ring device;
  const absence away;
  fence_ref f;
  {
    threaded s(device.options());
    entity a = s.make();
    std::latch was_tried(1);
    ring_job* const j = device.make(1);
    j->not_before = [&] {
      was_tried.count_down();
      return away.made.fence;
    };
    f = a.arm(*j).value().finished();
    was_tried.wait();
    EXPECT_FALSE(s.of.fini());
  }
  EXPECT_EQ(f->status(), -ECANCELED);
}

TEST(sched_put_back, is_no_way_out_after_a_reset) {
  const reports heard;
  ring device;
  loop s(without_thread(device.options()));
  entity a = s.make(), b = s.make();
  const absence away;
  bool is_away = false;
  device.push(a, 1);
  ring_job* const j = device.make(2);
  j->not_before = [&] { return is_away ? away.made.fence : nullptr; };
  const fence_ref innocent = b.arm(*j).value().finished();
  s.run();
  device.on_timeout = [&](ring_job&) {
    is_away = true;
    return timeout_verdict::reset;
  };
  EXPECT_FALSE(s.of.fault());
  s.run();
  EXPECT_EQ(innocent->status(), -EAGAIN) << "what run() returned";
  device.advance(2);
}

TEST(sched_prepare, regress_a_killed_entity_does_not_wait_for_what_was_prepared) {
  ring device;
  new_fence never = fence::create(fence::allocate_contexts(1), 1).value();
  device.on_prepare = [&](ring_job&) { return never.fence; };
  loop s(without_thread(device.options()));
  entity a = s.make();
  const fence_ref f = device.push(a, 1);
  s.run();
  EXPECT_FALSE(a.kill());
  s.run();
  EXPECT_EQ(f->status(), -ESRCH);
  never.signal.signal();
}

TEST(sched_kill, waits_for_dependencies_all_the_same) {
  ring device;
  loop s(without_thread(device.options()));
  entity a = s.make();
  new_fence before = fence::create(fence::allocate_contexts(1), 1).value();
  ring_job* const j = device.make(1);
  ASSERT_FALSE(j->add_dependency(before.fence));
  const fence_ref f = a.arm(*j).value().finished();
  s.run();
  EXPECT_FALSE(a.kill());
  s.run();
  EXPECT_EQ(f->status(), 0);
  before.signal.signal();
  s.run();
  EXPECT_EQ(f->status(), -ESRCH);
}

TEST(sched_dependency, regress_on_a_job_of_the_same_entity_counts_where_nothing_is_pipelined) {
  for (const bool pipelines : {true, false}) {
    ring device;
    scheduler_options o = without_thread(device.options());
    o.pipelines = pipelines;
    loop s(o);
    entity a = s.make();
    const fence_ref first = device.push(a, 1);
    ring_job* const j = device.make(2);
    ASSERT_FALSE(j->add_dependency(first));
    const fence_ref second = a.arm(*j).value().finished();
    s.run();
    EXPECT_EQ(device.ran(), pipelines ? (ids{1, 2}) : (ids{1}));
    device.advance(1);
    s.run();
    EXPECT_EQ(device.ran(), (ids{1, 2}));
    device.advance(1);
    EXPECT_EQ(second->status(), 1);
  }
}

}  // namespace
}  // namespace ufence::sched::testing
