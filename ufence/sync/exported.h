// A fence that this process exports as a sync file.
//
// Two ends of a socket: the holders' end is the sync file, the other one stays here. When the fence
// is signaled, the exporting end gets its verdict (label.h), sends its record, unless label and
// verdict say all of it, and shuts down writing: every holder finds the verdict, and nobody can
// take the readiness away. The end of this process closes the exporting end: holders find no
// verdict. The exporting end stays open until the holders' is closed: until then this process
// answers what holders ask (answer.h).
#pragma once

#include <cstdint>
#include <string_view>

#include "ufence/base/fd.h"
#include "ufence/base/result.h"
#include "ufence/fence/fence.h"
#include "ufence/sync/wire.h"

namespace ufence::detail {

struct exported_file {
  fence_ref f;
  sync_name name{};
};

/// Makes the sync file of a fence.
/// @param name  empty: "driver-timelinecontext-seqno", as the kernel does
[[nodiscard]] result<unique_fd> export_fence(const fence_ref& f, std::string_view name) noexcept;

/// Is the descriptor a sync file that this process exports? Then `file` is what it is of.
[[nodiscard]] bool find_exported(int fd, exported_file& file) noexcept;
/// Does this process still export the sync file with this cookie (socket_cookie())?
[[nodiscard]] bool is_exported(std::uint64_t cookie) noexcept;

/// Is the callback on a fence that of a sync file of it? Then the file's name, and the descriptor of
/// the exporting end. Under the fence's LOCK.
[[nodiscard]] bool is_export(const callback& node, callback_function function, sync_name& name,
                             int& end) noexcept;
/// The callback of all exports, and where the file's name and the descriptor lie from there on
/// (debug/layout.h).
struct export_layout {
  callback_function function;
  std::uint32_t name, end;
};
[[nodiscard]] export_layout layout_of_exports() noexcept;
/// The number in a label for the timeline with this context (sync_label::timeline).
[[nodiscard]] std::uint64_t label_number_of(std::uint64_t context) noexcept;

}  // namespace ufence::detail
