// Which broker this process talks to, and starting it.
#pragma once

#include <sys/socket.h>
#include <sys/un.h>

namespace ufence::uapi {

struct broker_address {
  sockaddr_un name{};
  socklen_t size = 0;
};

/// What the environment names, when the library was loaded; else one for each user.
[[nodiscard]] const broker_address& address_of_broker() noexcept;

/// Binds and listens for the broker, and starts its program, which takes that over: calls that are
/// made meanwhile wait in the listener's queue. The program is nobody's child.
/// @return  false, errno: EADDRINUSE there is one; ENODEV it can't be started; EMFILE, ...
[[nodiscard]] bool start_broker() noexcept;

}  // namespace ufence::uapi
