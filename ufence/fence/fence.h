// fence: the completion of some work, one-way, shared by everybody who waits for it, independent of
// the module that issued it.
//
// Life: pending -> signaled (the result is fixed, waiters wake) -> settled (all callbacks have
// returned). Beside it, for a fence with a backend: retired (the issuer's data is the issuer's
// again).
//
// Operation x operation, for one fence ("-" any threads at once, "X" the caller excludes it).
// Each call needs a reference.
//
//                     get/put  look  wait  callbacks  ops  decide  settle
//   get / put            -      -     -       -        -     -       -
//   look (is_*, status)  -      -     -       -        -     -       -
//   wait, wait_quiesced  -      -     -       -        -     -       -
//   add/remove callback  -      -     -       X        -     -       -     X: one node, two callers
//   ops (poll, ...)      -      -     -       -        -     -       -
//   decide (signal)      -      -     -       -        -     -       -     of two, one wins: F1
//   settle               -      -     -       -        -     -       X     X: in one settlement
//
// Lock rank: fence, then timeline, then callback group. No lock is held over foreign code (F9).
// Orders (the protocol is model-checked; docs/CONTRACT.md, "Memory order"):
//   FENCE.1/2/15  lock and unlock of LOCK          FENCE.7/8    running callbacks, remove_callback
//   FENCE.1/15/36/37/38 a decision without LOCK, add_callback
//   FENCE.29/30   dropping LOCK, sleeping          FENCE.31/32/34/35 the settling thread, remove_callback
//   FENCE.3/4     the decision against lookers     FENCE.9/16   settled against wait_settled
//   FENCE.5/6     enter and leave of an op         FENCE.10/18  retired against wait_quiesced
//   FENCE.11..14  references and get_rcu           TL.*         timelines (timeline.h)
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <system_error>

#include "ufence/base/api.h"
#include "ufence/base/atomic.h"
#include "ufence/base/clock.h"
#include "ufence/base/fd.h"
#include "ufence/base/result.h"
#include "ufence/fence/backend.h"
#include "ufence/fence/callback.h"
#include "ufence/fence/ref.h"
#include "ufence/fence/reference_count.h"
#include "ufence/fence/seqno.h"
#include "ufence/fence/settlement.h"
#include "ufence/fence/signaler.h"
#include "ufence/fence/state.h"

namespace ufence {

class fence;
class timeline;
class timeline_issuer;
namespace detail {
struct live_access;
struct debug_access;  // reads what the classes of the library keep for themselves: debug/access.h
struct c_access;      // what the interface in C takes of a fence: c/fence.cc
}  // namespace detail
namespace trace {
struct fence_access;  // the same for trace.h
}
class callback_batch;
enum class batch_place : std::uint8_t;

/// See the top of this file. 64 bytes (F14); lives in the library's own type-stable memory, there
/// one cache line, and is handled through fence_ref.
class UFENCE_API alignas(16) fence {
 public:
  /// Where the library has the choice, a fence begins a cache line; in memory of others it may lie
  /// where malloc() puts things.
  static constexpr std::size_t preferred_alignment = 64;

  fence(const fence&) = delete;
  fence& operator=(const fence&) = delete;

  /// Makes a pending fence with a context of its own kind.
  /// @param context  an id from allocate_contexts(). Fences of one context are signaled in the order
  ///                 of their seqnos (F19): one that may overtake others needs its own context.
  /// @param data     the issuer's data with its ops, or nullptr; stays until retire
  /// @return  -ENOMEM
  /// Threads: any. Blocks: never. Allocates: 64 bytes of the library's slabs.
  /// Source: Linux dma_fence_init64(); differs: the library owns the memory, no lock argument
  [[nodiscard]] static result<new_fence> create(std::uint64_t context, std::uint64_t seqno,
                                                backend* data = nullptr) noexcept;

  /// The fence that is signaled already, shared by all: context 0, seqno 0, error 0, since the
  /// library was loaded. Its references cost nothing.  Source: Linux dma_fence_get_stub()
  [[nodiscard]] static fence_ref stub() noexcept { return fence_ref::adopt(&stub_); }

