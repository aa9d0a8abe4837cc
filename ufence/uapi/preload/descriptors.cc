#include "ufence/uapi/preload/descriptors.h"

#include <sys/stat.h>
#include <sys/un.h>

#include "ufence/base/memory_file.h"
#include "ufence/uapi/preload/system.h"

namespace ufence::uapi {
namespace {

// Is it a memory file with this name? Where there is no /proc, it may be.
bool has_name(int fd, std::string_view name) noexcept {
  constexpr std::string_view begin("/memfd:");
  char target[64];
  const std::string_view link = read_link_of(fd, target, sizeof target);
  return link.empty() || (link.starts_with(begin) && link.substr(begin.size()).starts_with(name));
}

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

file_kind kind_of(int fd) noexcept {
  struct stat s {};
  const int before = errno;
  const bool is_open = ::syscall(SYS_fstat, fd, &s) == 0;
  errno = before;
  if (!is_open) return file_kind::other;
  if (S_ISREG(s.st_mode)) return is_dma_buf(fd) ? file_kind::dma_buf : file_kind::other;
  if (!S_ISSOCK(s.st_mode)) return file_kind::other;
  switch (device_of(fd)) {
    case device_kind::sw_sync: return file_kind::sw_sync;
    case device_kind::drm_card:
    case device_kind::drm_render: return file_kind::drm_node;
    case device_kind::syncobj: return file_kind::syncobj;
    case device_kind::none: break;
  }
  return is_sync_file(fd) ? file_kind::sync_file : file_kind::other;
}

std::string_view read_link_of(int fd, char* into, std::size_t room) noexcept {
  char path[32] = "/proc/self/fd/";
  std::size_t end = std::strlen(path);
  char digits[12];
  std::size_t n = 0;
  for (int rest = fd; n == 0 || rest > 0; rest /= 10)
    digits[n++] = static_cast<char>('0' + rest % 10);
  while (n != 0) path[end++] = digits[--n];
  const int before = errno;
  const long size = fd < 0 ? -1 : ::syscall(SYS_readlinkat, AT_FDCWD, path, into, room);
  errno = before;
  if (size <= 0 || size == static_cast<long>(room)) return {};
  return {into, static_cast<std::size_t>(size)};
}

bool is_dma_buf(int fd) noexcept {
  const int before = errno;
  const int seals = system::fcntl(fd, F_GET_SEALS);
  // Others seal their memory files in the same way: the name tells the difference.
  const bool is_one = seals >= 0 && (seals & ~memory_file_noexec_seal) == dma_buf_seals &&
                      has_name(fd, dma_buf_file_name);
  errno = before;
  return is_one;
}

}  // namespace ufence::uapi
