// Type-stable memory for fences: a slot only ever holds fences of one size, so that its state word
// and its count (0 while it is free) may be read at any time, also once its memory was given back
// to the system (spans.h).
#pragma once

#include <cstddef>

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

enum class slot_size : unsigned char { native, legacy };

/// A slot whose count is 0, or nullptr. Takes from a cache of this thread.
[[nodiscard]] fence* slab_allocate(slot_size size) noexcept;
void slab_free(fence& slot, slot_size size) noexcept;

}  // namespace detail
}  // namespace ufence
