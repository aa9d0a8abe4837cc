// Messages with descriptors over Unix sockets of the type SOCK_SEQPACKET; never blocks unless it
// says so.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <span>

#include "ufence/base/fd.h"
#include "ufence/base/result.h"

namespace ufence {

namespace detail {
struct socket_address;
}

struct socket_pair {
  unique_fd first;
  unique_fd second;
};
/// Two connected ends, close-on-exec, non-blocking.
/// @return  -EMFILE, -ENFILE, -ENOMEM
[[nodiscard]] result<socket_pair> make_socket_pair() noexcept;

/// A number that no other socket has, the same for each duplicate in each process.
/// @return  -EBADF; -ENOTSOCK
[[nodiscard]] result<std::uint64_t> socket_cookie(int socket) noexcept;

/// Gives a socket its address.
/// @return  -EADDRINUSE; ...
[[nodiscard]] std::error_code bind_socket(int socket,
                                          const detail::socket_address& address) noexcept;
/// The address of the other end, also when that is closed.
[[nodiscard]] bool find_peer(int socket, detail::socket_address& address) noexcept;
/// Nothing more is sent: the other end reads what was, and then the end.
void end_sending(int socket) noexcept;

/// Sends one message whole, with descriptors (at most message_fds_max).
/// @return  -EAGAIN no room; -EPIPE the other end is gone; -EMSGSIZE; -EINVAL too many descriptors;
/// ...
[[nodiscard]] std::error_code send_message(int socket, std::span<const std::byte> bytes,
                                           std::span<const int> fds = {}) noexcept;

inline constexpr std::size_t message_fds_max = 16;

struct message {
  std::size_t size = 0;  // of the whole message: more than the room if it was cut off
  bool is_cut = false;   // bytes or descriptors did not fit, and are lost
  std::size_t fd_count = 0;
  unique_fd fds[message_fds_max];
};
/// Receives one message. Size 0: the other end is closed, or this one shut down.
/// @param peek     leaves the message where it is
/// @param fds_max  descriptors to take; more are closed by the kernel, and the message counts as
/// cut
/// @return  -EAGAIN none yet; -ECONNRESET the other end closed without reading all: try again; ...
[[nodiscard]] result<message> receive_message(int socket, std::span<std::byte> into,
                                              bool peek = false, std::size_t fds_max = 0) noexcept;

}  // namespace ufence
