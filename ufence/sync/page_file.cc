#include "ufence/sync/page_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>

#include "ufence/base/file_size.h"
#include "ufence/base/memory_file.h"

namespace ufence::detail {
namespace {

// Nobody can make the page smaller under those who have mapped it.
constexpr int seals_of_size = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
constexpr int seals_against_writers = F_SEAL_WRITE | F_SEAL_FUTURE_WRITE;

result<unique_fd> duplicate(int fd) noexcept {
  unique_fd own(::fcntl(fd, F_DUPFD_CLOEXEC, 0));
  // EINVAL is about the lowest number that may be used, above the limit.
  if (!own) return failure(errno == EINVAL ? EMFILE : errno);
  return own;
}

result<mapped_page> map(unique_fd fd, bool is_writable) noexcept {
  void* memory = ::mmap(nullptr, shared_page::bytes,
                        is_writable ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, fd.get(), 0);
  // A descriptor that is not open for reading, or a file that can't be mapped, is its sender's
  // fault.
  const bool is_wrong = memory == MAP_FAILED && (errno == EACCES || errno == ENODEV);
  if (memory == MAP_FAILED) return failure(is_wrong ? EINVAL : errno);
  return mapped_page{
      .page = static_cast<shared_page*>(memory), .fd = std::move(fd), .is_writable = is_writable};
}

}  // namespace

result<mapped_page> make_page(bool peers_may_write) noexcept {
  // A file beyond the limit would end the process, by SIGXFSZ.
  rlimit limit{};
  if (::getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur < shared_page::bytes) {
    return failure(EFBIG);
  }
  unique_fd fd(open_memory_file("ufence-timeline"));
  if (!fd) return failure(errno);
  // Its mode lets everybody write: a holder that may only read would open it anew, by its number in
  // /proc, and write. Processes of the same user still can.
  if (::fchmod(fd.get(), S_IRUSR | S_IWUSR) != 0) return failure(errno);
  if (set_file_size(fd.get(), shared_page::bytes) != 0) return failure(errno);
  result<mapped_page> made = map(std::move(fd), true);
  if (!made) return made;
  const int seals = seals_of_size | (peers_may_write ? 0 : static_cast<int>(F_SEAL_FUTURE_WRITE));
  if (::fcntl(made->fd.get(), F_ADD_SEALS, seals) != 0) {
    const int failed = errno;
    unmap_page(*made->page);
    return failure(failed);
  }
  return made;
}

result<mapped_page> map_page(int fd) noexcept {
  const int mode = ::fcntl(fd, F_GETFL);
  if (mode < 0) return failure(errno);
  const int seals = ::fcntl(fd, F_GET_SEALS);
  struct stat file {};
  if (seals < 0 || ::fstat(fd, &file) != 0) return failure(errno);
  if ((seals & F_SEAL_SHRINK) == 0 || file.st_size != shared_page::bytes) return failure(EINVAL);
  result<unique_fd> own = duplicate(fd);
  if (!own) return std::unexpected(own.error());
  const bool is_writable = (mode & O_ACCMODE) == O_RDWR && (seals & seals_against_writers) == 0;
  return map(std::move(*own), is_writable);
}

result<unique_fd> export_page(const unique_fd& fd, bool may_write) noexcept {
  if (may_write) return duplicate(fd.get());
  std::array<char, 32> path{};
  std::snprintf(path.data(), path.size(), "/proc/self/fd/%d", fd.get());
  unique_fd reader(::open(path.data(), O_RDONLY | O_CLOEXEC));
  if (!reader) return failure(errno);
  return reader;
}

void unmap_page(shared_page& page) noexcept { ::munmap(&page, shared_page::bytes); }

}  // namespace ufence::detail
