// One call for what the reactor does with its epolls.
#pragma once

#include <sys/epoll.h>

#include <cstdint>

namespace ufence::detail {

/// Keys of what is watched are below; above are the tags of the reactor's own descriptors.
inline constexpr std::uint64_t epoll_own_tags = std::uint64_t{1} << 63;

inline bool epoll_change(int epoll, int operation, int fd, std::uint32_t events,
                         std::uint64_t key) noexcept {
  epoll_event e{.events = events, .data = {.u64 = key}};
  return ::epoll_ctl(epoll, operation, fd, &e) == 0;
}

}  // namespace ufence::detail
