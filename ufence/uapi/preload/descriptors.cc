#include "ufence/uapi/preload/descriptors.h"

#include <sys/un.h>

#include "ufence/uapi/preload/system.h"

namespace ufence::uapi {
namespace {

// The abstract address that one end of a socket is bound to, behind its prefix; empty: another one.
struct bound_name {
  sockaddr_un name{};
  std::string_view rest;

  bound_name(int fd, long which, std::string_view prefix) noexcept {
    socklen_t size = sizeof name;
    const int before = errno;
    if (::syscall(which, fd, &name, &size) != 0) {
      errno = before;
      return;
    }
    constexpr socklen_t head = offsetof(sockaddr_un, sun_path) + 1;
    if (name.sun_family != AF_UNIX || size <= head || size > sizeof name ||
        name.sun_path[0] != '\0') {
      return;
    }
    const std::string_view whole(name.sun_path + 1, size - head);
    if (!whole.starts_with(prefix)) return;
    rest = {whole.data() + prefix.size(), whole.size() - prefix.size()};
  }
};

}  // namespace

device_kind device_of(int fd) noexcept {
  const bound_name peer(fd, SYS_getpeername, device_prefix);
  if (peer.rest.size() < 2 || peer.rest[1] != '/') return device_kind::none;
  const auto kind = static_cast<device_kind>(peer.rest[0]);
  switch (kind) {
    case device_kind::sw_sync:
    case device_kind::drm_card:
    case device_kind::drm_render:
    case device_kind::syncobj: return kind;
    case device_kind::none: break;
  }
  return device_kind::none;
}

bool is_sync_file(int fd) noexcept {
  return !bound_name(fd, SYS_getsockname, sync_file_prefix).rest.empty();
}

bool may_be_dma_buf(int fd) noexcept {
  const int before = errno;
  const int seals = system::fcntl(fd, F_GET_SEALS);
  errno = before;
  return seals == dma_buf_seals;
}

}  // namespace ufence::uapi
