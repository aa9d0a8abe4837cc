// A waiter for a point of a syncobj that nobody has submitted yet. Inside the layer only.
#pragma once

#include <cstdint>

#include "ufence/fence/fence.h"

namespace ufence {

/// Queued on a syncobj until its point is submitted; then `found` is what was there at that moment,
/// and `told` is signaled. The memory is the waiter's; all but `told` is guarded by the syncobj's
/// lock while it is queued.
struct point_waiter {
  point_waiter* next = nullptr;  // circular; null: not queued
  point_waiter* previous = nullptr;
  std::uint64_t point = 0;
  fence_ref found;
  fence_ref told;  // -ECANCELED: the syncobj ended first
  signaler right;

  /// Makes the fence, with the point's number. @return  -ENOMEM
  [[nodiscard]] std::error_code prepare(std::uint64_t of_point) noexcept;
};

/// `told` has a context of its own, which begins with these bits: for people who look what a thread waits for.
/// Nothing depends on it. Another process's fence may have such a context by chance, one of 2^32.
inline constexpr std::uint64_t submission_contexts = std::uint64_t{0x7375'626d} << 32U;
inline constexpr std::uint64_t submission_context_bits = std::uint64_t{0xffff'ffff} << 32U;

/// Has `f`, which is in a syncobj, the point?
[[nodiscard]] bool has_point(const fence_ref& f, std::uint64_t point) noexcept;
/// The fence that is signaled when the point is, of an `f` that has it. Not under a lock: walks.
[[nodiscard]] fence_ref fence_of_point(fence_ref f, std::uint64_t point) noexcept;

}  // namespace ufence
