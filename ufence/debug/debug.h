// Looking into a process from outside: the debug socket, which `ufence ls` and `ufence why` ask; and the
// watchdog, which looks by itself.
//
// Both are off unless they are asked for: by the functions below, or by the environment of the program,
// which is read when the library is loaded (and not by a program that runs with another user's rights):
// UFENCE_DEBUG=1, UFENCE_WATCHDOG=SECONDS. Each has a thread of its own, `ufence-debug` and
// `ufence-watchdog`, which looks about once a second or more often: so it can tell for how long
// a fence has been pending; a fence itself does not know when it was made.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <system_error>

#include "ufence/base/api.h"
#include "ufence/debug/snapshot.h"

namespace ufence {

/// Opens the debug socket of this process: in a folder that its user alone can enter
/// ($XDG_RUNTIME_DIR/ufence, or /tmp/ufence-UID), under the number of the process. A process that connects has to be
/// of the same user, or root. A child of fork() has no socket until it calls this itself.
/// @return  0, also if it is open; -EPERM the folder is not this user's alone; -EAGAIN there is no thread
///          to be had; what mkdir(), socket(), bind() or listen() said
/// Threads: any. Blocks: for a few system calls.
[[nodiscard]] UFENCE_API std::error_code debug_listen() noexcept;

/// Closes it. On return nobody is served any more.
/// Blocks: while somebody is served.
UFENCE_API void debug_close() noexcept;

/// Where the socket is; empty while there is none. May throw std::bad_alloc.
[[nodiscard]] UFENCE_API std::string debug_socket();

/// The state of this process: as the debug socket tells it. With its causes.
/// @param all_fences  also the pending ones that nobody waits for
/// Threads: any. Allocates: may throw std::bad_alloc. Context: not under a lock, an op or a callback.
[[nodiscard]] UFENCE_API debug::snapshot debug_snapshot(bool all_fences = false);

}  // namespace ufence
