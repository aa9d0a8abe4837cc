// Waiting for several fences.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "ufence/base/api.h"
#include "ufence/base/result.h"
#include "ufence/fence/fence.h"

namespace ufence {

/// Waits until one of the fences is signaled and says which (the lowest index that is).
/// @param deadline_ns  absolute, CLOCK_MONOTONIC; 0 polls, no_deadline never ends
/// @return  an index; -ETIME none by then (looked at once more after expiry); -EINVAL no fences, or a
///          null one; -EOWNERDEAD inherited through fork(); -EDEADLK inside an op or retire of one;
///          -ENOMEM
/// Threads: any. Blocks: up to deadline. Context: not on the signalling path.
/// Allocates: not up to 128 fences where the kernel has futex_waitv, nor up to 32 anywhere.
/// Order: after an index, what the signaller of that fence wrote before is visible.
/// Source: Linux dma_fence_wait_any_timeout(); differs: absolute time, an index also with deadline 0
[[nodiscard]] UFENCE_API result<std::size_t> wait_any(std::span<const fence_ref> fences,
                                                      absolute_deadline deadline_ns) noexcept;

/// Waits until all of the fences are signaled. Errors of fences do not end it: look at each status.
/// @return  0; -ETIME; -EINVAL a null fence; -EOWNERDEAD, -EDEADLK as wait_any()
/// Threads: any. Blocks: up to deadline. Allocates: never. All are enabled before the first wait.
[[nodiscard]] UFENCE_API std::error_code wait_all(std::span<const fence_ref> fences,
                                                  absolute_deadline deadline_ns) noexcept;

}  // namespace ufence
