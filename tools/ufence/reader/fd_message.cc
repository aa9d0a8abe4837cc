#include "tools/ufence/reader/fd_message.h"

#include <sys/socket.h>
#include <sys/uio.h>

#include <cerrno>
#include <utility>

#include "ufence/base/passed_fds.h"

namespace ufence::tool {
namespace {

using control_room = fd_room<message_fds_max>;

}  // namespace

result<std::pair<unique_fd, unique_fd>> message_sockets() {
  std::array<int, 2> ends{};
  constexpr int type = SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK;
  if (::socketpair(AF_UNIX, type, 0, ends.data()) != 0) return failure(errno);
  return std::pair{unique_fd(ends[0]), unique_fd(ends[1])};
}

std::error_code send_message(int socket, std::span<const std::byte> bytes,
                             std::span<const int> fds) {
  if (fds.size() > message_fds_max) return errno_code(EINVAL);
  // sendmsg() does not write to it.
  iovec data{.iov_base = const_cast<std::byte*>(bytes.data()), .iov_len = bytes.size()};
  msghdr header{};
  header.msg_iov = &data;
  header.msg_iovlen = 1;
  control_room room{};
  put_fds(header, room, fds);
  if (::sendmsg(socket, &header, MSG_NOSIGNAL) >= 0) return {};
  return errno_code(errno);
}

result<received_message> receive_message(int socket, std::span<std::byte> into) {
  iovec data{.iov_base = into.data(), .iov_len = into.size()};
  msghdr header{};
  header.msg_iov = &data;
  header.msg_iovlen = 1;
  control_room room{};
  make_room_for_fds(header, room);
  const ssize_t size = ::recvmsg(socket, &header, MSG_CMSG_CLOEXEC);
  if (size < 0) return failure(errno);

  received_message got;
  got.size = static_cast<std::size_t>(size);
  got.is_cut = (header.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0;
  take_fds(header, [&got](int number) {
    unique_fd fd(number);
    if (got.fd_count < message_fds_max) got.fds[got.fd_count++] = std::move(fd);
  });
  return got;
}

}  // namespace ufence::tool
