// Recording what happens to the fences of this process: `ufence record`, from inside.
//
// Each thread puts its events into a ring of its own, without a lock; the thread `ufence-trace`
// writes them (format.h). At most one recording runs in a process. The environment of the program
// starts one when the library is loaded: UFENCE_RECORD=PATH writes PATH.PID, behind what is there
// (not in a program that runs with another user's rights). It ends with the process; what a process
// that is killed recorded in its last tenth of a second is lost. A child of fork() records nothing
// until it calls this itself, or another program is executed.
#pragma once

#include <cstdint>
#include <string>
#include <system_error>

#include "ufence/base/api.h"
#include "ufence/base/fd.h"

namespace ufence {

/// Records from now on.
/// @param to  a file, pipe or socket; written by a thread of the library's own, closed when it is
/// done
/// @return  0; -EBUSY something is recorded already; -ENOMEM; -EAGAIN there is no thread to be had
/// Threads: any. Blocks: never. Allocates: address space for the rings, which stay.
[[nodiscard]] UFENCE_API std::error_code record_start(unique_fd to) noexcept;

/// The same into a file, which is made if it is not there, and written behind what is.
/// @return  also what open() said
[[nodiscard]] UFENCE_API std::error_code record_start(const std::string& path) noexcept;

/// Ends the recording: what was recorded is written on return.
/// @return  0; -ENOENT nothing is recorded; what write() said: then it ended there
/// Blocks: while it is written.
[[nodiscard]] UFENCE_API std::error_code record_stop() noexcept;

/// How many events were left out so far, since rings were full.
[[nodiscard]] UFENCE_API std::uint64_t record_dropped() noexcept;

}  // namespace ufence
