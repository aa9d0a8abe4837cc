// Descriptors beside the bytes of a message over a Unix socket (SCM_RIGHTS): the one place that
// lays them out.
#pragma once

#include <sys/socket.h>

#include <array>
#include <cstddef>
#include <cstring>
#include <span>

namespace ufence {

/// Room beside a message for so many descriptors, and for `more` bytes of other things.
template <std::size_t Max, std::size_t More = 0>
struct fd_room {
  static constexpr std::size_t fds_max = Max;
  alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(Max * sizeof(int)) + More> bytes{};
};

/// Has a message take descriptors along, in room that stays until it is sent; none: it takes
/// nothing.
/// @param fds  not more than there is room for
/// Blocks, Allocates: never. Context: anywhere.
template <std::size_t Max, std::size_t More>
void put_fds(msghdr& message, fd_room<Max, More>& room, std::span<const int> fds) noexcept {
  if (fds.empty()) return;
  message.msg_control = room.bytes.data();
  message.msg_controllen = CMSG_SPACE(fds.size_bytes());
  cmsghdr* const rights = CMSG_FIRSTHDR(&message);
  rights->cmsg_level = SOL_SOCKET;
  rights->cmsg_type = SCM_RIGHTS;
  rights->cmsg_len = CMSG_LEN(fds.size_bytes());
  std::memcpy(CMSG_DATA(rights), fds.data(), fds.size_bytes());
}

/// Has a message bring descriptors.
template <std::size_t Max, std::size_t More>
void make_room_for_fds(msghdr& message, fd_room<Max, More>& room) noexcept {
  message.msg_control = room.bytes.data();
  message.msg_controllen = room.bytes.size();
}

/// Calls take(fd) for each descriptor that came with a message. They belong to the caller.
/// Blocks, Allocates: never, but for what take() does. Context: anywhere.
template <class Take>
void take_fds(msghdr& message, Take take) {
  for (cmsghdr* c = CMSG_FIRSTHDR(&message); c != nullptr; c = CMSG_NXTHDR(&message, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
      take(fd);
    }
  }
}

}  // namespace ufence
