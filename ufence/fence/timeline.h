// timeline: an ordered sequence of fences that complete by number, without anything per fence.
//
// A timeline is the fence context of the kernel: id, names, seqnos; counted, shared by its fences,
// owned by the library. Its issuing handle is timeline_issuer.
//
// Only a fence that somebody waits on, or put a callback on, is *awaited*: linked in seqno order.
// Completing n fences that nobody observes is one RMW and one load. Adding looks for its place from
// the ends of the list: adding many in no order at all is slow.
//
//   value_      bits 0..62 the highest completed seqno, bit 63 CLOSED; moves forward only
//   awaited_min_  the lowest awaited seqno, or none
//
// Orders (SB, store buffering: of value and awaited_min_ at least one side sees the other's store):
//   TL.1 move value_             -> TL.2 load awaited_min_, drain   (completing)
//   TL.3 store awaited_min_      -> TL.4 load value_                (awaiting)
// Closing always drains; the lock orders it with the thread that adds a fence.
// The thread that unlinks an awaited entry settles its fence, also if another marked it signaled.
//
// Order (F19): a consumer that drops a fence for a later one adds the dropped one to the list,
// SILENT, and sets IN_TURN in the later one. If the issuer signals that alone while an earlier one
// is in the list, it stays there, with its result and AHEAD, and is signaled when it is the first
// there. Lock ranks: fence, then timeline.
#pragma once

#include <cstdint>
#include <string_view>
#include <utility>

#include "ufence/base/api.h"
#include "ufence/base/atomic.h"
#include "ufence/base/lock.h"
#include "ufence/base/result.h"
#include "ufence/fence/fence.h"
#include "ufence/fence/reference_count.h"
#include "ufence/fence/seqno.h"

namespace ufence {

class timeline;
using timeline_ref = ref<timeline>;

/// The properties of a new timeline. The names are copied.
struct timeline_options {
  std::string_view driver_name = {};
  std::string_view timeline_name = {};
  std::uint64_t initial_seqno = 0;  // completed at birth; the first fence has the next one
  /// Timeline ops (request_notify, set_deadline, retire), or null: one gate and one retire for
  /// the timeline.
  /// Every hint for one of its fences reaches set_deadline: the op keeps the soonest, it knows what
  /// is complete. Valid until retire.
  backend* data = nullptr;
  /// The word that the device writes completed seqnos to (low 32 bits), or null; read by notify()
  /// only, and when a wait begins, never after fail() or decide_fail() returned: it stays mapped
  /// until then.
  const atomic<std::uint32_t>* device_word = nullptr;
  /// An address in the code that the timeline belongs to, for those who look into a process that
  /// hangs; null: the caller.
  const void* made_by = nullptr;
};

/// The part of a timeline that its fences share. Threads: any, concurrently.
class UFENCE_API timeline {
 public:
  timeline(const timeline&) = delete;
  timeline& operator=(const timeline&) = delete;

  /// Of the fences of emit().
  [[nodiscard]] std::uint64_t context() const noexcept { return context_; }
  /// Of the fence of create_unordered() or create_legacy_fence() with this seqno: a context of its
  /// own. It is used again after 2^32 fences of this timeline.
  [[nodiscard]] std::uint64_t unordered_context(std::uint64_t seqno) const noexcept {
    return unordered_contexts_ | static_cast<std::uint32_t>(seqno);
  }
  [[nodiscard]] std::string_view driver_name() const noexcept { return driver_name_; }
  [[nodiscard]] std::string_view timeline_name() const noexcept { return timeline_name_; }
  /// The highest seqno completed by signal_up_to() or notify().
  [[nodiscard]] std::uint64_t completed() const noexcept;
  /// The highest seqno emitted.
  [[nodiscard]] std::uint64_t emitted() const noexcept;
  /// Failed, or its issuing handle is gone: nothing on it is pending any more.
  [[nodiscard]] bool is_closed() const noexcept;

  void get() noexcept;
  void put() noexcept;

 private:
  friend class fence;
  friend class timeline_issuer;
  friend struct detail::live_access;
  friend struct detail::debug_access;
  friend struct trace::fence_access;

  static constexpr std::uint64_t seqno_max = (std::uint64_t{1} << 62) - 1;  // of the first fence
  static constexpr std::uint64_t closed = std::uint64_t{1} << 63;
  static constexpr std::uint64_t none = UINT64_MAX;
  static constexpr std::uint64_t lowest = none - 1;  // tell: whatever is the lowest then

  timeline() noexcept = default;
  ~timeline() = default;