  /// A fence of its own that was signaled at that time, ns of CLOCK_MONOTONIC; -ENOMEM.
  /// Source: Linux dma_fence_allocate_private_stub()
  [[nodiscard]] static result<fence_ref> create_signaled(std::int64_t timestamp_ns) noexcept;

  /// Reserves n consecutive context ids, returns the first. Never 0.
  /// Source: Linux dma_fence_context_alloc()
  [[nodiscard]] static std::uint64_t allocate_contexts(std::uint64_t n) noexcept;

  /// Takes a reference to the fence in a slot that others may change; null if the slot is or
  /// becomes empty. The slot's memory must stay (an RCU read section or a lock of the caller). The
  /// fence need not, its memory is type-stable; but where the slot may hold a container, whose
  /// memory is not, call it inside an RCU read section. Lock-free. Source: Linux
  /// dma_fence_get_rcu_safe()
  [[nodiscard]] static fence_ref get_rcu(const atomic<fence*>& slot) noexcept;

  // --- Looking: no lock, no foreign code, any thread with a reference (F17). ---

  /// True once the result is fixed; error() and timestamp_ns() are readable then, and stay (F3).
  /// One acquire load for a fence marked so; the first look at a completed timeline fence marks it.
  /// Source: Linux dma_fence_is_signaled(); differs: calls no op, runs no callback (see poll())
  [[nodiscard]] bool is_signaled() noexcept {
    // [FENCE.4] acquire: see error_ and timestamp_; pairs with [FENCE.3], [FENCE.24], [FENCE.36]
    if ((state_.load(mo::acquire) & fence_state::signaled) != 0) return true;
    return (kind_ & (kind::ordered | kind::foreign)) != 0 && is_signaled_otherwise();
  }
  /// True once all callbacks have returned (F4): the consumers' question. Implies is_signaled().
  [[nodiscard]] bool is_settled() noexcept;
  /// 0 pending; 1 signaled; <0 signaled with that error. Source: Linux dma_fence_get_status()
  [[nodiscard]] int status() noexcept;
  /// The result: 0 or a negative errno; 0 while pending.
  [[nodiscard]] int error() noexcept;
  /// When it was decided, ns of CLOCK_MONOTONIC; 0 while pending. A timeline fence that nobody
  /// observed has the time of the first look (0 in a child of fork() for what its parent did not
  /// look at). Source: Linux dma_fence_timestamp()
  [[nodiscard]] std::int64_t timestamp_ns() noexcept;

  /// Fences of one context complete in the order of their seqnos, so the latest of them stands for
  /// all (merge(), dedup(), resv::add()). A fence that completes by itself, as those of
  /// create_unordered() and of create_legacy_fence(), has a context that it shares with no other
  /// one; owner() is the timeline that it has its seqno and names of.
  [[nodiscard]] std::uint64_t context() const noexcept {
    return (kind_ & kind::has_timeline) == 0 ? owner_.context : timeline_context();
  }
  [[nodiscard]] std::uint64_t seqno() const noexcept { return seqno_; }
  /// Copies that belong to the timeline: valid while the caller has a reference, also when the
  /// issuer is long gone (F13). A fence without a timeline has the kernel's placeholders. Source:
  /// Linux dma_fence_driver_name(), dma_fence_timeline_name()
  [[nodiscard]] std::string_view driver_name() const noexcept;
  [[nodiscard]] std::string_view timeline_name() const noexcept;
  /// "context:seqno timeline driver signalled", or "unsignalled", or "error -5".
  /// Allocates: the string; may throw std::bad_alloc.  Source: Linux dma_fence_describe()
  [[nodiscard]] std::string describe();
  /// False: its ops, lock and names are its issuer's, which it pins (F16).
  [[nodiscard]] bool is_independent() const noexcept { return !is_foreign(); }
  /// The timeline it belongs to, or null.
  [[nodiscard]] timeline* owner() const noexcept {
    return (kind_ & kind::has_timeline) != 0 ? owner_.owner : nullptr;
  }
  /// Its seqno is compared as 32 bits that wrap: a fence of the kernel's interface without SEQNO64, here or
  /// in the process that it is imported from.
  [[nodiscard]] bool seqno_wraps() const noexcept {
    return (kind_ & kind::wraps) != 0;
  }
  /// Is `this` later than `other` on the same context? False for different contexts.
  /// Source: Linux dma_fence_is_later()
  [[nodiscard]] bool is_later_than(const fence& other) const noexcept {
    if (context() != other.context()) return false;
    if (!seqno_wraps()) return is_later(seqno_, other.seqno_);
    return is_later(static_cast<std::uint32_t>(seqno_), static_cast<std::uint32_t>(other.seqno_));
  }
  /// May the caller drop `earlier`, a fence of the same context, and keep this one for both? From
  /// then on this one is not signaled before `earlier` is, also if its issuer signals it alone,
  /// ahead of the timeline's value: its result is fixed then, and it is signaled in its turn (F19).
  /// @return  false: this one is signaled, and `earlier` is not
  /// Threads: any. Blocks: never. Allocates: never. Calls: the timeline's request_notify, if somebody
  /// waits.
  [[nodiscard]] bool stands_for(fence& earlier) noexcept {
    return !is_ordered() || !earlier.is_ordered() || ordered_stands_for(earlier);
  }
  /// Others may keep later fences of its context for this one, or this one for earlier ones, where
  /// this library does not see it: another process, code of the kernel's interface. From then on it
  /// is signaled in its turn among those that were given away like this one, or are waited for.
  /// Context, Calls: as stands_for().
  void keep_turn() noexcept;

