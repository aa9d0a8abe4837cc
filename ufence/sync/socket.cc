#include "ufence/sync/socket.h"

#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "ufence/sync/wire.h"

namespace ufence {

result<socket_pair> make_socket_pair() noexcept {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0) {
    return failure(errno);
  }
  return socket_pair{unique_fd(ends[0]), unique_fd(ends[1])};
}

result<std::uint64_t> socket_cookie(int socket) noexcept {
  std::uint64_t cookie = 0;
  socklen_t size = sizeof cookie;
  if (::getsockopt(socket, SOL_SOCKET, SO_COOKIE, &cookie, &size) != 0) return failure(errno);
  return cookie;
}

std::error_code bind_socket(int socket, const detail::socket_address& address) noexcept {
  return errno_code(::bind(socket, address.get(), address.size) == 0 ? 0 : errno);
}

bool find_peer(int socket, detail::socket_address& address) noexcept {
  address.size = sizeof address.name;
  return ::getpeername(socket, reinterpret_cast<sockaddr*>(&address.name), &address.size) == 0;
}

void end_sending(int socket) noexcept { ::shutdown(socket, SHUT_WR); }

namespace {

// Room for the descriptors of one message.
struct control_buffer {
  alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(message_fds_max * sizeof(int))> bytes;
};

}  // namespace

std::error_code send_message(int socket, std::span<const std::byte> bytes,
                             std::span<const int> fds) noexcept {
  if (fds.size() > message_fds_max) return errno_code(EINVAL);
  iovec data{.iov_base = const_cast<std::byte*>(bytes.data()), .iov_len = bytes.size()};
  msghdr header{};
  header.msg_iov = &data;
  header.msg_iovlen = 1;
  control_buffer control;
  if (!fds.empty()) {
    header.msg_control = control.bytes.data();
    header.msg_controllen = CMSG_SPACE(fds.size_bytes());
    cmsghdr* c = CMSG_FIRSTHDR(&header);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(fds.size_bytes());
    std::memcpy(CMSG_DATA(c), fds.data(), fds.size_bytes());
  }
  const ssize_t sent = ::sendmsg(socket, &header, MSG_DONTWAIT | MSG_NOSIGNAL);
  return sent < 0 ? errno_code(errno) : std::error_code();
}

result<message> receive_message(int socket, std::span<std::byte> into, bool peek,
                                std::size_t fds_max) noexcept {
  iovec data{.iov_base = into.data(), .iov_len = into.size()};
  msghdr header{};
  header.msg_iov = &data;
  header.msg_iovlen = 1;
  control_buffer control;
  if (fds_max != 0) {
    header.msg_control = control.bytes.data();
    header.msg_controllen = CMSG_LEN(std::min(fds_max, message_fds_max) * sizeof(int));
  }
  const ssize_t size = ::recvmsg(
      socket, &header, MSG_DONTWAIT | MSG_TRUNC | MSG_CMSG_CLOEXEC | (peek ? MSG_PEEK : 0));
  if (size < 0) return failure(errno);
  message got;
  got.size = static_cast<std::size_t>(size);
  got.is_cut = (header.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0;
  for (cmsghdr* c = CMSG_FIRSTHDR(&header); c != nullptr; c = CMSG_NXTHDR(&header, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof fd);
      if (got.fd_count < message_fds_max) {
        got.fds[got.fd_count++].reset(fd);
      } else {
        ::close(fd);
      }
    }
  }
  return got;
}

}  // namespace ufence
