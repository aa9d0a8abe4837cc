// scheduler: decides which job a device (one ring of it) gets next.
//
//   push --> queue of its entity --> chosen by the policy, if its credits fit --> run() --> in
//   flight
//                                       after what it waits for                        --> finished
//
// The work is done by a thread of its own, which is there while there are jobs, or by the caller's
// loop: run_ready(). No lock is held over the functions of scheduler_ops.
//
// Threads: any, concurrently, where nothing else is said.
// Lock ranks: scheduler, then entity, then those of fences.
#pragma once

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <system_error>

#include "ufence/base/api.h"
#include "ufence/base/clock.h"
#include "ufence/base/result.h"
#include "ufence/fence/ref.h"
#include "ufence/sched/entity.h"
#include "ufence/sched/job.h"

namespace ufence::sched {

/// Which entity comes next.
enum class policy : std::uint8_t {
  fair,      // each gets device time by its weight
  fifo,      // within a priority the job that was pushed first
  deadline,  // within a priority the soonest deadline of `finished`, then the job pushed first
};

/// The properties of a new scheduler. The names are copied.
struct scheduler_options {
  const scheduler_ops* ops = nullptr;  // with run and free; stays until fini() has returned
  std::string_view name = {};
  std::string_view device_name = {};  // for reports and names of fences
  std::string_view module_name = {};  // for reports
  std::uint32_t credit_limit = 64;
  policy order = policy::fair;
  /// How long the oldest job in flight may take, from when it is the oldest.
  std::int64_t timeout_ns = no_deadline;
  /// How often a job whose credits do not fit may be passed over by jobs of others that fit. 0: all
  /// wait for it, as in the kernel.
  std::uint32_t passes_max = 16;
  /// After a reset the other jobs in flight are run again; else they fail with -ECANCELED.
  bool resubmits = true;
  /// The device ends jobs in the order of run(). Else each `finished` has a context of its own
  /// (F19).
  bool is_in_order = true;
  /// A job need not wait for `finished` of one before it on the same scheduler, `scheduled` is
  /// enough: the device works in the order of run(), or waits itself (job::dependencies()).
  bool pipelines = true;
  /// False: the caller's loop calls run_ready(), and is told by `wake` when that has become useful;
  /// `wake` may call it itself.
  bool has_thread = true;
  void (*wake)(void* context) noexcept = nullptr;  // any thread, no lock of ours held
  void* wake_context = nullptr;
};

/// The treatment by start() of the jobs in flight that the device has not done.
enum class in_flight : std::uint8_t {
  keep,      // the device still works on them
  resubmit,  // run() again
  fail,      // with the error that start() is given
};

struct scheduler_statistics {
  std::uint64_t jobs_run = 0, jobs_ended = 0;  // ended: also those that never ran
  std::uint64_t passes = 0;                    // jobs that were passed over for their credits
  std::uint64_t timeouts = 0, resets = 0;
  std::uint32_t credits_used = 0;
  std::uint32_t in_flight = 0;
  std::uint32_t entities = 0;  // that have jobs
};

/// See the top of this file. Move-only.
class UFENCE_API scheduler {
 public:
  /// @return  -EINVAL no ops, no run or free, or no credits; -ENOMEM
  /// Source: Linux drm_sched_init()
  [[nodiscard]] static result<scheduler> create(const scheduler_options& options) noexcept;

  scheduler(scheduler&& other) noexcept;
  scheduler& operator=(scheduler&& other) noexcept;
  /// fini() within a second.
  ~scheduler();

  /// Ends it: no job is armed any more, what is queued is killed with -ECANCELED, the device is
  /// asked to cancel what is in flight. On return all is freed, no function of ops runs or will,
  /// and the thread is gone.
  /// @return  0; -ETIME at the deadline something was pending, and was ended by force: it is
  ///          reported, and the device may still work on it; -EDEADLK inside a function of ops
  /// Blocks: up to the deadline; past it for callbacks, ops and armed jobs of others.
  /// Source: Linux drm_sched_fini()
  std::error_code fini(absolute_deadline deadline_ns = no_deadline) noexcept;

  // --- The caller's loop ---

  /// Does what is to be done now: at most so many jobs are given to the device.
  /// @return  how many were; -EBUSY another thread does it, -EINVAL the scheduler has a thread;
  ///          -EOWNERDEAD (F18)
  [[nodiscard]] result<std::size_t> run_ready(std::size_t jobs_max = SIZE_MAX) noexcept;
  /// When run_ready() has to look at the time again; no_deadline: not for the time's sake.
  [[nodiscard]] std::int64_t next_timeout_ns() const noexcept;

  // --- Around a reset ---

  /// Nothing is run, and nothing in flight is completed, until start(). On return no function of
  /// ops runs (but the one that called it). Not to be called in callbacks of the device's fences.
  /// @return  -EALREADY it is stopped; -EOWNERDEAD (F18)
  /// Source: Linux drm_sched_stop()
  std::error_code stop() noexcept;
  /// Jobs that the device has done are completed, the rest is treated as asked for.
  /// @return  -EALREADY it is not stopped: nothing has changed; -EOWNERDEAD (F18)
  /// Calls run() on this thread, or lets the worker do it.  Source: Linux drm_sched_start()
  /// @param error  with which `fail` ends jobs; a negative errno, anything else becomes -EINVAL
  std::error_code start(in_flight rest = in_flight::resubmit, int error = -ECANCELED) noexcept;
  /// No job is given to the device, looked at or freed until resume(); what the device has done is
  /// completed all the same, and jobs may time out. On return no function of ops runs but timed_out
  /// (and the one that called it). @return  -EOWNERDEAD (F18)
  /// Source: Linux drm_sched_wqueue_stop()
  std::error_code pause() noexcept;
  /// Source: Linux drm_sched_wqueue_start()
  std::error_code resume() noexcept;
  /// No job times out until resume_timeout().
  /// @return  the time that the oldest job had left, at most that of a job; no_deadline: nothing
  ///          times out anyway
  /// Source: Linux drm_sched_suspend_timeout()
  [[nodiscard]] std::int64_t suspend_timeout() noexcept;
  /// The oldest job has so much time left.  Source: Linux drm_sched_resume_timeout()
  void resume_timeout(std::int64_t left_ns) noexcept;
  /// As if the oldest job in flight had timed out now.  Source: Linux drm_sched_fault()
  std::error_code fault() noexcept;

  [[nodiscard]] scheduler_statistics statistics() const noexcept;
  /// How many entities have jobs on it, and how many jobs are in flight.
  [[nodiscard]] std::uint32_t load() const noexcept;
  [[nodiscard]] std::string_view name() const noexcept;

 private:
  friend class detail::entity_core;
  explicit scheduler(ref<detail::scheduler_core> core) noexcept;
  ref<detail::scheduler_core> core_;
};

}  // namespace ufence::sched