  // --- Waiting. Blocks; not on the signalling path, not in callbacks of fences it depends on. ---

  /// Waits until signaled; enables signaling first.
  /// @param deadline_ns  absolute, CLOCK_MONOTONIC; 0 polls, no_deadline never ends
  /// @return  0 signaled; -ETIME not by then (looked at once more after expiry); -EDEADLK inside an
  ///          op of this fence; -EOWNERDEAD pending and inherited through fork() (F18); what a
  ///          legacy wait op returned
  /// Order: after 0, what the signaller wrote before is visible.
  /// Source: Linux dma_fence_wait_timeout(); differs: absolute time, not interruptible
  [[nodiscard]] std::error_code wait(absolute_deadline deadline_ns = no_deadline) noexcept;
  /// Waits until signaled, and tells how: for a thread that wants to know whether the work was done.
  /// wait() succeeds for a job that failed as well.
  /// @param deadline_ns  as wait(); 0: what is known now
  /// @return  0 signaled without an error; the error that it was signaled with; else as wait(). A
  ///          fence may have failed with -ETIME itself: is_signaled() tells.
  /// Order: after 0, or the fence's error, as wait() after 0.
  [[nodiscard]] std::error_code wait_result(absolute_deadline deadline_ns = no_deadline) noexcept;
  /// Waits until all callbacks have returned.
  /// @return  as wait(); unless they have, -EDEADLK inside an op, retire or callback of this fence,
  ///          or when its settling is queued on this thread
  [[nodiscard]] std::error_code wait_settled(absolute_deadline deadline_ns = no_deadline) noexcept;
  /// Waits until no op runs and retire is done: the issuer's question. Never waits for callbacks of
  /// consumers. Same errnos as wait_settled().
  [[nodiscard]] std::error_code wait_quiesced(absolute_deadline deadline_ns = no_deadline) noexcept;
  /// A descriptor that becomes readable (poll, epoll) when the fence is signaled, and stays so. The
  /// caller's to close, at any time; neither to be read nor to be written. It may be shared: whatever
  /// another holder does with it, signaling goes on. One that shuts it down makes it tell the others too
  /// early; sync_file_create() makes files for strangers.
  /// @return  -EMFILE, -ENFILE, -ENOMEM, -EOWNERDEAD
  /// Allocates: a pair of sockets and, while pending, a node.
  [[nodiscard]] result<unique_fd> pollable_fd() noexcept;

  // --- Callbacks. ---

