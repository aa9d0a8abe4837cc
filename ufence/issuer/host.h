// The host: loads driver modules, gives their devices jobs, hands out the fences of the
// completions, and unloads a module whenever it is told to, while others go on holding its fences.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "ufence/base/api.h"
#include "ufence/base/clock.h"
#include "ufence/base/result.h"
#include "ufence/fence/fence.h"

namespace ufence {

class module_watch;
struct watch_options;

/// A job for a device.
struct job_request {
  std::uint32_t opcode = 0;              // the driver's numbering
  std::span<const std::byte> args = {};  // copied; what it points to stays until the fence signals
  std::span<const fence_ref> in_fences = {};  // the device gets the job when all are signaled
  bool run_after_failed_in_fence = false;     // else the first in-fence error ends the job
};

/// The treatment of jobs that are still pending when a module is unloaded.
enum class unload_policy {
  drain,   // wait for them until the deadline, then cancel what is left
  cancel,  // ask the module to end them now
  refuse,  // change nothing if there are any: unload_state::refused
};

struct unload_options {
  unload_policy policy = unload_policy::drain;
  std::int64_t drain_deadline_ns = no_deadline;  // absolute; for `drain`
  std::int64_t give_up_ns = 10'000'000'000;  // per later step, from its begin: then it is pinned
  bool bounds_calls = false;                 // calls into the module are given up then as well: a
                                             // thread of their own makes them, and goes on. Else
                                             // they are waited for, and told to the report handler
                                             // by name after 1 s, 2 s, 4 s, ... while they last
};

/// How a module is loaded.
struct load_options {
  /// Maps a copy in memory that nobody can change: the file may be written to, and loaded again,
  /// while it is in use, which gives several devices of one file. Debuggers do not find the symbols
  /// of the copy by its name.
  bool private_copy = false;
  /// So many jobs may be pending at once; 0: as many as there is memory for. Not for legacy
  /// drivers.
  std::uint32_t pending_max = 0;
  /// The meaning that the opcodes have to have: the driver's interface has this name, and this version or a
  /// later one. Empty: whatever they mean.
  std::string interface_name = {};
  std::uint32_t interface_version = 0;
  /// Values for the driver's options, by name; those that are not here have the driver's own. The
  /// driver checks them, and its init() refuses.
  std::vector<std::pair<std::string, std::string>> options = {};
};

/// An option of a driver.
struct driver_option {
  std::string name;
  std::string value;        // the one in force
  std::string description;  // one line for people, or empty
};

/// How an unload ended. Ordered: later is further.
enum class unload_state {
  refused,   // nothing changed: see pins
  pinned,    // something of the module may still run or the mapping stays for ever: see pins
  deferred,  // the mapping goes once another thread has ended (thread_local destructor): retry
  unmapped,  // verified in /proc/self/maps
};

/// "unmapped" and so on.
[[nodiscard]] UFENCE_API std::string_view to_string(unload_state state) noexcept;
[[nodiscard]] UFENCE_API std::string_view to_string(unload_policy policy) noexcept;
/// The names of feature bits, in the order of enum ufence_feature: "enable_signaling, cancel".
/// Allocates: may throw std::bad_alloc.
[[nodiscard]] UFENCE_API std::string features_to_string(std::uint64_t features);

/// The course of an unload, for people and tests.
struct unload_report {
  unload_state state = unload_state::refused;
  std::vector<std::string> pins = {};   // what pins, by name: fences, threads, ELF flags, ...
  std::vector<std::string> kept = {};   // libraries that came with it and stay mapped, and why
  std::uint64_t jobs_drained = 0;       // ended by the device while draining
  std::uint64_t jobs_cancelled = 0;     // ended with -ECANCELED by the module or by the host
  std::uint64_t callbacks_removed = 0;  // of the module, on fences of others
  std::int64_t duration_ns = 0;
  int last_step = 0;  // 1..8 of the unload steps (ARCHITECTURE.md)
};

/// Counters of one module instance; they stay readable after it is gone.
struct device_stats {
  std::uint64_t jobs_submitted = 0;
  std::uint64_t jobs_pending = 0;
  std::uint64_t retired_by_settlement = 0;  // by the settlement, or without an op
  std::uint64_t retired_by_last_op = 0;     // by the last op to leave
  std::uint64_t entries = 0;                // threads inside module code now
};

/// One loaded instance of a driver and its device. The object outlives the module; calls then fail
/// with -ENODEV. Threads: any, concurrently.
class UFENCE_API device {
 public:
  device(const device&) = delete;
  device& operator=(const device&) = delete;

