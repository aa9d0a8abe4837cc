// Looks at this process: what is alive, which threads sleep, what waits for what. Inside the layer only.
#pragma once

#include "ufence/debug/snapshot.h"

namespace ufence::debug {

struct gather_options {
  bool all_fences = false;  // also pending ones that nobody waits for
  std::size_t nodes_max = 100'000;
};

/// A snapshot of this process, with its causes. What changes meanwhile may be told as it was or as it
/// is; nothing is told that never was.
/// Threads: any. Allocates: may throw std::bad_alloc. Context: not under a lock, not in an op or callback.
/// Holds each lock for as long as one list is walked: LOCK of a fence for up to 1,000 callbacks, the
/// lists of timelines and of sleeping threads for their length, the locks of a scheduler's entity for
/// its queue. Takes references while it looks, so it may be the one that drops the last one.
[[nodiscard]] snapshot gather(const gather_options& options = {});

}  // namespace ufence::debug
