// The end of the process: devices stop before the static objects of their modules go.
#pragma once

#include "ufence/issuer/host.h"

namespace ufence::detail {

/// Was exit() called, in a process with such devices?
[[nodiscard]] bool does_process_end() noexcept;
/// Calls a function while the process ends, on another thread: exit() may have been called in a signal handler,
/// so that this thread holds a lock, or reads under RCU, and never goes on. Then it returns after 10 s.
/// @return  false: the function has not returned; what it uses must stay
[[nodiscard]] bool call_at_process_end(void (*function)(void*), void* argument) noexcept;

/// From now on exit() stops the device before whatever its module has registered so far. Again: before
/// what it has registered since.
/// Allocates: without memory, nothing is registered.
void stop_at_process_end(const device_ref& d) noexcept;
/// The device is registered, and its module registers static objects when they are first used.
void stop_before_late_objects(device::impl& d) noexcept;
/// The device is gone: exit() has nothing to do for it.
void forget_at_process_end(device::impl& d) noexcept;

}  // namespace ufence::detail
