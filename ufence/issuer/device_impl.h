// One loaded instance of a driver: what the host keeps of it, for its sources.
//
// Lock ranks: device (lock), then those of the fence layer, then violations. A driver's locks may
// be held when it calls us; nothing of ours is held when we call it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "ufence/base/atomic.h"
#include "ufence/base/lock.h"
#include "ufence/driver.h"
#include "ufence/fence/callback.h"
#include "ufence/fence/fence.h"
#include "ufence/fence/timeline.h"
#include "ufence/foreign/legacy.h"
#include "ufence/issuer/counters.h"
#include "ufence/issuer/driver_threads.h"
#include "ufence/issuer/host.h"
#include "ufence/issuer/job_record.h"
#include "ufence/issuer/violations.h"
#include "ufence/module/bounded_call.h"
#include "ufence/module/loader.h"
#include "ufence/trace/format.h"

// The C name of a device::impl.
struct ufence_device {};

namespace ufence {

struct thread_state;

namespace detail {

class module_scope;

/// The functions that drivers call (host_table.cc).
[[nodiscard]] const ufence_host& host_table() noexcept;

/// The driver has the job: asks it what was asked for before (ops.cc). Inside an op of its fence.
void accept(job_record& r) noexcept;

/// Keeps what is asked of a job; true: the driver has the job, ask it now (ops.cc).
[[nodiscard]] bool ask(job_record& r, std::uint32_t what) noexcept;

/// The data of a timeline's gate, with its ops: request_notify, set_deadline, retire_timeline.
struct timeline_backend : backend {
  device::impl* owner = nullptr;
};

}  // namespace detail

struct device::impl final : ::ufence_device {
  explicit impl(std::unique_ptr<loaded_module> loaded, std::uint64_t number);
  ~impl();

  // --- Constant once the device is handed out. ---
  std::unique_ptr<loaded_module> module;
  const ufence_driver* driver = nullptr;  // null once exit() was called
  const ufence_device_ops* ops = nullptr;
  void* state = nullptr;  // what init() made
  std::uint64_t features = 0;
  std::string driver_name, timeline_name, description, path;
  std::string interface_name;
  std::uint32_t interface_version = 0;
  std::vector<driver_option> driver_options;
  std::uint64_t instance = 0;
  std::uint64_t context = 0;
  std::uint32_t pending_max = 0;                       // jobs; 0: no limit
  std::uint32_t generation = 0;                        // of fork()s
  const atomic<std::uint32_t>* device_word = nullptr;  // set in init()
  backend_ops job_ops, line_ops;
  legacy_ops old_ops;  // of drivers with legacy fences
  detail::timeline_backend line_data{{&line_ops}, this};
  std::optional<timeline_issuer> line;  // made after init(); see has_line

  // --- Shared. ---
  detail::module_gate gate;         // threads in ops of the module
  detail::zero_counter submitters;  // threads in submit() and observe() of the host
  detail::zero_counter pending;     // jobs that are not decided
  detail::zero_counter unretired;   // records not vacant; and the timeline's gate
  detail::violation_list violations;
  callback_group callbacks;  // of the module, on fences of others
  detail::driver_threads threads{*this};
  atomic<std::uint64_t> submitted{0}, retired_by_settlement{0}, retired_by_last_op{0};
  atomic<std::uint64_t> unload_drained{0}, unload_cancelled{0};
  atomic<std::uint32_t> refuses_callbacks{0};   // unloading has begun
  atomic<std::uint32_t> has_line{0};            // threads that init() started may look for it
  atomic<std::uint32_t> is_stopped{0};          // stop() has returned
  atomic<std::uint32_t> makes_late_objects{0};  // its first submit() may register static objects

  mutex lock{lock_rank::device};
  detail::job_pool jobs UFENCE_GUARDED_BY(lock);
  bool is_accepting UFENCE_GUARDED_BY(lock) = false;
  detail::timeline_jobs in_order UFENCE_GUARDED_BY(lock);  // of drivers with timelines
  // The fence of room() and the right to signal it: while `pending` is watched.
  fence_ref room_fence UFENCE_GUARDED_BY(lock);
  signaler room_right UFENCE_GUARDED_BY(lock);

  // --- Unloading: by the thread that has `is_unloading`. ---
  atomic<std::uint32_t> is_unloading{0};
  atomic<int> next_step{1};  // beyond 8: it is gone
  unload_report report;
  detail::bounded_call slow_call;  // into the module: it may be under way between two attempts
  mapping last_mapping = mapping::mapped;
  atomic<std::uint32_t> has_ended{0};  // exit() of the process stops it, as far as can be: it stays mapped

  // --- A module that stays mapped when its host goes (host.cc). ---
  impl* next_left = nullptr;
  device_ref self;

