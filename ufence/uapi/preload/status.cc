// access() and stat() with their relatives: emulated paths are there, and descriptors of emulated
// devices look like what they stand for.
#include <linux/stat.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "ufence/uapi/preload/descriptors.h"
#include "ufence/uapi/preload/next.h"
#include "ufence/uapi/preload/paths.h"
#include "ufence/uapi/preload/system.h"

namespace ufence::uapi {
namespace {

using stat_function = int(const char*, struct stat*);
using stat64_function = int(const char*, struct stat64*);
constinit next_function<int(const char*, int)> next_access("access");
constinit next_function<int(int, const char*, int, int)> next_faccessat("faccessat");
constinit next_function<stat_function> next_stat("stat");
constinit next_function<stat_function> next_lstat("lstat");
constinit next_function<stat64_function> next_stat64("stat64");
constinit next_function<stat64_function> next_lstat64("lstat64");
constinit next_function<int(int, struct stat*)> next_fstat("fstat");
constinit next_function<int(int, struct stat64*)> next_fstat64("fstat64");
constinit next_function<int(int, const char*, struct stat*, int)> next_fstatat("fstatat");
constinit next_function<int(int, const char*, struct stat64*, int)> next_fstatat64("fstatat64");
constinit next_function<int(int, const char*, int, unsigned, struct statx*)> next_statx("statx");

int fail(int error) noexcept {
  errno = error;
  return -1;
}

int access_emulated(const emulated_path& p, int mode) noexcept {
  const int refused = (p.is_folder() || p.text != nullptr ? W_OK : 0) | (p.is_folder() ? 0 : X_OK);
  return (mode & refused) != 0 ? fail(EACCES) : 0;
}

// Of struct stat and struct stat64, which are the same in all but name.
template <class Stat>
requires requires(Stat s) { s.st_mode; }
int tell(const emulated_path& p, Stat* into) noexcept {
  Stat s{};
  s.st_mode = p.mode;
  s.st_rdev = p.device;
  s.st_nlink = 1;
  s.st_blksize = 4096;
  return system::copy_out(into, &s, sizeof s) ? 0 : fail(EFAULT);
}

int tell(const emulated_path& p, struct statx* into) noexcept {
  struct statx s {};
  s.stx_mask = STATX_TYPE | STATX_MODE | STATX_NLINK;
  s.stx_mode = static_cast<std::uint16_t>(p.mode);
  s.stx_nlink = 1;
  s.stx_blksize = 4096;
  s.stx_rdev_major = gnu_dev_major(p.device);
  s.stx_rdev_minor = gnu_dev_minor(p.device);
  return system::copy_out(into, &s, sizeof s) ? 0 : fail(EFAULT);
}

// A folder that is really there tells for itself.
template <class Stat, class Next>
int stat_path(int folder, const char* path, Stat* into, Next next) noexcept {
  const resolved_path r = resolve_at(folder, path);
  if (r.is_file()) return tell(*r.emulated, into);
  const int result = next(r.path);
  return r.emulated != nullptr && result != 0 && errno == ENOENT ? tell(*r.emulated, into) : result;
}

// Of a link itself: one in /proc is there, another one only emulated.
template <class Stat, class Next>
int stat_link(int folder, const char* path, Stat* into, Next next) noexcept {
  if (find_link_at(folder, path) == nullptr) return stat_path(folder, path, into, next);
  const int result = next(path);
  constexpr emulated_path link{"", device_kind::none, S_IFLNK | 0777, 0, nullptr};
  return result != 0 && errno == ENOENT ? tell(link, into) : result;
}

// The result of a call for a link that a path ends with.
template <class Stat, class Next>
int stat_at(int folder, const char* path, Stat* into, int flags, Next next) noexcept {
  return (flags & AT_SYMLINK_NOFOLLOW) != 0 ? stat_link(folder, path, into, next)
                                            : stat_path(folder, path, into, next);
}

// Files that no path leads to have no type.
constexpr unsigned mode_without_path = S_IRUSR | S_IWUSR;

template <class Stat>
int stat_descriptor(int fd, Stat* into, int result) noexcept {
  if (result != 0) return result;
  const emulated_path* p = nullptr;
  if (S_ISSOCK(into->st_mode)) {
    p = path_of(device_of(fd));
    if (p == nullptr && kind_of(fd) != file_kind::other) into->st_mode = mode_without_path;
    return p == nullptr ? result : tell(*p, into);
  }
  // No path leads to a memory file.
  if (S_ISREG(into->st_mode) && into->st_nlink == 0) p = find_folder(fd);
  return p == nullptr ? result : tell(*p, into);
}

}  // namespace
}  // namespace ufence::uapi

