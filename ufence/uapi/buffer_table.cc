#include "ufence/uapi/buffer_table.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdio>

#include "ufence/container/unwrap.h"
#include "ufence/sync/sync_file.h"
#include "ufence/uapi/ioctls.h"
#include "ufence/uapi/waiting_call.h"

namespace ufence::uapi {
namespace {

bool lock_file(int fd, int command, short type, short* found = nullptr) noexcept {
  struct flock lock {};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  if (::fcntl(fd, command, &lock) != 0) return false;
  if (found != nullptr) *found = lock.l_type;
  return true;
}

// Does anybody else have a file of it?
bool is_open_elsewhere(int memory) noexcept {
  short found = F_UNLCK;
  return !lock_file(memory, F_OFD_GETLK, F_WRLCK, &found) || found != F_UNLCK;
}

bool is_access(std::uint32_t flags) noexcept {
  return flags != 0 && (flags & ~(dma_buf_read | dma_buf_write)) == 0;
}

reply export_fences(const call& c, const buffer& b) {
  const auto a = c.argument_as<dma_buf_sync_file>();
  if (!is_access(a.flags)) return failed(EINVAL);
  result<fence_ref> f = b.fences.singleton(usage_to_wait_for((a.flags & dma_buf_write) != 0));
  if (!f) return failed(f.error());
  if (!*f) *f = fence::stub();
  result<unique_fd> file = sync_file_create(*f);
  if (!file) return failed(file.error());
  return answer(c, a, std::move(*file), offsetof(dma_buf_sync_file, fd));
}

reply import_fences(const call& c, buffer& b) {
  const auto a = c.argument_as<dma_buf_sync_file>();
  if (!is_access(a.flags) || !c.other) return failed(EINVAL);
  const result<fence_ref> f = sync_file_get_fence(c.other.get());
  if (!f) return failed(EINVAL);
  const resv_usage usage = (a.flags & dma_buf_write) != 0 ? resv_usage::write : resv_usage::read;
  std::vector<fence_ref> fences;
  leaves all(*f);
  while (fence* const leaf = all.next()) fences.push_back(fence_ref::take(*leaf));
  if (fences.empty()) return {};
  // Nobody else locks it: the broker has one thread.
  if (const std::error_code e = b.fences.lock()) return failed(e);
  std::error_code e = b.fences.reserve(static_cast<std::uint32_t>(fences.size()));
  for (const fence_ref& leaf : fences) {
    if (!e) e = b.fences.add(leaf, usage);
  }
  b.fences.unlock();
  return failed(e);
}

// The beginning of an access by the processor waits for those of devices.
reply begin_or_end_access(const call& c, const buffer& b) {
  const auto flags = c.argument_as<std::uint64_t>();
  constexpr std::uint64_t ends = 4;
  if ((flags & ~(ends | dma_buf_read | dma_buf_write)) != 0 ||
      (flags & (dma_buf_read | dma_buf_write)) == 0) {
    return failed(EINVAL);
  }
  if ((flags & ends) != 0) return {};
  const result<fence_ref> f = b.fences.singleton(usage_to_wait_for((flags & dma_buf_write) != 0));
  if (!f) return failed(f.error());
  if (!*f || (*f)->is_signaled()) return {};
  const result<syncobj_ref> holder = syncobj::create();
  if (!holder) return failed(holder.error());
  if (const std::error_code e = (*holder)->replace_fence(*f)) return failed(e);
  const syncobj_point signaled{.object = *holder};
  return point_wait::begin({&signaled, 1}, {}, [](result<std::size_t>) { return reply(); });
}

}  // namespace

result<buffer_ref> buffer_table::create(std::uint64_t size) {
  sweep();
  auto b = std::make_shared<buffer>();
  b->size = size;
  b->memory.reset(::memfd_create("ufence-dma-buf", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  struct stat s {};
  // Holders of other users have what they were given, and can't open it anew by its number in
  // /proc.
  if (!b->memory || ::fchmod(b->memory.get(), S_IRUSR | S_IWUSR) != 0 ||
      ::ftruncate(b->memory.get(), static_cast<off_t>(size)) != 0 ||
      ::fcntl(b->memory.get(), F_ADD_SEALS, dma_buf_seals) != 0 ||
      ::fstat(b->memory.get(), &s) != 0) {
    return failure(errno);
  }
  buffers_.emplace(file_id{.device = s.st_dev, .inode = s.st_ino}, b);
  return b;
}

result<unique_fd> buffer_table::open(const buffer& b) noexcept {
  char path[32];
  std::snprintf(path, sizeof path, "/proc/self/fd/%d", b.memory.get());
  unique_fd file(::open(path, O_RDWR | O_CLOEXEC));
  if (!file || !lock_file(file.get(), F_OFD_SETLK, F_RDLCK)) return failure(errno);
  return file;
}

buffer_ref buffer_table::find(int descriptor) const noexcept {
  struct stat s {};
  if (::fstat(descriptor, &s) != 0) return nullptr;
  const auto at = buffers_.find(file_id{.device = s.st_dev, .inode = s.st_ino});
  return at == buffers_.end() ? nullptr : at->second;
}

reply buffer_table::control(const call& c) {
  const buffer_ref b = find(c.subject.get());
  if (!b) return failed(ENOTTY);
  switch (c.code) {
    case dma_buf_sync: return begin_or_end_access(c, *b);
    case dma_buf_export: return export_fences(c, *b);
    case dma_buf_import: return import_fences(c, *b);
    default: return failed(ENOTTY);
  }
}

bool buffer_table::sweep() noexcept {
  std::erase_if(buffers_, [](const auto& entry) {
    const buffer_ref& b = entry.second;
    return b.use_count() == 1 && !is_open_elsewhere(b->memory.get());
  });
  return buffers_.empty();
}

}  // namespace ufence::uapi
