// The questions that arrays and chains ask of the fences inside of them, in the same way.
#pragma once

#include <cstdint>

#include "ufence/container/unwrap.h"

namespace ufence::detail {

/// Asks the issuers of all that is inside, after enabling the container: what is complete signals it
/// through its callbacks. The result is that of a poll op.
inline int poll_below(fence& container) noexcept {
  container.enable_signaling();
  leaves below(fence_ref::take(container), leaves::through_stand_ins());
  while (fence* leaf = below.next()) leaf->poll();
  return 0;
}

/// Tells the issuers of all that is inside.
inline void set_deadline_below(fence& container, std::int64_t deadline_ns) noexcept {
  leaves below(fence_ref::take(container), leaves::through_stand_ins());
  while (fence* leaf = below.next()) leaf->set_deadline(deadline_ns);
}

}  // namespace ufence::detail
