// mkdir(), mknod(), unlink(), rmdir() and truncate() of emulated paths: those are there, and nobody
// may take them away.
#include <sys/stat.h>

#include "ufence/uapi/preload/next.h"
#include "ufence/uapi/preload/paths.h"
#include "ufence/uapi/preload/system.h"

namespace ufence::uapi {
namespace {

constinit next_function<int(const char*, mode_t)> next_mkdir("mkdir");
constinit next_function<int(int, const char*, mode_t)> next_mkdirat("mkdirat");
constinit next_function<int(const char*, mode_t, dev_t)> next_mknod("mknod");
constinit next_function<int(int, const char*, mode_t, dev_t)> next_mknodat("mknodat");
constinit next_function<int(const char*)> next_unlink("unlink");
constinit next_function<int(int, const char*, int)> next_unlinkat("unlinkat");
constinit next_function<int(const char*)> next_rmdir("rmdir");
constinit next_function<int(const char*, off_t)> next_truncate("truncate");
constinit next_function<int(const char*, off64_t)> next_truncate64("truncate64");

int fail(int error) noexcept {
  errno = error;
  return -1;
}

// A link is there as well.
bool is_there(const resolved_path& r, int folder, const char* path) noexcept {
  return r.emulated != nullptr || find_link_at(folder, path) != nullptr;
}

// Makes something, which is not there yet.
template <class Next>
int make_at(int folder, const char* path, Next next) noexcept {
  const resolved_path r = resolve_at(folder, path);
  return next(is_there(r, folder, path) ? some_device : r.path);
}

template <class Next>
int remove_at(int folder, const char* path, bool is_folder, Next next) noexcept {
  const resolved_path r = resolve_at(folder, path);
  if (!is_there(r, folder, path)) return next(r.path);
  if (r.is_file() || r.emulated == nullptr) return fail(is_folder ? ENOTDIR : EACCES);
  return fail(is_folder ? EBUSY : EISDIR);
}

template <class Next>
int cut(const char* path, Next next) noexcept {
  const resolved_path r = resolve(path);
  if (!r.is_file()) return next(r.path);
  return fail(r.emulated->text != nullptr ? EACCES : EINVAL);
}

}  // namespace
}  // namespace ufence::uapi

namespace uapi = ufence::uapi;

UFENCE_REPLACES int mkdir(const char* path, mode_t mode) noexcept {
  return uapi::make_at(AT_FDCWD, path,
                       [=](const char* p) { return uapi::next_mkdir.get()(p, mode); });
}
UFENCE_REPLACES int mkdirat(int folder, const char* path, mode_t mode) noexcept {
  return uapi::make_at(folder, path,
                       [=](const char* p) { return uapi::next_mkdirat.get()(folder, p, mode); });
}
UFENCE_REPLACES int mknod(const char* path, mode_t mode, dev_t device) noexcept {
  return uapi::make_at(AT_FDCWD, path,
                       [=](const char* p) { return uapi::next_mknod.get()(p, mode, device); });
}
UFENCE_REPLACES int mknodat(int folder, const char* path, mode_t mode, dev_t device) noexcept {
  return uapi::make_at(folder, path, [=](const char* p) {
    return uapi::next_mknodat.get()(folder, p, mode, device);
  });
}
UFENCE_REPLACES int unlink(const char* path) noexcept {
  return uapi::remove_at(AT_FDCWD, path, false,
                         [](const char* p) { return uapi::next_unlink.get()(p); });
}
UFENCE_REPLACES int unlinkat(int folder, const char* path, int flags) noexcept {
  return uapi::remove_at(folder, path, (flags & AT_REMOVEDIR) != 0, [=](const char* p) {
    return uapi::next_unlinkat.get()(folder, p, flags);
  });
}
UFENCE_REPLACES int rmdir(const char* path) noexcept {
  return uapi::remove_at(AT_FDCWD, path, true,
                         [](const char* p) { return uapi::next_rmdir.get()(p); });
}
UFENCE_REPLACES int truncate(const char* path, off_t size) noexcept {
  return uapi::cut(path, [=](const char* p) { return uapi::next_truncate.get()(p, size); });
}
UFENCE_REPLACES int truncate64(const char* path, off64_t size) noexcept {
  return uapi::cut(path, [=](const char* p) { return uapi::next_truncate64.get()(p, size); });
}
