// device_scheduler: which of many users the device of a driver module works for next.
//
//   device_entity::push --> queue of the entity --> chosen by the scheduler --> device::submit
//
// device::submit() gives the device a job at once, or as soon as its in-fences allow: it asks
// nobody, and counts for nobody's share. Users that have to share a device make entities on one
// device_scheduler, which they pass to each other, and push their jobs there: what sched/ promises
// (J1 to J9) then holds for the jobs of a module. A job that waits for another one which the device
// has is given to it with that as its in-fence, so a chain runs without its scheduler.
//
// A scheduler outlives the instances of its module. What was pushed and not given to the device
// when the module is unloaded waits for the next instance, which attach() names, or ends with
// -ENODEV, as its entity wishes (J10). What the device had ends as the unload says: drained, or
// with -ECANCELED.
//
// Threads: any, concurrently.
#pragma once

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <system_error>

#include "ufence/base/api.h"
#include "ufence/base/clock.h"
#include "ufence/base/result.h"
#include "ufence/container/resv.h"
#include "ufence/fence/fence.h"
#include "ufence/issuer/host.h"
#include "ufence/sched/scheduler.h"
#include "ufence/syncobj/syncobj.h"

namespace ufence {

namespace detail {
class device_feed;
}

/// A job that did not end in time, for device_scheduler_options::timed_out.
struct late_job {
  device& at;              // the instance that has it
  const fence_ref& fence;  // what that has to signal
  const fence_ref& finished;
};

/// The properties of a new device_scheduler. The names are copied.
struct device_scheduler_options {
  std::string_view name = {};  // empty: the device's timeline name
  std::uint32_t credit_limit = 64;
  sched::policy order = sched::policy::fair;
  /// How long the oldest job that the device has may take, from when it is the oldest.
  std::int64_t timeout_ns = no_deadline;
  std::uint32_t passes_max = 16;
  bool resubmits = true;
  /// False: the caller's loop calls run_ready(), and is told by `wake`.
  bool has_thread = true;
  void (*wake)(void* context) noexcept = nullptr;  // any thread, no lock of ours held
  /// Called on the worker, where a job is late, after it was reported. It may stop() the scheduler,
  /// unload the module, load it again, attach() the next instance and answer `reset`: the late job
  /// then ends with -ETIMEDOUT, and the others that the device had are given to the next instance.
  /// Jobs that a stopped scheduler gave to the module do not drain: unload it with
  /// unload_policy::cancel. Null: the device is asked to cancel the job, which gets the same time
  /// again; its memory is in use until it ends (D-6).
  sched::timeout_verdict (*timed_out)(void* context, const late_job& late) noexcept = nullptr;
  void* context = nullptr;  // of both
};

/// See the top of this file. Move-only.
class UFENCE_API device_scheduler {
 public:
  /// @return  -EINVAL no device, or no credits; -ENOMEM
  [[nodiscard]] static result<device_scheduler> create(
      const device_ref& d, const device_scheduler_options& options = {}) noexcept;

  device_scheduler(device_scheduler&& other) noexcept;
  device_scheduler& operator=(device_scheduler&& other) noexcept;
  /// fini() within a second.
  ~device_scheduler();

  /// From now on jobs go to this instance; those that waited for one go on.
  /// @return  -EINVAL null, or it ends jobs in any order, which the first one did not
  ///          (UFENCE_F_TIMELINE); -ENOMEM nothing has changed; -EOWNERDEAD (F18)
  std::error_code attach(const device_ref& next) noexcept;
  /// Jobs go nowhere until attach(). An unload does this by itself, as soon as it refuses a job.
  /// @return  -ENOMEM nothing has changed; -EOWNERDEAD (F18)
  std::error_code detach() noexcept;
  /// Where jobs go; null: nowhere.
  [[nodiscard]] device_ref attached() const noexcept;

  // --- As of sched::scheduler ---

  std::error_code fini(absolute_deadline deadline_ns = no_deadline) noexcept;
  [[nodiscard]] result<std::size_t> run_ready(std::size_t jobs_max = SIZE_MAX) noexcept;
  [[nodiscard]] std::int64_t next_timeout_ns() const noexcept;
  std::error_code stop() noexcept;
  std::error_code start(sched::in_flight rest = sched::in_flight::resubmit,
                        int error = -ECANCELED) noexcept;
  std::error_code pause() noexcept;
  std::error_code resume() noexcept;
  std::error_code fault() noexcept;
  [[nodiscard]] sched::scheduler_statistics statistics() const noexcept;
  [[nodiscard]] std::string_view name() const noexcept;

 private:
  friend class device_entity;
  device_scheduler(std::unique_ptr<detail::device_feed> feed, sched::scheduler s) noexcept;
  std::unique_ptr<detail::device_feed> feed_;
  sched::scheduler scheduler_;  // goes first: then nothing asks feed_ any more
};

/// The function that runs the jobs of an entity where their scheduler has no device.
enum class without_device : std::uint8_t {
  wait,  // for the next instance; a kill ends them
  end,   // with -ENODEV
};

/// The properties of a new entity. The name is copied.
struct device_entity_options {
  std::string_view name = {};
  sched::priority rank = sched::priority::normal;
  std::uint32_t weight = 0;  // 0: of its priority
  std::uint32_t error_budget = UINT32_MAX;
  bool propagates_errors = false;
  without_device when_gone = without_device::wait;
};

/// A point of a syncobj that a job waits for: submitted already.
struct job_point {
  const syncobj& of;
  std::uint64_t point;
};
/// The job waits for a buffer's fences of these usages.
struct job_buffer {
  const resv& of;
  resv_usage usage;
};

/// A job for a device, and what it waits for.
struct device_job {
  std::uint32_t opcode = 0;  // the driver's numbering
  std::span<const std::byte> args =
      {};  // copied; what it points to stays until `finished` is signaled
  std::uint32_t credits = 1;
  std::span<const fence_ref> in_fences = {};
  std::span<const job_point> in_points = {};
  std::span<const job_buffer> in_buffers = {};
};

/// The two fences of a job that was pushed.
struct device_job_fences {
  fence_ref scheduled;  // the device has it, or never will
  fence_ref finished;   // it has ended
};

/// A user's queue of jobs for the device of one scheduler. It may outlive the scheduler. Move-only;
/// its destructor is kill(). What is named here is as of sched::entity.
class UFENCE_API device_entity : private sched::entity {
 public:
  /// @return  -EINVAL no such priority; -ENOMEM
  [[nodiscard]] static result<device_entity> create(
      const device_scheduler& at, const device_entity_options& options = {}) noexcept;

  /// Queues a job. An error leaves nothing behind.
  /// @return  -EINVAL no credits, a null in-fence, or a point that is not submitted; -ENOMEM; and
  /// as
  ///          sched::entity::arm()
  /// Blocks: never. Allocates: the job.
  [[nodiscard]] result<device_job_fences> push(const device_job& what) noexcept;

  using sched::entity::finished_context;
  using sched::entity::flush;
  using sched::entity::kill;
  using sched::entity::name;
  using sched::entity::scheduled_context;
  using sched::entity::set_priority;
  using sched::entity::set_weight;
  using sched::entity::statistics;
  using sched::entity::was_idle;

 private:
  device_entity(sched::entity e, detail::device_feed& feed,
                const device_entity_options& o) noexcept;
  detail::device_feed* feed_;  // of jobs that were armed; not looked at here
  without_device when_gone_;
  bool propagates_errors_;
};

}  // namespace ufence
