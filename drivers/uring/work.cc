#include "drivers/uring/work.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <memory>
#include <new>

namespace ufence::uring {

namespace {

constexpr std::uint64_t read_size_max = 1u << 30;  // of one request; the kernel's is near 2^31

ufence_uring_read& read_args(job& j) noexcept { return *driver::args_of<ufence_uring_read>(j); }
ufence_uring_read_file& file_args(job& j) noexcept {
  return *driver::args_of<ufence_uring_read_file>(j);
}
std::uint64_t size_of(job& j) noexcept {
  return is_file(j) ? file_args(j).size : read_args(j).size;
}

bool is_valid(const ufence_uring_read* args) noexcept {
  return args != nullptr && args->flags == 0 && args->bytes_read != nullptr &&
         (args->buffer != nullptr || args->size == 0);
}

bool is_valid(const ufence_uring_read_file* args) noexcept {
  constexpr std::uint32_t known = UFENCE_URING_NOFOLLOW | UFENCE_URING_KEEP_OPEN;
  return args != nullptr && args->path != nullptr && args->file != nullptr &&
         (args->flags & ~known) == 0 && (args->buffer != nullptr || args->size == 0);
}

// Of a file that the job opened: was its end reached? A short read that ends where the file ends
// needs no further one to know it.
bool at_end(job& j) noexcept {
  const ufence_uring_file& file = *file_args(j).file;
  return file.at_end != 0 || (file.file_size != 0 && progress_of(j).done == file.file_size);
}

}  // namespace

progress* begin(job& j) noexcept {
  static_assert(sizeof(progress) == 2 * sizeof(void*) && alignof(progress) <= alignof(void*));
  auto* const p = new (&j.driver_private[2]) progress;
  if (is_file(j)) return is_valid(driver::args_of<ufence_uring_read_file>(j)) ? p : nullptr;
  if (!is_valid(driver::args_of<ufence_uring_read>(j))) return nullptr;
  p->fd = read_args(j).fd;
  return p;
}

progress& progress_of(job& j) noexcept {
  return *std::launder(reinterpret_cast<progress*>(&j.driver_private[2]));
}

bool is_stream(job& j) noexcept {
  return !is_file(j) && read_args(j).offset == UFENCE_URING_STREAM;
}

int open_flags(const ufence_uring_read_file& args) noexcept {
  const int nofollow = (args.flags & UFENCE_URING_NOFOLLOW) != 0 ? O_NOFOLLOW : 0;
  return O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | nofollow;
}

int accept_file(job& j, int fd) noexcept {
  progress_of(j).fd = fd;
  const ufence_uring_read_file& args = file_args(j);
  struct stat status {};
  if (::fstat(fd, &status) != 0) return -errno;
  *args.file = {.bytes_read = 0,
                .file_size = static_cast<std::uint64_t>(status.st_size),
                .fd = -1,
                .at_end = 0};
  if (S_ISREG(status.st_mode)) return 0;
  return S_ISDIR(status.st_mode) ? -EISDIR : -EOPNOTSUPP;
}

span_left left_to_read(job& j) noexcept {
  const progress& p = progress_of(j);
  const std::uint64_t begin_at = is_file(j) ? 0 : read_args(j).offset;
  void* const buffer = is_file(j) ? file_args(j).buffer : read_args(j).buffer;
  return {.fd = p.fd,
          .buffer = static_cast<std::byte*>(buffer) + p.done,
          .size = std::min(size_of(j) - p.done, read_size_max),
          .offset = is_stream(j) ? UFENCE_URING_STREAM : begin_at + p.done};
}

std::uint64_t expected_bytes(job& j) noexcept {
  const std::uint64_t size = left_to_read(j).size;
  const std::uint64_t file_size = is_file(j) ? file_args(j).file->file_size : 0;
  const std::uint64_t done = progress_of(j).done;
  return file_size <= done ? size : std::min(size, file_size - done);
}

bool advance(job& j, std::uint64_t n) noexcept {
  progress& p = progress_of(j);
  p.done += n;
  if (n == 0 && is_file(j)) file_args(j).file->at_end = 1;
  return n == 0 || p.done == size_of(j) || (is_file(j) && at_end(j));
}

bool make_blocking(job& j) noexcept {
  progress& p = progress_of(j);
  if (!is_file(j) || p.is_blocking) return false;
  p.is_blocking = true;
  const int flags = ::fcntl(p.fd, F_GETFL);
  return flags >= 0 && ::fcntl(p.fd, F_SETFL, flags & ~O_NONBLOCK) == 0;
}

void end(job& j, int error, ufence_uring_counters& counted) noexcept {
  progress& p = progress_of(j);
  p.error = static_cast<std::int16_t>(error);
  if (is_file(j) && p.fd >= 0) {
    const ufence_uring_read_file& args = file_args(j);
    const bool is_at_end = error == 0 && at_end(j);
    if (error == 0 && !is_at_end && (args.flags & UFENCE_URING_KEEP_OPEN) != 0) {
      static_cast<void>(make_blocking(j));
      args.file->fd = p.fd;
    } else {
      ::close(p.fd);
    }
    args.file->at_end = is_at_end ? 1 : 0;
    args.file->bytes_read = p.done;
  } else if (error == 0) {
    *read_args(j).bytes_read = p.done;
  }
  if (error == 0) {
    counted.bytes += p.done;
    ++(is_file(j) ? counted.files : counted.reads);
  } else {
    ++(error == -ECANCELED ? counted.cancelled : counted.failed);
  }
}

void decide(driver::job_list& ended, const driver::services& host,
            driver::settlement& later) noexcept {
  while (job* const j = ended.pop_front()) host.decide(*j, progress_of(*j).error, later);
}

}  // namespace ufence::uring
