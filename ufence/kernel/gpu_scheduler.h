// The objects behind linux/gpu_scheduler.h: a scheduler, an entity and a job of ufence/sched for each of
// the kernel's. Inside the layer only.
//
//   drm_gpu_scheduler --> drm_scheduler   owned: from drm_sched_init() to drm_sched_fini()
//   drm_sched_entity  --> drm_entity      counted: by the entity, and by each of its jobs
//   drm_sched_job     --> drm_job         which is the drm_sched_fence, and lives as long as that
//
// The fences of a drm_sched_fence are signaled by callbacks on those of the job of ufence/sched, and
// by its end at the latest: so free_job comes after them.
#pragma once

#include <cstdint>
#include <optional>

#include "ufence/base/lock.h"
#include "ufence/fence/reference_count.h"
#include "ufence/kernel/linux/gpu_scheduler.h"
#include "ufence/rcu/rcu.h"
#include "ufence/sched/scheduler.h"

namespace ufence {

struct thread_state;
struct drm_job;

struct drm_scheduler {
  drm_scheduler(drm_gpu_scheduler& s, sched::scheduler native) noexcept
      : c(s), of(std::move(native)) {}
  [[nodiscard]] static drm_scheduler& of_c(const drm_gpu_scheduler& s) noexcept {
    return *static_cast<drm_scheduler*>(s.ufence_scheduler);
  }

  drm_gpu_scheduler& c;
  sched::scheduler of;
  mutex lock{lock_rank::leaf};
  // Jobs that run_job got, in order, until they are freed.
  drm_job* first_pending UFENCE_GUARDED_BY(lock) = nullptr;
  drm_job* last_pending UFENCE_GUARDED_BY(lock) = nullptr;
  bool must_resubmit UFENCE_GUARDED_BY(lock) = false;
  bool has_refused UFENCE_GUARDED_BY(lock) = false;  // a job that call_rcu()'s thread frees
};

class drm_entity {
 public:
  drm_entity(drm_sched_entity& e, sched::entity native, drm_gpu_scheduler& home) noexcept
      : native_(std::move(native)), c_(&e), home_(&home) {}
  [[nodiscard]] static drm_entity& of_c(const drm_sched_entity& e) noexcept {
    return *static_cast<drm_entity*>(e.ufence_entity);
  }
  void get() noexcept { references_.get(counted); }
  void put() noexcept;

  /// Around a call of the driver that has the entity. False: it has ended, and none may come.
  [[nodiscard]] bool enter() noexcept;
  void leave() noexcept;
  /// The entity, between enter() and leave(): end() waits for those.
  [[nodiscard]] drm_sched_entity* c() noexcept { return c_; }

  void add_queued() noexcept;
  void drop_queued() noexcept;
  /// Until nothing is queued; false: not by then.
  [[nodiscard]] bool flush(std::int64_t deadline_ns) noexcept;
  /// On return no enter() succeeds, and nobody else is between enter() and leave().
  void end() noexcept;

  /// The device gets this job.
  void note_last(dma_fence& finished) noexcept;
  [[nodiscard]] int last_error() noexcept;
  void note_guilty() noexcept;

  [[nodiscard]] sched::entity& native() noexcept { return native_; }

  // By the caller's lock for arm and push.
  void set_list(drm_gpu_scheduler** list, unsigned int size) noexcept;
  /// The scheduler of the next job.
  [[nodiscard]] drm_gpu_scheduler& choose_home() noexcept;
  [[nodiscard]] std::uint64_t next_seqno() noexcept { return ++seqno_; }

 private:
  void changed_locked() noexcept UFENCE_REQUIRES(lock_);
  [[nodiscard]] bool wait_locked(std::int64_t deadline_ns) noexcept UFENCE_REQUIRES(lock_);

  static constexpr counted_object counted{.text = "an entity of a drm scheduler"};
  reference_count references_;
  sched::entity native_;
  mutex lock_{lock_rank::leaf};
  drm_sched_entity* const c_;
  bool has_ended_ UFENCE_GUARDED_BY(lock_) = false;
  // By the caller's lock for arm and push.
  drm_gpu_scheduler* home_;  // of its jobs, as long as it has any
  drm_gpu_scheduler* single_ = nullptr;
  drm_gpu_scheduler** list_ = nullptr;
  unsigned int list_size_ = 0;
  std::uint64_t seqno_ = 0;
  std::uint32_t queued_ UFENCE_GUARDED_BY(lock_) = 0;  // pushed, and not given to the device yet
  const thread_state* inside_ UFENCE_GUARDED_BY(lock_) = nullptr;  // between enter() and leave()
  dma_fence* last_ UFENCE_GUARDED_BY(lock_) = nullptr;             // owns a reference
  std::uint32_t waiters_ UFENCE_GUARDED_BY(lock_) = 0;
  atomic<std::uint32_t> changes_{0};  // changed with the lock held; waiters sleep on it
};

struct drm_job : drm_sched_fence {
  struct native_job final : sched::job {
    native_job(drm_job& j, std::uint32_t credits) noexcept : job(credits), of(j) {}
    drm_job& of;
  };
  struct node : callback {
    explicit node(drm_job& j, callback_function f) noexcept : callback(f), of(j) {}
    drm_job& of;
  };

  drm_job(drm_sched_job& j, drm_entity& e, std::uint32_t credits) noexcept;
  [[nodiscard]] static drm_job& of_c(drm_sched_fence& f) noexcept {
    return static_cast<drm_job&>(f);
  }
  [[nodiscard]] static drm_job& of_native(sched::job& j) noexcept {
    return static_cast<native_job&>(j).of;
  }
  void arm(drm_sched_job& job) noexcept;
  void push() noexcept;
  /// Signals both fences, if nobody has yet.
  void end(int error, std::int64_t timestamp_ns) noexcept;
  /// Hands the job back to its driver, if it has not taken it. On the scheduler's thread, or that
  /// of call_rcu().
  void free() noexcept;

  drm_sched_job* job;   // null once the driver has cleaned it up; on the scheduler's thread
  drm_entity& entity;   // a reference
  const drm_sched_backend_ops* ops = nullptr;  // from arm() on
  std::optional<native_job> native;            // until it is freed
  std::optional<sched::armed_job> armed;       // from arm() to push()
  fence_ref native_scheduled, native_finished; // from arm() on
  node on_scheduled, on_finished;
  int refused = 0;           // why it could not be armed; ends with that
  bool was_given = false;    // run_job was called; on the scheduler's thread
  bool is_pending = false;   // in the scheduler's list, by its lock
  drm_job *next_pending = nullptr, *previous_pending = nullptr;
  char name[64];  // of the scheduler


  // Ends it, with the last reference to its fences.
  ~drm_job() = default;
};

/// The fence of ufence/sched for that of a job, or the fence itself.
[[nodiscard]] fence_ref native_of(dma_fence& f) noexcept;

/// The functions for ufence/sched.
[[nodiscard]] const sched::scheduler_ops& native_ops_for(const drm_sched_backend_ops& ops) noexcept;

}  // namespace ufence
