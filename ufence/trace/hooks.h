// Where the layers above tell what happens. Inside the library only; a model checker's double, in
// which nothing is ever recorded, stands earlier on the include path.
#pragma once

#include <cstdint>
#include <string_view>

#include "ufence/base/atomic.h"
#include "ufence/trace/format.h"

namespace ufence::trace {

namespace detail {
extern atomic<bool> is_on;
extern atomic<std::uint32_t> recording_number;
}  // namespace detail

/// Is something recorded? To be asked before an event is put together.
[[nodiscard]] inline bool is_recording() noexcept {
  // relaxed: a thread that looks too early or too late records an event less or more
  return detail::is_on.load(mo::relaxed);
}
/// The number of the recording, from 1: what is told once in each is marked with it.
[[nodiscard]] inline std::uint32_t recording_number() noexcept {
  // relaxed: as above
  return detail::recording_number.load(mo::relaxed);
}

/// Puts an event into the ring of this thread. `what.time_ns` 0: now.
/// Threads: any. Blocks: never. Allocates: never. Context: any lock, the signalling path; not a
/// signal handler.
void record(const slot& what) noexcept;
/// The same, with what is in it in registers: an event that was put together in memory is waited for.
void record(event kind, std::int32_t error, std::uint64_t context, std::uint64_t seqno,
            std::uint64_t a, std::uint64_t b, std::uint64_t time_ns) noexcept;
/// The same with a text, which is cut off where it is too long.
void record(const slot& what, std::string_view text) noexcept;
/// With two, and a zero between them.
void record(const slot& what, std::string_view first, std::string_view second) noexcept;

}  // namespace ufence::trace
