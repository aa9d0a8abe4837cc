// The exporter's side of requests: what holders have sent over a sync file.
#pragma once

#include "ufence/sync/exported.h"

namespace ufence::detail {

/// Answers up to a few requests that wait at the exporting end of a file. On a side thread: what
/// holders send may take as long as they like. The caller has claimed what is watched.
/// @return  true: there may be more
[[nodiscard]] bool answer_requests(int end, const exported_file& file) noexcept;

}  // namespace ufence::detail
