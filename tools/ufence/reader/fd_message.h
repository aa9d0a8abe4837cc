// Messages with descriptors over a Unix socket of type SOCK_SEQPACKET.
#pragma once

#include <array>
#include <cstddef>
#include <span>
#include <system_error>
#include <utility>

#include "ufence/base/fd.h"
#include "ufence/base/result.h"

namespace ufence::tool {

/// Two connected ends, close-on-exec and non-blocking.
/// @return  -EMFILE, -ENFILE, -ENOMEM
[[nodiscard]] result<std::pair<unique_fd, unique_fd>> message_sockets();

/// Descriptors in one message, at most.
inline constexpr std::size_t message_fds_max = 16;

/// Sends one message whole.
/// @return  -EAGAIN no room; -EPIPE, -ECONNRESET the other end is gone; -ETOOMANYREFS too many
/// descriptors are on their way; ...
[[nodiscard]] std::error_code send_message(int socket, std::span<const std::byte> bytes,
                                           std::span<const int> fds = {});

struct received_message {
  std::size_t size = 0;  // 0: the other end is closed
  bool is_cut = false;   // it did not fit, or there were no descriptors left
  std::size_t fd_count = 0;
  std::array<unique_fd, message_fds_max> fds;
};

/// @return  -EAGAIN none yet; -ECONNRESET the other end was closed before it read all: try again
[[nodiscard]] result<received_message> receive_message(int socket, std::span<std::byte> into);

}  // namespace ufence::tool
