// job: one piece of work for a device, and its two fences.
//
// A user derives from it. From arm() on the job belongs to the scheduler, which hands it back with
// scheduler_ops::free once nothing of the library looks at it any more.
//
//   state      from       by                              on                      lock
//   built      -          job()                           its owner               none
//   queued     built      entity::arm()                   any thread              entity
//   running    queued     the scheduler's choice          worker                  scheduler
//   queued     running    run() called put_back()         worker                  scheduler
//   in flight  running    run() gave a device fence       worker                  scheduler
//   ended      any of the last three; finished is decided worker, the thread that scheduler
//                                                         signals the device fence
//   freed      ended      free()                          worker                  none
//
// *scheduled* is signaled when the device has the job (or never will have it), *finished* when the
// device is done with it. Both are native fences of two timelines of the entity, with equal seqnos,
// and stay valid when entity, scheduler and device are gone. "Worker" is the scheduler's thread, or
// the thread that calls run_ready().
//
// Orders. SB (store buffering): a deadline that is set on finished and the device fence that comes
// to be known, of which at least one side sees the other's store (R18):
//   SCHED.1 store parent_         -> SCHED.2 load deadline_   (the worker)
//   SCHED.3 lower deadline_       -> SCHED.4 load parent_     (set_deadline)
// SCHED.5 the last use of a job sees all uses before it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <system_error>

#include "ufence/base/api.h"
#include "ufence/base/atomic.h"
#include "ufence/base/clock.h"
#include "ufence/base/result.h"
#include "ufence/container/resv.h"
#include "ufence/fence/fence.h"
#include "ufence/syncobj/syncobj.h"

namespace ufence::sched {

class job;
namespace detail {
class entity_core;
class scheduler_core;
}  // namespace detail

/// The verdict of a device about a job that did not end in time.
enum class timeout_verdict : std::uint8_t {
  reset,    // the device was reset: the job failed, the others in flight run again or fail
  gone,     // the device is gone: everything fails with -ENODEV
  no_hang,  // the job still runs: it gets the same time again
  handled,  // the function did what was to be done, or will: a scheduler that it stopped stays so
            // until start(), and a job that it did not make end gets the same time again
};

/// The functions that a scheduler calls. All noexcept, none with a lock of ours held, all on its worker
/// (without a worker thread: on the thread that calls run_ready(), or waits in flush() or fini()),
/// so two of them never run at once. They may push
/// jobs and signal fences.
/// Source: Linux struct drm_sched_backend_ops; differs: free may be the last code of a job's type
struct scheduler_ops {
  /// Hands the job to the device. Returns the fence that the device signals, or null (it is done),
  /// or an error, which becomes the result of finished. It may call job::put_back() instead.
  result<fence_ref> (*run)(job&) noexcept = nullptr;
  /// All that is known to wait for is done: one more fence to wait for, or null. Called again after
  /// each fence that it returned. Not called for a job that will not run. May be null.
  fence_ref (*prepare)(job&) noexcept = nullptr;
  /// The job is the oldest in flight, and did not end in time. It may call scheduler::stop() before
  /// it resets the device. Null: as if it returned `reset`.
  timeout_verdict (*timed_out)(job&) noexcept = nullptr;
  /// Make the device signal the job's fence, with an error: the scheduler ends. May be null: its
  /// end is then waited for.
  void (*cancel)(job&) noexcept = nullptr;
  /// The job is its owner's again, to be destroyed; both its fences are signaled.
  void (*free)(job&) noexcept = nullptr;
};

/// The fence that made a job fail, if it was one that the job waited for.
struct failure_origin {
  std::uint64_t context = 0;  // 0: nothing
  std::uint64_t seqno = 0;
  int error = 0;
};

/// See the top of this file.
class UFENCE_API job : private backend, private callback {
 public:
  /// @param credits  how much of the scheduler's credit limit it takes while it runs; from 1
  explicit job(std::uint32_t credits = 1) noexcept;
  job(const job&) = delete;
  job& operator=(const job&) = delete;

  // --- Before push(), also of a job that is armed: by its owner, one thread at a time ---

  /// The job does not run before `f` is signaled. Of one context only the later fence is kept.
  /// @return  -ENOMEM nothing has changed; -EBUSY the job is pushed
  /// Ownership: takes a reference of its own. Null is nothing to wait for.
  /// Source: Linux drm_sched_job_add_dependency(); differs: takes nothing over
  [[nodiscard]] std::error_code add_dependency(fence_ref f) noexcept;
  /// All pending fences of a buffer up to a usage.
  /// @return  -ENOMEM: some may have been added, which is harmless; -EBUSY
  /// Context: its lock need not be held; fences that are added to the buffer meanwhile may be in.
  /// Source: Linux drm_sched_job_add_resv_dependencies()
  [[nodiscard]] std::error_code add_dependencies(const resv& buffer, resv_usage usage) noexcept;
  /// A point of a syncobj, all 64 bits of it.
  /// @return  -EINVAL not submitted yet; -ENOMEM, -EBUSY, -EOWNERDEAD (F18)
  /// Source: Linux drm_sched_job_add_syncobj_dependency(); differs: 64-bit point
  [[nodiscard]] std::error_code add_dependency(const syncobj& object, std::uint64_t point) noexcept;
  /// Is it one of those? By identity.  Source: Linux drm_sched_job_has_dependency()
  [[nodiscard]] bool has_dependency(const fence& f) const noexcept;

