// Adding 1 to an eventfd that others share, and may have filled it and let it block.
#pragma once

#include <cstdint>
#include <system_error>

#include "ufence/syncobj/syncobj.h"

namespace ufence::detail {

/// The function that runs when an event needs its eventfd no more: on the thread that tells it, or ends the
/// syncobj. As a callback (F10).
struct event_end {
  void (*run)(void* argument) noexcept = nullptr;
  void* argument = nullptr;
};
/// syncobj::notify(), with such an end, which does not run if it fails.
[[nodiscard]] std::error_code notify(syncobj& object, int event_fd, std::uint64_t point,
                                     bool when_available, const event_end& end) noexcept;

/// Makes what tell_event() needs, once for the process. Where the system refuses that, tell_event()
/// looks for room first, and may block for a holder that fills it just then.
/// Threads: any, concurrently. Blocks: never.
void prepare_to_tell_events() noexcept;

/// Adds 1, or what is left of the room for it, as the kernel does itself.
/// Threads: any, concurrently. Blocks: never. Context: signalling path ok.
void tell_event(int event_fd) noexcept;

}  // namespace ufence::detail
