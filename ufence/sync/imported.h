// The fence that stands in this process for the sync file of another one, or of the kernel.
//
// It reads the exporter's record, or its verdict where a holder has taken the record away, and
// nothing else ends it: a socket that is readable without either is looked at from time to time.
// Only an exporter that is gone ends it without them, with -EOWNERDEAD; one that can't be asked is
// not gone.
#pragma once

#include "ufence/base/result.h"
#include "ufence/fence/fence.h"
#include "ufence/io/peer.h"
#include "ufence/sync/sync_file.h"

namespace ufence::detail {

/// Makes the fence for a sync file that is not this process's; the same one for a file that has
/// one, as long as it is pending.
/// @return  -EBADF; -EINVAL not a sync file; -EMFILE, -ENFILE, -ENOMEM, -EAGAIN
[[nodiscard]] result<fence_ref> import_fence(int file) noexcept;

/// The names that the exporter of an imported fence gave it.
/// @return  false: it is none of another process, or its exporter does not say; `source` stays as
/// it is
[[nodiscard]] bool find_source(const fence& f, imported_from& source) noexcept;

/// Is there a fence that is pending here for the sync file with this cookie (socket_cookie())?
[[nodiscard]] bool is_imported(std::uint64_t cookie) noexcept;

/// The facts about the other side of a fence that stands for a sync file.
struct import_state {
  bool is_kernels = false;
  int exporter = 0;            // the process that made the sync file; 0: unknown
  std::uint64_t timeline = 0;  // label_number_of() there; 0: unknown
  peer_state maker = peer_state::unknown;
};
/// False: it is no such fence, or it is over. The caller has a reference.
/// Threads: any. Blocks: a few system calls. Context: takes the reactor's lock.
[[nodiscard]] bool find_import(fence& f, import_state& state) noexcept;

/// How such a fence is told from others in memory, and where what is known of it lies (debug/layout.h).
struct import_layout {
  void (*release)(fence&) noexcept;  // of its fence_type
  std::uint32_t is_kernels, exporter, their_context;
};
[[nodiscard]] import_layout layout_of_imports() noexcept;

}  // namespace ufence::detail
