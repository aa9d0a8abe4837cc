// Which of two fences of one context stands for both: the one place where merge(), dedup() and
// reservation objects decide whether a fence may be dropped for a later one (F19).
#pragma once

#include "ufence/fence/embedded_fence.h"

namespace ufence::detail {

[[nodiscard]] inline bool is_remote(const fence& f) noexcept {
  const fence_type* const type = embedded_fence::type_of(f);
  return type != nullptr && type->is_remote;
}

/// Itself, or what it stands for: that is what has a turn on a timeline.
[[nodiscard]] inline fence& original_of(fence& f) noexcept {
  const fence_type* const type = embedded_fence::type_of(f);
  fence* const found = type != nullptr && type->original != nullptr ? type->original(f) : nullptr;
  return found != nullptr ? *found : f;
}

/// May `earlier` be dropped for `later`, of the same context? As fence::stands_for().
/// Context: as poll(), since callbacks may run.
[[nodiscard]] inline bool stands_for(fence& given_later, fence& given_earlier) noexcept {
  fence& later = original_of(given_later);
  fence& earlier = original_of(given_earlier);
  // An exporter that signals a fence alone does so in its turn among those that it has exported. So
  // if the later one is still pending now that both are known here, it will not overtake the other.
  if (is_remote(later) && later.poll()) return earlier.is_signaled();
  return later.stands_for(earlier);
}

/// The same where no callback may run. What only poll() would tell is left undecided: false.
[[nodiscard]] inline bool stands_for_quietly(fence& given_later, fence& given_earlier) noexcept {
  fence& later = original_of(given_later);
  return !is_remote(later) && later.stands_for(original_of(given_earlier));
}

}  // namespace ufence::detail