  [[nodiscard]] bool is_gone() const noexcept {
    // relaxed: nothing hangs on it
    return next_step.load(mo::relaxed) > 8;
  }
  [[nodiscard]] bool has(std::uint64_t feature) const noexcept { return (features & feature) != 0; }
  [[nodiscard]] bool is_timeline() const noexcept { return has(UFENCE_F_TIMELINE); }
  [[nodiscard]] bool is_legacy() const noexcept { return has(UFENCE_F_LEGACY); }
  /// Of the fence of the job with this seqno.
  [[nodiscard]] std::uint64_t context_of_job(std::uint64_t seqno) const noexcept {
    return is_timeline() ? context : line->line()->unordered_context(seqno);
  }

  [[nodiscard]] bool has_interface(std::string_view name, std::uint32_t version) const noexcept;
  /// Empty: its opcodes are the ones that are wanted; else one line for people.
  [[nodiscard]] std::string check_interface(const load_options& wanted);
  /// Takes the values that are given for options. Empty, or one line for people.
  [[nodiscard]] std::string set_options(const load_options& wanted);
  /// The value of an option of the driver; null: it has none of that name.
  [[nodiscard]] const char* option(const char* name) const noexcept;
  /// Calls the driver's init() and makes its timeline. 0 or -errno, then nothing is left of it, but
  /// `why` may say that threads are.
  [[nodiscard]] int start(std::string& why);
  /// Chooses the ops that fences and the timeline get (ops.cc).
  void set_ops() noexcept;
  [[nodiscard]] int make_fence(detail::job_record& r, fence_ref& f) noexcept;
  void submit_now(detail::job_record& r) noexcept;
  void take_turn(detail::job_record& r) noexcept;
  void forget(detail::job_record& r) noexcept;

  // --- Jobs (submit.cc). ---
  [[nodiscard]] result<fence_ref> submit(const job_request& request) noexcept;
  [[nodiscard]] std::error_code observe(const fence_ref& f) noexcept;
  [[nodiscard]] std::error_code cancel(fence& f) noexcept;
  [[nodiscard]] result<fence_ref> room() noexcept;
  /// `pending` went down, and is watched: there may be room.
  void tell_room(settlement& later) noexcept;
  [[nodiscard]] signaler take_room() noexcept UFENCE_REQUIRES(lock);
  /// Nothing is accepted any more.
  void close_room() noexcept;
  /// Its in-fences are done: to the driver, or to its end.
  void job_ready(detail::job_record& r) noexcept;
  /// Timelines: gives the driver the jobs whose turn it is.
  void submit_in_turn() noexcept;

  // --- Decisions (decide.cc). ---
  /// Decides; the caller has moved the phase, and is the only one. Without a timeline the record may
  /// be vacant afterwards. Runs no foreign code.
  void finish(detail::job_record& r, int error, settlement& later) noexcept;
  /// Timelines: records that are decided become vacant, in order. Something else than those records
  /// keeps the device.
  void reap(settlement& later) noexcept;
  /// A record's data is nobody's any more: it becomes vacant. The device may go right after it.
  void retired(detail::job_record& r, retired_by who) noexcept;

  // --- Ending jobs from the host's side (cancel.cc). ---
  /// Fences of the jobs that are not decided.
  [[nodiscard]] std::vector<fence_ref> pending_fences();
  /// Ends the jobs that wait for their in-fences, or their turn.
  void give_up_waiting() noexcept;
  /// Asks the driver to end one; each once. Inside an op of its fence, or it is in use.
  void call_cancel(detail::job_record& r) noexcept;
  /// The driver has accepted it.
  void cancel_accepted(detail::job_record& r) noexcept;
  [[nodiscard]] std::error_code cancel_in_line(fence& f) noexcept;
  [[nodiscard]] std::error_code cancel_single(detail::job_record& r) noexcept;
  /// Asks the driver to end the others; each once.
  void ask_to_cancel() noexcept;
  /// After stop(): ends all that are not decided.
  void fail_pending() noexcept;
  /// Waits until all jobs are decided. True, or false at the deadline.
  [[nodiscard]] bool wait_for_jobs(std::int64_t deadline_ns) noexcept;

  // --- Unloading (unload.cc). ---
  [[nodiscard]] result<unload_report> unload(const unload_options& options) noexcept;
  /// Looks again at a mapping that was deferred or pinned; true: it has gone.
  [[nodiscard]] bool retry_unmapping() noexcept;
  /// A step of its life, for a recording: event::module_load, event::module_step.
  void record(trace::event what, int step, int error) const noexcept;
  /// exit() was called: stops the device and ends its module's work, before its static objects go.
  /// Also from module code: then without its exit().
  /// @param caller  the thread that called it, which stands still
  /// @param at      where that one is; null: in no module
  void end_with_process(const thread_state& caller, const detail::module_scope* at) noexcept;
};

}  // namespace ufence
