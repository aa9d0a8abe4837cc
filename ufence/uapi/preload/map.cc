// mmap() of a DRM node: the memory of the buffer at that offset.
#include <sys/mman.h>

#include "ufence/uapi/preload/broker_call.h"
#include "ufence/uapi/preload/descriptors.h"
#include "ufence/uapi/preload/next.h"
#include "ufence/uapi/preload/system.h"

namespace ufence::uapi {
namespace {

using map_function = void*(void*, std::size_t, int, int, int, off_t);
constinit next_function<map_function> next_mmap("mmap");
constinit next_function<map_function> next_mmap64("mmap64");

void* map(next_function<map_function>& next, void* at, std::size_t size, int protection, int flags,
          int fd, off_t offset) noexcept {
  const device_kind kind =
      fd < 0 || (flags & MAP_ANONYMOUS) != 0 ? device_kind::none : device_of(fd);
  if (kind != device_kind::drm_card && kind != device_kind::drm_render) {
    return next.get()(at, size, protection, flags, fd, offset);
  }
  const auto wanted = static_cast<std::uint64_t>(offset);
  broker_call call;
  call.what = operation::memory;
  call.subject = fd;
  call.argument = &wanted;
  call.argument_size = sizeof wanted;
  const broker_reply reply = call_broker(call);
  if (reply.error != 0) {
    errno = reply.error;
    return MAP_FAILED;
  }
  constexpr std::uint64_t in_buffer = 0xFFFFFFFF;
  void* const mapped =
      next.get()(at, size, protection, flags, reply.fd, static_cast<off_t>(wanted & in_buffer));
  const int result = errno;
  system::close(reply.fd);
  errno = result;
  return mapped;
}

}  // namespace
}  // namespace ufence::uapi

extern "C" [[gnu::visibility("default")]] void* mmap(void* at, std::size_t size, int protection,
                                                     int flags, int fd, off_t offset) noexcept {
  return ufence::uapi::map(ufence::uapi::next_mmap, at, size, protection, flags, fd, offset);
}
extern "C" [[gnu::visibility("default")]] void* mmap64(void* at, std::size_t size, int protection,
                                                       int flags, int fd, off64_t offset) noexcept {
  return ufence::uapi::map(ufence::uapi::next_mmap64, at, size, protection, flags, fd, offset);
}
