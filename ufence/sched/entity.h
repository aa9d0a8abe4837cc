// entity: a user's queue of jobs for one of some schedulers.
//
// Jobs start in the order of arm(), which is the order of their seqnos: arming takes the seqno and
// the place in the queue in one step. An entity has as many jobs queued and in flight as it likes;
// it may be dropped meanwhile, which is kill().
//
// Threads: any, concurrently.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <system_error>
#include <utility>

#include "ufence/base/api.h"
#include "ufence/base/clock.h"
#include "ufence/base/result.h"
#include "ufence/fence/ref.h"
#include "ufence/sched/job.h"

namespace ufence::sched {

class scheduler;

/// Which entities come first. With the policies fifo and deadline strictly; with fair, how large the share
/// is. Source: Linux enum drm_sched_priority
enum class priority : std::uint8_t { kernel, high, normal, low };
inline constexpr std::size_t priority_count = 4;

/// The properties of a new entity. The names are copied.
struct entity_options {
  /// The schedulers that may run its jobs; the least loaded one is chosen whenever nothing of the entity is queued
  /// or runs.
  std::span<const scheduler* const> schedulers = {};
  std::string_view name = {};
  priority rank = priority::normal;
  /// Its share under the policy fair, against the weights of others; 0: of its priority (64, 32, 8
  /// and 1).
  std::uint32_t weight = 0;
  /// So many of its jobs may time out; with the next it is killed, with -ECANCELED.
  std::uint32_t error_budget = UINT32_MAX;
  /// A job that waited for a fence that ended with an error does not run and ends with it. Without
  /// it, as in the kernel, the job runs, and may look at what it waited for.
  bool propagates_errors = false;
};

/// The device time and jobs that an entity has had so far.
struct entity_statistics {
  std::uint64_t jobs_pushed = 0, jobs_ended = 0;
  std::int64_t device_time_ns = 0;
  std::uint32_t timeouts = 0;
  int last_error = 0;          // of the job that ended last; 0: success, or none has
  failure_origin last_origin;  // what it waited for, if that made it fail
};

/// A job between arm() and push: its fences are there to be handed on, and it is pushed when this
/// goes, at the latest. Threads: one at a time per object.
class UFENCE_API armed_job {
 public:
  armed_job(armed_job&& other) noexcept : job_(std::exchange(other.job_, nullptr)) {}
  armed_job& operator=(armed_job&& other) noexcept {
    push();
    job_ = std::exchange(other.job_, nullptr);
    return *this;
  }
  ~armed_job() { push(); }

  [[nodiscard]] const fence_ref& scheduled() const noexcept { return job_->scheduled(); }
  [[nodiscard]] const fence_ref& finished() const noexcept { return job_->finished(); }

  /// From now on the job may run, and be freed. A second call does nothing.
  void push() noexcept {
    if (job_ != nullptr) push_slow(*std::exchange(job_, nullptr));
  }

 private:
  friend class entity;
  explicit armed_job(job& armed) noexcept : job_(&armed) {}
  static void push_slow(job& armed) noexcept;

  job* job_;
};

/// See the top of this file.
class UFENCE_API entity {
 public:
  /// @return  -EINVAL no scheduler, a null one, or no such priority; -ENOMEM
  /// Source: Linux drm_sched_entity_init()
  [[nodiscard]] static result<entity> create(const entity_options& options) noexcept;

  entity(entity&& other) noexcept;
  entity& operator=(entity&& other) noexcept;
  /// kill(), without a wait: what is queued ends on the worker.
  ~entity();

  // --- Jobs. An error leaves the job with its owner, as it was. ---

  /// Takes a seqno and a place in the queue. The job runs once it is pushed, and with it those that
  /// are armed later.
  /// @return  -EINVAL no credits; -EBUSY it is armed already; -ENOMEM; -EAGAIN no thread is to be
  ///          had for the worker; -ENODEV each of its schedulers has ended or lost its device;
  ///          -ECANCELED, or what kill() said: the entity is killed; -EOWNERDEAD (F18)
  /// Blocks: never. Allocates: two fences; the first job of an idle entity also room in the run
  /// queue, and a thread.
  /// Source: Linux drm_sched_job_arm()
  [[nodiscard]] result<armed_job> arm(job& j) noexcept;
  /// arm() and push in one. @return  as arm()
  /// Source: Linux drm_sched_job_arm(), drm_sched_entity_push_job()
  [[nodiscard]] std::error_code push(job& j) noexcept;

  // --- The end ---

  /// No job is armed any more. Queued jobs do not run: each ends with the error after what it
  /// waits for and after the job before it, so that who waits for it may rely on all before.
  /// Jobs in flight go on. Only the first call has an effect.
  /// @param error  a negative errno; anything else becomes -EINVAL
  /// Blocks: never. @return  -EOWNERDEAD (F18)
  /// Source: Linux drm_sched_entity_kill(); differs: the caller does not wait
  std::error_code kill(int error = -ESRCH) noexcept;
  /// Waits until all jobs that were pushed before have ended.
  /// @return  -ETIME; -EDEADLK on the worker; -EOWNERDEAD (F18)
  /// Where the scheduler has no thread of its own the caller runs its jobs meanwhile.
  /// Source: Linux drm_sched_entity_flush(); differs: absolute time, kills nothing
  [[nodiscard]] std::error_code flush(absolute_deadline deadline_ns = no_deadline) noexcept;

  // --- Settings ---

  /// Counts from the next choice on.  Source: Linux drm_sched_entity_set_priority()
  std::error_code set_priority(priority rank) noexcept;
  /// 0: that of its priority.
  std::error_code set_weight(std::uint32_t weight) noexcept;
  /// Counts for jobs that are armed when nothing of the entity is queued or runs.
  /// @return  -EINVAL as create(); -ENOMEM: nothing has changed
  /// Source: Linux drm_sched_entity_modify_sched()
  std::error_code set_schedulers(std::span<const scheduler* const> schedulers) noexcept;

  // --- Looking ---

  [[nodiscard]] entity_statistics statistics() const noexcept;
  /// Nothing of it is queued or in flight, and all that ended was freed.
  [[nodiscard]] bool was_idle() const noexcept;
  [[nodiscard]] std::string_view name() const noexcept;
  /// Of the fences of its jobs. Where a scheduler is not in order, each finished fence has a context
  /// of its own (F19).
  [[nodiscard]] std::uint64_t scheduled_context() const noexcept;
  [[nodiscard]] std::uint64_t finished_context() const noexcept;

 private:
  explicit entity(ref<detail::entity_core> core) noexcept;
  ref<detail::entity_core> core_;
};

}  // namespace ufence::sched
