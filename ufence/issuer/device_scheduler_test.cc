// Jobs that get to a driver module through a scheduler, and what becomes of them without the
// module.
#include "ufence/issuer/device_scheduler.h"

#include <algorithm>
#include <latch>
#include <thread>

#include "ufence/container/resv.h"
#include "ufence/driver.h"
#include "ufence/fence/wait.h"
#include "ufence/issuer/issuer_test_support.h"
#include "ufence/syncobj/syncobj.h"

namespace ufence {
namespace {

using testing::kept_reports;
using testing::make_fence;
namespace ops = puppet;

// A `puppet`, a scheduler that a test drives itself, and jobs for both.
struct fed_device : puppet_device {
  explicit fed_device(std::string_view module = "puppet", device_scheduler_options o = {})
      : puppet_device(module), scheduler(make(o)) {}
  ~fed_device() { EXPECT_FALSE(scheduler.fini()); }

  device_scheduler make(device_scheduler_options o) const {
    o.has_thread = false;
    return device_scheduler::create(device, o).value();
  }
  [[nodiscard]] device_entity entity(const device_entity_options& o = {}) const {
    return device_entity::create(scheduler, o).value();
  }
  result<device_job_fences> try_push(device_entity& e, puppet::opcode what, std::uint64_t value = 0,
                                     const device_job& how = {}) const {
    const puppet::arguments arguments{.to = board.get(), .value = value};
    device_job j = how;
    j.opcode = what;
    j.args = std::as_bytes(std::span(&arguments, 1));
    return e.push(j);
  }
  device_job_fences push(device_entity& e, puppet::opcode what, std::uint64_t value = 0,
                         const device_job& how = {}) const {
    return try_push(e, what, value, how).value();
  }
  std::size_t run() { return scheduler.run_ready().value(); }
  // Another instance, of the same host, after an unload.
  void load_again(std::string_view module = "puppet") {
    device = load_module(*at, test_module(module));
    EXPECT_EQ(give(puppet::attach)->status(), 1);
  }

