// Side work: what may block for as long as a stranger likes is done on threads that nobody waits
// for.
//
// A descriptor that another process has sent may take any time to close: a TCP socket with
// SO_LINGER and a full queue waits for a peer that does not read, and a Unix socket closes what is
// in flight in its queue. So the reactor, the broker and callers with a deadline never close one
// themselves.
//
// Threads: up to side_work_threads_max, started when there is more work than sleepers, named
// "ufence-side"; each ends after 10 ms without work. Lock: a leaf.
#pragma once

#include <cstddef>
#include <cstdint>

#include "ufence/base/fd.h"

namespace ufence::detail {

inline constexpr std::size_t side_work_threads_max = 4;
inline constexpr std::size_t side_work_waiting_max = 256;

/// Work for a side thread: `run(argument)`.
struct side_work {
  void (*run)(std::uint64_t argument) noexcept = nullptr;
  std::uint64_t argument = 0;
};

/// Gives the work to a side thread.
/// @return  false: too much is waiting, or there is no thread to be had; it will not run
/// Threads: any, concurrently. Blocks: never. Allocates: never, but for a thread.
[[nodiscard]] bool run_aside(const side_work& work) noexcept;

/// Closes a descriptor on a side thread; on this one if that can't be had.
void close_aside(unique_fd fd) noexcept;

}  // namespace ufence::detail
