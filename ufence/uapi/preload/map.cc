// mmap() of a DRM node: the memory of the buffer at that offset. And of a dma-buf, which no mapping
// reaches beyond, or has copies of.
#include <sys/mman.h>
#include <sys/stat.h>

#include "ufence/uapi/preload/broker_call.h"
#include "ufence/uapi/preload/descriptors.h"
#include "ufence/uapi/preload/next.h"
#include "ufence/uapi/preload/system.h"

namespace ufence::uapi {
namespace {

using map_function = void*(void*, std::size_t, int, int, int, off_t);
constinit next_function<map_function> next_mmap("mmap");
constinit next_function<map_function> next_mmap64("mmap64");

void* refuse(int error) noexcept {
  errno = error;
  return MAP_FAILED;
}

// Nothing beyond the buffer, and the buffer itself.
bool may_map(int buffer, std::size_t size, int flags, off_t offset) noexcept {
  struct stat s {};
  if (::syscall(SYS_fstat, buffer, &s) != 0) return false;
  const auto all = static_cast<std::uint64_t>(s.st_size);
  const auto from = static_cast<std::uint64_t>(offset);
  return (flags & MAP_TYPE) != MAP_PRIVATE && from <= all && size <= all - from;
}

void* map(next_function<map_function>& next, void* at, std::size_t size, int protection, int flags,
          int fd, off_t offset) noexcept {
  const file_kind kind = fd < 0 || (flags & MAP_ANONYMOUS) != 0 ? file_kind::other : kind_of(fd);
  if (kind == file_kind::dma_buf && !may_map(fd, size, flags, offset)) return refuse(EINVAL);
  if (kind != file_kind::drm_node) return next.get()(at, size, protection, flags, fd, offset);
  const auto wanted = static_cast<std::uint64_t>(offset);
  broker_call call;
  call.what = operation::memory;
  call.subject = fd;
  call.is_about_device = true;
  call.argument = &wanted;
  call.argument_size = sizeof wanted;
  const broker_reply reply = call_broker(call);
  if (reply.error != 0) return refuse(reply.error);
  void* const mapped = may_map(reply.fd, size, flags, 0)
                           ? next.get()(at, size, protection, flags, reply.fd, 0)
                           : refuse(EINVAL);
  const int result = errno;
  system::close(reply.fd);
  errno = result;
  return mapped;
}

}  // namespace
}  // namespace ufence::uapi

UFENCE_REPLACES void* mmap(void* at, std::size_t size, int protection, int flags, int fd,
                           off_t offset) noexcept {
  return ufence::uapi::map(ufence::uapi::next_mmap, at, size, protection, flags, fd, offset);
}
UFENCE_REPLACES void* mmap64(void* at, std::size_t size, int protection, int flags, int fd,
                             off64_t offset) noexcept {
  return ufence::uapi::map(ufence::uapi::next_mmap64, at, size, protection, flags, fd, offset);
}
