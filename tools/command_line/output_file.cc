#include "tools/command_line/output_file.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <stdexcept>

#include "ufence/base/result.h"

namespace ufence::tool {
namespace {

std::error_code last_error() { return errno_code(errno); }

std::string resolved(const std::string& path) {
  const std::unique_ptr<char, decltype(&std::free)> full(::realpath(path.c_str(), nullptr), &std::free);
  return full ? std::string(full.get()) : path;
}

std::string folder_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

mode_t creation_mode() {
  const mode_t mask = ::umask(0);
  ::umask(mask);
  return 0666 & ~mask;
}

// Follows links up to one in /proc: that is an open file of a process. Empty: the path leads to none.
std::string open_file_of_process(std::string path) {
  constexpr int links_max = 40;  // as the kernel
  for (int i = 0; i < links_max; ++i) {
    std::array<char, PATH_MAX> to;
    const ssize_t size = ::readlink(path.c_str(), to.data(), to.size());
    if (size < 0) return {};
    const std::string folder = resolved(folder_of(path));
    struct statfs system {};
    if (::statfs(folder.c_str(), &system) == 0 && system.f_type == PROC_SUPER_MAGIC && folder.ends_with("/fd")) {
      return folder + path.substr(path.rfind('/'));
    }
    const std::string next(to.data(), static_cast<std::size_t>(size));
    path = next.starts_with('/') ? next : folder + "/" + next;
  }
  return {};
}

// The descriptor, if it is one of this process.
int own_descriptor(const std::string& in_proc) {
  if (folder_of(in_proc) != resolved("/proc/self/fd")) return -1;
  const std::string number = in_proc.substr(in_proc.rfind('/') + 1);
  int fd = -1;
  std::from_chars(number.data(), number.data() + number.size(), fd);
  return fd;
}

bool is_mounted(const std::string& path) {
  struct statx file {}, folder {};
  return ::statx(AT_FDCWD, path.c_str(), 0, STATX_MNT_ID, &file) == 0 &&
         ::statx(AT_FDCWD, folder_of(path).c_str(), 0, STATX_MNT_ID, &folder) == 0 &&
         file.stx_mnt_id != folder.stx_mnt_id;
}

}  // namespace

std::error_code output_file::open(const std::string& path) {
  discard();
  if (path.empty()) return errno_code(ENOENT);
  struct stat old {};
  if (::stat(path.c_str(), &old) != 0) {
    if (errno != ENOENT) return last_error();
    struct stat link {};
    if (::lstat(path.c_str(), &link) == 0) return errno_code(ENOENT);  // it leads nowhere: it stays
    return open_replacement(path, creation_mode());
  }
  if (const std::string in_proc = open_file_of_process(path); !in_proc.empty()) {
    // Opened again, it would be written from its beginning on.
    const int own = own_descriptor(in_proc);
    if (own < 0) return open_in_place(in_proc, O_APPEND);
    const int flags = ::fcntl(own, F_GETFL);
    if (flags < 0 || (flags & O_ACCMODE) == O_RDONLY) return errno_code(EBADF);
    file_.reset(::fcntl(own, F_DUPFD_CLOEXEC, 0));
    return file_ ? std::error_code() : last_error();
  }
  if (!S_ISREG(old.st_mode)) return open_in_place(path, 0);
  const std::string full = resolved(path);
  if (::access(full.c_str(), W_OK) != 0) return last_error();
  if (old.st_nlink == 1 && old.st_uid == ::geteuid() && !is_mounted(full)) {
    const std::error_code failed = open_replacement(full, old.st_mode & 07777);
    if (failed.value() != EACCES && failed.value() != EPERM && failed.value() != EROFS) return failed;
  }
  is_emptied_ = false;
  return open_in_place(full, 0);
}

void output_file::open_or_throw(const std::string& path) {
  if (const std::error_code failed = open(path)) throw std::runtime_error(path + ": " + failed.message());
}

std::error_code output_file::open_in_place(const std::string& path, int flags) {
  file_.reset(::open(path.c_str(), O_WRONLY | O_CLOEXEC | O_NOCTTY | flags));
  return file_ ? std::error_code() : last_error();
}

std::error_code output_file::open_replacement(const std::string& path, mode_t mode) {
  // Without a name where the file system can do that: then nothing is left behind even by SIGKILL.
  file_.reset(::open(folder_of(path).c_str(), O_TMPFILE | O_WRONLY | O_CLOEXEC, mode));
  if (!file_) {
    if (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL) return last_error();
    std::string name = path + ".XXXXXX";
    file_.reset(::mkostemp(name.data(), O_CLOEXEC));
    if (!file_) return last_error();
    temporary_ = name;
  }
  target_ = path;
  mode_ = mode;
  if (::fchmod(file_.get(), mode) == 0 && ::fstat(file_.get(), &own_) == 0) return {};
  const std::error_code failed = last_error();
  discard();
  return failed;
}

ssize_t output_file::write_some(std::string_view bytes) noexcept {
  if (!is_emptied_ && ::ftruncate(file_.get(), 0) != 0) return -1;
  is_emptied_ = true;
  return ::write(file_.get(), bytes.data(), bytes.size());
}

std::error_code output_file::write(std::string_view bytes) noexcept {
  while (!bytes.empty()) {
    const ssize_t n = write_some(bytes);
    if (n < 0 && errno != EINTR) return last_error();
    bytes.remove_prefix(static_cast<std::size_t>(std::max<ssize_t>(n, 0)));
  }
  return {};
}

std::error_code output_file::commit() {
  std::error_code failed;
  if (!is_emptied_ && write_some({}) < 0) failed = last_error();
  if (!failed && !target_.empty()) failed = put_in_place();
  if (!failed && file_ && ::close(file_.release()) != 0) failed = last_error();
  discard();
  return failed;
}

std::error_code output_file::write_and_commit(std::string_view bytes) {
  const std::error_code failed = write(bytes);
  return failed ? failed : commit();
}

std::error_code output_file::put_in_place() {
  if (temporary_.empty()) {
    const std::string by_descriptor = "/proc/self/fd/" + std::to_string(file_.get());
    // A name that nobody has: the process and, if it is taken all the same, a counter.
    for (unsigned attempt = 0; temporary_.empty(); ++attempt) {
      const std::string name = target_ + "." + std::to_string(::getpid()) + "." + std::to_string(attempt);
      if (::linkat(AT_FDCWD, by_descriptor.c_str(), AT_FDCWD, name.c_str(), AT_SYMLINK_FOLLOW) == 0) {
        temporary_ = name;
      } else if (errno != EEXIST || attempt == UINT_MAX) {
        return last_error();
      }
    }
  }
  if (std::rename(temporary_.c_str(), target_.c_str()) != 0) return last_error();
  temporary_.clear();
  return {};
}

std::error_code output_file::commit_file(const std::string& path) {
  std::error_code failed;
  if (::chmod(path.c_str(), mode_) != 0 || std::rename(path.c_str(), target_.c_str()) != 0) failed = last_error();
  discard();
  return failed;
}

void output_file::discard() {
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
  temporary_.clear();
  target_.clear();
  file_.reset();
  is_emptied_ = true;
}

}  // namespace ufence::tool
