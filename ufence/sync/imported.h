// The fence that stands in this process for the sync file of another one, or of the kernel.
//
// It reads the exporter's record, and nothing else ends it: a socket that is readable without one
// makes it ask the exporter, from time to time while that says "pending". Only an exporter that is
// gone ends it without a record, with -EOWNERDEAD.
#pragma once

#include "ufence/base/result.h"
#include "ufence/fence/fence.h"

namespace ufence::detail {

/// Makes the fence for a sync file that is not this process's; the same one for a file that has
/// one, as long as it is pending.
/// @return  -EBADF; -EINVAL not a sync file; -EMFILE, -ENFILE, -ENOMEM, -EAGAIN
[[nodiscard]] result<fence_ref> import_fence(int file) noexcept;

}  // namespace ufence::detail
