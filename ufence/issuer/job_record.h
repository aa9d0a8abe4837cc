// The host's record of a job: the part that the driver sees, the right to signal its fence, the
// callbacks on its in-fences, a copy of its arguments.
//
// Records are type-stable while the module is there, and used again only after many others, so that a
// driver that decides a job twice is found out (D-5), and one that writes to its arguments after the
// decision (D-6).
//
// phase:  vacant -> preparing -> waiting -> ready -> with_driver -> decided  -> vacant
//                                      |       |                |-> completed (an op said so)
//                                      +-------+-> decided, given_up (the driver never saw it)
// The thread that moves the phase to one of the last three has decided the job, and nobody else may. Which
// fields of a record that is not vacant may be touched by whom:
//   set by the submitting thread before `waiting`: everything but what follows
//   by CAS: phase.    RMW: asked, deadline, in_pending, in_error, inside
//   guarded by the device's lock: links, was_cancelled, turn
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <system_error>

#include "ufence/base/api.h"
#include "ufence/base/atomic.h"
#include "ufence/base/lock.h"
#include "ufence/driver.h"
#include "ufence/fence/fence.h"
#include "ufence/issuer/host.h"

namespace ufence::detail {

struct job_record;

/// The function of an in_fence, and the retire op of all jobs: to tell them from others.
[[nodiscard]] callback_function callback_of_in_fences() noexcept;
/// Asks the driver that has the job of this fence to cancel it, or ends it if no driver has seen it.
/// @return  as device::cancel(); -EINVAL also for a job of a driver with UFENCE_F_TIMELINE or UFENCE_F_LEGACY
[[nodiscard]] std::error_code cancel_job_of(fence& f) noexcept;
using retire_function = void (*)(backend*, retired_by) noexcept;
[[nodiscard]] retire_function retire_of_jobs() noexcept;

/// A callback on an in-fence of a job.
struct in_fence : callback {
  in_fence() noexcept = default;
  job_record* job = nullptr;
  fence_ref on;  // until the job goes to the driver, or is given up
};

enum class job_phase : std::uint32_t {
  vacant,
  preparing,    // the submitting thread registers callbacks on its in-fences
  waiting,      // for the in-fences
  ready,        // the thread that saw the last in-fence has it; a timeline's job then waits for its turn
  with_driver,  // submit() was called
  decided,
  completed,    // decided, by the result of an op
  given_up,     // decided, by the host
};

/// Requests that came for a job before it was with the driver: bits of `asked`.
namespace asked_bit {
inline constexpr std::uint32_t accepted = 1;      // the driver has it: ask itself
inline constexpr std::uint32_t enable = 2;
inline constexpr std::uint32_t deadline = 4;
inline constexpr std::uint32_t cancel = 8;
}  // namespace asked_bit

/// Ops of a driver for one job.
enum class job_op : std::uint32_t { submit, enable_signaling, poll, set_deadline, cancel, wait };
inline constexpr std::uint32_t job_op_count = 6;

/// How many of which op are inside now: for people.
class ops_inside {
 public:
  void enter(job_op op) noexcept { counts_.fetch_add(one(op), mo::relaxed); }  // relaxed: for people
  void leave(job_op op) noexcept { counts_.fetch_sub(one(op), mo::relaxed); }  // relaxed: for people
  [[nodiscard]] bool any() const noexcept { return counts_.load(mo::relaxed) != 0; }  // relaxed: likewise
  [[nodiscard]] bool has(job_op op) const noexcept {
    // relaxed: for people
    return (counts_.load(mo::relaxed) & (one(op) * field_max)) != 0;
  }

 private:
  static constexpr std::uint32_t field_bits = 10;
  static constexpr std::uint64_t field_max = (1U << field_bits) - 1;
  static constexpr std::uint64_t one(job_op op) noexcept {
    return std::uint64_t{1} << (field_bits * static_cast<std::uint32_t>(op));
  }
  atomic<std::uint64_t> counts_{0};
};

/// Marks an op for a scope.
class marked_op {
 public:
  marked_op(ops_inside& inside, job_op op) noexcept : inside_(inside), op_(op) { inside.enter(op); }
  ~marked_op() { inside_.leave(op_); }
  marked_op(const marked_op&) = delete;
  marked_op& operator=(const marked_op&) = delete;

 private:
  ops_inside& inside_;
  const job_op op_;
};

/// The part of a record that only jobs of drivers with timelines use: the job's place among the timeline's jobs. It is in one
/// of the queues of timeline_jobs until its record is vacant. Guarded by the device's lock.
struct job_turn {
  fence_ref held;              // keeps the job's fence alive while the record is not vacant
  job_record* next = nullptr;  // in its queue
  std::uint32_t users = 0;     // the host uses the record, it does not become vacant
  bool is_ready = false;       // its in-fences are done, and no thread has it
  bool wants_cancel = false;   // the driver is asked to cancel it once it has it
  bool is_done = false;        // decided
};

struct job_record : backend {
  static constexpr std::size_t inline_args_max = 128;
  static constexpr std::size_t inline_in_fences_max = 2;

  job_record() noexcept : backend{nullptr} {}

