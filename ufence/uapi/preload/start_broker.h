// Starting a broker where there is none.
#pragma once

#include "ufence/uapi/preload/reach_broker.h"

namespace ufence::uapi {

/// Binds a listener to a name and starts the broker's program, which serves it: it listens when this
/// returns. The program is nobody's child, in a process group of its own, with the limits,
/// priority, and signals that a new login would have, not those of the program that came first.
/// @return  false, errno: EADDRINUSE there is one; ENODEV it can't be started; EPERM this process has
///          limits that can't be lifted, and all programs of the user would have to live with them;
///          EMFILE, ...
[[nodiscard]] bool start_broker(const broker_address& name) noexcept;

}  // namespace ufence::uapi
