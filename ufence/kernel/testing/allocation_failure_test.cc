// Each allocation behind linux/gpu_scheduler.h fails once. Built with the sources of the layer and
// of those below, and the double of ufence/base/alloc.h.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <utility>
#include <vector>

#include "ufence/base/alloc.h"
#include "ufence/fence/fence.h"
#include "ufence/fence/testing/fail_each.h"
#include "ufence/kernel/linux/gpu_scheduler.h"

namespace ufence::testing {
namespace {

std::error_code error_of(int negative) { return errno_code(-negative); }

struct driver_job {
  drm_sched_job base;
  std::atomic<int>* freed;
};

// The device is done at once.
dma_fence* run_job(drm_sched_job*) { return nullptr; }
void free_job(drm_sched_job* job) {
  auto* const mine = reinterpret_cast<driver_job*>(job);
  ++*mine->freed;
  drm_sched_job_cleanup(job);
  delete mine;
}
constexpr drm_sched_backend_ops ops{.prepare_job = nullptr,
                                    .run_job = run_job,
                                    .timedout_job = nullptr,
                                    .free_job = free_job,
                                    .cancel_job = nullptr};

constexpr drm_sched_init_args args{.ops = &ops,
                                   .submit_wq = nullptr,
                                   .timeout_wq = nullptr,
                                   .num_rqs = DRM_SCHED_PRIORITY_COUNT,
                                   .credit_limit = 8,
                                   .hang_limit = 0,
                                   .timeout = MAX_SCHEDULE_TIMEOUT,
                                   .score = nullptr,
                                   .name = "ring",
                                   .dev = nullptr};

// A scheduler and an entity of it.
struct device {
  device() {
    EXPECT_EQ(drm_sched_init(&sched, &args), 0);
    drm_gpu_scheduler* list[] = {&sched};
    EXPECT_EQ(drm_sched_entity_init(&entity, DRM_SCHED_PRIORITY_NORMAL, list, 1, nullptr), 0);
  }
  ~device() {
    drm_sched_entity_destroy(&entity);
    drm_sched_fini(&sched);
  }
  driver_job* make() {
    auto* const job = new driver_job{.base = {}, .freed = &freed};
    EXPECT_EQ(drm_sched_job_init(&job->base, &entity, 1, nullptr, 0), 0);
    return job;
  }
  drm_gpu_scheduler sched{};
  drm_sched_entity entity{};
  std::atomic<int> freed = 0;  // those that could not be armed by another thread
};

TEST(kernel_sched_allocation, a_scheduler_is_begun_or_not) {
  const auto begin_and_end = [] {
    drm_gpu_scheduler s{};
    const int failed = drm_sched_init(&s, &args);
    EXPECT_EQ(s.ufence_scheduler == nullptr, failed != 0);
    drm_sched_fini(&s);
    return error_of(failed);
  };
  EXPECT_EQ(fail_each(begin_and_end), 2) << "that of ufence/sched, and what is behind the kernel's";
}

TEST(kernel_sched_allocation, an_entity_is_begun_or_not) {
  device d;
  const auto begin_and_end = [&] {
    drm_gpu_scheduler* list[] = {&d.sched};
    drm_sched_entity e{};
    const int failed = drm_sched_entity_init(&e, DRM_SCHED_PRIORITY_HIGH, list, 1, nullptr);
    EXPECT_EQ(e.ufence_entity == nullptr, failed != 0);
    drm_sched_entity_destroy(&e);
    return error_of(failed);
  };
  EXPECT_EQ(fail_each(begin_and_end), 5)
      << "those of ufence/sched, and what is behind the kernel's";
}

TEST(kernel_sched_allocation, a_job_is_begun_or_not) {
  device d;
  const auto begin_and_end = [&] {
    drm_sched_job job;
    const int failed = drm_sched_job_init(&job, &d.entity, 1, nullptr, 0);
    EXPECT_EQ(job.s_fence == nullptr, failed != 0);
    if (failed == 0) drm_sched_job_cleanup(&job);
    return error_of(failed);
  };
  EXPECT_EQ(fail_each(begin_and_end), 1);
}

// The reference is handed over, also with an error.
TEST(kernel_sched_allocation, a_dependency_is_added_or_not) {
  device d;
  driver_job* const job = d.make();
  int failures = 0;
  for (u64 i = 0; i < 5; ++i) {
    auto* const f = static_cast<dma_fence*>(std::calloc(1, sizeof(dma_fence)));
    static constexpr dma_fence_ops named{.get_driver_name = [](dma_fence*) { return "device"; },
                                         .get_timeline_name = [](dma_fence*) { return "line"; },
                                         .enable_signaling = nullptr,
                                         .signaled = nullptr,
                                         .wait = nullptr,
                                         .release = nullptr,
                                         .set_deadline = nullptr};
    dma_fence_init(f, &named, nullptr, dma_fence_context_alloc(1), 1);
    failures += fail_each(
        [&] { return error_of(drm_sched_job_add_dependency(&job->base, dma_fence_get(f))); },
        [&] {
          EXPECT_FALSE(drm_sched_job_has_dependency(&job->base, f));
          EXPECT_EQ(kref_read(&f->refcount), 1U);
        });
    EXPECT_TRUE(drm_sched_job_has_dependency(&job->base, f));
    dma_fence_signal(f);
    dma_fence_put(f);
  }
  EXPECT_GT(failures, 0);
  drm_sched_job_cleanup(&job->base);
  delete job;
  rcu_barrier();
}

// Takes every slot for fences of this thread and of the slabs.
std::vector<fence_ref> take_all_slots() {
  std::vector<fence_ref> taken;
  allocations::refuse_all = 1;
  while (result<fence_ref> f = fence::create_signaled(1)) taken.push_back(*std::move(f));
  allocations::refuse_all = 0;
  return taken;
}

// There is no way to say that a job could not be armed: it ends with the error once it is pushed.
TEST(kernel_sched_allocation, a_job_that_cannot_be_armed_ends_when_it_is_pushed) {
  rcu_barrier();
  const long blocks = allocations::living;
  // The first time room in the run queue is refused, later memory for the fences of ufence/sched.
  for (const bool are_fences_to_be_had : {true, false}) {
    device d;
    const auto push = [&](bool is_refused) {
      driver_job* const job = d.make();
      dma_fence* const finished = &job->base.s_fence->finished;
      std::vector<fence_ref> taken;
      if (is_refused && !are_fences_to_be_had) taken = take_all_slots();
      allocations::refuse_all = is_refused ? 1 : 0;
      drm_sched_job_arm(&job->base);
      allocations::refuse_all = 0;
      taken.clear();
      dma_fence_get(finished);
      EXPECT_FALSE(dma_fence_is_signaled(finished));
      drm_sched_entity_push_job(&job->base);
      EXPECT_EQ(dma_fence_wait(finished, false), 0);
      EXPECT_EQ(dma_fence_get_status(finished), is_refused ? -ENOMEM : 1);
      dma_fence_put(finished);
    };
    if (!are_fences_to_be_had) push(false);
    push(true);
    push(false);
    drm_sched_entity_destroy(&d.entity);
    drm_sched_fini(&d.sched);
    EXPECT_EQ(d.freed, are_fences_to_be_had ? 2 : 3);
  }
  rcu_barrier();
  EXPECT_TRUE(eventually([&] {
    rcu::flush_deferred();
    return allocations::living == blocks;
  }));
}

}  // namespace
}  // namespace ufence::testing
