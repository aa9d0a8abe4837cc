// Calls that the kernel's devices answer otherwise than the sockets and memory files that stand for
// them: read, write, copy, lseek, ftruncate, fallocate, fsync, send, receive, seals.
#include <fcntl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cstdarg>

#include "ufence/uapi/preload/descriptors.h"
#include "ufence/uapi/preload/next.h"
#include "ufence/uapi/preload/system.h"

namespace ufence::uapi {
namespace {

constinit next_function<ssize_t(int, void*, std::size_t)> next_read("read");
constinit next_function<ssize_t(int, const void*, std::size_t)> next_write("write");
constinit next_function<ssize_t(int, const iovec*, int)> next_readv("readv");
constinit next_function<ssize_t(int, const iovec*, int)> next_writev("writev");
constinit next_function<ssize_t(int, void*, std::size_t, off_t)> next_pread("pread");
constinit next_function<ssize_t(int, void*, std::size_t, off_t)> next_pread64("pread64");
constinit next_function<ssize_t(int, const void*, std::size_t, off_t)> next_pwrite("pwrite");
constinit next_function<ssize_t(int, const void*, std::size_t, off_t)> next_pwrite64("pwrite64");
using vector_at = ssize_t(int, const iovec*, int, off_t);
using vector_with_flags = ssize_t(int, const iovec*, int, off_t, int);
constinit next_function<vector_at> next_preadv("preadv");
constinit next_function<vector_at> next_preadv64("preadv64");
constinit next_function<vector_at> next_pwritev("pwritev");
constinit next_function<vector_at> next_pwritev64("pwritev64");
constinit next_function<vector_with_flags> next_preadv2("preadv2");
constinit next_function<vector_with_flags> next_preadv64v2("preadv64v2");
constinit next_function<vector_with_flags> next_pwritev2("pwritev2");
constinit next_function<vector_with_flags> next_pwritev64v2("pwritev64v2");
constinit next_function<ssize_t(int, int, off_t*, std::size_t)> next_sendfile("sendfile");
constinit next_function<ssize_t(int, int, off64_t*, std::size_t)> next_sendfile64("sendfile64");
using copy_function = ssize_t(int, off64_t*, int, off64_t*, std::size_t, unsigned);
constinit next_function<copy_function> next_splice("splice");
constinit next_function<copy_function> next_copy_file_range("copy_file_range");
constinit next_function<int(int, int, off_t, off_t)> next_fallocate("fallocate");
constinit next_function<int(int, int, off64_t, off64_t)> next_fallocate64("fallocate64");
constinit next_function<int(int)> next_fsync("fsync");
constinit next_function<int(int)> next_fdatasync("fdatasync");
constinit next_function<off_t(int, off_t, int)> next_lseek("lseek");
constinit next_function<off_t(int, off_t, int)> next_lseek64("lseek64");
constinit next_function<int(int, off_t)> next_ftruncate("ftruncate");
constinit next_function<int(int, off_t)> next_ftruncate64("ftruncate64");
constinit next_function<ssize_t(int, const void*, std::size_t, int)> next_send("send");
constinit next_function<ssize_t(int, void*, std::size_t, int)> next_recv("recv");
constinit next_function<int(int, int, ...)> next_fcntl("fcntl");
constinit next_function<int(int, int, ...)> next_fcntl64("fcntl64");

// The result of reading; 0: the kernel knows. A node is read like a socket that nothing comes to.
int read_error(int fd) noexcept {
  const file_kind kind = kind_of(fd);
  return kind == file_kind::other || kind == file_kind::drm_node ? 0 : EINVAL;
}

// The result of writing. Some are open for reading alone.
int write_error(int fd) noexcept {
  switch (kind_of(fd)) {
    case file_kind::other: return 0;
    case file_kind::sync_file:
    case file_kind::syncobj: return EBADF;
    case file_kind::sw_sync:
    case file_kind::drm_node: return EINVAL;
    case file_kind::dma_buf: break;
  }
  return (system::fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDONLY ? EBADF : EINVAL;
}

// The result of reading and writing at a position: those that are no paths have none.
int position_error(int fd) noexcept {
  switch (kind_of(fd)) {
    case file_kind::sw_sync: return EINVAL;
    case file_kind::syncobj:
    case file_kind::sync_file:
    case file_kind::dma_buf: return ESPIPE;
    case file_kind::other:
    case file_kind::drm_node: break;
  }
  return 0;
}

// Nothing can be copied from one to another by the kernel.
int copy_error(int from, int to) noexcept {
  const int error = write_error(to);
  return error != 0 || kind_of(from) == file_kind::other ? error : EINVAL;
}

// Room can't be made in any.
int allocation_error(int fd) noexcept {
  const int error = write_error(fd);
  return error == EINVAL ? ENODEV : error;
}

int sync_error(int fd) noexcept { return kind_of(fd) == file_kind::other ? 0 : EINVAL; }

int socket_error(int fd) noexcept {
  const file_kind kind = kind_of(fd);
  return kind == file_kind::other || kind == file_kind::dma_buf ? 0 : ENOTSOCK;
}

template <class Call>
auto unless(int error, Call call) noexcept -> decltype(call()) {
  if (error == 0) return call();
  errno = error;
  return -1;
}

// Of a dma-buf only its size, and its begin.
template <class Seek>
off_t seek(int fd, off_t offset, int whence, Seek next) noexcept {
  if (kind_of(fd) != file_kind::dma_buf) return next(fd, offset, whence);
  if (offset == 0 && whence == SEEK_SET) return 0;
  if (offset == 0 && whence == SEEK_END) {
    struct stat s {};
    if (::syscall(SYS_fstat, fd, &s) == 0) return s.st_size;
  }
  errno = EINVAL;
  return -1;
}

int truncate_error(int fd) noexcept { return kind_of(fd) == file_kind::dma_buf ? EINVAL : 0; }

// Only memory files have seals.
int fcntl_error(int fd, int command) noexcept {
  const bool is_about_seals = command == F_GET_SEALS || command == F_ADD_SEALS;
  return is_about_seals && is_dma_buf(fd) ? EINVAL : 0;
}

}  // namespace
}  // namespace ufence::uapi

namespace uapi = ufence::uapi;

UFENCE_REPLACES ssize_t read(int fd, void* into, std::size_t size) {
  return uapi::unless(uapi::read_error(fd), [=] { return uapi::next_read.get()(fd, into, size); });
}
UFENCE_REPLACES ssize_t write(int fd, const void* from, std::size_t size) {
  return uapi::unless(uapi::write_error(fd),
                      [=] { return uapi::next_write.get()(fd, from, size); });
}
UFENCE_REPLACES ssize_t readv(int fd, const iovec* parts, int count) {
  return uapi::unless(uapi::read_error(fd),
                      [=] { return uapi::next_readv.get()(fd, parts, count); });
}
UFENCE_REPLACES ssize_t writev(int fd, const iovec* parts, int count) {
  return uapi::unless(uapi::write_error(fd),
                      [=] { return uapi::next_writev.get()(fd, parts, count); });
}
UFENCE_REPLACES ssize_t pread(int fd, void* into, std::size_t size, off_t at) {
  return uapi::unless(uapi::position_error(fd),
                      [=] { return uapi::next_pread.get()(fd, into, size, at); });
}
UFENCE_REPLACES ssize_t pread64(int fd, void* into, std::size_t size, off64_t at) {
  return uapi::unless(uapi::position_error(fd),
                      [=] { return uapi::next_pread64.get()(fd, into, size, at); });
}
UFENCE_REPLACES ssize_t pwrite(int fd, const void* from, std::size_t size, off_t at) {
  return uapi::unless(uapi::position_error(fd),
                      [=] { return uapi::next_pwrite.get()(fd, from, size, at); });
}
UFENCE_REPLACES ssize_t pwrite64(int fd, const void* from, std::size_t size, off64_t at) {
  return uapi::unless(uapi::position_error(fd),
                      [=] { return uapi::next_pwrite64.get()(fd, from, size, at); });
}
UFENCE_REPLACES ssize_t preadv(int fd, const iovec* parts, int count, off_t at) {
  return uapi::unless(uapi::position_error(fd),
                      [=] { return uapi::next_preadv.get()(fd, parts, count, at); });
}
UFENCE_REPLACES ssize_t preadv64(int fd, const iovec* parts, int count, off64_t at) {
  return uapi::unless(uapi::position_error(fd),
                      [=] { return uapi::next_preadv64.get()(fd, parts, count, at); });
}
UFENCE_REPLACES ssize_t pwritev(int fd, const iovec* parts, int count, off_t at) {
  return uapi::unless(uapi::position_error(fd),
                      [=] { return uapi::next_pwritev.get()(fd, parts, count, at); });
}
UFENCE_REPLACES ssize_t pwritev64(int fd, const iovec* parts, int count, off64_t at) {
  return uapi::unless(uapi::position_error(fd),
                      [=] { return uapi::next_pwritev64.get()(fd, parts, count, at); });
}
// At -1 they are readv() and writev().
UFENCE_REPLACES ssize_t preadv2(int fd, const iovec* parts, int count, off_t at, int flags) {
  return uapi::unless(at == -1 ? uapi::read_error(fd) : uapi::position_error(fd),
                      [=] { return uapi::next_preadv2.get()(fd, parts, count, at, flags); });
}
UFENCE_REPLACES ssize_t preadv64v2(int fd, const iovec* parts, int count, off64_t at, int flags) {
  return uapi::unless(at == -1 ? uapi::read_error(fd) : uapi::position_error(fd),
                      [=] { return uapi::next_preadv64v2.get()(fd, parts, count, at, flags); });
}
UFENCE_REPLACES ssize_t pwritev2(int fd, const iovec* parts, int count, off_t at, int flags) {
  return uapi::unless(at == -1 ? uapi::write_error(fd) : uapi::position_error(fd),
                      [=] { return uapi::next_pwritev2.get()(fd, parts, count, at, flags); });
}
UFENCE_REPLACES ssize_t pwritev64v2(int fd, const iovec* parts, int count, off64_t at, int flags) {
  return uapi::unless(at == -1 ? uapi::write_error(fd) : uapi::position_error(fd),
                      [=] { return uapi::next_pwritev64v2.get()(fd, parts, count, at, flags); });
}
UFENCE_REPLACES ssize_t sendfile(int to, int from, off_t* at, std::size_t size) noexcept {
  return uapi::unless(uapi::copy_error(from, to),
                      [=] { return uapi::next_sendfile.get()(to, from, at, size); });
}
UFENCE_REPLACES ssize_t sendfile64(int to, int from, off64_t* at, std::size_t size) noexcept {
  return uapi::unless(uapi::copy_error(from, to),
                      [=] { return uapi::next_sendfile64.get()(to, from, at, size); });
}
UFENCE_REPLACES ssize_t splice(int from, off64_t* at, int to, off64_t* to_at, std::size_t size,
                               unsigned flags) {
  return uapi::unless(uapi::copy_error(from, to),
                      [=] { return uapi::next_splice.get()(from, at, to, to_at, size, flags); });
}
UFENCE_REPLACES ssize_t copy_file_range(int from, off64_t* at, int to, off64_t* to_at,
                                        std::size_t size, unsigned flags) {
  return uapi::unless(uapi::copy_error(from, to), [=] {
    return uapi::next_copy_file_range.get()(from, at, to, to_at, size, flags);
  });
}
UFENCE_REPLACES int fallocate(int fd, int mode, off_t at, off_t size) {
  return uapi::unless(uapi::allocation_error(fd),
                      [=] { return uapi::next_fallocate.get()(fd, mode, at, size); });
}
UFENCE_REPLACES int fallocate64(int fd, int mode, off64_t at, off64_t size) {
  return uapi::unless(uapi::allocation_error(fd),
                      [=] { return uapi::next_fallocate64.get()(fd, mode, at, size); });
}
UFENCE_REPLACES int fsync(int fd) {
  return uapi::unless(uapi::sync_error(fd), [=] { return uapi::next_fsync.get()(fd); });
}
UFENCE_REPLACES int fdatasync(int fd) {
  return uapi::unless(uapi::sync_error(fd), [=] { return uapi::next_fdatasync.get()(fd); });
}
UFENCE_REPLACES off_t lseek(int fd, off_t offset, int whence) noexcept {
  return uapi::seek(fd, offset, whence, uapi::next_lseek.get());
}
UFENCE_REPLACES off64_t lseek64(int fd, off64_t offset, int whence) noexcept {
  return uapi::seek(fd, offset, whence, uapi::next_lseek64.get());
}
UFENCE_REPLACES int ftruncate(int fd, off_t size) noexcept {
  return uapi::unless(uapi::truncate_error(fd),
                      [=] { return uapi::next_ftruncate.get()(fd, size); });
}
UFENCE_REPLACES int ftruncate64(int fd, off64_t size) noexcept {
  return uapi::unless(uapi::truncate_error(fd),
                      [=] { return uapi::next_ftruncate64.get()(fd, size); });
}
UFENCE_REPLACES ssize_t send(int fd, const void* from, std::size_t size, int flags) {
  return uapi::unless(uapi::socket_error(fd),
                      [=] { return uapi::next_send.get()(fd, from, size, flags); });
}
UFENCE_REPLACES ssize_t recv(int fd, void* into, std::size_t size, int flags) {
  return uapi::unless(uapi::socket_error(fd),
                      [=] { return uapi::next_recv.get()(fd, into, size, flags); });
}
UFENCE_REPLACES int fcntl(int fd, int command, ...) {
  va_list arguments;
  va_start(arguments, command);
  void* const argument = va_arg(arguments, void*);
  va_end(arguments);
  return uapi::unless(uapi::fcntl_error(fd, command),
                      [=] { return uapi::next_fcntl.get()(fd, command, argument); });
}
UFENCE_REPLACES int fcntl64(int fd, int command, ...) {
  va_list arguments;
  va_start(arguments, command);
  void* const argument = va_arg(arguments, void*);
  va_end(arguments);
  return uapi::unless(uapi::fcntl_error(fd, command),
                      [=] { return uapi::next_fcntl64.get()(fd, command, argument); });
}
