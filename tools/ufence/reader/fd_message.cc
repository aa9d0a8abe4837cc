#include "tools/ufence/reader/fd_message.h"

#include <sys/socket.h>
#include <sys/uio.h>

#include <cerrno>
#include <cstring>

namespace ufence::tool {
namespace {

// Room for the descriptors of one message.
struct control_room {
  alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(message_fds_max * sizeof(int))> bytes;
};

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
  if (!fds.empty()) {
    header.msg_control = room.bytes.data();
    header.msg_controllen = CMSG_SPACE(fds.size_bytes());
    cmsghdr* const rights = CMSG_FIRSTHDR(&header);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(fds.size_bytes());
    std::memcpy(CMSG_DATA(rights), fds.data(), fds.size_bytes());
  }
  if (::sendmsg(socket, &header, MSG_NOSIGNAL) >= 0) return {};
  return errno_code(errno);
}

result<received_message> receive_message(int socket, std::span<std::byte> into) {
  iovec data{.iov_base = into.data(), .iov_len = into.size()};
  msghdr header{};
  header.msg_iov = &data;
  header.msg_iovlen = 1;
  control_room room{};
  header.msg_control = room.bytes.data();
  header.msg_controllen = room.bytes.size();
  const ssize_t size = ::recvmsg(socket, &header, MSG_CMSG_CLOEXEC);
  if (size < 0) return failure(errno);

  received_message got;
  got.size = static_cast<std::size_t>(size);
  got.is_cut = (header.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0;
  for (cmsghdr* c = CMSG_FIRSTHDR(&header); c != nullptr; c = CMSG_NXTHDR(&header, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count && got.fd_count < message_fds_max; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof fd);
      got.fds[got.fd_count++].reset(fd);
    }
  }
  return got;
}

}  // namespace ufence::tool