  ufence_job job{};
  device::impl* owner = nullptr;
  cell<std::uint64_t> seqno;       // job.seqno is the driver's to spoil
  atomic<job_phase> phase{job_phase::vacant};
  atomic<std::uint32_t> asked{0};
  atomic<std::int64_t> deadline{no_deadline};  // the soonest asked for
  cell<bool> is_known;             // accepted, or may be: retire() concerns it. Inside submit's op only
  bool runs_after_failure = false;
  signaler right;                  // who decides takes it; timelines have none
  cell<fence*> of;                 // its fence: alive while the record is not vacant

  std::array<in_fence, inline_in_fences_max> inline_in;
  in_fence* in = inline_in.data();
  cell<std::uint32_t> in_count;
  atomic<std::uint32_t> in_pending{0};  // callbacks that did not run, and the submitting thread
  atomic<std::int32_t> in_error{0};     // the first one

  ops_inside inside;

  job_record* next = nullptr;      // live list, or free list
  job_record* previous = nullptr;
  bool was_cancelled = false;      // the driver was asked to
  job_turn turn;                   // of drivers with timelines

  alignas(16) std::array<std::byte, inline_args_max> inline_args{};
  std::byte* args = inline_args.data();
  std::size_t args_size = 0;       // job.args_size likewise
  std::size_t args_room = inline_args_max;
  bool is_poisoned = false;        // since it was decided, until it is used again

  /// The record of a job as the driver knows it; nullptr for a copy of a job.
  [[nodiscard]] static job_record* of_job(ufence_job* job) noexcept {
    auto* const record = job != nullptr ? static_cast<job_record*>(job->host) : nullptr;
    return record != nullptr && &record->job == job ? record : nullptr;
  }
  /// Moves the phase; one of several callers succeeds.
  [[nodiscard]] bool elect(job_phase from, job_phase to) noexcept {
    // relaxed: it elects; what the winner reads was handed to it with the record
    return phase.compare_exchange(from, to, mo::relaxed, mo::relaxed);
  }
  [[nodiscard]] job_phase phase_now() const noexcept {
    // relaxed: stale on return, or the caller's own
    return phase.load(mo::relaxed);
  }

  /// Room for arguments and in-fences. False: no memory.
  [[nodiscard]] bool reserve(std::size_t args_bytes, std::size_t in_fences) noexcept;
  /// Drops the references to the in-fences, whose callbacks have run or are removed.
  void drop_in_fences() noexcept;
  /// D-6: makes a later write by the driver visible; and looks for one.
  void poison_args() noexcept;
  [[nodiscard]] bool is_poison_intact() const noexcept;
  /// D-10: the same for what is the driver's in the job, of a record that is vacant.
  void poison_private() noexcept;
  [[nodiscard]] bool is_private_intact() const noexcept;
  /// Gives back what does not fit into the record.
  void free_args() noexcept;
  void free_in_fences() noexcept;
};

/// Records in the order of their seqnos. Device lock held.
struct job_queue {
  job_record* first = nullptr;
  job_record* last = nullptr;

  void push(job_record& r) noexcept {
    r.turn.next = nullptr;
    (last != nullptr ? last->turn.next : first) = &r;
    last = &r;
  }
  /// Not when it is empty.
  job_record& pop() noexcept {
    job_record& r = *first;
    first = r.turn.next;
    if (first == nullptr) last = nullptr;
    return r;
  }
};

/// The jobs of a driver with a timeline, in the order that it promised. Guarded by the device's lock.
struct timeline_jobs {
  job_queue turns;                   // not submitted, by seqno
  job_queue with_device;             // submitted, by seqno
  bool is_submitting = false;        // a thread takes the turns
  std::uint64_t last_submitted = 0;  // the seqno of the newest that was submitted
};

/// The records of a device. Guarded by the device's lock where it says so.
class job_pool {
 public:
  /// Records that are vacant at least before one of them is used again.
  static constexpr std::size_t quarantine = 128;

  job_pool() noexcept = default;
  ~job_pool();
  job_pool(const job_pool&) = delete;
  job_pool& operator=(const job_pool&) = delete;

  /// A vacant record, now preparing, at the end of the live list; nullptr: no memory. Device lock held.
  [[nodiscard]] job_record* take() noexcept;
  /// Unlinks a record from the live list. Device lock held.
  void unlink(job_record& record) noexcept;
  /// An unlinked record is vacant. Device lock held.
  void put(job_record& record) noexcept;
  /// Gives all memory back; all records are vacant, and no driver knows them.
  void clear() noexcept;

  [[nodiscard]] job_record* first() const noexcept { return first_; }
  /// The newest vacant records, as many as the quarantine keeps. Device lock held, or no one else.
  template <class Each>
  void for_newest_vacant(Each each) noexcept {
    std::size_t n = quarantine;
    for (job_record* r = free_last_; r != nullptr && n != 0; r = r->previous, --n) each(*r);
  }

 private:
  struct chunk;
  [[nodiscard]] bool grow() noexcept;

  job_record* first_ = nullptr;  // live
  job_record* last_ = nullptr;
  job_record* free_first_ = nullptr;  // the oldest
  job_record* free_last_ = nullptr;
  std::size_t free_count_ = 0;
  chunk* chunks_ = nullptr;
};

}  // namespace ufence::detail
