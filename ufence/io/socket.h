// Messages with descriptors over Unix sockets of the type SOCK_SEQPACKET; nothing here blocks.
#pragma once

#include <sys/socket.h>
#include <sys/un.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "ufence/base/fd.h"
#include "ufence/base/result.h"

namespace ufence {

namespace detail {

/// An address of a socket.
struct socket_address {
  sockaddr_un name{};
  socklen_t size = 0;
  [[nodiscard]] const sockaddr* get() const noexcept {
    return reinterpret_cast<const sockaddr*>(&name);
  }
};

}  // namespace detail

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
/// @return  -EADDRINUSE; -EINVAL it has one; ...
[[nodiscard]] std::error_code bind_socket(int socket,
                                          const detail::socket_address& address) noexcept;
/// The address of the other end, also when that is closed.
[[nodiscard]] bool find_peer(int socket, detail::socket_address& address) noexcept;
/// A process that shares a socket from now on can put no filter on what arrives there.
void keep_filters_out(int socket) noexcept;
/// Is there anything at a socket that nobody has read? What was sent may take long to close.
[[nodiscard]] bool has_unread(int socket) noexcept;
/// Nothing more is sent: the other end reads what was, and then the end.
void end_sending(int socket) noexcept;

// --- Messages ---

/// Sends one message whole, with descriptors (at most message_fds_limit).
/// @return  -EAGAIN no room; -EPIPE the other end is gone; -EMSGSIZE; -EINVAL too many descriptors;
/// ...
[[nodiscard]] std::error_code send_message(int socket, std::span<const std::byte> bytes,
                                           std::span<const int> fds = {}) noexcept;

/// The same for one that may be larger than the socket has room for by default.
/// @return  -EMSGSIZE larger than the system allows this user
[[nodiscard]] std::error_code send_large_message(int socket, std::span<const std::byte> bytes,
                                                 std::span<const int> fds = {}) noexcept;

/// Closes a descriptor that came from another process: at once if it is a memory file, or a socket
/// that this process made, which take no time; otherwise on a side thread.
void close_received(unique_fd fd) noexcept;

/// The kernel sends no more descriptors in one message.
inline constexpr std::size_t message_fds_limit = 253;

/// The things that came with a message.
struct arrival {
  std::size_t size = 0;         // of the whole message: more than the room if it was cut off
  bool is_cut = false;          // bytes did not fit
  bool are_fds_cut = false;     // descriptors did not fit, or this process can have no more
  std::size_t fd_count = 0;     // of those that were asked for
  std::optional<ucred> sender;  // where SO_PASSCRED is set, and descriptors are asked for
};
/// Receives one message with up to fds.size() descriptors. More of them are closed on a side
/// thread: their sender chose what closing them takes. Size 0 without a sender: the other end is
/// closed, or this one shut down.
/// @param peek  leaves the message where it is
/// @return  -EAGAIN none yet; -ECONNRESET the other end closed without reading all: try again; ...
[[nodiscard]] result<arrival> receive_message(int socket, std::span<std::byte> into,
                                              std::span<unique_fd> fds, bool peek) noexcept;

inline constexpr std::size_t message_fds_max = 16;

/// A message with few descriptors. Those that nobody takes are closed by close_received().
struct message {
  message() noexcept = default;
  message(message&&) noexcept = default;
  message& operator=(message&&) noexcept = default;
  ~message();

  std::size_t size = 0;
  bool is_cut = false;  // bytes or descriptors did not fit, and are lost
  std::size_t fd_count = 0;
  unique_fd fds[message_fds_max];
};
/// The same with at most fds_max descriptors, up to message_fds_max.
[[nodiscard]] result<message> receive_message(int socket, std::span<std::byte> into,
                                              bool peek = false, std::size_t fds_max = 0) noexcept;

}  // namespace ufence
