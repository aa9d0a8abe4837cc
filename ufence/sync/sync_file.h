// Sync files: a file descriptor for a fence, that any process can wait on.
//
// A sync file is readable (poll, epoll: POLLIN) once its fence is signaled, and for ever. It can be
// duplicated, inherited, sent over a socket, closed, like any descriptor; nobody needs this library
// to poll it. It works after the module that issued the fence is gone, and after its process is
// gone: what was signaled keeps status and info; what was not ends with -EOWNERDEAD. (Then poll
// says POLLHUP too.)
//
// The functions take sync files of this process, of others, and of the kernel. What comes from
// another process is not trusted: only its exporter's word ends a fence, and the exporter is who
// has the other end of the socket. They work in any namespace and for any user that was given the
// descriptor; only holders can read the names.
//
// Threads: all functions any, concurrently.
#pragma once

#include <linux/sync_file.h>

#include <cstdint>
#include <string_view>
#include <system_error>

#include "ufence/base/api.h"
#include "ufence/base/fd.h"
#include "ufence/base/result.h"
#include "ufence/fence/fence.h"

namespace ufence {

/// Makes a sync file of a fence, close-on-exec. It keeps a reference until the last duplicate is
/// closed.
/// @param name  up to 31 characters; empty: "driver-timelinecontext-seqno", with the numbers of the
///              process that made the fence; where there is no room, the names are cut off
/// @return  -EINVAL null; -EMFILE, -ENFILE, -ENOMEM; -EAGAIN no thread for the reactor, or no
/// random
///          numbers yet; -E2BIG more leaves than a record has room for (thousands); -EOWNERDEAD
///          pending and inherited through fork(); what a sandbox says of what it refuses
/// Blocks: never; without a free descriptor, while others close what holders have closed, or does
/// so itself. Allocates: yes. Context: not on the signalling path. Source: Linux
/// sync_file_create(); differs: signaling is enabled here, since polls can't be seen
[[nodiscard]] UFENCE_API result<unique_fd> sync_file_create(const fence_ref& f,
                                                            std::string_view name = {}) noexcept;

/// The fence of a sync file: in the process that made it the very fence, unless that is signaled
/// and many are; elsewhere one that stands for it, is signaled by the reactor's thread, and can be
/// used like any other.
/// @return  -EBADF; -EINVAL not a sync file; -EMFILE, -ENFILE, -ENOMEM, -EAGAIN; what a sandbox
/// says of
///          what it refuses
/// Source: Linux sync_file_get_fence()
[[nodiscard]] UFENCE_API result<fence_ref> sync_file_get_fence(int file) noexcept;

/// The names of an imported fence in the process that exported it: its logs and this
/// process's speak of the same fence.
struct imported_from {
  std::int32_t exporter = 0;  // the process; 0: it has no number here
  std::uint64_t context = 0;
  std::uint64_t seqno = 0;
};
/// @return  -ENODATA: it is not of another process that uses this library, or that does not say
/// Source: none; the kernel has one fence in all processes
[[nodiscard]] UFENCE_API result<imported_from> sync_file_source(const fence& f) noexcept;

/// A sync file that is signaled when both are.
/// @return  as sync_file_create(); -EBADF, -EINVAL of `a`; -ENOENT: `b` is not a sync file
/// Source: Linux SYNC_IOC_MERGE
[[nodiscard]] UFENCE_API result<unique_fd> sync_file_merge(int a, int b,
                                                           std::string_view name = {}) noexcept;

/// The answer of SYNC_IOC_FILE_INFO: name, status, and of each leaf the names, status and time, also
/// while pending.
/// @param info  in: num_fences, the room behind sync_fence_info, 0: only count; flags and pad 0
/// @return  -EBADF; -EINVAL not a sync file, flags or pad set, fewer room than fences; -ENOMEM
/// Blocks: of a pending file of another process, for its answer, at most a second; without an
/// answer the one leaf is what the descriptor tells. Source: Linux SYNC_IOC_FILE_INFO
[[nodiscard]] UFENCE_API std::error_code sync_file_get_info(int file,
                                                            ::sync_file_info& info) noexcept;

/// Hints when the result is wanted, ns of CLOCK_MONOTONIC; of another process's file, to its
/// exporter.
/// @return  -EBADF; -EINVAL not a sync file
/// Source: Linux SYNC_IOC_SET_DEADLINE
[[nodiscard]] UFENCE_API std::error_code sync_file_set_deadline(int file,
                                                                absolute_deadline deadline_ns) noexcept;

}  // namespace ufence