  /// Queues a callback, after enabling signaling.
  /// @return  0 it will run once; -ENOENT signaled already, it will not run (F10); -EINVAL no
  ///          function; -EBUSY the node is queued already; -EOWNERDEAD (F18); -ESHUTDOWN the group
  ///          is closed
  /// @param group  the registrations of a module that may be unloaded, or nullptr
  /// Threads: any. Blocks: never. Allocates: never. Context: not in a signal handler.
  /// Source: Linux dma_fence_add_callback()
  [[nodiscard]] std::error_code add_callback(callback& node,
                                             callback_group* group = nullptr) noexcept;
  /// On return the callback is not running and never will (F11); from inside itself it does not
  /// wait.
  /// @return  true removed before it ran; false it ran, or was never queued; -EDEADLK it runs, and
  ///          waits, directly or not, for a callback that runs on this thread
  /// Blocks: while it runs.  Order: after false, what the callback wrote is visible.
  /// Source: Linux dma_fence_remove_callback(); differs: also waits when it runs elsewhere
  [[nodiscard]] result<bool> remove_callback(callback& node) noexcept {
    const int removed = try_remove(node);
    if (removed < 0) [[unlikely]]
      return failure(-removed);
    return removed != 0;
  }

  // --- Asking the issuer: calls its ops, with no lock held. ---

  /// Makes sure that the completion is noticed: enable_signaling, or awaited on the timeline. Waits
  /// and callbacks do it by themselves.  Source: Linux dma_fence_enable_sw_signaling()
  void enable_signaling() noexcept;
  /// Asks the issuer whether the work is complete and signals if so (callbacks then run here).
  /// @return  is_signaled()
  bool poll() noexcept;
  /// Tells the issuer when the result is wanted: a hint, the soonest counts.
  /// Source: Linux dma_fence_set_deadline(); differs: does not poll (F17)
  void set_deadline(absolute_deadline deadline_ns) noexcept;

  // --- References: through fence_ref. ---

  void get() noexcept {
    if (this == &stub_) return;
    // relaxed: the caller has a reference, so the count can't reach 0 meanwhile
    const std::uint32_t before = refs_.fetch_add(1, mo::relaxed);
    if (detail::is_saturated(before)) [[unlikely]]
      saturate(before);
  }
  /// Takes a reference unless the last one is gone. The memory must stay: it is type-stable, or the
  /// caller is in an RCU read section. Source: Linux dma_fence_get_rcu()
  [[nodiscard]] bool try_get() noexcept;
  /// How many references there are. Others may take and drop some at once; those that the caller knows
  /// to stay are among them.
  [[nodiscard]] std::uint32_t references_now() const noexcept {
    // relaxed: a thread that has a reference, or knows one that has, has seen it counted
    return refs_.load(mo::relaxed);
  }
  void put() noexcept {
    if (this == &stub_) return;
    // [FENCE.12] acq_rel: the last one sees all uses before; pairs with [FENCE.12], [FENCE.13],
    // [FENCE.33]
    const std::uint32_t before = refs_.fetch_sub(1, mo::acq_rel);
    if (before == 1) return destroy();
    if (detail::is_saturated(before)) [[unlikely]]
      saturate(before);
  }

  /// For the library's slabs alone.
  struct slab_access;

 private:
  friend class signaler;
  friend class settlement;
  friend class timeline;
  friend class timeline_issuer;
  friend class callback_group;
  friend struct thread_state;
  friend class issuer_op;
  friend class fence_room;
  friend class any_waiter;
  friend result<std::size_t> wait_any(std::span<const fence_ref> fences,
                                      absolute_deadline deadline_ns) noexcept;
  friend class embedded_fence;  // what all types of the layers above are built on
  friend struct detail::debug_access;
  friend struct detail::c_access;
  friend struct trace::fence_access;

  // Its kind: bits of kind_. A fence that is neither ordered nor embedded is told by the other bits: plain, or a
  // fence with ops.
  struct kind {
    static constexpr std::uint32_t has_timeline = 1;  // owner_ is a timeline, else a context id
    static constexpr std::uint32_t ordered = 2;       // completed by the timeline's value
    static constexpr std::uint32_t has_backend = 4;   // the issuer's data comes with ops
    static constexpr std::uint32_t in_order = 8;      // has its timeline's context, and a signaler
    static constexpr std::uint32_t embedded = 16;     // an embedded_fence: its type stands behind it
    static constexpr std::uint32_t foreign = 32;      // that type is fence_type::is_foreign
    static constexpr std::uint32_t wraps = 64;        // seqno_wraps()
  };
  // Fences of these kinds ask their issuer before a callback is listed.
  static constexpr std::uint32_t asks_issuer = kind::ordered | kind::has_backend | kind::foreign;
  // The work that decide() left.
  enum class outcome : std::uint8_t { lost, done, open };

