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
  /// Runs what a decision left to do, under the external lock.
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
  // For fences in place. `decide_in_place` takes an error that was checked; the caller has elected it.
  void init_in_place(const legacy_ops& its_ops, std::uint64_t context, std::uint64_t seqno) noexcept;
  void decide_in_place(int error, std::int64_t timestamp_ns) noexcept { decide(error, timestamp_ns); }
  void call_back() noexcept;  // external lock held
  void finish() noexcept;     // and dropped, if it was ours
  /// Queues it, which the caller has decided and not settled, on this thread. Takes a reference of its own.
  void queue_on_thread() noexcept;
  [[nodiscard]] bool is_of_parent() const noexcept { return is_inherited(); }
  [[nodiscard]] bool has_callbacks() const noexcept { return callbacks_.get() != nullptr; }
  /// Waits until it is settled, unless it is this very thread that has to settle it.
  void wait_until_settled_elsewhere() noexcept;
  /// fence::wait(), also inside an op of the fence, and without asking its ops.
  [[nodiscard]] bool wait_until_signaled(std::int64_t deadline_ns) noexcept;
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
