// open() and its relatives on emulated paths, and readlink().
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#include <cstdarg>
#include <cstring>
#include <string_view>

#include "ufence/base/file_size.h"
#include "ufence/base/memory_file.h"
#include "ufence/uapi/preload/broker_call.h"
#include "ufence/uapi/preload/descriptors.h"
#include "ufence/uapi/preload/next.h"
#include "ufence/uapi/preload/paths.h"
#include "ufence/uapi/preload/system.h"

namespace ufence::uapi {
namespace {

using open_function = int(const char*, int, ...);
using open_at_function = int(int, const char*, int, ...);
constinit next_function<open_function> next_open("open");
constinit next_function<open_function> next_open64("open64");
constinit next_function<open_at_function> next_openat("openat");
constinit next_function<open_at_function> next_openat64("openat64");
constinit next_function<int(int, int)> next_shutdown("shutdown");
constinit next_function<FILE*(const char*, const char*)> next_fopen("fopen");
constinit next_function<FILE*(const char*, const char*)> next_fopen64("fopen64");
constinit next_function<char*(const char*, char*)> next_realpath("realpath");
constinit next_function<char*(const char*, char*, std::size_t)> next_realpath_chk("__realpath_chk");
constinit next_function<char*(const char*)> next_canonicalize("canonicalize_file_name");
constinit next_function<ssize_t(const char*, char*, std::size_t)> next_readlink("readlink");
constinit next_function<ssize_t(int, const char*, char*, std::size_t)> next_readlinkat(
    "readlinkat");

int fail(int error) noexcept {
  errno = error;
  return -1;
}

// A text that fits into a pipe, where files may not have its size (RLIMIT_FSIZE).
int open_pipe(const char* text, std::size_t size, int flags) noexcept {
  int ends[2];
  if (::syscall(SYS_pipe2, ends, flags & O_CLOEXEC) != 0) return -1;
  const long written = ::syscall(SYS_write, ends[1], text, size);
  system::close(ends[1]);
  if (written == static_cast<long>(size)) return ends[0];
  system::close(ends[0]);
  return fail(ENOMEM);
}

// A file of its own for each that opens it.
int open_text(const char* text, int flags) noexcept {
  if ((flags & O_ACCMODE) != O_RDONLY) return fail(EACCES);
  const int fd = open_memory_file("ufence-text", (flags & O_CLOEXEC) != 0);
  if (fd < 0) return -1;
  const std::size_t size = std::strlen(text);
  const no_file_size_signal quiet;
  const long written = ::syscall(SYS_pwrite64, fd, text, size, 0L);
  if (written == static_cast<long>(size)) return fd;
  const bool is_limited = written >= 0 || errno == EFBIG;
  system::close(fd);
  return is_limited ? open_pipe(text, size, flags) : fail(ENOMEM);
}

// Does the system refuse to open any file that is there and no folder like this?
bool asks_for_another(int flags) noexcept {
  return (flags & O_DIRECTORY) != 0 || (flags & (O_CREAT | O_EXCL | O_PATH)) == (O_CREAT | O_EXCL);
}

int open_emulated(const emulated_path& p, int flags) noexcept {
  if (asks_for_another(flags)) {
    return static_cast<int>(::syscall(SYS_openat, AT_FDCWD, some_device, flags, 0));
  }
  if (p.text != nullptr) return open_text(text_of(p), flags);
  char name[16] = {};
  ::syscall(SYS_prctl, PR_GET_NAME, name, 0, 0, 0);
  broker_call call;
  call.what = operation::open;
  call.code = static_cast<std::uint32_t>(p.kind);
  call.argument = name;
  call.argument_size = sizeof name;
  call.close_on_exec = (flags & O_CLOEXEC) != 0;
  const broker_reply reply = call_broker(call);
  if (reply.error != 0) return fail(reply.error);
  if (reply.fd >= 0 && (flags & O_NONBLOCK) != 0) system::fcntl(reply.fd, F_SETFL, O_NONBLOCK);
  return reply.fd >= 0 ? reply.fd : fail(ENODEV);
}

FILE* open_stream(next_function<FILE*(const char*, const char*)>& next, const char* path,
                  const char* mode) noexcept {
  const resolved_path r = resolve(path);
  if (!r.is_file()) return next.get()(r.path, mode);
  const std::string_view how(mode);
  const bool reads = how.starts_with('r');
  int flags = how.find('+') != how.npos ? O_RDWR : reads ? O_RDONLY : O_WRONLY;
  if (how.find('e') != how.npos) flags |= O_CLOEXEC;
  const int fd = open_emulated(*r.emulated, flags);
  if (fd < 0) return nullptr;
  FILE* const stream = ::fdopen(fd, mode);
  if (stream == nullptr) {
    const int failed = errno;
    system::close(fd);
    errno = failed;
  }
  return stream;
}

// The text of a link, cut off at the end of the room.
ssize_t read_link(const char* target, char* into, std::size_t room) noexcept {
  if (room == 0) return fail(EINVAL);
  const std::size_t size = std::strlen(target);
  const std::size_t fits = size < room ? size : room;
  return system::copy_out(into, target, fits) ? static_cast<ssize_t>(fits) : fail(EFAULT);
}

// The one name of an emulated path, where the system knows none.
template <class F, class... Arguments>
char* real_path(next_function<F>& next, const char* path, char* into, Arguments... more) noexcept {
  const resolved_path r = resolve(path);
  char* const real = next.get()(r.path, more...);
  if (real != nullptr || errno != ENOENT || r.emulated == nullptr) return real;
  return into != nullptr ? std::strcpy(into, r.emulated->path) : ::strdup(r.emulated->path);
}

// A path that is no link here is none for the system either.
template <class Next>
ssize_t read_link_at(int folder, const char* path, char* into, std::size_t room,
                     Next next) noexcept {
  if (const char* const target = find_link_at(folder, path)) return read_link(target, into, room);
  const resolved_path r = resolve_at(folder, path);
  return next(r.emulated != nullptr ? some_device : r.path);
}

mode_t mode_of(int flags, va_list arguments) noexcept {
  const bool creates = (flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE;
  return creates ? va_arg(arguments, mode_t) : 0;
}

// The system's answer for an emulated folder, or a descriptor for one that is not really there.
int or_folder(int opened, const emulated_path* p, int flags) noexcept {
  if (p == nullptr || opened >= 0 || errno != ENOENT) return opened;
  if ((flags & O_ACCMODE) != O_RDONLY || (flags & O_CREAT) != 0) return fail(EISDIR);
  return open_folder(*p, (flags & O_CLOEXEC) != 0);
}

// @param next  the system's open(), of a path
template <class Next>
int open_at(int folder, const char* path, int flags, Next next) noexcept {
  if ((flags & O_NOFOLLOW) != 0 && find_link_at(folder, path) != nullptr) {
    // One in /proc is really there.
    const int opened = next(path);
    return opened < 0 && errno == ENOENT && (flags & O_PATH) == 0 ? fail(ELOOP) : opened;
  }
  const resolved_path r = resolve_at(folder, path);
  if (r.is_file()) return open_emulated(*r.emulated, flags);
  if (r.emulated == nullptr && (flags & O_PATH) == 0 && names_dma_buf(folder, path)) {
    return fail(ENXIO);
  }
  return or_folder(next(r.path), r.emulated, flags);
}

int open_one(next_function<open_function>& next, const char* path, int flags,
             mode_t mode) noexcept {
  return open_at(AT_FDCWD, path, flags,
                 [&next, flags, mode](const char* p) { return next.get()(p, flags, mode); });
}

int open_one_at(next_function<open_at_function>& next, int folder, const char* path, int flags,
                mode_t mode) noexcept {
  return open_at(folder, path, flags, [&next, folder, flags, mode](const char* p) {
    return next.get()(folder, p, flags, mode);
  });
}

}  // namespace
}  // namespace ufence::uapi

namespace uapi = ufence::uapi;

UFENCE_REPLACES int open(const char* path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = uapi::mode_of(flags, arguments);
  va_end(arguments);
  return uapi::open_one(uapi::next_open, path, flags, mode);
}
UFENCE_REPLACES int open64(const char* path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = uapi::mode_of(flags, arguments);
  va_end(arguments);
  return uapi::open_one(uapi::next_open64, path, flags, mode);
}
UFENCE_REPLACES int openat(int folder, const char* path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = uapi::mode_of(flags, arguments);
  va_end(arguments);
  return uapi::open_one_at(uapi::next_openat, folder, path, flags, mode);
}
UFENCE_REPLACES int openat64(int folder, const char* path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = uapi::mode_of(flags, arguments);
  va_end(arguments);
  return uapi::open_one_at(uapi::next_openat64, folder, path, flags, mode);
}

UFENCE_REPLACES int creat(const char* path, mode_t mode) {
  return uapi::open_one(uapi::next_open, path, O_WRONLY | O_CREAT | O_TRUNC, mode);
}
UFENCE_REPLACES int creat64(const char* path, mode_t mode) {
  return uapi::open_one(uapi::next_open64, path, O_WRONLY | O_CREAT | O_TRUNC, mode);
}

// The names that _FORTIFY_SOURCE gives the above; flags that need a mode are the program's error.
UFENCE_REPLACES int __open_2(const char* path, int flags) {
  return uapi::open_one(uapi::next_open, path, flags, 0);
}
UFENCE_REPLACES int __open64_2(const char* path, int flags) {
  return uapi::open_one(uapi::next_open64, path, flags, 0);
}
UFENCE_REPLACES int __openat_2(int folder, const char* path, int flags) {
  return uapi::open_one_at(uapi::next_openat, folder, path, flags, 0);
}
UFENCE_REPLACES int __openat64_2(int folder, const char* path, int flags) {
  return uapi::open_one_at(uapi::next_openat64, folder, path, flags, 0);
}

UFENCE_REPLACES FILE* fopen(const char* path, const char* mode) {
  return uapi::open_stream(uapi::next_fopen, path, mode);
}
UFENCE_REPLACES FILE* fopen64(const char* path, const char* mode) {
  return uapi::open_stream(uapi::next_fopen64, path, mode);
}
UFENCE_REPLACES char* realpath(const char* path, char* into) noexcept {
  return uapi::real_path(uapi::next_realpath, path, into, into);
}
UFENCE_REPLACES char* __realpath_chk(const char* path, char* into, std::size_t room) noexcept {
  return uapi::real_path(uapi::next_realpath_chk, path, into, into, room);
}
UFENCE_REPLACES char* canonicalize_file_name(const char* path) noexcept {
  return uapi::real_path(uapi::next_canonicalize, path, nullptr);
}
UFENCE_REPLACES ssize_t readlink(const char* path, char* into, std::size_t room) noexcept {
  return uapi::read_link_at(AT_FDCWD, path, into, room, [into, room](const char* p) {
    return uapi::next_readlink.get()(p, into, room);
  });
}
UFENCE_REPLACES ssize_t readlinkat(int folder, const char* path, char* into,
                                   std::size_t room) noexcept {
  return uapi::read_link_at(folder, path, into, room, [folder, into, room](const char* p) {
    return uapi::next_readlinkat.get()(folder, p, into, room);
  });
}

// A descriptor that is no socket in the kernel is none here: its other holders keep it.
UFENCE_REPLACES int shutdown(int fd, int how) noexcept {
  if (uapi::device_of(fd) != uapi::device_kind::none || uapi::is_sync_file(fd)) {
    return uapi::fail(ENOTSOCK);
  }
  return uapi::next_shutdown.get()(fd, how);
}
