// Which broker this process talks to, and connections to it.
//
// A call about a device goes to the broker that made it: the end of a new connection is sent over the
// device itself, which needs no name, and works in every namespace. All other calls find the broker by
// a name, and start one where there is none.
//
// Names in the abstract namespace are anybody's. So the first question is who listens there: the
// kernel says (SO_PEERCRED), and nothing is sent to a process of another user. Where strangers have
// taken a name, another one is tried.
#pragma once

#include <sys/socket.h>
#include <sys/un.h>

namespace ufence::uapi {

struct broker_address {
  sockaddr_un name{};
  socklen_t size = 0;
};

/// A connection, which close_noted() closes.
/// @param starts            starts a broker if there is none
/// @param is_interruptible  a signal handler ends the wait for a broker that is stopped
/// @return  -1, errno: ENODEV there is none, or it can't be started; EPERM it could not live long
///          (start_broker()); EACCES all names are taken by other users; EINTR; EMFILE, ...
[[nodiscard]] int connect_to_broker(bool starts, bool is_interruptible) noexcept;

/// A connection to the broker that made a device.
/// @param is_interruptible  as above
/// @return  -1, errno: ENODEV it is gone; EACCES it is of another user; EINTR; EMFILE, ...
[[nodiscard]] int connect_over_device(int device, bool is_interruptible) noexcept;

/// A millisecond, before a broker is asked again.
void pause_shortly() noexcept;

}  // namespace ufence::uapi