  constexpr fence() noexcept = default;
  constexpr explicit fence(std::uint32_t state) noexcept : state_(state), refs_(1) {}

  void init(std::uint32_t kinds, std::uint64_t seqno, backend* data, std::uint32_t refs) noexcept;
  static fence* allocate_slot() noexcept;
  void destroy() noexcept;
  void saturate(std::uint32_t count) noexcept;  // the count of references, which was found too high

  [[nodiscard]] bool is_ordered() const noexcept { return (kind_ & kind::ordered) != 0; }
  [[nodiscard]] bool is_embedded() const noexcept { return (kind_ & kind::embedded) != 0; }
  [[nodiscard]] bool is_foreign() const noexcept { return (kind_ & kind::foreign) != 0; }
  // Of a fence with a timeline: is its context the timeline's, or its own?
  [[nodiscard]] bool has_timelines_context() const noexcept {
    return (kind_ & (kind::ordered | kind::in_order)) != 0;
  }
  [[nodiscard]] bool has_backend() const noexcept { return (kind_ & kind::has_backend) != 0; }
  [[nodiscard]] std::uint64_t timeline_context() const noexcept;
  [[nodiscard]] std::uint64_t traced_context() const noexcept;  // context(), inline (trace.h)
  // Made before a fork() of which this is the child.
  [[nodiscard]] bool is_inherited() const noexcept;
  // So, or the stub in such a child, or of one of these kinds: asked in one step.
  [[nodiscard]] bool may_be_inherited_or(std::uint32_t kinds) const noexcept;

  // fence_lock.h. lock() and unlock() return the state: with LOCK held, and after it was dropped.
  [[nodiscard]] bool try_lock() noexcept;
  std::uint32_t lock() noexcept;
  void lock_slow() noexcept;
  std::uint32_t unlock() noexcept;
  void wake(std::uint32_t old) noexcept;  // a transition saw `old`: wakes sleepers
  void wake_lockers() noexcept;
  void wake_sleepers() noexcept;

  // add_callback() of a node that is made in that memory, and is in no list: 0 or a negative errno.
  [[nodiscard]] int add_new_callback(void* memory, callback_function function) noexcept;
  std::error_code add_callback_slow(callback& node, callback_group* group) noexcept;
  [[nodiscard]] int push_unless_signaled(callback& node) noexcept;  // 0, or ENOENT
  // relaxed, both: changed under LOCK
  [[nodiscard]] callback* callbacks() const noexcept { return callbacks_.load(mo::relaxed); }
  void set_callbacks(callback* head) noexcept { callbacks_.store(head, mo::relaxed); }
  void push(callback& node) noexcept;                               // LOCK held
  void unlink(callback& node) noexcept;                             // LOCK held
  [[nodiscard]] bool is_queued(const callback& node) const noexcept;  // here; LOCK held

  struct taken_callbacks;                                 // settle.cc
  void fix_result(int error, std::int64_t now) noexcept;  // LOCK held
  std::uint32_t mark(std::uint32_t flags) noexcept;       // drops LOCK
  outcome decide(int error, std::int64_t now) noexcept;
  // Takes over a reference. `now`: the time of the signal; 0: it is taken from the clock.
  bool decide_into(int error, settlement& later, std::int64_t now = 0) noexcept;
  bool signal_plain(int error, std::int64_t now) noexcept;  // the same
  [[nodiscard]] bool signal_unobserved(int error, std::int64_t now) noexcept;
  void settle_plain() noexcept;  // drops a reference
  [[nodiscard]] std::uint32_t state_before_adding() const noexcept;  // LOCK held
  [[nodiscard]] bool has_nothing_to_settle() noexcept;
  void settle() noexcept;                 // drops a reference
  // Callbacks are run; the last of them to return sets `last_flag`, or nothing.
  void run_all_callbacks(std::uint32_t last_flag) noexcept;
  void run_callbacks(taken_callbacks& taken, std::uint32_t last_flag) noexcept;
  void take_callbacks(taken_callbacks& taken) noexcept;     // LOCK held
  void end_callbacks(std::uint32_t last_flag) noexcept;  // drops LOCK
  [[nodiscard]] bool is_contested() const noexcept;
  bool end_undisturbed(std::uint32_t last_flag) noexcept;
  void run_retire(backend* data, retired_by who) noexcept;