  // --- From arm() on, until free() returns ---

  /// Null before arm().
  [[nodiscard]] const fence_ref& scheduled() const noexcept { return scheduled_; }
  [[nodiscard]] const fence_ref& finished() const noexcept { return finished_; }
  [[nodiscard]] std::uint64_t seqno() const noexcept { return finished_->seqno(); }
  [[nodiscard]] std::uint32_t credits() const noexcept { return credits_; }
  /// Inside run(), free() and so on: what it waited for and ended with an error, the first one.
  [[nodiscard]] const failure_origin& origin() const noexcept { return origin_; }
  /// How often it was given to the device: more than once after a reset.
  [[nodiscard]] std::uint32_t runs() const noexcept { return runs_; }

  /// Inside run(): what it waits for. Where the scheduler pipelines, `finished` of jobs that the
  /// device has may be pending.
  [[nodiscard]] std::span<const fence_ref> dependencies() const noexcept {
    return {dependencies_, dependency_count_};
  }
  /// Inside run() only: the device can't take the job now. It is the first of its entity's queue
  /// again, without credits, and is chosen again once `until` is signaled, however. What run()
  /// returns does not count then, but where the job is run again after a reset: other jobs of its
  /// entity were given to the device after it, so it can't go back, and ends with what run()
  /// returns.
  /// @param until  not null. A killed entity does not wait for it.
  void put_back(fence_ref until) noexcept;

 protected:
  /// By its owner: never armed, or in free().
  ~job();

 private:
  friend class detail::entity_core;
  friend class detail::scheduler_core;
  friend class armed_job;
  friend struct ufence::detail::debug_access;

  enum class where : std::uint8_t { built, queued, running, in_flight, ended };

  static const backend_ops finished_ops;
  static job& of(backend* data) noexcept { return *static_cast<job*>(data); }
  static job& of(callback& node) noexcept { return static_cast<job&>(node); }
  static void device_done(callback& node, fence& f) noexcept;
  static void set_finished_deadline(backend* data, std::int64_t deadline_ns) noexcept;
  static void retire(backend* data, retired_by who) noexcept;

  [[nodiscard]] bool make_room() noexcept;
  [[nodiscard]] bool was_pushed() const noexcept;
  void set_parent(fence_ref parent) noexcept;
  void drop_parent() noexcept;
  [[nodiscard]] fence_ref parent() const noexcept;
  /// True: it was the last use, and the caller has it freed.
  [[nodiscard]] bool drop_use() noexcept;
  void add_use() noexcept;
  /// It is the `number`th that its entity queues.
  void record_push(std::uint64_t number) const noexcept;

  // Set by arm(), then constant.
  detail::entity_core* entity_ = nullptr;  // stays until the job is freed
  fence_ref scheduled_, finished_;
  signaler signal_scheduled_, signal_finished_;  // the thread that ends it: worker, or the scheduler's lock
  std::uint64_t stamp_ = 0;                      // of its push, for FIFO

  job* next_ = nullptr;        // in its entity's queue: entity's lock, later the scheduler's
  job* previous_ = nullptr;    // in flight, or to be freed: the scheduler's lock
  bool is_committed_ = false;  // pushed: entity's lock; before, its owner

  // The fences that it waits for. Owner; once pushed the worker.
  static constexpr std::uint32_t inline_room = 2;
  std::array<fence_ref, inline_room> few_;
  fence_ref* dependencies_ = few_.data();
  std::uint32_t dependency_count_ = 0, dependency_room_ = inline_room;
  std::uint32_t next_dependency_ = 0;
  fence_ref prepared_;  // what prepare() returned last, or put_back() was given

  // Worker, and the scheduler's lock.
  std::uint32_t credits_;
  std::uint32_t runs_ = 0;
  std::uint32_t passed_over_ = 0;
  where where_ = where::built;
  bool is_examined_ = false;   // nothing is left to wait for
  bool is_doomed_ = false;     // it will not run: error_ says why
  bool has_callback_ = false;  // on its device fence
  bool is_alone_ = false;      // no job of its entity was in flight when it was chosen
  // The device has done it, and error_ is the result; it is in flight until the one before it
  // ended.
  bool is_done_ = false;
  bool was_canceled_ = false;  // scheduler_ops::cancel was called
  bool is_put_back_ = false;   // put_back() was called, and prepared_ was not looked at yet
  // Its entity was detached when it was buried: the thread that frees it drops the scheduler's reference.
  bool was_last_ = false;
  std::int32_t error_ = 0;
  std::int64_t began_ns_ = 0;
  std::uint64_t charged_ = 0;  // what its entity's virtual time grew by when it was chosen
  failure_origin origin_;

  atomic<fence*> parent_{nullptr};  // the device fence: owns a reference
  atomic<std::int64_t> deadline_{no_deadline};
  // One for the scheduler, one for the ops of finished, which retire() gives back, and one for each
  // op that is called with it.
  atomic<std::uint32_t> uses_{0};
};

}  // namespace ufence::sched