namespace uapi = ufence::uapi;

UFENCE_REPLACES int access(const char* path, int mode) noexcept {
  const uapi::resolved_path r = uapi::resolve(path);
  return r.emulated != nullptr ? uapi::access_emulated(*r.emulated, mode)
                               : uapi::next_access.get()(r.path, mode);
}
UFENCE_REPLACES int faccessat(int folder, const char* path, int mode, int flags) noexcept {
  const uapi::resolved_path r = uapi::resolve_at(folder, path);
  return r.emulated != nullptr ? uapi::access_emulated(*r.emulated, mode)
                               : uapi::next_faccessat.get()(folder, r.path, mode, flags);
}

UFENCE_REPLACES int stat(const char* path, struct stat* into) noexcept {
  return uapi::stat_path(AT_FDCWD, path, into,
                         [=](const char* p) { return uapi::next_stat.get()(p, into); });
}
UFENCE_REPLACES int lstat(const char* path, struct stat* into) noexcept {
  return uapi::stat_link(AT_FDCWD, path, into,
                         [=](const char* p) { return uapi::next_lstat.get()(p, into); });
}
UFENCE_REPLACES int stat64(const char* path, struct stat64* into) noexcept {
  return uapi::stat_path(AT_FDCWD, path, into,
                         [=](const char* p) { return uapi::next_stat64.get()(p, into); });
}
UFENCE_REPLACES int lstat64(const char* path, struct stat64* into) noexcept {
  return uapi::stat_link(AT_FDCWD, path, into,
                         [=](const char* p) { return uapi::next_lstat64.get()(p, into); });
}
UFENCE_REPLACES int fstat(int fd, struct stat* into) noexcept {
  return uapi::stat_descriptor(fd, into, uapi::next_fstat.get()(fd, into));
}
UFENCE_REPLACES int fstat64(int fd, struct stat64* into) noexcept {
  return uapi::stat_descriptor(fd, into, uapi::next_fstat64.get()(fd, into));
}

// An empty path with AT_EMPTY_PATH is the descriptor itself.
UFENCE_REPLACES int fstatat(int fd, const char* path, struct stat* into, int flags) noexcept {
  const int result = uapi::stat_at(fd, path, into, flags, [=](const char* p) {
    return uapi::next_fstatat.get()(fd, p, into, flags);
  });
  return (flags & AT_EMPTY_PATH) != 0 ? uapi::stat_descriptor(fd, into, result) : result;
}
UFENCE_REPLACES int fstatat64(int fd, const char* path, struct stat64* into, int flags) noexcept {
  const int result = uapi::stat_at(fd, path, into, flags, [=](const char* p) {
    return uapi::next_fstatat64.get()(fd, p, into, flags);
  });
  return (flags & AT_EMPTY_PATH) != 0 ? uapi::stat_descriptor(fd, into, result) : result;
}
UFENCE_REPLACES int statx(int fd, const char* path, int flags, unsigned mask,
                          struct statx* into) noexcept {
  const int result = uapi::stat_at(fd, path, into, flags, [=](const char* p) {
    return uapi::next_statx.get()(fd, p, flags, mask, into);
  });
  if (result != 0 || (flags & AT_EMPTY_PATH) == 0) return result;
  const uapi::emulated_path* p = nullptr;
  if (S_ISSOCK(into->stx_mode)) {
    p = uapi::path_of(uapi::device_of(fd));
    if (p == nullptr && uapi::kind_of(fd) != uapi::file_kind::other) {
      into->stx_mode = uapi::mode_without_path;
    }
  }
  if (S_ISREG(into->stx_mode) && into->stx_nlink == 0) p = uapi::find_folder(fd);
  return p == nullptr ? result : uapi::tell(*p, into);
}
