// Type-stable memory for fences: a slot only ever holds fences of one size, so that its state word
// and its count (0 while it is free) may be read at any time, also once its memory was given back
// to the system (spans.h).
#pragma once

#include <cstddef>
#include <cstdint>

#include "ufence/base/api.h"

namespace ufence {

class fence;

/// How many fences of the process are referenced, without the stub. Exact when no thread makes or
/// drops one; for tests and tools.
[[nodiscard]] UFENCE_API std::size_t live_fences() noexcept;

namespace detail {

/// Calls a function for each slot that is in use, without a lock: it may be free, or another fence,
/// as soon as the function looks at it (fence::try_get()).
void visit_fences(void (*visit)(fence& slot, void* context), void* context);

/// Slots for fences alone, and for embedded ones that live in the slabs (legacy_fence).
enum class slot_size : unsigned char { native, large };
inline constexpr std::size_t large_slot_bytes = 128;

/// Where the slabs lie: for those who read this process's memory from outside (debug/layout.h).
struct slab_layout {
  const void* regions[2];  // pointers to the newest region
  std::uint32_t slot_bytes[2];
  std::uint32_t next, spans, touched_slots;  // in a region; in a region; in a span
  std::uint32_t span_count, span_size, span_bytes;
};
[[nodiscard]] slab_layout layout_of_slabs() noexcept;

/// A slot whose count is 0, or nullptr. Takes from a cache of this thread.
[[nodiscard]] fence* slab_allocate(slot_size size) noexcept;
void slab_free(fence& slot, slot_size size) noexcept;

}  // namespace detail
}  // namespace ufence