  device_scheduler scheduler;
};

TEST(device_scheduler, gives_the_device_jobs_and_has_fences_of_its_own) {
  device_job_fences job;
  {
    fed_device d;
    device_entity e = d.entity({.name = "client"});
    job = d.push(e, ops::hold, 7);
    EXPECT_EQ(job.scheduled->status(), 0);
    EXPECT_EQ(d.run(), 1U);
    EXPECT_EQ(job.scheduled->status(), 1);
    EXPECT_EQ(job.finished->status(), 0);
    EXPECT_EQ(d.device->stats().jobs_submitted, 2U) << "attach, and this one";
    d.give(ops::finish_all);
    EXPECT_EQ(job.finished->status(), 1);
    d.run();
    EXPECT_TRUE(e.was_idle());
    d.unload();
  }
  EXPECT_EQ(job.finished->driver_name(), "puppet");
  EXPECT_EQ(job.finished->timeline_name(), "client");
  EXPECT_TRUE(job.finished->is_independent());
}

TEST(device_scheduler, refuses_what_makes_no_sense) {
  fed_device d;
  EXPECT_EQ(error_of(device_scheduler::create(nullptr)), errno_code(EINVAL));
  EXPECT_EQ(error_of(device_scheduler::create(d.device, {.credit_limit = 0})), errno_code(EINVAL));
  device_entity e = d.entity();
  EXPECT_EQ(error_of(d.try_push(e, ops::now, 0, {.credits = 0})), errno_code(EINVAL));
  const fence_ref none[1];
  EXPECT_EQ(error_of(d.try_push(e, ops::now, 0, {.in_fences = none})), errno_code(EINVAL));
  const syncobj_ref object = syncobj::create().value();
  const job_point points[] = {{.of = *object, .point = 1}};
  EXPECT_EQ(error_of(d.try_push(e, ops::now, 0, {.in_points = points})), errno_code(EINVAL));
  EXPECT_EQ(d.scheduler.attach(nullptr), errno_code(EINVAL));
  EXPECT_TRUE(e.was_idle());
}

TEST(device_scheduler, jobs_wait_for_fences_points_and_buffers) {
  fed_device d;
  device_entity e = d.entity();
  new_fence one = make_fence(), two = make_fence(), three = make_fence();
  const syncobj_ref object = syncobj::create().value();
  constexpr std::uint64_t large_point = std::uint64_t{5} << 32U;
  ASSERT_FALSE(object->add_point(two.fence, large_point));
  resv buffer;
  ASSERT_FALSE(buffer.lock());
  ASSERT_FALSE(buffer.reserve(1));
  ASSERT_FALSE(buffer.add(three.fence, resv_usage::write));
  buffer.unlock();
  const fence_ref fences[] = {one.fence};
  const job_point points[] = {{.of = *object, .point = large_point}};
  const job_buffer buffers[] = {{.of = buffer, .usage = resv_usage::write}};
  const device_job_fences job =
      d.push(e, ops::now, 0, {.in_fences = fences, .in_points = points, .in_buffers = buffers});
  for (new_fence* f : {&one, &two, &three}) {
    d.run();
    EXPECT_EQ(job.scheduled->status(), 0);
    f->signal.signal();
  }
  d.run();
  EXPECT_EQ(job.finished->status(), 1);
}

TEST(device_scheduler, a_chain_runs_without_its_scheduler_once_the_device_has_it) {
  fed_device d;
  device_entity e = d.entity(), other = d.entity();
  const device_job_fences first = d.push(e, ops::hold, 1);
  const fence_ref after_first[] = {first.finished};
  const device_job_fences second = d.push(e, ops::hold, 2, {.in_fences = after_first});
  const fence_ref after_second[] = {second.finished};
  const device_job_fences third = d.push(other, ops::now, 0, {.in_fences = after_second});
  d.run();
  EXPECT_EQ(third.scheduled->status(), 1);
  EXPECT_EQ(d.board->held, 1U) << "the driver has the first one only";
  d.give(ops::finish_all);
  EXPECT_EQ(first.finished->status(), 1);
  EXPECT_EQ(d.board->held, 1U) << "the second one";
  d.give(ops::finish_all);
  EXPECT_EQ(third.finished->status(), 1);
}

TEST(device_scheduler, errors_go_down_a_chain_if_its_entity_wishes) {
  for (const bool propagates : {true, false}) {
    fed_device d;
    device_entity e = d.entity({.propagates_errors = propagates});
    const device_job_fences first = d.push(e, ops::hold, 1);
    const fence_ref after[] = {first.finished};
    const device_job_fences second = d.push(e, ops::now, 0, {.in_fences = after});
    d.run();
    EXPECT_EQ(second.finished->status(), 0);
    d.give(ops::finish, {.value = 2, .error = -EIO});
    EXPECT_EQ(second.finished->status(), propagates ? -EIO : 1);
  }
}

TEST(device_scheduler, has_one_context_where_the_device_has_an_order) {
  for (const char* module : {"puppet", "puppet_line"}) {
    fed_device d(module);
    device_entity e = d.entity();
    const device_job_fences first = d.push(e, ops::hold, 1), second = d.push(e, ops::hold, 2);
    EXPECT_EQ(first.finished->context() == second.finished->context(),
              (d.device->features() & UFENCE_F_TIMELINE) != 0);
    d.run();
    d.give(ops::finish_all);
    EXPECT_EQ(first.finished->status(), 1);
    EXPECT_EQ(second.finished->status(), 1);
  }
}

TEST(device_scheduler, credits_limit_what_the_device_has) {
  fed_device d("puppet", {.credit_limit = 2});
  device_entity e = d.entity();
  for (std::uint64_t i = 1; i <= 3; ++i) d.push(e, ops::hold, i);
  d.run();
  EXPECT_EQ(d.board->held, 2U);
  d.give(ops::finish, {.value = 2});
  d.run();
  EXPECT_EQ(d.board->submits, 5U) << "attach, finish, and three";
  d.give(ops::finish_all);
}

TEST(device_scheduler, an_error_of_the_driver_is_the_jobs) {
  fed_device d;
  device_entity e = d.entity();
  const puppet::arguments arguments{.to = d.board.get(), .error = -ENOSPC};
  const device_job_fences job =
      e.push({.opcode = ops::refuse, .args = std::as_bytes(std::span(&arguments, 1))}).value();
  d.run();
  EXPECT_EQ(job.finished->status(), -ENOSPC);
  EXPECT_EQ(e.statistics().last_error, -ENOSPC);
}

TEST(device_scheduler, a_device_that_is_full_gets_the_job_when_there_is_room) {
  host h;
  puppet::board board;
  const device_ref d = h.load(test_module("puppet"), load_options{.pending_max = 1}).value();
  const puppet::arguments arguments{.to = &board};
  const auto bytes = std::as_bytes(std::span(&arguments, 1));
  EXPECT_EQ(d->submit({.opcode = ops::attach, .args = bytes}).value()->status(), 1);
  device_scheduler s = device_scheduler::create(d, {.has_thread = false}).value();
  device_entity e = device_entity::create(s).value();
  const fence_ref direct = d->submit({.opcode = ops::hold, .args = bytes}).value();
  const fence_ref queued = e.push({.opcode = ops::now, .args = bytes}).value().finished;
  ASSERT_TRUE(s.run_ready());
  EXPECT_EQ(queued->status(), 0);
  EXPECT_FALSE(d->cancel(direct));
  ASSERT_TRUE(s.run_ready());
  EXPECT_EQ(queued->status(), 1);
}

// --- Unloads ---

TEST(device_unload, what_is_queued_waits_for_the_next_instance_or_ends_as_its_entity_says) {
  fed_device d;
  device_entity patient = d.entity({.when_gone = without_device::wait}),
                hasty = d.entity({.when_gone = without_device::end});
  new_fence before = make_fence();
  const fence_ref after[] = {before.fence};
  const device_job_fences blocked = d.push(patient, ops::now, 0, {.in_fences = after});
  d.unload();
  EXPECT_EQ(d.scheduler.attached(), d.device) << "nobody has asked it yet";
  const device_job_fences waits = d.push(patient, ops::now), ends = d.push(hasty, ops::now);
  before.signal.signal();
  d.run();
  EXPECT_EQ(d.scheduler.attached(), nullptr);
  EXPECT_EQ(ends.finished->status(), -ENODEV);
  EXPECT_EQ(blocked.finished->status(), 0);
  EXPECT_EQ(waits.scheduled->status(), 0) << "it is behind one that waits";
  d.load_again();
  EXPECT_FALSE(d.scheduler.attach(d.device));
  d.run();
  EXPECT_EQ(blocked.finished->status(), 1);
  EXPECT_EQ(waits.finished->status(), 1);
  d.unload();
}

TEST(device_unload, ends_what_the_device_has_as_the_policy_says) {
  fed_device d;
  device_entity e = d.entity();
  const device_job_fences had = d.push(e, ops::hold, 1);
  d.run();
  const device_job_fences queued = d.push(e, ops::now);
  EXPECT_EQ(d.unload({.policy = unload_policy::cancel}).jobs_cancelled, 1U);
  EXPECT_EQ(had.finished->status(), -ECANCELED);
  d.run();
  EXPECT_EQ(queued.finished->status(), 0);
  EXPECT_FALSE(e.kill());
  d.run();
  EXPECT_EQ(queued.finished->status(), -ESRCH) << "a kill waits for no instance";
}

TEST(device_unload, is_not_refused_for_jobs_that_the_device_does_not_have) {
  fed_device d;
  device_entity e = d.entity();
  const device_job_fences queued = d.push(e, ops::now);
  EXPECT_EQ(d.unload({.policy = unload_policy::refuse}).state, unload_state::unmapped);
  EXPECT_FALSE(d.scheduler.fini());
  EXPECT_EQ(queued.finished->status(), -ECANCELED) << "its scheduler has ended";
  EXPECT_EQ(error_of(d.try_push(e, ops::now)), errno_code(ECANCELED)) << "it was killed with that";
  device_entity unused = d.entity();
  EXPECT_EQ(error_of(d.try_push(unused, ops::now)), errno_code(ENODEV));
}

TEST(device_unload, the_next_instance_may_be_attached_before_the_old_one_goes) {
  fed_device d, next("puppet_build_2");
  device_entity e = d.entity();
  EXPECT_FALSE(d.scheduler.attach(next.device));
  const device_job_fences job = d.push(e, ops::hold, 1);
  d.run();
  EXPECT_EQ(next.device->stats().jobs_pending, 1U);
  d.unload();
  next.give(ops::finish_all);
  EXPECT_EQ(job.finished->status(), 1);
  EXPECT_FALSE(d.scheduler.detach());
  const device_job_fences later = d.push(e, ops::now);
  d.run();
  EXPECT_EQ(later.finished->status(), 0);
  EXPECT_FALSE(d.scheduler.attach(next.device));
  d.run();
  EXPECT_EQ(later.finished->status(), 1);
}

TEST(device_unload, a_scheduler_in_order_takes_no_instance_without_one) {
  fed_device d("puppet_line");
  puppet_device other;
  EXPECT_EQ(d.scheduler.attach(other.device), errno_code(EINVAL));
  EXPECT_EQ(d.scheduler.attached(), d.device);
}

// --- Late jobs ---

TEST(device_timeout, a_reset_by_the_next_instance_fails_the_late_job_and_repeats_the_others) {
  const kept_reports quiet;
  struct test_case {
    fed_device* d = nullptr;
    int calls = 0;
    static sched::timeout_verdict reset(void* self, const late_job& late) noexcept {
      auto& me = *static_cast<test_case*>(self);
      ++me.calls;
      EXPECT_EQ(&late.at, me.d->device.get());
      EXPECT_FALSE(late.fence->is_signaled());
      EXPECT_FALSE(me.d->scheduler.stop());
      me.d->unload({.policy = unload_policy::cancel});
      me.d->load_again();
      EXPECT_FALSE(me.d->scheduler.attach(me.d->device));
      return sched::timeout_verdict::reset;
    }
  } test;
  fed_device d("puppet", {.timed_out = &test_case::reset, .context = &test});
  test.d = &d;
  device_entity a = d.entity(), b = d.entity();
  const device_job_fences late = d.push(a, ops::hold, 1), other = d.push(b, ops::hold, 2);
  d.run();
  EXPECT_FALSE(d.scheduler.fault());
  d.run();
  EXPECT_EQ(test.calls, 1);
  EXPECT_EQ(late.finished->status(), -ETIMEDOUT);
  EXPECT_EQ(other.finished->status(), 0) << "the next instance has it";
  d.give(ops::finish_all);
  EXPECT_EQ(other.finished->status(), 1);
  EXPECT_EQ(d.scheduler.statistics().resets, 1U);
}

TEST(device_timeout, without_a_function_the_device_is_asked_to_cancel) {
  const kept_reports quiet;
  fed_device d;
  device_entity e = d.entity();
  const device_job_fences late = d.push(e, ops::hold, 1);
  d.run();
  EXPECT_FALSE(d.scheduler.fault());
  d.run();
  EXPECT_EQ(d.board->cancels, 1U);
  EXPECT_EQ(late.finished->status(), -ECANCELED);
}

TEST(device_scheduler, its_end_cancels_what_the_device_has) {
  puppet_device p;
  fence_ref had, queued;
  {
    const device_scheduler s = device_scheduler::create(p.device, {.credit_limit = 1}).value();
    device_entity e = device_entity::create(s).value();
    const puppet::arguments arguments{.to = p.board.get(), .value = 1};
    const device_job job{.opcode = ops::hold, .args = std::as_bytes(std::span(&arguments, 1))};
    device_job_fences fences = e.push(job).value();
    had = fences.finished;
    ASSERT_FALSE(fences.scheduled->wait());
    queued = e.push(job).value().finished;
  }
  EXPECT_EQ(had->status(), -ECANCELED);
  EXPECT_EQ(queued->status(), -ESRCH) << "its entity went first";
}

}  // namespace
}  // namespace ufence
