// Counting references, without an overflow that would free what others have: a count that no
// program can mean, since so many references were lost, saturates. What it counts then lives for
// ever, and a report says so.
#pragma once

#include <cstdint>

#include "ufence/base/api.h"
#include "ufence/base/atomic.h"

namespace ufence {

/// The kind of object whose references are counted, for the report.
struct counted_object {
  const char* text;  // constant
  std::uint64_t context = 0;
  std::uint64_t seqno = 0;
};

namespace detail {

/// From here on a count is taken for one that has lost references: 2^31. A saturated one is put as
/// far from this as from 0, so that what others add or subtract meanwhile leads to neither.
inline constexpr std::uint32_t references_max = 0x8000'0000;
inline constexpr std::uint32_t references_saturated = 0xC000'0000;

/// Of a count before or after a change.
[[nodiscard]] constexpr bool is_saturated(std::uint32_t count) noexcept {
  return count >= references_max;
}

/// Has the count stay; reports it once. `count` is what was found.
/// Threads: any. Context: any, also under locks: the handler runs on a thread of its own.
UFENCE_API void saturate(atomic<std::uint32_t>& references, std::uint32_t count,
                         const counted_object& what) noexcept;

}  // namespace detail

/// The references to an object that is freed with the last one.
class reference_count {
 public:
  constexpr reference_count() noexcept = default;
  constexpr explicit reference_count(std::uint32_t count) noexcept : references_(count) {}
  reference_count(const reference_count&) = delete;
  reference_count& operator=(const reference_count&) = delete;

  void get(const counted_object& what) noexcept {
    // relaxed: the caller has a reference, so the count can't reach 0 meanwhile
    const std::uint32_t before = references_.fetch_add(1, mo::relaxed);
    if (detail::is_saturated(before)) [[unlikely]]
      detail::saturate(references_, before, what);
  }
  /// Takes one, unless the last one is gone. For who finds the object in a list, under a lock that
  /// the thread takes which frees it.
  [[nodiscard]] bool try_get() noexcept {
    // relaxed, both: that lock orders it with the making and the end of the object
    std::uint32_t count = references_.load(mo::relaxed);
    while (count != 0) {
      if (references_.compare_exchange_weak(count, count + 1, mo::relaxed, mo::relaxed)) return true;
    }
    return false;
  }
  /// True: it was the last one, and the caller frees the object.
  [[nodiscard]] bool put(const counted_object& what) noexcept {
    // [REF.1] acq_rel: the last one sees all uses before; pairs with [REF.1]
    const std::uint32_t before = references_.fetch_sub(1, mo::acq_rel);
    if (detail::is_saturated(before)) [[unlikely]]
      detail::saturate(references_, before, what);
    return before == 1;
  }

 private:
  atomic<std::uint32_t> references_{1};
};

}  // namespace ufence
