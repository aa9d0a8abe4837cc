// The 128 bytes of a legacy fence (legacy.h); for the sources of this layer.
#pragma once

#include "ufence/fence/legacy.h"

namespace ufence {

struct alignas(64) legacy_fence : fence {
  legacy_fence() noexcept = default;

  [[nodiscard]] static legacy_fence& of(fence& f) noexcept { return static_cast<legacy_fence&>(f); }

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

  const legacy_ops* ops = nullptr;  // set before publish, as below
  void* data = nullptr;

 private:
  template <class Call>
  int call_legacy_op(std::uint32_t once, Call call) noexcept;
  void call_back() noexcept;  // external lock held
  void finish() noexcept;     // and dropped, if it was ours
  std::uint32_t set_settled() noexcept;
};
static_assert(sizeof(legacy_fence) == 128);

}  // namespace ufence
