// The reader process: reads blocks with the module `uring` for a run that is at the other end of a
// socket, and sends a sync file of each read's fence.
#pragma once

#include "ufence/base/fd.h"

namespace ufence::tool {

/// Reads until the other end is closed.
/// @param socket  see reader_wire.h
/// @return  the exit status: 0; 1 it could not begin or go on, which the run was told
[[nodiscard]] int run_reader(unique_fd socket);

}  // namespace ufence::tool
