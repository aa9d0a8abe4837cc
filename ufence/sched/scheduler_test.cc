// Jobs through a scheduler, without its thread: order, credits, what jobs wait for, errors.
#include "ufence/sched/scheduler.h"

#include <algorithm>
#include <optional>

#include "ufence/sched/sched_test_support.h"

namespace ufence::sched::testing {
namespace {

using ids = std::vector<int>;

scheduler_options fifo(const ring& r) {
  scheduler_options o = without_thread(r.options());
  o.order = policy::fifo;
  return o;
}

TEST(sched_job, has_two_fences_of_its_own_that_outlive_everything) {
  fence_ref scheduled, finished;
  {
    ring device;
    loop s(without_thread(device.options()));
    entity e = s.make({.name = "client"});
    ring_job* const j = device.make();
    EXPECT_EQ(j->scheduled(), nullptr);
    {
      armed_job armed = e.arm(*j).value();
      scheduled = armed.scheduled();
      finished = armed.finished();
      EXPECT_EQ(s.run(), 0U) << "it is not pushed yet";
    }
    EXPECT_EQ(scheduled->context(), e.scheduled_context());
    EXPECT_EQ(finished->context(), e.finished_context());
    EXPECT_NE(scheduled->context(), finished->context());
    EXPECT_EQ(scheduled->seqno(), finished->seqno());
    EXPECT_EQ(scheduled->status(), 0);
    EXPECT_EQ(s.run(), 1U);
    EXPECT_EQ(scheduled->status(), 1);
    EXPECT_EQ(finished->status(), 0);
    EXPECT_EQ(device.advance(1), 1U);
    EXPECT_EQ(finished->status(), 1);
    EXPECT_EQ(device.freed(), 0U) << "it is freed by the worker";
    s.run();
    EXPECT_EQ(device.freed(), 1U);
  }
  EXPECT_EQ(finished->driver_name(), "test device");
  EXPECT_EQ(scheduled->timeline_name(), "client");
  EXPECT_TRUE(finished->is_independent());
}

TEST(sched_job, seqno_order_is_queue_order_whatever_the_order_of_pushing) {
  ring device(manner::at_once);
  loop s(fifo(device));
  entity e = s.make();
  armed_job first = e.arm(*device.make(1)).value();
  armed_job second = e.arm(*device.make(2)).value();
  EXPECT_LT(first.finished()->seqno(), second.finished()->seqno());
  second.push();
  EXPECT_EQ(s.run(), 0U) << "the first is not pushed";
  ASSERT_TRUE(device.push(e, 3));
  EXPECT_EQ(s.run(), 0U);
  first.push();
  EXPECT_EQ(s.run(), 3U);
  EXPECT_EQ(device.ran(), (ids{1, 2, 3}));
}

TEST(sched_job, is_refused_where_it_makes_no_sense_and_stays_its_owners) {
  ring device;
  loop s(without_thread(device.options()));
  entity e = s.make();
  ring_job none(device, 0, 0);
  EXPECT_EQ(e.push(none), errno_code(EINVAL));
  ring_job* const j = device.make();
  armed_job armed = e.arm(*j).value();
  EXPECT_EQ(e.push(*j), errno_code(EBUSY));
  armed.push();
  EXPECT_EQ(j->add_dependency(fence::stub()), errno_code(EBUSY));
  s.run();
  device.advance(1);
  EXPECT_EQ(entity::create({}).error(), errno_code(EINVAL));
  EXPECT_EQ(scheduler::create({}).error(), errno_code(EINVAL));
  EXPECT_EQ(s.of.start(), errno_code(EALREADY)) << "it was not stopped";
}

TEST(sched_fifo, runs_in_the_order_of_pushes_over_all_entities) {
  ring device(manner::at_once);
  loop s(fifo(device));
  entity a = s.make(), b = s.make();
  for (int i = 0; i < 10; ++i) device.push(i % 3 == 0 ? a : b, i);
  EXPECT_EQ(s.run(), 10U);
  EXPECT_EQ(device.ran(), (ids{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}));
}

TEST(sched_fifo, higher_priorities_come_first) {
  ring device(manner::at_once);
  loop s(fifo(device));
  entity low = s.make({.rank = priority::low}), normal = s.make(),
         high = s.make({.rank = priority::high}), kernel = s.make({.rank = priority::kernel});
  device.push(low, 1), device.push(normal, 2), device.push(high, 3), device.push(kernel, 4);
  device.push(low, 5);
  EXPECT_EQ(s.run(1), 1U);
  EXPECT_FALSE(low.set_priority(priority::kernel));
  s.run();
  EXPECT_EQ(device.ran(), (ids{4, 1, 5, 3, 2}));
}

TEST(sched_deadline, the_soonest_comes_first_also_if_it_is_set_while_queued) {
  ring device(manner::at_once);
  scheduler_options o = fifo(device);
  o.order = policy::deadline;
  loop s(o);
  entity a = s.make(), b = s.make(), c = s.make(), d = s.make();
  const fence_ref one = device.push(a, 1), two = device.push(b, 2), three = device.push(c, 3);
  device.push(d, 4);
  two->set_deadline(INT64_C(2'000'000));
  three->set_deadline(INT64_C(1'000'000));
  EXPECT_EQ(s.run(1), 1U);
  one->set_deadline(INT64_C(500'000));
  s.run();
  EXPECT_EQ(device.ran(), (ids{3, 1, 2, 4}));
}

TEST(sched_credits, jobs_run_while_their_credits_fit) {
  ring device;
  scheduler_options o = fifo(device);
  o.credit_limit = 4;
  loop s(o);
  entity e = s.make();
  for (int i = 1; i <= 4; ++i) device.push(e, i, 2);
  EXPECT_EQ(s.run(), 2U);
  EXPECT_EQ(s.of.statistics().credits_used, 4U);
  device.advance(1);
  EXPECT_EQ(s.run(), 1U);
  device.advance(3);
  s.run();
  device.advance(3);
  s.run();
  EXPECT_EQ(device.ran(), (ids{1, 2, 3, 4}));
  EXPECT_EQ(s.of.statistics().credits_used, 0U);
}

TEST(sched_credits, a_job_larger_than_the_limit_runs_alone) {
  ring device;
  scheduler_options o = fifo(device);
  o.credit_limit = 4;
  loop s(o);
  entity e = s.make();
  device.push(e, 1), device.push(e, 2, 9), device.push(e, 3);
  EXPECT_EQ(s.run(), 1U);
  device.advance(1);
  EXPECT_EQ(s.run(), 1U);
  device.advance(1);
  EXPECT_EQ(s.run(), 1U);
  device.advance(1);
}

// A job of 3 waits while jobs of 1 of another entity come and go.
TEST(sched_credits, a_large_job_is_passed_over_a_bounded_number_of_times) {
  for (const std::uint32_t passes : {0U, 1U, 5U}) {
    ring device;
    scheduler_options o = fifo(device);
    o.credit_limit = 3;
    o.passes_max = passes;
    loop s(o);
    entity large = s.make(), small = s.make();
    device.push(small, 0);
    s.run();
    device.push(large, 100, 3);
    for (int i = 1; i <= 10; ++i) device.push(small, i);
    std::size_t before = 0;
    for (int i = 0; i < 20; ++i) {
      s.run();
      const ids ran = device.ran();
      if (std::ranges::find(ran, 100) == ran.end()) before = ran.size();
      device.advance(1);
    }
    s.run();
    EXPECT_EQ(before, 1 + passes) << "and then all wait for it";
    EXPECT_EQ(s.of.statistics().passes, passes);
    EXPECT_EQ(device.ran().size(), 12U);
    while (device.advance(10) != 0) s.run();
  }
}

TEST(sched_dependency, is_waited_for_and_only_the_later_of_one_context_is_kept) {
  ring device(manner::at_once);
  loop s(without_thread(device.options()));
  entity e = s.make();
  timeline_issuer other = timeline_issuer::create({}).value();
  const fence_ref early = other.emit().value(), late = other.emit().value();
  new_fence alone = fence::create(fence::allocate_contexts(1), 1).value();
  ring_job* const j = device.make();
  ASSERT_FALSE(j->add_dependency(late));
  ASSERT_FALSE(j->add_dependency(early));
  ASSERT_FALSE(j->add_dependency(nullptr));
  ASSERT_FALSE(j->add_dependency(alone.fence));
  EXPECT_TRUE(j->has_dependency(*late));
  EXPECT_FALSE(j->has_dependency(*early));
  ASSERT_FALSE(e.push(*j));
  EXPECT_EQ(s.run(), 0U);
  other.signal_up_to(1);
  alone.signal.signal();
  EXPECT_EQ(s.run(), 0U) << "the later one is pending";
  other.signal_up_to(2);
  EXPECT_EQ(s.run(), 1U);
}

TEST(sched_dependency, regress_may_be_added_to_an_armed_job_until_it_is_pushed) {
  ring device(manner::at_once);
  loop s(without_thread(device.options()));
  entity e = s.make();
  new_fence first = fence::create(fence::allocate_contexts(1), 1).value();
  ring_job* const before = device.make();
  ring_job* const j = device.make();
  armed_job armed_before = e.arm(*before).value();
  armed_job armed = e.arm(*j).value();
  EXPECT_EQ(s.run(), 0U);
  ASSERT_FALSE(j->add_dependency(first.fence));
  armed_before.push();
  armed.push();
  EXPECT_EQ(s.run(), 1U);
  first.signal.signal();
  EXPECT_EQ(s.run(), 1U);
}

TEST(sched_dependency, many_of_them_and_those_of_a_buffer_and_of_a_syncobj) {
  ring device(manner::at_once);
  loop s(without_thread(device.options()));
  entity e = s.make();
  std::vector<new_fence> made;
  for (int i = 0; i < 7; ++i) {
    made.push_back(fence::create(fence::allocate_contexts(1), 1).value());
  }
  ring_job* const j = device.make();
  for (int i = 0; i < 4; ++i) ASSERT_FALSE(j->add_dependency(made[std::size_t(i)].fence));
  resv buffer;
  ASSERT_FALSE(buffer.lock());
  ASSERT_FALSE(buffer.reserve(2));
  ASSERT_FALSE(buffer.add(made[4].fence, resv_usage::write));
  ASSERT_FALSE(buffer.add(made[5].fence, resv_usage::bookkeep));
  buffer.unlock();
  ASSERT_FALSE(j->add_dependencies(buffer, resv_usage::read));
  EXPECT_TRUE(j->has_dependency(*made[4].fence));
  EXPECT_FALSE(j->has_dependency(*made[5].fence)) << "a later usage";
  // A point beyond 32 bits.
  const std::uint64_t far = (std::uint64_t{1} << 40) + 7;
  const syncobj_ref points = syncobj::create().value();
  ASSERT_FALSE(points->add_point(fence::stub(), 7));
  ASSERT_FALSE(points->add_point(made[6].fence, far));
  EXPECT_EQ(j->add_dependency(*points, far + 1), errno_code(EINVAL));
  ASSERT_FALSE(j->add_dependency(*points, far));
  ASSERT_FALSE(e.push(*j));
  for (const std::size_t i : {6U, 0U, 4U, 2U, 1U}) {
    EXPECT_EQ(s.run(), 0U);
    made[i].signal.signal();
  }
  EXPECT_EQ(s.run(), 0U);
  made[3].signal.signal();
  EXPECT_EQ(s.run(), 1U);
  made[5].signal.signal();
}

TEST(sched_dependency, on_the_same_scheduler_scheduled_is_enough) {
  for (const bool pipelines : {true, false}) {
    ring device;
    scheduler_options o = without_thread(device.options());
    o.pipelines = pipelines;
    loop s(o);
    entity a = s.make(), b = s.make();
    const fence_ref first = device.push(a, 1);
    ring_job* const j = device.make(2);
    ASSERT_FALSE(j->add_dependency(first));
    ASSERT_FALSE(b.push(*j));
    EXPECT_EQ(s.run(), pipelines ? 2U : 1U);
    device.advance(1);
    EXPECT_EQ(s.run(), pipelines ? 0U : 1U);
    device.advance(1);
  }
}

// The device may end the second one first: so the later one does not stand for the earlier one.
TEST(sched_dependency, regress_of_a_device_that_is_not_in_order_both_are_waited_for) {
  ring device, other(manner::at_once);
  scheduler_options o = without_thread(device.options());
  o.is_in_order = false;
  loop s(o), t(without_thread(other.options()));
  entity e = s.make(), waits = t.make();
  const fence_ref first = device.push(e, 1), second = device.push(e, 2);
  ring_job* const j = other.make(3);
  ASSERT_FALSE(j->add_dependency(first));
  ASSERT_FALSE(j->add_dependency(second));
  EXPECT_TRUE(j->has_dependency(*first));
  EXPECT_TRUE(j->has_dependency(*second));
  ASSERT_FALSE(waits.push(*j));
  EXPECT_EQ(s.run(), 2U);
  device.advance(2);
  EXPECT_EQ(t.run(), 1U);
}

TEST(sched_dependency, on_another_scheduler_finished_is_waited_for) {
  ring device;
  loop s(without_thread(device.options())), t(without_thread(device.options()));
  entity a = s.make(), b = t.make();
  const fence_ref first = device.push(a, 1);
  ring_job* const j = device.make(2);
  ASSERT_FALSE(j->add_dependency(first));
  ASSERT_FALSE(b.push(*j));
  EXPECT_EQ(t.run(), 0U);
  EXPECT_EQ(s.run(), 1U);
  EXPECT_EQ(t.run(), 0U) << "scheduled is not enough";
  device.advance(1);
  EXPECT_EQ(t.run(), 1U);
  device.advance(1);
}

TEST(sched_dependency, of_the_own_entity_is_no_reason_to_wait) {
  ring device;
  loop s(without_thread(device.options()));
  entity e = s.make();
  const fence_ref first = device.push(e, 1);
  ring_job* const j = device.make(2);
  ASSERT_FALSE(j->add_dependency(first));
  ASSERT_FALSE(e.push(*j));
  EXPECT_EQ(s.run(), 2U);
  device.advance(2);
}

TEST(sched_prepare, is_asked_until_there_is_nothing_more_to_wait_for) {
  ring device(manner::at_once);
  std::vector<new_fence> more;
  for (int i = 0; i < 2; ++i) {
    more.push_back(fence::create(fence::allocate_contexts(1), 1).value());
  }
  std::size_t next = 0;
  device.on_prepare = [&](ring_job&) { return next < 2 ? more[next++].fence : nullptr; };
  loop s(without_thread(device.options()));
  entity e = s.make();
  device.push(e);
  EXPECT_EQ(s.run(), 0U);
  EXPECT_EQ(device.prepares, 1);
  more[0].signal.signal();
  EXPECT_EQ(s.run(), 0U);
  more[1].signal.signal();
  EXPECT_EQ(s.run(), 1U);
  EXPECT_EQ(device.prepares, 3);
}

TEST(sched_error, of_run_and_of_the_device_are_those_of_finished) {
  ring device;
  loop s(without_thread(device.options()));
  entity e = s.make();
  ring_job* const refused = device.make();
  refused->result = -EIO;
  armed_job armed = e.arm(*refused).value();
  const fence_ref scheduled = armed.scheduled(), finished = armed.finished();
  armed.push();
  s.run();
  EXPECT_EQ(finished->status(), -EIO);
  EXPECT_EQ(scheduled->status(), 1);
  EXPECT_EQ(e.statistics().last_error, -EIO);
  const fence_ref failed = device.push(e);
  s.run();
  device.advance(1, -ENOSPC);
  EXPECT_EQ(failed->status(), -ENOSPC);
  EXPECT_EQ(e.statistics().last_error, -ENOSPC);
}

// The second one's result is known at once, the third one needs nothing of the device: finished is
// signaled in order all the same.
TEST(sched_error, regress_a_result_that_is_known_at_once_waits_for_the_job_before_it) {
  for (const int result : {-EIO, 0}) {
    ring device;
    loop s(without_thread(device.options()));
    entity e = s.make(), other = s.make();
    const fence_ref first = device.push(e, 1);
    s.run();
    fence_ref second, scheduled;
    {
      ring_job* const j = device.make(2);
      j->result = result;
      j->is_nothing = result == 0;
      const armed_job armed = e.arm(*j).value();
      second = armed.finished(), scheduled = armed.scheduled();
    }
    ring_job* const alone = device.make(3);
    alone->is_nothing = true;
    fence_ref third;
    {
      const armed_job armed = other.arm(*alone).value();
      third = armed.finished();
    }
    s.run();
    EXPECT_EQ(scheduled->status(), 1);
    EXPECT_EQ(second->status(), 0) << "the first is in flight";
    EXPECT_EQ(third->status(), 1) << "of another entity";
    device.advance(1);
    EXPECT_EQ(first->status(), 1);
    EXPECT_EQ(second->status(), result != 0 ? result : 1);
    s.run();
    EXPECT_EQ(s.of.statistics().credits_used, 0U);
    EXPECT_EQ(device.freed(), 3U);
  }
}

// A reset runs the first one again, and not the second, which the device has done.
TEST(sched_error, a_result_that_is_known_survives_a_reset) {
  ring device;
  loop s(without_thread(device.options()));
  entity e = s.make();
  const fence_ref first = device.push(e, 1);
  ring_job* const j = device.make(2);
  j->result = -EIO;
  armed_job armed = e.arm(*j).value();
  const fence_ref second = armed.finished();
  armed.push();
  s.run();
  EXPECT_FALSE(s.of.stop());
  EXPECT_FALSE(s.of.start(in_flight::resubmit));
  s.run();
  EXPECT_EQ(device.ran(), (ids{1, 2, 1}));
  device.advance(2);
  EXPECT_EQ(first->status(), 1);
  EXPECT_EQ(second->status(), -EIO);
  s.run();
}

TEST(sched_error, of_a_dependency_is_propagated_if_the_entity_wishes_and_its_origin_is_told) {
  for (const bool propagates : {false, true}) {
    ring device(manner::at_once);
    loop s(without_thread(device.options()));
    entity e = s.make({.propagates_errors = propagates});
    new_fence bad = fence::create(fence::allocate_contexts(1), 77).value();
    ring_job* const j = device.make();
    ASSERT_FALSE(j->add_dependency(bad.fence));
    failure_origin origin;
    j->on_freed = [&](ring_job& mine) { origin = mine.origin(); };
    armed_job armed = e.arm(*j).value();
    const fence_ref finished = armed.finished();
    armed.push();
    s.run();
    bad.signal.signal(-EIO);
    EXPECT_EQ(s.run(), propagates ? 0U : 1U);
    EXPECT_EQ(finished->status(), propagates ? -EIO : 1);
    EXPECT_EQ(origin.context, propagates ? bad.fence->context() : 0);
    EXPECT_EQ(origin.seqno, propagates ? 77U : 0U);
    EXPECT_EQ(e.statistics().last_origin.error, propagates ? -EIO : 0);
  }
}

// A device fence that notes the deadlines it hears.
struct noting : backend {
  noting() : backend{&table} {}
  static void hear(backend* b, std::int64_t ns) noexcept {
    static_cast<noting*>(b)->heard.push_back(ns);
  }
  static constexpr backend_ops table{.set_deadline = &noting::hear};
  std::vector<std::int64_t> heard;
};

TEST(sched_deadline_hint, reaches_the_device_fence_whichever_is_first) {
  static noting* now;
  static signaler right;
  static const scheduler_ops ops{
      .run = [](job&) noexcept -> result<fence_ref> {
        new_fence made = fence::create(77, 1, now).value();
        right = std::move(made.signal);
        return std::move(made.fence);
      },
      .free = [](job& j) noexcept { delete &static_cast<ring_job&>(j); }};
  for (const bool before : {true, false}) {
    noting data;
    now = &data;
    ring device;
    loop s({.ops = &ops, .has_thread = false});
    entity e = s.make();
    const fence_ref finished = device.push(e);
    if (before) {
      finished->set_deadline(INT64_C(5000));
      finished->set_deadline(INT64_C(9000));
    }
    s.run();
    if (!before) {
      finished->set_deadline(INT64_C(5000));
      finished->set_deadline(INT64_C(9000));
    }
    EXPECT_EQ(data.heard, (std::vector<std::int64_t>{5000})) << "the soonest, once";
    right.signal();
    finished->set_deadline(INT64_C(1));
    EXPECT_EQ(data.heard.size(), 1U);
  }
}

// The entity is detached by then, and is attached again before its reference of before is dropped.
TEST(sched_loop, regress_a_job_is_pushed_while_the_last_one_of_its_entity_is_freed) {
  ring device(manner::at_once);
  loop s(without_thread(device.options()));
  entity busy = s.make(), e = s.make();
  // What keeps `busy` in the list of the scheduler to which the entity comes back.
  armed_job waits = busy.arm(*device.make(1)).value();
  for (int i = 0; i < 3; ++i) {
    ring_job* const j = device.make(2);
    j->on_freed = [&](ring_job&) { EXPECT_TRUE(device.push(e, 3)); };
    ASSERT_FALSE(e.push(*j));
    EXPECT_EQ(s.run(), 2U);
  }
  waits.push();
  EXPECT_EQ(s.run(), 1U);
  EXPECT_EQ(s.of.statistics().entities, 0U);
  EXPECT_EQ(device.freed(), 7U);
  EXPECT_TRUE(device.push(busy, 4)) << "it is still there";
  EXPECT_EQ(s.run(), 1U);
}

TEST(sched_loop, is_told_once_when_there_is_something_to_do) {
  ring device;
  static std::atomic<int> told;
  told = 0;
  scheduler_options o = without_thread(device.options());
  o.wake = [](void* context) noexcept { ++*static_cast<std::atomic<int>*>(context); };
  o.wake_context = &told;
  loop s(o);
  entity e = s.make();
  device.push(e), device.push(e), device.push(e);
  EXPECT_EQ(told, 1);
  EXPECT_EQ(s.run(2), 2U);
  EXPECT_EQ(told, 2) << "a limit was reached: there is more";
  EXPECT_EQ(s.run(), 1U);
  EXPECT_EQ(told, 2);
  device.advance(1);
  EXPECT_EQ(told, 3) << "a job is to be freed";
  s.run();
  device.advance(2);
  s.run();
}

TEST(sched_loop, one_thread_at_a_time_works_and_none_where_there_is_a_worker) {
  ring device(manner::at_once);
  loop s(without_thread(device.options()));
  entity e = s.make();
  ring_job* const j = device.make();
  std::error_code inside, ended, flushed;
  j->on_run = [&](ring_job&) {
    inside = s.of.run_ready().error();
    ended = s.of.fini();
    flushed = e.flush();
  };
  ASSERT_FALSE(e.push(*j));
  s.run();
  EXPECT_EQ(inside, errno_code(EBUSY));
  EXPECT_EQ(ended, errno_code(EDEADLK));
  EXPECT_EQ(flushed, errno_code(EDEADLK));
  scheduler with_thread = scheduler::create(device.options()).value();
  EXPECT_EQ(with_thread.run_ready().error(), errno_code(EINVAL));
}

// No thread, and no loop: the thread that makes something ready runs it.
TEST(sched_loop, what_is_ready_may_be_run_by_the_function_that_tells_of_it) {
  struct self_driven {
    std::optional<scheduler> of;
    int told = 0;
    static void wake(void* self) noexcept {
      auto& me = *static_cast<self_driven*>(self);
      ++me.told;
      const result<std::size_t> ran = me.of->run_ready(1);
      EXPECT_TRUE(ran || ran.error() == errno_code(EBUSY));
    }
  } driven;
  ring device;
  scheduler_options o = fifo(device);
  o.credit_limit = 2;
  o.wake = &self_driven::wake;
  o.wake_context = &driven;
  driven.of = scheduler::create(o).value();
  const scheduler* const home[] = {&*driven.of};
  entity e = entity::create({.schedulers = home}).value();
  std::vector<fence_ref> all;
  for (int i = 1; i <= 5; ++i) all.push_back(device.push(e, i));
  EXPECT_EQ(device.ran(), (ids{1, 2}));
  EXPECT_EQ(device.advance(1), 1U);
  EXPECT_EQ(device.ran(), (ids{1, 2, 3})) << "the thread that signaled has given it";
  while (device.advance(1) != 0) continue;
  EXPECT_EQ(device.ran(), (ids{1, 2, 3, 4, 5}));
  for (const fence_ref& f : all) EXPECT_EQ(f->status(), 1);
  EXPECT_EQ(device.freed(), 5U);
  EXPECT_TRUE(e.was_idle());
  EXPECT_GT(driven.told, 0);
  EXPECT_FALSE(driven.of->fini());
}

}  // namespace
}  // namespace ufence::sched::testing
