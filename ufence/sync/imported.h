// The fence that stands in this process for the sync file of another one, or of the kernel.
//
// It reads the exporter's record, or its verdict where a holder has taken the record away, and
// nothing else ends it: a socket that is readable without either is looked at from time to time.
// Only an exporter that is gone ends it without them, with -EOWNERDEAD; one that can't be asked is
// not gone.
#pragma once

#include "ufence/base/result.h"
#include "ufence/fence/fence.h"

namespace ufence::detail {

/// Makes the fence for a sync file that is not this process's; the same one for a file that has
/// one, as long as it is pending.
/// @return  -EBADF; -EINVAL not a sync file; -EMFILE, -ENFILE, -ENOMEM, -EAGAIN
[[nodiscard]] result<fence_ref> import_fence(int file) noexcept;

}  // namespace ufence::detail