  // 0 pending; 1 completed; <0 failed with that error: of a seqno, by a value that was read.
  [[nodiscard]] int decided(std::uint64_t seqno, std::uint64_t value) const noexcept;

  // The fate of a fence that is marked while it may be in the list.
  struct removal {
    bool is_mine = false;          // this call unlinked it: its reference is the caller's
    bool nothing_to_call = false;  // it is settled as well
    bool frees_another = false;    // the first in the list is AHEAD now: signal_ahead()
  };
  // The fence's LOCK is held. add_awaited: false, completed meanwhile; `to_tell` becomes the seqno
  // that the device has to be told, or stays. hold: true, an earlier one is linked, so this one is
  // linked as well, and AHEAD.
  bool add_awaited(fence& f, bool silently, std::uint64_t& to_tell) noexcept UFENCE_EXCLUDES(lock_);
  removal mark_and_remove(fence& f, int error) noexcept UFENCE_EXCLUDES(lock_);  // drops LOCK
  bool hold(fence& f) noexcept UFENCE_EXCLUDES(lock_);
  void signal_ahead(settlement& later) noexcept UFENCE_EXCLUDES(lock_);
  void note_linked(fence& f, std::uint32_t flags) noexcept UFENCE_REQUIRES(lock_);
  static bool is_ahead(const fence& f) noexcept;
  static fence* previous(const fence& f) noexcept;
  static void set_previous(fence& f, fence* before) noexcept;
  void link(fence& f) noexcept UFENCE_REQUIRES(lock_);
  void unlink(fence& f) noexcept UFENCE_REQUIRES(lock_);
  void call_request_notify(std::uint64_t seqno) noexcept;  // the op, then notify; no lock held
  void tell(std::uint64_t seqno) noexcept;                 // that, or tell_minimum(); no lock held

  void complete_up_to(std::uint64_t seqno, settlement& later) noexcept;
  void complete_recorded(std::uint64_t seqno, bool completes_awaited, settlement& later) noexcept;
  void close(int error, settlement& later) noexcept;
  std::error_code fold_device_word(settlement& later) noexcept UFENCE_EXCLUDES(lock_);
  void drain(settlement& later) noexcept UFENCE_EXCLUDES(lock_);
  void set_deadline(absolute_deadline deadline_ns) noexcept;
  void tell_minimum() noexcept
      UFENCE_EXCLUDES(lock_);  // request_notify() for a minimum that rose; no lock held
  [[nodiscard]] int decided_inherited(const fence& f) const noexcept;
  [[nodiscard]] bool is_inherited() const noexcept;

  atomic<std::uint64_t> value_{0};
  atomic<std::uint64_t> awaited_min_{none};
  atomic<std::uint64_t> emitted_{0};
  atomic<std::uint64_t> last_ordered_{0};  // the latest of emit(); for the report of a drop
  [[gnu::visibility("hidden")]] static constexpr counted_object counted{.text = "a timeline"};
  reference_count references_;
  atomic<std::int32_t> close_error_{0};  // set before CLOSED, once
  mutex lock_{lock_rank::timeline};
  fence* first_ UFENCE_GUARDED_BY(lock_) = nullptr;  // awaited, by rising seqno
  fence* last_ UFENCE_GUARDED_BY(lock_) = nullptr;
  std::uint64_t told_ UFENCE_GUARDED_BY(lock_) = none;  // the op was called for this minimum
  std::uint32_t generation_ = 0;  // of fork(); constant after creation, as all below
  std::uint64_t context_ = 0;
  std::uint64_t unordered_contexts_ = 0;  // 2^32 of them, from this one on
  std::string_view driver_name_;          // in the same block of memory
  std::string_view timeline_name_;
  const atomic<std::uint32_t>* device_word_ = nullptr;
  const void* maker_ = nullptr;        // timeline_options::made_by; for people
  timeline* next_live_ = nullptr;      // in the list of those that live (live.h): its lock
  timeline* previous_live_ = nullptr;  // the same
  atomic<std::uint32_t> named_in_{0};  // the recording that knows its names; see trace.cc
  // With ops: a fence whose gate and retire are the timeline's (its backend is
  // timeline_options::data). Decided by close.
  fence* gate_ = nullptr;
};

/// The issuing handle: the one who owns it completes the timeline's fences. Move-only; dropping it
/// fails what is pending with -ECANCELED and reports it (F12), if the value has not reached the
/// last seqno of emit(); call fail() to end a timeline without a report. In a child of fork() the
/// handle of a parent does nothing. Threads: emit, create, signal_up_to, decide_up_to, notify,
/// decide_notify, signal, decide, fail: any, concurrently. Moving and dropping: alone; a handle
/// that was moved from can only be assigned to or dropped.
class UFENCE_API timeline_issuer {
 public:
  /// @return  -ENOMEM; -EINVAL initial_seqno is not below 2^62
  [[nodiscard]] static result<timeline_issuer> create(const timeline_options& options) noexcept;

