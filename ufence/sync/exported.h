// A fence that this process exports as a sync file.
//
// Two ends of a socket: the holders' end is the sync file, the other one stays here. When the fence
// is signaled, its record is sent and the exporting end shuts down writing: every holder finds the
// record, and nobody can take the readiness away. The end of this process closes the exporting end:
// holders find no record. The exporting end stays open until the holders' is closed, also after the
// signal: until then this process answers for the fence, whatever a holder does to the socket.
#pragma once

#include <array>
#include <string_view>

#include "ufence/base/fd.h"
#include "ufence/base/result.h"
#include "ufence/fence/fence.h"
#include "ufence/sync/wire.h"

namespace ufence::detail {

struct exported_file {
  fence_ref f;
  std::array<char, sync_name_max + 1> name{};
};

/// Makes the sync file of a fence.
/// @param name  empty: "driver-timelinecontext-seqno", as the kernel does
[[nodiscard]] result<unique_fd> export_fence(const fence_ref& f, std::string_view name) noexcept;

/// Is the descriptor a sync file that this process exports? Then `file` is what it is of.
[[nodiscard]] bool find_exported(int fd, exported_file& file) noexcept;

}  // namespace ufence::detail
