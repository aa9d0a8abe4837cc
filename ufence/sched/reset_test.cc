// Jobs that are late, resets, the end of entities and schedulers.
#include <algorithm>
#include <latch>

#include "ufence/sched/sched_test_support.h"

namespace ufence::sched::testing {
namespace {

using ids = std::vector<int>;

fence_ref pending_fence(signaler& right) {
  new_fence made = fence::create(fence::allocate_contexts(1), 1).value();
  right = std::move(made.signal);
  return std::move(made.fence);
}

TEST(sched_timeout, a_late_job_is_reported_with_all_names_and_the_others_run_again) {
  reports heard;
  ring device;
  loop s(without_thread(device.options()));
  entity a = s.make({.name = "culprit"}), b = s.make({.name = "innocent"});
  const fence_ref guilty = device.push(a, 1), innocent = device.push(b, 2);
  s.run();
  ASSERT_EQ(device.pending(), 2U);
  device.on_timeout = [&](ring_job& late) {
    EXPECT_EQ(late.id, 1);
    EXPECT_FALSE(s.of.stop());
    EXPECT_EQ(s.of.stop(), errno_code(EALREADY));
    device.advance(2, -ECANCELED);  // the reset throws away what the ring had
    EXPECT_EQ(guilty->status(), 0) << "nothing completes while it is stopped";
    return timeout_verdict::reset;
  };
  EXPECT_FALSE(s.of.fault());
  s.run();
  EXPECT_EQ(device.timeouts, 1);
  EXPECT_EQ(guilty->status(), -ETIMEDOUT);
  EXPECT_EQ(innocent->status(), 0);
  EXPECT_EQ(device.ran(), (ids{1, 2, 2}));
  device.advance(1);
  EXPECT_EQ(innocent->status(), 1);
  s.run();
  const std::vector<std::string> late = heard.of(report_kind::job_late);
  ASSERT_EQ(late.size(), 1U);
  for (const char* part : {"job 1 of entity \"culprit\"", "scheduler \"ring\"",
                           "device \"test device\"", "module \"test module\"", "fence "}) {
    EXPECT_NE(late[0].find(part), std::string::npos) << part << " in: " << late[0];
  }
  EXPECT_EQ(s.of.statistics().resets, 1U);
  EXPECT_EQ(a.statistics().timeouts, 1U);
  EXPECT_EQ(b.statistics().timeouts, 0U);
}

TEST(sched_timeout, regress_a_fault_while_a_job_is_given_to_the_device_is_not_lost) {
  const reports heard;
  ring device;
  loop s(without_thread(device.options()));
  entity a = s.make();
  ring_job* const j = device.make(1);
  j->on_run = [&](ring_job&) { EXPECT_FALSE(s.of.fault()); };
  fence_ref faulty;
  {
    const result<armed_job> armed = a.arm(*j);
    ASSERT_TRUE(armed);
    faulty = armed->finished();
  }
  s.run();
  EXPECT_EQ(device.timeouts, 1);
  EXPECT_EQ(faulty->status(), -ETIMEDOUT);
  const fence_ref fine = device.push(a, 2);
  s.run();
  EXPECT_EQ(device.timeouts, 1) << "one fault, one timeout";
  device.advance(2);
  EXPECT_EQ(fine->status(), 1);
}

TEST(sched_timeout, regress_the_time_that_is_left_counts_for_a_job_that_is_given_to_the_device) {
  const reports heard;
  ring device;
  scheduler_options o = without_thread(device.options());
  o.timeout_ns = INT64_C(3'600'000'000'000);
  loop s(o);
  entity a = s.make();
  ring_job* const j = device.make(1);
  j->on_run = [&](ring_job&) {
    EXPECT_EQ(s.of.suspend_timeout(), o.timeout_ns);
    s.of.resume_timeout(0);
  };
  fence_ref late;
  {
    const result<armed_job> armed = a.arm(*j);
    ASSERT_TRUE(armed);
    late = armed->finished();
  }
  s.run();
  EXPECT_EQ(device.timeouts, 1);
  EXPECT_EQ(late->status(), -ETIMEDOUT);
  const std::int64_t before = now_ns();
  const fence_ref fine = device.push(a, 2);
  s.run();
  EXPECT_GE(s.of.next_timeout_ns(), before + o.timeout_ns) << "the next one has its full time";
  device.advance(2);
  EXPECT_EQ(fine->status(), 1);
}

TEST(sched_timeout, after_a_reset_others_may_fail_instead_and_never_run_twice) {
  const reports heard;
  ring device;
  scheduler_options o = without_thread(device.options());
  o.resubmits = false;
  loop s(o);
  entity a = s.make(), b = s.make();
  const fence_ref guilty = device.push(a, 1), innocent = device.push(b, 2);
  s.run();
  EXPECT_FALSE(s.of.fault());
  s.run();
  EXPECT_EQ(guilty->status(), -ETIMEDOUT);
  EXPECT_EQ(innocent->status(), -ECANCELED);
  EXPECT_EQ(device.ran(), (ids{1, 2}));
  device.advance(2);
}

TEST(sched_timeout, what_the_device_had_done_before_the_reset_stays_done) {
  const reports heard;
  ring device;
  loop s(without_thread(device.options()));
  entity a = s.make();
  const fence_ref first = device.push(a, 1), second = device.push(a, 2);
  s.run();
  device.on_timeout = [&](ring_job&) {
    EXPECT_FALSE(s.of.stop());
    device.advance(2);
    return timeout_verdict::reset;
  };
  EXPECT_FALSE(s.of.fault());
  s.run();
  EXPECT_EQ(first->status(), 1);
  EXPECT_EQ(second->status(), 1);
  EXPECT_EQ(device.ran(), (ids{1, 2}));
}

TEST(sched_timeout, no_hang_lets_the_job_go_on) {
  const reports heard;
  ring device;
  device.on_timeout = [](ring_job&) { return timeout_verdict::no_hang; };
  loop s(without_thread(device.options()));
  entity a = s.make({.error_budget = 0});
  const fence_ref slow = device.push(a, 1);
  s.run();
  EXPECT_FALSE(s.of.fault());
  s.run();
  EXPECT_EQ(slow->status(), 0);
  device.advance(1);
  EXPECT_EQ(slow->status(), 1);
  EXPECT_TRUE(device.push(a, 2)) << "no budget was used";
  s.run();
  device.advance(1);
  EXPECT_EQ(device.timeouts, 1);
}

TEST(sched_timeout, a_device_that_is_gone_ends_all_and_takes_nothing_more) {
  const reports heard;
  ring device;
  device.on_timeout = [](ring_job&) { return timeout_verdict::gone; };
  loop s(without_thread(device.options()));
  entity a = s.make(), b = s.make();
  const fence_ref running = device.push(a, 1), other = device.push(b, 2);
  s.run();
  const fence_ref queued = device.push(a, 3);
  EXPECT_FALSE(s.of.fault());
  s.run();
  EXPECT_EQ(running->status(), -ENODEV);
  EXPECT_EQ(other->status(), -ENODEV);
  EXPECT_EQ(queued->status(), -ENODEV);
  ring_job* const late = device.make();
  EXPECT_EQ(a.push(*late), errno_code(ENODEV));
  entity c = s.make();
  EXPECT_EQ(c.push(*late), errno_code(ENODEV));
  delete late;
  device.advance(2);
}

TEST(sched_timeout, an_entity_is_killed_once_its_error_budget_is_used_up) {
  const reports heard;
  ring device;
  loop s(without_thread(device.options()));
  entity a = s.make({.error_budget = 1}), b = s.make();
  for (int i = 0; i < 2; ++i) {
    const fence_ref hangs = device.push(a, i);
    s.run();
    EXPECT_FALSE(s.of.fault());
    s.run();
    EXPECT_EQ(hangs->status(), -ETIMEDOUT);
    device.advance(1);
  }
  ring_job* const refused = device.make();
  EXPECT_EQ(a.push(*refused), errno_code(ECANCELED));
  delete refused;
  const fence_ref fine = device.push(b, 5);
  s.run();
  device.advance(1);
  EXPECT_EQ(fine->status(), 1);
}

TEST(sched_timeout, the_next_one_has_its_full_time_and_the_setting_stays) {
  ring device;
  scheduler_options o = without_thread(device.options());
  o.timeout_ns = INT64_C(3'600'000'000'000);
  loop s(o);
  entity a = s.make();
  EXPECT_EQ(s.of.next_timeout_ns(), no_deadline) << "nothing is in flight";
  device.push(a, 1), device.push(a, 2);
  const std::int64_t before = now_ns();
  s.run();
  const std::int64_t first = s.of.next_timeout_ns();
  EXPECT_GE(first, before + o.timeout_ns);
  EXPECT_LE(first, now_ns() + o.timeout_ns);
  device.advance(1);
  EXPECT_GT(s.of.next_timeout_ns(), first);
  device.on_timeout = [](ring_job&) { return timeout_verdict::no_hang; };
  {
    const reports heard;
    EXPECT_FALSE(s.of.fault());
    EXPECT_EQ(s.of.next_timeout_ns(), 0);
    const std::int64_t asked = now_ns();
    s.run();
    EXPECT_GE(s.of.next_timeout_ns(), asked + o.timeout_ns) << "an immediate one is for once";
  }
  device.advance(1);
}

TEST(sched_stop, a_start_fails_what_is_left_with_its_error) {
  ring device;
  loop s(without_thread(device.options()));
  entity a = s.make();
  const fence_ref done = device.push(a, 1), lost = device.push(a, 2), odd = device.push(a, 3);
  s.run();
  EXPECT_FALSE(s.of.stop());
  device.advance(1);
  EXPECT_FALSE(s.of.start(in_flight::fail, -EIO));
  s.run();
  EXPECT_EQ(done->status(), 1);
  EXPECT_EQ(lost->status(), -EIO);
  EXPECT_EQ(odd->status(), -EIO);
  device.advance(2);
  const fence_ref next = device.push(a, 4);
  s.run();
  EXPECT_FALSE(s.of.stop());
  EXPECT_FALSE(s.of.start(in_flight::fail, 5)) << "no error";
  s.run();
  EXPECT_EQ(next->status(), -EINVAL);
  device.advance(1);
}

TEST(sched_pause, what_the_device_has_is_completed_but_nothing_is_given_or_freed) {
  ring device;
  threaded s(device.options());
  entity a = s.make();
  const fence_ref first = device.push(a, 1);
  while (device.pending() == 0) std::this_thread::yield();
  EXPECT_FALSE(s.of.pause());
  const fence_ref second = device.push(a, 2);
  device.advance(1);
  EXPECT_FALSE(first->wait());
  EXPECT_EQ(device.ran(), (ids{1}));
  EXPECT_EQ(device.freed(), 0U);
  EXPECT_FALSE(s.of.resume());
  while (device.pending() == 0) std::this_thread::yield();
  device.advance(1);
  EXPECT_FALSE(a.flush());
  EXPECT_EQ(second->status(), 1);
  EXPECT_FALSE(s.of.fini());
  EXPECT_EQ(device.freed(), 2U);
}

TEST(sched_pause, regress_what_ended_in_it_is_freed_by_the_resume_though_no_entity_is_left) {
  ring device;
  threaded s(device.options());
  {
    entity a = s.make();
    device.push(a, 1);
    while (device.pending() == 0) std::this_thread::yield();
    EXPECT_FALSE(s.of.pause());
    device.advance(1);
  }
  // Longer than an idle thread would stay.
  signaler never;
  EXPECT_EQ(pending_fence(never)->wait(deadline_after(30'000'000)), errno_code(ETIME));
  never.signal();
  EXPECT_EQ(device.freed(), 0U);
  EXPECT_FALSE(s.of.resume());
  while (device.freed() == 0) std::this_thread::yield();
}

TEST(sched_pause, does_not_keep_a_scheduler_from_its_end) {
  ring device;
  threaded s(device.options());
  entity a = s.make();
  const fence_ref f = device.push(a, 1);
  EXPECT_FALSE(s.of.pause());
  const fence_ref g = device.push(a, 2);
  EXPECT_FALSE(s.of.fini());
  EXPECT_EQ(f->status(), -ECANCELED);
  EXPECT_EQ(g->status(), -ECANCELED);
}

TEST(sched_timeout, is_suspended_and_resumed_with_what_was_left) {
  const reports heard;
  ring device;
  scheduler_options o = without_thread(device.options());
  loop untimed(o);
  EXPECT_EQ(untimed.of.suspend_timeout(), no_deadline);
  o.timeout_ns = 3'600'000'000'000;
  loop s(o);
  entity a = s.make();
  const fence_ref f = device.push(a, 1);
  s.run();
  const std::int64_t left = s.of.suspend_timeout();
  EXPECT_GT(left, 0);
  EXPECT_LE(left, o.timeout_ns);
  EXPECT_EQ(s.of.next_timeout_ns(), no_deadline);
  s.of.resume_timeout(left);
  EXPECT_LE(s.of.next_timeout_ns(), now_ns() + left);
  s.run();
  EXPECT_EQ(device.timeouts, 0);
  s.of.resume_timeout(-1);
  s.run();
  EXPECT_EQ(device.timeouts, 1);
  EXPECT_EQ(f->status(), -ETIMEDOUT);
  device.advance(1);
}

TEST(sched_timeout, a_verdict_of_handled_leaves_a_stopped_scheduler_stopped) {
  const reports heard;
  ring device;
  scheduler* of = nullptr;
  device.on_timeout = [&of](ring_job&) {
    EXPECT_FALSE(of->stop());
    return timeout_verdict::handled;
  };
  loop s(without_thread(device.options()));
  of = &s.of;
  entity a = s.make();
  const fence_ref f = device.push(a, 1);
  s.run();
  EXPECT_FALSE(s.of.fault());
  s.run();
  EXPECT_EQ(device.timeouts, 1);
  device.advance(1);
  s.run();
  EXPECT_EQ(f->status(), 0);
  EXPECT_FALSE(s.of.start(in_flight::keep));
  s.run();
  EXPECT_EQ(f->status(), 1);
}

TEST(sched_stop, nothing_runs_or_completes_until_start_and_credits_stay_right) {
  ring device;
  scheduler_options o = without_thread(device.options());
  o.credit_limit = 2;
  loop s(o);
  entity a = s.make();
  for (int i = 1; i <= 4; ++i) device.push(a, i);
  EXPECT_EQ(s.run(), 2U);
  EXPECT_FALSE(s.of.stop());
  device.advance(1);
  EXPECT_EQ(s.run(), 0U);
  EXPECT_EQ(s.of.statistics().in_flight, 2U);
  EXPECT_EQ(s.of.statistics().credits_used, 2U);
  EXPECT_FALSE(s.of.start(in_flight::keep));
  EXPECT_EQ(s.of.start(in_flight::keep), errno_code(EALREADY));
  EXPECT_EQ(s.run(), 1U) << "one was done meanwhile";
  EXPECT_EQ(s.of.statistics().credits_used, 2U);
  device.advance(2);
  s.run();
  device.advance(2);
  s.run();
  EXPECT_EQ(device.ran(), (ids{1, 2, 3, 4}));
  EXPECT_EQ(s.of.statistics().credits_used, 0U);
}

TEST(sched_kill, what_is_queued_ends_in_order_after_what_it_waits_for) {
  ring device;
  loop s(without_thread(device.options()));
  entity e = s.make();
  const fence_ref running = device.push(e, 1);
  s.run();
  signaler right;
  ring_job* const waits = device.make(2);
  ASSERT_FALSE(waits->add_dependency(pending_fence(right)));
  fence_ref second;
  {
    const armed_job armed = e.arm(*waits).value();
    second = armed.finished();
  }
  const fence_ref third = device.push(e, 3);
  EXPECT_FALSE(e.kill());
  s.run();
  EXPECT_EQ(second->status(), 0) << "it waits for a fence";
  EXPECT_EQ(third->status(), 0) << "it waits for the one before";
  right.signal();
  s.run();
  EXPECT_EQ(second->status(), 0) << "what runs ends before it";
  device.advance(1);
  EXPECT_EQ(running->status(), 1);
  s.run();
  EXPECT_EQ(second->status(), -ESRCH);
  EXPECT_EQ(third->status(), -ESRCH);
  EXPECT_LE(second->timestamp_ns(), third->timestamp_ns());
  EXPECT_EQ(device.ran(), (ids{1})) << "run() was called for none of them";
  EXPECT_EQ(device.freed(), 3U);
  ring_job* const late = device.make();
  EXPECT_EQ(e.push(*late), errno_code(ESRCH));
  delete late;
  EXPECT_EQ(s.of.load(), 0U) << "nothing is left of its load";
}

TEST(sched_kill, a_dependency_for_which_scheduled_was_enough_is_waited_for_to_its_end) {
  ring device;
  loop s(without_thread(device.options()));
  entity a = s.make(), b = s.make();
  const fence_ref first = device.push(a, 1);
  ring_job* const j = device.make(2);
  ASSERT_FALSE(j->add_dependency(first));
  armed_job armed = b.arm(*j).value();
  const fence_ref finished = armed.finished();
  armed.push();
  EXPECT_EQ(s.run(1), 1U);
  EXPECT_FALSE(b.kill(-EIO));
  s.run();
  EXPECT_EQ(finished->status(), 0);
  device.advance(1);
  s.run();
  EXPECT_EQ(finished->status(), -EIO);
}

TEST(sched_kill, a_job_that_is_armed_only_ends_once_it_is_pushed) {
  ring device(manner::at_once);
  loop s(without_thread(device.options()));
  entity e = s.make();
  armed_job armed = e.arm(*device.make()).value();
  const fence_ref finished = armed.finished();
  EXPECT_FALSE(e.kill());
  s.run();
  EXPECT_EQ(finished->status(), 0);
  armed.push();
  s.run();
  EXPECT_EQ(finished->status(), -ESRCH);
}

TEST(sched_kill, dropping_an_entity_leaves_nothing_pending) {
  ring device;
  loop s(without_thread(device.options()));
  std::vector<fence_ref> all;
  {
    entity e = s.make();
    for (int i = 0; i < 5; ++i) all.push_back(device.push(e, i));
    EXPECT_EQ(s.run(2), 2U);
  }
  device.advance(2);
  s.run();
  EXPECT_EQ(all[0]->status(), 1);
  EXPECT_EQ(all[1]->status(), 1);
  for (std::size_t i = 2; i < 5; ++i) EXPECT_EQ(all[i]->status(), -ESRCH);
  EXPECT_EQ(device.freed(), 5U);
  EXPECT_EQ(s.of.statistics().entities, 0U);
}

TEST(sched_fini, cancels_what_runs_kills_what_is_queued_and_frees_all) {
  ring device;
  loop s(without_thread(device.options()));
  entity e = s.make();
  std::vector<fence_ref> all;
  for (int i = 0; i < 5; ++i) all.push_back(device.push(e, i));
  EXPECT_EQ(s.run(2), 2U);
  EXPECT_FALSE(s.of.fini());
  for (const fence_ref& f : all) EXPECT_EQ(f->status(), -ECANCELED);
  EXPECT_EQ(device.cancels, 2);
  EXPECT_EQ(device.freed(), 5U);
  ring_job* const late = device.make();
  EXPECT_EQ(e.push(*late), errno_code(ECANCELED));
  delete late;
}

TEST(sched_fini, past_the_deadline_ends_by_force_what_never_would) {
  reports heard;
  ring device;
  device.on_cancel = [](ring_job&) {};  // it does not care
  scheduler s = scheduler::create(without_thread(device.options())).value();
  const scheduler* const list[] = {&s};
  entity stuck = entity::create({.schedulers = list, .name = "stuck"}).value();
  entity waits = entity::create({.schedulers = list}).value();
  const fence_ref running = device.push(stuck, 1);
  ASSERT_EQ(s.run_ready().value(), 1U);
  signaler right;
  ring_job* const j = device.make(2);
  ASSERT_FALSE(j->add_dependency(pending_fence(right)));
  armed_job armed = waits.arm(*j).value();
  const fence_ref queued = armed.finished();
  armed.push();
  const fence_ref behind = device.push(waits, 3);
  EXPECT_EQ(s.run_ready().value(), 0U);
  EXPECT_EQ(s.fini(now_ns()), errno_code(ETIME));
  EXPECT_EQ(running->status(), -ECANCELED);
  EXPECT_EQ(queued->status(), -ECANCELED);
  EXPECT_EQ(behind->status(), -ECANCELED);
  EXPECT_EQ(device.freed(), 3U);
  EXPECT_EQ(heard.of(report_kind::job_late).size(), 1U);
  EXPECT_FALSE(s.fini()) << "a second time there is nothing to do";
  right.signal();
  device.advance(1);
}

TEST(sched_fini, ends_a_scheduler_that_is_stopped) {
  ring device;
  loop s(without_thread(device.options()));
  entity e = s.make();
  const fence_ref running = device.push(e, 1), done = device.push(e, 2);
  s.run();
  const fence_ref queued = device.push(e, 3);
  EXPECT_FALSE(s.of.stop());
  EXPECT_EQ(running->status(), 0);
  EXPECT_FALSE(s.of.fini());
  EXPECT_EQ(running->status(), -ECANCELED);
  EXPECT_EQ(done->status(), -ECANCELED);
  EXPECT_EQ(queued->status(), -ECANCELED);
  EXPECT_EQ(device.freed(), 3U);
}

TEST(sched_fini, of_one_scheduler_leaves_an_entity_the_others) {
  ring device(manner::at_once);
  loop first(without_thread(device.options())), second(without_thread(device.options()));
  const scheduler* const list[] = {&first.of, &second.of};
  entity e = entity::create({.schedulers = list}).value();
  EXPECT_FALSE(first.of.fini());
  EXPECT_TRUE(device.push(e, 1));
  EXPECT_EQ(second.run(), 1U);
  EXPECT_FALSE(second.of.fini());
  ring_job* const late = device.make();
  EXPECT_EQ(e.push(*late), errno_code(ENODEV));
  delete late;
}

// --- With the thread ---

TEST(sched_worker, is_there_while_there_are_jobs_and_ends_with_the_scheduler) {
  ring device;
  scheduler s = scheduler::create(device.options()).value();
  const scheduler* const list[] = {&s};
  entity e = entity::create({.schedulers = list}).value();
  std::vector<fence_ref> all;
  for (int i = 0; i < 10; ++i) all.push_back(device.push(e, i));
  while (all.back()->status() == 0) device.advance(1);
  EXPECT_FALSE(e.flush());
  for (const fence_ref& f : all) EXPECT_EQ(f->status(), 1);
  EXPECT_FALSE(s.fini());
  EXPECT_EQ(device.freed(), 10U);
}

TEST(sched_worker, flush_waits_for_what_was_pushed_before) {
  ring device;
  scheduler s = scheduler::create(device.options()).value();
  const scheduler* const list[] = {&s};
  entity e = entity::create({.schedulers = list}).value();
  EXPECT_FALSE(e.flush(no_wait)) << "nothing was";
  const fence_ref f = device.push(e);
  EXPECT_EQ(e.flush(now_ns()), errno_code(ETIME));
  std::thread ends([&] {
    while (device.advance(1) == 0) std::this_thread::yield();
  });
  EXPECT_FALSE(e.flush());
  EXPECT_EQ(f->status(), 1);
  ends.join();
}

TEST(sched_worker, a_timeout_comes_by_itself) {
  reports heard;
  ring device;
  scheduler_options o = device.options();
  o.timeout_ns = 1'000'000;
  scheduler s = scheduler::create(o).value();
  const scheduler* const list[] = {&s};
  entity e = entity::create({.schedulers = list}).value();
  const fence_ref f = device.push(e);
  EXPECT_FALSE(e.flush());
  EXPECT_EQ(f->status(), -ETIMEDOUT);
  EXPECT_EQ(heard.of(report_kind::job_late).size(), 1U);
  device.advance(1);
}

TEST(sched_worker, stop_waits_for_a_run_that_is_under_way) {
  ring device(manner::at_once);
  scheduler s = scheduler::create(device.options()).value();
  const scheduler* const list[] = {&s};
  entity e = entity::create({.schedulers = list}).value();
  std::latch inside(1), leave(1);
  std::atomic<bool> has_left = false;
  ring_job* const j = device.make();
  j->on_run = [&](ring_job&) {
    inside.count_down();
    leave.wait();
    has_left = true;
  };
  ASSERT_FALSE(e.push(*j));
  inside.wait();
  std::thread stops([&] {
    EXPECT_FALSE(s.stop());
    EXPECT_TRUE(has_left);
  });
  leave.count_down();
  stops.join();
  const fence_ref queued = device.push(e, 2);
  EXPECT_EQ(e.flush(now_ns()), errno_code(ETIME)) << "it is stopped";
  EXPECT_FALSE(s.start());
  EXPECT_FALSE(e.flush());
  EXPECT_EQ(queued->status(), 1);
}

}  // namespace
}  // namespace ufence::sched::testing
