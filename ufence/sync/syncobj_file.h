// A descriptor for a syncobj, and back: the same object, in this process.
//
// The descriptor can be duplicated, inherited, sent; the object lives until the last duplicate is
// closed. It is one end of a socket, whose other end this process watches, as with a sync file
// (exported.h). In another process it is of no use but to be sent back: there, a channel gives a
// snapshot, and a shared_timeline is the same object everywhere.
#pragma once

#include "ufence/base/api.h"
#include "ufence/base/fd.h"
#include "ufence/base/result.h"
#include "ufence/syncobj/syncobj.h"

namespace ufence {

/// @return  -EINVAL null; -EMFILE, -ENFILE, -ENOMEM; -EAGAIN no thread for the reactor, or no random
///          numbers yet; -EOWNERDEAD (F18); what a sandbox says of what it refuses
/// Threads: any. Source: Linux drm_syncobj_get_fd()
[[nodiscard]] UFENCE_API result<unique_fd> syncobj_export(const syncobj_ref& object) noexcept;

/// @return  -EINVAL not a syncobj of this process
/// Threads: any. Source: Linux drm_syncobj_fd_to_handle()
[[nodiscard]] UFENCE_API result<syncobj_ref> syncobj_import(int fd) noexcept;

}  // namespace ufence
