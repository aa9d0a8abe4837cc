// Fences of issuers that work like old kernel drivers: a lock of theirs, a wait op, a release op
// (F16).
//
// A legacy fence is not independent: it pins its issuer until its last reference is dropped. It is
// exempt from F6, F8 and F10: enable_signaling, signaling and callbacks run under the external
// lock; its release op runs wherever the last reference is dropped, be it a decide() that loses.
#pragma once

#include <cstdint>

#include "ufence/base/api.h"
#include "ufence/base/result.h"
#include "ufence/fence/fence.h"
#include "ufence/fence/timeline.h"

namespace ufence {

/// Ops of a legacy issuer. lock and unlock are mandatory. The external lock is not touched after
/// the fence is settled.
struct legacy_ops {
  void (*lock)(void* data) noexcept = nullptr;
  void (*unlock)(void* data) noexcept = nullptr;
  /// Lock held. 0 pending; 1 complete; <0 complete with that error. At most once.
  int (*enable_signaling)(void* data) noexcept = nullptr;
  /// No lock held; must not take it. The same results.
  int (*poll)(void* data) noexcept = nullptr;
  /// No lock held.
  void (*set_deadline)(void* data, std::int64_t deadline_ns) noexcept = nullptr;
  /// No lock held; blocks. 0 signaled; -ETIME at the absolute deadline; or another negative errno.
  int (*wait)(void* data, std::int64_t deadline_ns) noexcept = nullptr;
  /// The last reference is gone; no lock held, any thread.
  void (*release)(void* data) noexcept = nullptr;
};

/// Makes a legacy fence of this timeline, with its next seqno. It completes by itself, and so has a
/// context of its own.
/// @return  -ENOMEM; -EINVAL lock or unlock is missing; -ECANCELED the timeline is closed
/// Source: Linux dma_fence_init() with an external lock and ops that have wait or release
[[nodiscard]] UFENCE_API result<new_fence> create_legacy_fence(timeline_issuer& issuer,
                                                               const legacy_ops& ops,
                                                               void* data) noexcept;

/// signaler::signal() for a caller that holds the external lock; callbacks run under it, at once,
/// also when the caller is a callback itself. Source: Linux dma_fence_signal_locked()
UFENCE_API bool signal_locked(signaler right, int error = 0) noexcept;

}  // namespace ufence