  /// Gives the device a job, past the entities of all schedulers (device_scheduler.h).
  /// @return  the fence of its completion, pending or already signaled (also when the device
  /// refused
  ///          the job: then with that error); -ENODEV the module is being unloaded or gone;
  ///          -EAGAIN as many jobs are pending as its load allowed: see room();
  ///          -ENOMEM; -EINVAL a null in-fence; -EOWNERDEAD in a child of fork()
  /// Blocks: never by itself; the driver's submit may run on this thread, or later on the thread
  /// that signals the last in-fence.  Allocates: the job record.
  [[nodiscard]] result<fence_ref> submit(const job_request& request);

  /// Asks for the early end of one job. One that the driver does not have yet ends with -ECANCELED,
  /// at once; of another one this asks the driver (D-12), which may do so later, or complete it.
  /// @param f  a fence that submit() of this device returned
  /// @return  -EALREADY it is signaled; -EOPNOTSUPP the driver has it, and can not cancel; -EINVAL
  /// null,
  ///          or no job of this device; -EOWNERDEAD in a child of fork()
  /// Blocks: while the driver's cancel() runs, on this thread or on the one that submits the job.
  /// Of a timeline, looks through the jobs that are pending.
  [[nodiscard]] std::error_code cancel(const fence_ref& f);

  /// A fence for those that submit() told -EAGAIN: signaled once fewer jobs are pending than its
  /// load allowed, or with -ENODEV when the unload begins. Others may be faster: then submit() says
  /// -EAGAIN again. Of a device without a limit, or with room, it is signaled already.
  /// @return  -ENODEV the module is being unloaded or gone; -ENOMEM
  [[nodiscard]] result<fence_ref> room();

  /// Shows a fence of somebody else to a driver that can observe.
  /// @return  -EOPNOTSUPP no such feature; -ENODEV; what the driver returned
  [[nodiscard]] std::error_code observe(const fence_ref& f);

  [[nodiscard]] std::string_view driver_name() const noexcept;
  [[nodiscard]] std::string_view timeline_name() const noexcept;
  [[nodiscard]] std::string_view description() const noexcept;  // one line for people, or empty
  /// The interface that gives its opcodes their meaning; empty and 0 if the driver says nothing of it.
  [[nodiscard]] std::string_view interface_name() const noexcept;
  [[nodiscard]] std::uint32_t interface_version() const noexcept;
  /// True: its opcodes are those of this interface, at least in this version. For code that was given
  /// the device.
  [[nodiscard]] bool has_interface(std::string_view name, std::uint32_t version) const noexcept;
  /// All options that the driver has, in its order.
  [[nodiscard]] std::span<const driver_option> options() const noexcept;
  [[nodiscard]] std::string_view path() const noexcept;
  /// Of its timeline. Its fences have this context if it completes jobs in order
  /// (UFENCE_F_TIMELINE), and each a context of its own otherwise (F19); in any case it is their
  /// owner()->context().
  [[nodiscard]] std::uint64_t context() const noexcept;
  [[nodiscard]] std::uint64_t instance() const noexcept;  // counts up over all loads of the process
  [[nodiscard]] std::uint64_t features() const noexcept;  // enum ufence_feature
  [[nodiscard]] bool is_independent() const noexcept;  // false: its fences pin the module (legacy)
  [[nodiscard]] device_stats stats() const noexcept;
  /// The notes of its load: warnings about its file, libraries that came with it and stay.
  /// Allocates: may throw std::bad_alloc.
  [[nodiscard]] std::vector<std::string> notes() const;

