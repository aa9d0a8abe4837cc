// open() and its relatives on emulated paths, and close() of what they gave.
#include <sys/prctl.h>

#include <cstdarg>

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
constinit next_function<int(int)> next_close("close");

int fail(int error) noexcept {
  errno = error;
  return -1;
}

int open_emulated(const emulated_path& p, int flags) noexcept {
  if (p.kind == device_kind::none) return fail(flags & (O_WRONLY | O_RDWR) ? EISDIR : EACCES);
  if ((flags & O_DIRECTORY) != 0) return fail(ENOTDIR);
  if ((flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL)) return fail(EEXIST);
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
  return reply.fd >= 0 ? reply.fd : fail(ENODEV);
}

// A folder is what it is, if there is one.
bool is_device(const emulated_path* p) noexcept {
  return p != nullptr && p->kind != device_kind::none;
}

mode_t mode_of(int flags, va_list arguments) noexcept {
  const bool creates = (flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE;
  return creates ? va_arg(arguments, mode_t) : 0;
}

int open_one(next_function<open_function>& next, const char* path, int flags,
             mode_t mode) noexcept {
  const emulated_path* const p = find_path(path);
  return is_device(p) ? open_emulated(*p, flags) : next.get()(path, flags, mode);
}

int open_one_at(next_function<open_at_function>& next, int folder, const char* path, int flags,
                mode_t mode) noexcept {
  const emulated_path* const p = find_path(path);
  return is_device(p) ? open_emulated(*p, flags) : next.get()(folder, path, flags, mode);
}

// Closing the last duplicate of a device has its effects before close() returns, as in the kernel.
int close_one(int fd) noexcept {
  const bool is_emulated = device_of(fd) != device_kind::none;
  const int result = next_close.get()(fd);
  if (is_emulated) {
    const int before = errno;
    broker_call call;
    call.what = operation::settle;
    static_cast<void>(call_broker(call));
    errno = before;
  }
  return result;
}

}  // namespace
}  // namespace ufence::uapi

#define UFENCE_REPLACES extern "C" [[gnu::visibility("default")]]

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

// What _FORTIFY_SOURCE makes of the above; flags that need a mode are the program's error.
extern "C" {
[[gnu::visibility("default")]] int __open_2(const char* path, int flags);
[[gnu::visibility("default")]] int __open64_2(const char* path, int flags);
[[gnu::visibility("default")]] int __openat_2(int folder, const char* path, int flags);
[[gnu::visibility("default")]] int __openat64_2(int folder, const char* path, int flags);
}
int __open_2(const char* path, int flags) {
  return uapi::open_one(uapi::next_open, path, flags, 0);
}
int __open64_2(const char* path, int flags) {
  return uapi::open_one(uapi::next_open64, path, flags, 0);
}
int __openat_2(int folder, const char* path, int flags) {
  return uapi::open_one_at(uapi::next_openat, folder, path, flags, 0);
}
int __openat64_2(int folder, const char* path, int flags) {
  return uapi::open_one_at(uapi::next_openat64, folder, path, flags, 0);
}

UFENCE_REPLACES int close(int fd) { return uapi::close_one(fd); }
