#include "ufence/io/peer.h"

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "ufence/io/socket.h"

namespace ufence::detail {
namespace {

// Newer than the headers of some systems.
constexpr int so_peerpidfd = 77;
constexpr long pidfs_magic = 0x50494446;

// The kernel shows this number for users who have none in this process's user namespace.
constexpr uid_t overflow_uid = 65534;

std::optional<ucred> credentials_of(int socket) noexcept {
  ucred maker{};
  socklen_t size = sizeof maker;
  if (::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &maker, &size) != 0) return std::nullopt;
  return maker;
}

// Of the process that made the pair.
result<unique_fd> pidfd_of(int socket) noexcept {
  int fd = -1;
  socklen_t size = sizeof fd;
  if (::getsockopt(socket, SOL_SOCKET, so_peerpidfd, &fd, &size) != 0) return failure(errno);
  return unique_fd(fd);
}

// --- The kernel's list of sockets ---

struct question {
  nlmsghdr head;
  unix_diag_req what;
};

// The number of the other end's inode in an answer; 0: it has none any more.
std::optional<std::uint32_t> peer_in(const nlmsghdr& head, std::size_t size) noexcept {
  if (size < NLMSG_SPACE(sizeof(unix_diag_msg)) || head.nlmsg_len > size ||
      head.nlmsg_type != SOCK_DIAG_BY_FAMILY) {
    return std::nullopt;
  }
  const auto* const bytes = reinterpret_cast<const std::byte*>(&head);
  std::size_t at = NLMSG_SPACE(sizeof(unix_diag_msg));
  while (at + sizeof(rtattr) <= head.nlmsg_len) {
    rtattr attribute;
    std::memcpy(&attribute, bytes + at, sizeof attribute);
    if (attribute.rta_len < sizeof attribute || at + attribute.rta_len > head.nlmsg_len) break;
    if (attribute.rta_type == UNIX_DIAG_PEER && attribute.rta_len >= RTA_LENGTH(4)) {
      std::uint32_t inode = 0;
      std::memcpy(&inode, bytes + at + RTA_LENGTH(0), sizeof inode);
      return inode;
    }
    at += RTA_ALIGN(attribute.rta_len);
  }
  // Listed, and without a peer at all.
  return 0;
}

}  // namespace

peer_state state_of_other_end(int socket) noexcept {
  struct stat file {};
  const result<std::uint64_t> cookie = socket_cookie(socket);
  const unique_fd list(
      ::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_SOCK_DIAG));
  if (!list || !cookie || ::fstat(socket, &file) != 0) return peer_state::unknown;
  question ask{};
  ask.head.nlmsg_len = sizeof ask;
  ask.head.nlmsg_type = SOCK_DIAG_BY_FAMILY;
  ask.head.nlmsg_flags = NLM_F_REQUEST;
  ask.what.sdiag_family = AF_UNIX;
  ask.what.udiag_states = ~0U;
  ask.what.udiag_ino = static_cast<std::uint32_t>(file.st_ino);
  ask.what.udiag_show = UDIAG_SHOW_PEER;
  ask.what.udiag_cookie[0] = static_cast<std::uint32_t>(*cookie);
  ask.what.udiag_cookie[1] = static_cast<std::uint32_t>(*cookie >> 32);
  // The kernel answers within the call.
  alignas(nlmsghdr) std::array<std::byte, 1024> answer;
  if (::send(list.get(), &ask, sizeof ask, 0) != sizeof ask) return peer_state::unknown;
  const ssize_t size = ::recv(list.get(), answer.data(), answer.size(), 0);
  if (size < static_cast<ssize_t>(sizeof(nlmsghdr))) return peer_state::unknown;
  const auto peer =
      peer_in(*reinterpret_cast<const nlmsghdr*>(answer.data()), static_cast<std::size_t>(size));
  if (!peer) return peer_state::unknown;
  return *peer == 0 ? peer_state::closed : peer_state::open;
}

peer_state state_of_maker(int socket) noexcept {
  const result<unique_fd> maker = pidfd_of(socket);
  if (maker) {
    pollfd ended{.fd = maker->get(), .events = POLLIN, .revents = 0};
    return ::poll(&ended, 1, 0) == 1 ? peer_state::closed : peer_state::open;
  }
  const int why = maker.error().value();
  // Its parent has waited for it: before Linux 6.16 there is no pidfd of it any more.
  if (why == ESRCH || why == EINVAL) return peer_state::closed;
  const std::optional<ucred> known = credentials_of(socket);
  if (!known || known->pid == 0) return peer_state::unknown;  // of an outer namespace of processes
  return ::kill(known->pid, 0) != 0 && errno == ESRCH ? peer_state::closed : peer_state::open;
}

result<unique_fd> pidfd_of_maker(int socket) noexcept {
  result<unique_fd> maker = pidfd_of(socket);
  if (maker || maker.error() != errno_code(ENOPROTOOPT)) return maker;
  const std::optional<ucred> known = credentials_of(socket);
  if (!known || known->pid == 0) return failure(ESRCH);
  const long opened = ::syscall(SYS_pidfd_open, known->pid, 0);
  if (opened < 0) return failure(errno);
  return unique_fd(static_cast<int>(opened));
}

std::optional<std::uint64_t> maker_of(int socket) noexcept {
  const std::optional<ucred> known = credentials_of(socket);
  if (!known) return std::nullopt;
  if (known->pid != 0) {
    return std::uint64_t{known->uid} << 32 | static_cast<std::uint32_t>(known->pid);
  }
  // A pidfd has an inode of its own for each process, where it is a file of pidfs.
  const result<unique_fd> maker = pidfd_of(socket);
  struct statfs system {};
  struct stat file {};
  if (!maker || ::fstatfs(maker->get(), &system) != 0 || system.f_type != pidfs_magic ||
      ::fstat(maker->get(), &file) != 0) {
    return std::nullopt;
  }
  return std::uint64_t{1} << 63 | file.st_ino;
}

bool is_of_another_user(int socket) noexcept {
  const std::optional<ucred> known = credentials_of(socket);
  return !known || known->uid != ::geteuid() || known->uid == overflow_uid;
}

}  // namespace ufence::detail