  timeline_issuer(timeline_issuer&& other) noexcept : line_(std::move(other.line_)) {}
  timeline_issuer& operator=(timeline_issuer&& other) noexcept;
  ~timeline_issuer() { drop(); }

  /// The next fence of the sequence. On a closed timeline it is born failed.
  /// @return  -ENOMEM (no seqno is used up); -EOWNERDEAD the timeline is a parent process's (F18)
  /// Allocates: 64 bytes of the library's slabs. Blocks: never.
  [[nodiscard]] result<fence_ref> emit() noexcept;

  /// A fence of this timeline, with its names and its next seqno, that completes by itself: out of
  /// order, with a backend of its own. So it has a context of its own (see fence::context()).
  /// `signal_up_to` does not concern it.
  /// @return  -ENOMEM; -ECANCELED the timeline is closed; -EOWNERDEAD as emit()
  [[nodiscard]] result<new_fence> create_unordered(backend* data) noexcept;
  [[nodiscard]] result<new_fence> create_unordered() noexcept { return create_unordered(nullptr); }
  /// The same with memory that was reserved: it cannot fail, and asks for nothing. On a closed
  /// timeline, or on that of a parent process, too, the right alone decides the fence.
  /// @param memory  has room
  [[nodiscard]] new_fence create_unordered(fence_room memory, backend* data = nullptr) noexcept;
  /// The same with the timeline's context. Its issuer signals these fences in the order of their
  /// seqnos (F19), each by itself.
  [[nodiscard]] result<new_fence> create_in_order(backend* data = nullptr) noexcept;

  /// All fences up to this seqno succeeded, also those that are emitted later. Callbacks run here.
  /// Moves forward only: an older seqno changes nothing; nor does one from 2^63 on, which no fence
  /// has; nothing is changed on a closed timeline. Costs the same for any number of
  /// fences that nobody observes. Blocks: never by itself. Allocates: never. Context: signalling
  /// path ok; no lock of the caller's that callbacks take.
  void signal_up_to(std::uint64_t seqno) noexcept;
  /// The first half of it: marks and wakes; any lock may be held (F5).
  void decide_up_to(std::uint64_t seqno, settlement& later) noexcept;

  /// One emitted fence by itself: out of order, or with an error. Its result is fixed at once. If
  /// somebody keeps it for earlier ones that are pending (F19), it is signaled when those are.
  /// @return  true this call decided it; false it was decided before, or is not an emitted fence of
  ///          this timeline
  bool signal(fence& f, int error = 0) noexcept;
  bool decide(fence& f, int error, settlement& later) noexcept;

  /// Closes the timeline: everything not completed ends with the error, now and in future. The
  /// first call decides; later ones change nothing.
  /// @param error  a negative errno; anything else becomes -EINVAL and is reported (F2; not by
  ///               decide_fail)
  void fail(int error) noexcept;
  void decide_fail(int error, settlement& later) noexcept;

  /// The device may have written its word: looks, completes, drains. Call it from the interrupt
  /// handler.
  /// @return  0; -EINVAL no device word; -EPROTO the word is beyond what was emitted (reported,
  ///          nothing is signaled)
  std::error_code notify() noexcept;
  std::error_code decide_notify(settlement& later) noexcept;

  /// After fail(): waits until no timeline op runs and retire is done. Errnos of
  /// fence::wait_quiesced().
  [[nodiscard]] std::error_code wait_quiesced(absolute_deadline deadline_ns = no_deadline) noexcept;

  [[nodiscard]] const timeline_ref& line() const noexcept { return line_; }

 private:
  explicit timeline_issuer(timeline_ref line) noexcept : line_(std::move(line)) {}
  void drop() noexcept;
  friend class embedded_fence;
  result<new_fence> create(std::uint32_t kinds, backend* data) noexcept;
  fence* new_slot(std::uint64_t& seqno) noexcept;
  std::uint64_t number(fence& slot) noexcept;
  static std::string_view copy_name(std::string_view name, char* to) noexcept;

  timeline_ref line_;
};

}  // namespace ufence