  // Not marked: it is completed by its timeline's value, or its issuer sees it signaled already.
  [[nodiscard]] bool is_signaled_otherwise() noexcept;

  // Of a timeline fence (timeline.cc).
  bool mark_if_completed() noexcept;
  void mark_locked(int how, std::int64_t now, std::uint32_t flips) noexcept;  // drops LOCK
  void decide_unlinked(int how, std::int64_t now, bool keep, settlement& later) noexcept;
  void leave_list(bool nothing_to_call, settlement& later) noexcept;
  void enable_ordered() noexcept;
  [[nodiscard]] bool ordered_stands_for(fence& earlier) noexcept;
  bool await_locked(std::uint32_t s, std::uint64_t& to_tell) noexcept;
  bool await_silently() noexcept;  // false: it is completed
  bool set_in_turn() noexcept;     // false: it is signaled
  [[nodiscard]] int result_ahead(std::uint32_t s, int how) const noexcept;  // LOCK held

  bool enter_op(std::uint32_t once, backend*& data) noexcept;  // false: signaled, or `once` was set
  std::uint32_t leave_op(backend* data) noexcept;              // returns the state before
  template <class Call>
  bool call_op(std::uint32_t once, Call call) noexcept;  // true: surely signaled
  void complete(int op_result) noexcept;                 // an op said "complete": signal

  [[nodiscard]] std::error_code may_wait() noexcept;
  [[nodiscard]] std::error_code wait_for(std::uint32_t bits, std::int64_t deadline_ns,
                                         bool is_interruptible = false) noexcept;
  [[nodiscard]] std::error_code wait_for_settling(std::uint32_t bits,
                                                  std::int64_t deadline_ns) noexcept;
  // With LOCK held. What batch() returned stays until LOCK is dropped.
  [[nodiscard]] callback_batch* batch() const noexcept;
  [[nodiscard]] callback_batch* contest_batch() noexcept;
  [[nodiscard]] batch_place find_in_batch(const callback& node) noexcept;
  // remove_callback(): 1 removed, 0 not, or a negative errno.
  [[nodiscard]] int try_remove(callback& node) noexcept;
  [[nodiscard]] int try_remove_slow(callback& node) noexcept;
  [[nodiscard]] int try_remove_locked(callback& node) noexcept;  // drops LOCK
  [[nodiscard]] int wait_until_returned(callback& node) noexcept;

  alignas(preferred_alignment) static fence stub_;

  atomic<std::uint32_t> state_{0};  // state.h
  atomic<std::uint32_t> refs_{0};   // 0: a free slot
  union owner_word {
    timeline* owner;
    std::uint64_t context;
  } owner_{.context = 0};         // set before publish; with has_timeline it owns a reference
  std::uint64_t seqno_ = 0;       // set before publish
  cell<std::int64_t> timestamp_;  // LOCK until SIGNALED, then constant
  atomic<callback*> callbacks_{nullptr};  // head of a circular list; LOCK; is there any: anybody
  cell<std::int32_t> error_;      // LOCK until SIGNALED, then constant
  std::uint8_t kind_ = 0;         // set before publish
  atomic<std::uint8_t> lock_{0};  // LOCK: fence_lock.h
  std::uint16_t generation_ = 0;  // of the fork() it was made after, its low half; set before publish
  // Pending: the backend, or the previous awaited fence (timeline's lock). Decided: the backend,
  // null if an op was inside. Settling: the batch of callbacks that is run, set under LOCK
  // (callback_batch.h); settled: null.
  atomic<std::uintptr_t> word_{0};
  // Pending: the next awaited fence (timeline's lock). Decided: the next in a settlement (its
  // owner).
  cell<fence*> link_;
};
static_assert(sizeof(fence) == 64);

namespace detail {
/// The error, or -EINVAL after a report if it is out of range (F2).
[[nodiscard]] int checked_error(int error, const fence& f) noexcept;
[[nodiscard]] constexpr bool is_error_in_range(int error) noexcept {
  return error <= 0 && error >= -4095;
}
}  // namespace detail

}  // namespace ufence

// Users of fence.h need no other header for these.
#include "ufence/fence/callback_registration.h"  // IWYU pragma: export
