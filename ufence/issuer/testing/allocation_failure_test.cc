// Each allocation of the library fails once while a job is submitted: a clear error, and all is as
// it was. Built with the sources of the layers and the double of ufence/base/alloc.h.
#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <memory>
#include <vector>

#include "ufence/base/alloc.h"
#include "ufence/fence/slab.h"
#include "ufence/fence/testing/fail_each.h"
#include "ufence/issuer/device_scheduler.h"
#include "ufence/issuer/host.h"
#include "ufence/issuer/issuer_test_support.h"

namespace ufence {
namespace {

using testing::allocations;
using testing::make_fence;
namespace ops = puppet;

// Submits with the first allocation failing, then the second, ... until none is left to fail.
// Returns how many there are.
int fail_each(const puppet_device& p, const std::function<result<fence_ref>()>& attempt) {
  for (int nth = 1;; ++nth) {
    const std::size_t fences = live_fences();
    const device_stats before = p.device->stats();
    allocations::reset(nth);
    const result<fence_ref> made = attempt();
    const bool was_hit = allocations::asked >= nth;
    allocations::reset();
    if (!was_hit) {
      EXPECT_TRUE(made);
      return nth - 1;
    }
    if (made) continue;  // it could do without
    EXPECT_EQ(error_of(made), errno_code(ENOMEM)) << "allocation " << nth;
    EXPECT_EQ(live_fences(), fences) << "allocation " << nth;
    EXPECT_EQ(p.device->stats().jobs_pending, before.jobs_pending) << "allocation " << nth;
    EXPECT_EQ(p.device->stats().jobs_submitted, before.jobs_submitted) << "allocation " << nth;
    if (nth > 20) return nth;
  }
}

// The first jobs of an instance, which find no records and perhaps no fences.
void fail_first_jobs(const char* module) {
  puppet_device p(module);
  const puppet::arguments small{.to = p.board.get()};
  std::vector<std::byte> large(10'000);
  std::memcpy(large.data(), &small, sizeof small);
  new_fence in = make_fence();
  const std::vector<fence_ref> after(5, in.fence);
  const int hit = fail_each(
      p, [&] { return p.device->submit({.opcode = ops::now, .args = large, .in_fences = after}); });
  // Arguments and in-fences do not fit into the record; records and fences may be there already.
  EXPECT_GE(hit, 2);
  in.signal.signal();
  EXPECT_EQ(p.give(ops::now)->status(), 1);
  p.unload();
  EXPECT_EQ(p.device->stats().jobs_pending, 0U);
}

TEST(allocation_failure, a_job_without_memory_changes_nothing) { fail_first_jobs("puppet"); }

TEST(allocation_failure, a_job_of_a_timeline_without_memory_changes_nothing) {
  fail_first_jobs("puppet_line");
}

TEST(allocation_failure, a_first_job_needs_records) {
  host h;
  puppet::board board;
  const device_ref d = load_module(h, test_module("puppet"));
  const puppet::arguments attach{.to = &board};
  const auto submit = [&] {
    return d->submit({.opcode = ops::attach, .args = std::as_bytes(std::span(&attach, 1))});
  };
  allocations::refuse_all = 1;
  EXPECT_EQ(error_of(submit()), errno_code(ENOMEM));
  allocations::refuse_all = 0;
  EXPECT_TRUE(submit());
  expect_unmapped(h.unload(d));
}

TEST(allocation_failure, a_driver_whose_thread_can_not_start_refuses_its_jobs) {
  puppet_device p;
  static_cast<void>(p.give(ops::now));
  allocations::refuse_all = 1;
  const result<fence_ref> job = p.submit(ops::work);
  allocations::refuse_all = 0;
  if (job) {
    EXPECT_EQ((*job)->status(), -ENOMEM);
  }
  p.unload();
}

TEST(allocation_failure, a_module_without_memory_for_its_timeline_is_not_loaded) {
  host h;
  allocations::refuse_all = 1;
  std::string why;
  EXPECT_EQ(error_of(h.load(test_module("puppet"), &why)), errno_code(ENOMEM));
  allocations::refuse_all = 0;
  EXPECT_EQ(why, test_module("puppet") + ": no memory for its timeline");
  EXPECT_TRUE(load_module(h, test_module("puppet")));
}

TEST(allocation_failure, deciding_and_unloading_allocate_nothing_of_the_librarys) {
  puppet_device p;
  std::vector<fence_ref> jobs;
  for (int i = 0; i < 100; ++i) jobs.push_back(p.give(ops::hold));
  allocations::reset();
  const unload_report done = p.unload({.policy = unload_policy::cancel});
  EXPECT_EQ(done.jobs_cancelled, 100U);
  EXPECT_EQ(allocations::asked, 0);
}

TEST(device_scheduler_allocation, each_call_does_all_or_nothing) {
  puppet_device p;
  const auto nothing = [] {};
  EXPECT_GE(
      testing::fail_each([&] { return error_of(device_scheduler::create(p.device)); }, nothing), 2);
  device_scheduler s = device_scheduler::create(p.device, {.has_thread = false}).value();
  EXPECT_GE(testing::fail_each([&] { return error_of(device_entity::create(s)); }, nothing), 4);
  device_entity e = device_entity::create(s).value();
  const puppet::arguments arguments{.to = p.board.get()};
  std::vector<fence_ref> after;
  for (int i = 0; i < 3; ++i) {
    new_fence made = make_fence();
    made.signal.signal();
    after.push_back(std::move(made.fence));
  }
  const device_job job{
      .opcode = ops::now, .args = std::as_bytes(std::span(&arguments, 1)), .in_fences = after};
  // The job, room for what it waits for, and the run queue; fences may be there already.
  EXPECT_GE(
      testing::fail_each([&] { return error_of(e.push(job)); }, [&] { EXPECT_TRUE(e.was_idle()); }),
      3);
  static_cast<void>(testing::fail_each([&] { return s.attach(p.device); },
                                       [&] { EXPECT_EQ(s.attached(), p.device); }));
  EXPECT_TRUE(s.run_ready());
  EXPECT_TRUE(e.was_idle());
  EXPECT_EQ(e.statistics().jobs_ended, 1U);
}

}  // namespace
}  // namespace ufence