  struct impl;
  explicit device(std::unique_ptr<impl> state) noexcept;
  ~device();
  [[nodiscard]] impl& internals() noexcept { return *impl_; }

 private:
  std::unique_ptr<impl> impl_;
};
using device_ref = std::shared_ptr<device>;

/// Loads and unloads modules. Several hosts may exist. Threads: any, concurrently; one module is
/// unloaded by one thread at a time.
class UFENCE_API host {
 public:
  host();
  /// Unloads what is loaded (cancel, 2 s for each step); what stays pinned is reported and left
  /// mapped.
  ~host();
  host(const host&) = delete;
  host& operator=(const host&) = delete;

  /// Checks the file, maps it, validates its tables, runs init().
  /// @return  -ENOENT; -ENOEXEC not a module, or it can't be unmapped (unique symbols, NODELETE,
  ///          raw threads, or it or a library that it needs is damaged or missing): see why;
  ///          -EPROTO wrong ABI version or tables; -EEXIST this file is loaded already, by
  ///          whomever, or still mapped since an unload, or the parent's of this process: see why;
  ///          what init() returned; -ENOMEM, also for the thread-local data that all threads have
  ///          at once; what else the system refused the dynamic linker: -EMFILE, -ENFILE, -EAGAIN,
  ///          -EACCES, -EPERM, -EIO; -ENOSYS /proc is not mounted; -EPROTONOSUPPORT it has not the
  ///          interface that is wanted; -EINVAL an option that it does not have, or that is given
  ///          twice
  /// @param why  if not null, gets one line for people on failure
  /// News of a module that was loaded goes to the report handler, and to notes().
  /// Where its module has static objects, exit() of the process stops the device before they go; so
  /// do not _exit(), quick_exit() and abort().
  /// Blocks: while the file is read and init() runs. Context: not in module code (-EDEADLK).
  [[nodiscard]] result<device_ref> load(const std::string& path, std::string* why = nullptr);
  /// As above.
  [[nodiscard]] result<device_ref> load(const std::string& path, const load_options& options,
                                        std::string* why = nullptr);

  /// Unloads a module in eight steps, each reported (ARCHITECTURE.md). May be called again for a
  /// pinned or deferred one: it goes on where it stopped.
  /// @return  a report; -EDEADLK called from module code, from an op, retire or callback of the
  /// module,
  ///          from a callback on one of its fences, or with one of them queued on this thread;
  ///          -EBUSY another thread is unloading it; -ENODEV it is gone already, or not of this
  ///          host; -EOWNERDEAD it was loaded before a fork() of which this is the child
  [[nodiscard]] result<unload_report> unload(const device_ref& d,
                                             const unload_options& options = {});

  /// unload() on a thread of its own, for callers that must not wait; they may also be module code,
  /// or callbacks on its fences. The host's destructor waits for it.
  /// @param report  if not null, what unload() would return; written before the fence is signaled
  /// @return  a fence, signaled with 0 when it is unmapped; with -EBUSY when it is not, and
  /// `report`
  ///          says why; with an error of unload(). -ENOMEM, -EAGAIN no thread: nothing was begun;
  ///          -ENODEV not of this host
  [[nodiscard]] result<fence_ref> unload_async(const device_ref& d,
                                               const unload_options& options = {},
                                               unload_report* report = nullptr);

  /// Loads a module, and its file again whenever that is replaced or changed in place (watch.h).
  /// @return  what load() returns; -EMFILE, -ENFILE, -ENOMEM, -EAGAIN: it can't be watched
  [[nodiscard]] result<std::unique_ptr<module_watch>> watch(const std::string& path,
                                                            const watch_options& options,
                                                            std::string* why = nullptr);

  /// Looks again after deferred ones; returns how many are unmapped now.
  std::size_t retry_deferred();

  [[nodiscard]] std::vector<device_ref> devices() const;

  struct impl;

 private:
  std::unique_ptr<impl> impl_;
};

}  // namespace ufence
