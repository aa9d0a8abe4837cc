#include "ufence/uapi/buffer_table.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdio>

#include "ufence/base/file_size.h"
#include "ufence/base/memory_file.h"
#include "ufence/container/unwrap.h"
#include "ufence/sync/sync_file.h"
#include "ufence/uapi/ioctls.h"
#include "ufence/uapi/waiting_call.h"

namespace ufence::uapi {
namespace {

// Buffers that others have open are looked at this often.
constexpr std::int64_t look_again_ns = 250'000'000;

// A lock shows where the system knows no leases who has the file; holders can take it off.
bool lock_file(int fd, int command, short type, short* found = nullptr) noexcept {
  struct flock lock {};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  if (::fcntl(fd, command, &lock) != 0) return false;
  if (found != nullptr) *found = lock.l_type;
  return true;
}

// Does anybody else have a file of it, or a mapping? A lease to write is had by the only one,
// whatever locks the others have. Somebody who opens it within these two calls would send a signal:
// one that does nothing.
bool is_open_elsewhere(int memory) noexcept {
  static_cast<void>(::fcntl(memory, F_SETSIG, SIGURG));
  if (::fcntl(memory, F_SETLEASE, F_WRLCK) == 0) {
    static_cast<void>(::fcntl(memory, F_SETLEASE, F_UNLCK));
    return false;
  }
  if (errno == EAGAIN || errno == EBUSY) return true;
  short found = F_UNLCK;
  return !lock_file(memory, F_OFD_GETLK, F_WRLCK, &found) || found != F_UNLCK;
}

// Another file of the same memory. The one that memfd_create() gives is no opened one: nobody has a
// lease beside it.
unique_fd open_anew(int memory, int access) noexcept {
  char path[32];
  std::snprintf(path, sizeof path, "/proc/self/fd/%d", memory);
  return unique_fd(::open(path, access | O_CLOEXEC));
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

result<buffer_ref> buffer_table::create(std::uint64_t size, const client_ref& owner) {
  if (owner && !owner->may_have(resource::bytes, size)) return failure(ENOMEM);
  auto b = std::make_shared<buffer>();
  b->size = size;
  b->of_maker = charge(owner, 1);
  b->bytes_of_maker = charge(owner, size, resource::bytes);
  const unique_fd made(open_memory_file(dma_buf_file_name));
  struct stat s {};
  // Holders of other users have what they were given, and can't open it anew by its number in
  // /proc.
  if (!made || ::fchmod(made.get(), S_IRUSR | S_IWUSR) != 0 ||
      set_file_size(made.get(), static_cast<off_t>(size)) != 0 ||
      ::fcntl(made.get(), F_ADD_SEALS, dma_buf_seals) != 0 || ::fstat(made.get(), &s) != 0 ||
      !(b->memory = open_anew(made.get(), O_RDWR))) {
    return failure(errno);
  }
  buffers_.emplace(file_id{.device = s.st_dev, .inode = s.st_ino}, b);
  return b;
}

result<unique_fd> buffer_table::open(const buffer& b, int access) noexcept {
  unique_fd file = open_anew(b.memory.get(), access);
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

void buffer_table::note_unused() noexcept { sweep_at_ = std::min(sweep_at_, not_before_); }

void buffer_table::on_time(std::int64_t now) noexcept {
  if (now < sweep_at_) return;
  const std::int64_t begun = now_ns();
  const std::size_t unused = sweep();
  const std::int64_t ended = now_ns();
  not_before_ = ended + 20 * (ended - begun);
  sweep_at_ = unused == 0 ? no_deadline : std::max(not_before_, ended + look_again_ns);
}

std::size_t buffer_table::sweep() noexcept {
  std::size_t unused = 0;
  std::erase_if(buffers_, [&unused](const auto& entry) {
    const buffer_ref& b = entry.second;
    if (b.use_count() != 1) return false;
    const bool is_kept = is_open_elsewhere(b->memory.get());
    unused += is_kept ? 1 : 0;
    return !is_kept;
  });
  return unused;
}

}  // namespace ufence::uapi
