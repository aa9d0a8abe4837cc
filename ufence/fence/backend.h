// The issuer's side of a fence: its data, and ops that the library calls.
#pragma once

#include <cstdint>

namespace ufence {

/// The one that called retire(): F8.
enum class retired_by : std::uint8_t { settlement, last_op };

struct backend;

/// The issuer's ops. All optional (null), all noexcept, none called with a lock of ours held (F6,
/// F9); each gets the backend pointer pinned by its gate and must not look for it in the fence. An
/// op may signal its own fence, drop references, take issuer locks; it must not block for long.
/// Results of enable_signaling and poll: 0 pending; 1 complete; <0 complete with that error. What
/// is complete, the library signals. Source: Linux struct dma_fence_ops; differs: no lock held, no
/// names, retire instead of release.
struct backend_ops {
  /// Somebody waits: make sure that the completion is noticed. At most once, never started after
  /// the decision (F7), but it may finish after it: F8 makes that harmless.
  int (*enable_signaling)(backend*) noexcept = nullptr;
  /// Is it complete? Called by fence::poll() only.
  int (*poll)(backend*) noexcept = nullptr;
  /// A hint, many times; keep the soonest. Absolute ns of CLOCK_MONOTONIC.
  void (*set_deadline)(backend*, std::int64_t deadline_ns) noexcept = nullptr;
  /// Exactly once, after the decision, when no op is inside: the data is the issuer's to free (F8).
  /// It must unlink it from the issuer's lists, where a late enable_signaling may have put it.
  void (*retire)(backend*, retired_by) noexcept = nullptr;
  /// Timelines only: somebody waits for this seqno; at most once per new minimum.
  void (*request_notify)(backend*, std::uint64_t seqno) noexcept = nullptr;
};

/// The issuer's data of a fence, or of a timeline; the issuer derives from it or embeds it first.
struct backend {
  const backend_ops* ops;
};

}  // namespace ufence
