// A legacy fence (legacy.h): the core, and its issuer's ops and data. For the sources of this layer, and
// for issuers whose fences lie in memory of their own, in place: they derive from it.
#pragma once

#include "ufence/fence/legacy.h"

namespace ufence {

struct legacy_fence : fence {
  legacy_fence() noexcept = default;

  [[nodiscard]] static legacy_fence& of(fence& f) noexcept { return static_cast<legacy_fence&>(f); }

  /// The container that `f` is, in memory of its issuer, or nullptr.
  [[nodiscard]] static legacy_fence* container_in(fence& f) noexcept {
    if (f.is_independent()) return nullptr;
    legacy_fence& l = of(f);
    return l.ops->is_container != nullptr && l.ops->is_container(l.data) ? &l : nullptr;
  }

  /// Takes over a reference.
  bool signal_legacy(int error, bool lock_is_held) noexcept;
  /// Runs what a decision left to do, under the external lock. Drops a reference.
  void settle_legacy() noexcept;
  void enable_legacy() noexcept;
  [[nodiscard]] int poll_legacy() noexcept;
  void set_deadline_legacy(std::int64_t deadline_ns) noexcept;
  /// What the wait op said; 0 there is none, or it is signaled.
  [[nodiscard]] int wait_legacy(std::int64_t deadline_ns) noexcept;
  void release() noexcept;
  /// The last reference to a fence in place is gone.
  void end_in_place() noexcept;

  const legacy_ops* ops = nullptr;  // set before publish, as below
  void* data = nullptr;

 protected:
  // For fences in place.
  void init_in_place(const legacy_ops& its_ops, std::uint64_t context, std::uint64_t seqno,
                     bool is_polled, bool wraps) noexcept;
  /// A decision, by a thread that holds the external lock and has found it pending: takes LOCK.
  /// @return  it has callbacks
  [[nodiscard]] bool begin_decision() noexcept;
  /// Drops LOCK: the error and the time, which the issuer has put in their places, are its result from now
  /// on. Its callbacks, if there are any, are left for settle_legacy().
  void decide_without_callbacks() noexcept;
  /// The same, and runs its callbacks, of which there are some.
  void decide_and_call_back() noexcept;
  /// The external lock is dropped, if it was this thread's. The last that the signal does to the fence: its
  /// memory may go from here on.
  void finish() noexcept;
  /// The same with a reference to drop, which may be the last one.
  void finish_and_put() noexcept;
  /// fence::add_callback() without enabling: 0, or ENOENT it is signaled.
  [[nodiscard]] int push_callback(callback& node) noexcept { return push_unless_signaled(node); }
  /// Queues it, which the caller has decided and not settled, on this thread. Takes a reference of its own.
  void queue_on_thread() noexcept;
  void trace_enable() noexcept;  // an op of its issuer is about to be called for it
  [[nodiscard]] bool is_of_parent() const noexcept { return is_inherited(); }
  [[nodiscard]] bool has_callbacks() const noexcept { return callbacks() != nullptr; }
  /// The same for anybody who has a reference: may be stale at once.
  [[nodiscard]] bool had_callbacks() noexcept;
  /// Waits until it is settled, unless it is this very thread that has to settle it.
  void wait_until_settled_elsewhere() noexcept;
  /// fence::wait(), also inside an op of the fence, and without asking its ops.
  /// @return  0; -ETIME; -EINTR a signal handler ran, and the caller asked for that
  [[nodiscard]] int wait_until_signaled(std::int64_t deadline_ns, bool is_interruptible) noexcept;
  /// fence::remove_callback() for a node that is known to be no longer queued, or never was.
  [[nodiscard]] bool is_done_with(callback& node) noexcept;
  /// It is known as fence::stub() is: signaled from the start, one of a kind.
  void set_signaled_at_birth(std::int64_t timestamp_ns) noexcept;

 private:
  template <class Call>
  int call_legacy_op(std::uint32_t once, Call call) noexcept;
  std::uint32_t set_settled() noexcept;
};

}  // namespace ufence
