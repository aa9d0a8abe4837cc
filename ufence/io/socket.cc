#include "ufence/io/socket.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "ufence/base/passed_fds.h"
#include "ufence/io/side_work.h"

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

void keep_filters_out(int socket) noexcept {
  const int on = 1;
  static_cast<void>(::setsockopt(socket, SOL_SOCKET, SO_LOCK_FILTER, &on, sizeof on));
}

bool has_unread(int socket) noexcept {
  // A message without bytes looks like the end, but for its sender, whom there is no room for here.
  const int on = 1;
  static_cast<void>(::setsockopt(socket, SOL_SOCKET, SO_PASSCRED, &on, sizeof on));
  result<arrival> next = receive_message(socket, {}, std::span<unique_fd>(), true);
  if (!next && next.error() == errno_code(ECONNRESET)) {
    next = receive_message(socket, {}, std::span<unique_fd>(), true);
  }
  return next && next->are_fds_cut;
}

void end_sending(int socket) noexcept { ::shutdown(socket, SHUT_WR); }

namespace {

// The parts that the kernel puts beside the bytes of a message: the sender's name, and before the descriptors
// or behind them whatever those who share the socket ask for: times, a label, a descriptor of the
// sending process.
constexpr std::size_t other_control_max = CMSG_SPACE(sizeof(ucred)) + 256;
using control_buffer = fd_room<message_fds_limit, other_control_max>;
constexpr int sender_pidfd = 4;  // SCM_PIDFD, newer than the headers of some systems

void take_control(msghdr& header, std::span<unique_fd> fds, arrival& got) noexcept {
  for (cmsghdr* c = CMSG_FIRSTHDR(&header); c != nullptr; c = CMSG_NXTHDR(&header, c)) {
    if (c->cmsg_level != SOL_SOCKET) continue;
    if (c->cmsg_type == SCM_CREDENTIALS && c->cmsg_len >= CMSG_LEN(sizeof(ucred))) {
      std::memcpy(&got.sender.emplace(), CMSG_DATA(c), sizeof(ucred));
    }
    // Nobody here has asked for it.
    if (c->cmsg_type == sender_pidfd && c->cmsg_len >= CMSG_LEN(sizeof(int))) {
      int number = -1;
      std::memcpy(&number, CMSG_DATA(c), sizeof number);
      ::close(number);
    }
  }
  take_fds(header, [&](int number) {
    unique_fd fd(number);
    if (got.fd_count < fds.size()) {
      fds[got.fd_count++] = std::move(fd);
    } else {
      got.are_fds_cut = true;
      detail::close_aside(std::move(fd));
    }
  });
}

}  // namespace

std::error_code send_message(int socket, std::span<const std::byte> bytes,
                             std::span<const int> fds) noexcept {
  if (fds.size() > message_fds_limit) return errno_code(EINVAL);
  iovec data{.iov_base = const_cast<std::byte*>(bytes.data()), .iov_len = bytes.size()};
  msghdr header{};
  header.msg_iov = &data;
  header.msg_iovlen = 1;
  control_buffer control;
  put_fds(header, control, fds);
  for (;;) {
    if (::sendmsg(socket, &header, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0) return {};
    if (errno != EINTR) return errno_code(errno);
  }
}

std::error_code send_large_message(int socket, std::span<const std::byte> bytes,
                                   std::span<const int> fds) noexcept {
  const std::error_code failed = send_message(socket, bytes, fds);
  if (failed != errno_code(EMSGSIZE)) return failed;
  // The kernel doubles it, for what it needs itself.
  const int size = static_cast<int>(bytes.size());
  static_cast<void>(::setsockopt(socket, SOL_SOCKET, SO_SNDBUF, &size, sizeof size));
  return send_message(socket, bytes, fds);
}

result<arrival> receive_message(int socket, std::span<std::byte> into, std::span<unique_fd> fds,
                                bool peek) noexcept {
  iovec data{.iov_base = into.data(), .iov_len = into.size()};
  msghdr header{};
  header.msg_iov = &data;
  header.msg_iovlen = 1;
  // All descriptors are taken: what the kernel has no room for it closes on this thread. Of a
  // message that stays where it is it closes duplicates, which takes no time.
  control_buffer control;
  if (!peek || !fds.empty()) {
    header.msg_control = control.bytes.data();
    header.msg_controllen =
        peek ? other_control_max + CMSG_SPACE(fds.size_bytes()) : sizeof control.bytes;
  }
  ssize_t size = 0;
  do {
    size = ::recvmsg(socket, &header,
                     MSG_DONTWAIT | MSG_TRUNC | MSG_CMSG_CLOEXEC | (peek ? MSG_PEEK : 0));
  } while (size < 0 && errno == EINTR);
  if (size < 0) return failure(errno);
  arrival got;
  got.size = static_cast<std::size_t>(size);
  got.is_cut = (header.msg_flags & MSG_TRUNC) != 0;
  got.are_fds_cut = (header.msg_flags & MSG_CTRUNC) != 0;
  take_control(header, fds, got);
  return got;
}

void close_received(unique_fd fd) noexcept {
  if (!fd) return;
  ucred maker{};
  socklen_t size = sizeof maker;
  const bool closes_at_once =
      (::getsockopt(fd.get(), SOL_SOCKET, SO_PEERCRED, &maker, &size) == 0 &&
       maker.pid == ::getpid()) ||
      ::fcntl(fd.get(), F_GET_SEALS) >= 0;
  if (!closes_at_once) detail::close_aside(std::move(fd));
}

message::~message() {
  for (unique_fd& fd : fds) close_received(std::move(fd));
}

result<message> receive_message(int socket, std::span<std::byte> into, bool peek,
                                std::size_t fds_max) noexcept {
  message got;
  const result<arrival> came = receive_message(
      socket, into, std::span(got.fds).first(std::min(fds_max, message_fds_max)), peek);
  if (!came) return std::unexpected(came.error());
  got.size = came->size;
  got.is_cut = came->is_cut || came->are_fds_cut;
  got.fd_count = came->fd_count;
  return got;
}

}  // namespace ufence
