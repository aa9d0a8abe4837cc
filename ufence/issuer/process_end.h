// The end of the process: devices stop before the static objects of their modules go.
#pragma once

#include "ufence/issuer/host.h"

namespace ufence::detail {

/// From now on exit() stops the device before whatever its module has registered so far. Again: before
/// what it has registered since.
/// Allocates: without memory, nothing is registered.
void stop_at_process_end(const device_ref& d) noexcept;
/// The device is registered, and its module registers static objects when they are first used.
void stop_before_late_objects(device::impl& d) noexcept;
/// The device is gone: exit() has nothing to do for it.
void forget_at_process_end(device::impl& d) noexcept;

}  // namespace ufence::detail
