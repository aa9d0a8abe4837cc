#include "tools/ufence/hash/sum_output.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <memory>

#include "tools/ufence/cli/interrupt.h"
#include "ufence/base/result.h"

namespace ufence::tool {
namespace {

constexpr std::size_t piece_bytes = 64UL * 1024;

std::error_code last_error() { return errno_code(errno); }

// The file behind symbolic links, so that a link stays a link and its target is replaced.
std::string resolved(const std::string& path) {
  const std::unique_ptr<char, decltype(&std::free)> full(::realpath(path.c_str(), nullptr),
                                                         &std::free);
  return full ? std::string(full.get()) : path;
}

std::string directory_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

mode_t creation_mode() {
  const mode_t mask = ::umask(0);
  ::umask(mask);
  return 0666 & ~mask;
}

}  // namespace

sum_output::~sum_output() { discard(); }

void sum_output::open_stdout() {
  fd_ = STDOUT_FILENO;
  name_ = "standard output";
}

std::error_code sum_output::open_file(const std::string& path) {
  name_ = path;
  struct stat old {};
  if (::stat(path.c_str(), &old) == 0) {
    if (S_ISREG(old.st_mode)) return open_replacement(resolved(path), &old);
    file_.reset(::open(path.c_str(), O_WRONLY | O_CLOEXEC | O_NOCTTY));
    if (!file_) return last_error();
    fd_ = file_.get();
    return {};
  }
  if (errno != ENOENT) return last_error();
  struct stat link {};
  if (::lstat(path.c_str(), &link) == 0) return errno_code(ENOENT);  // it leads nowhere: it stays
  return open_replacement(path, nullptr);
}

std::error_code sum_output::open_replacement(const std::string& path, const struct stat* old) {
  if (old != nullptr && ::access(path.c_str(), W_OK) != 0) return last_error();
  target_ = path;
  const mode_t mode = old != nullptr ? old->st_mode & 07777 : creation_mode();
  // Without a name where the file system can do that: then nothing is left behind even by SIGKILL.
  file_.reset(::open(directory_of(path).c_str(), O_TMPFILE | O_WRONLY | O_CLOEXEC, mode));
  if (!file_) {
    if (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL) return last_error();
    temporary_ = target_ + ".XXXXXX";
    file_.reset(::mkostemp(temporary_.data(), O_CLOEXEC));
    if (!file_) {
      temporary_.clear();
      return last_error();
    }
  }
  fd_ = file_.get();
  is_replacement_ = true;
  if (::fchmod(fd_, mode) != 0 || ::fstat(fd_, &own_) != 0) return last_error();
  return {};
}

void sum_output::flush_if_full() {
  if (lines_.size() >= piece_bytes) flush();
}

void sum_output::flush() {
  std::string_view rest = lines_;
  while (fd_ >= 0 && !error_ && !rest.empty()) {
    const ssize_t n = ::write(fd_, rest.data(), rest.size());
    if (n < 0 && errno != EINTR) {
      error_ = last_error();
      break;
    }
    rest.remove_prefix(static_cast<std::size_t>(std::max<ssize_t>(n, 0)));
    // Not all: a signal came.
    if (!rest.empty() && interrupt_watch::signal_number() != 0) error_ = errno_code(EINTR);
  }
  lines_.clear();
}

std::error_code sum_output::commit() {
  flush();
  if (!error_ && is_replacement_) error_ = put_in_place();
  if (!error_ && file_ && ::close(file_.release()) != 0) error_ = last_error();
  discard();
  return error_;
}

std::error_code sum_output::put_in_place() {
  if (temporary_.empty()) {
    const std::string by_descriptor = fmt::format("/proc/self/fd/{}", fd_);
    // A name that nobody has: the process and, if it is taken all the same, a counter.
    for (unsigned attempt = 0; temporary_.empty(); ++attempt) {
      const std::string name = fmt::format("{}.{}.{}", target_, ::getpid(), attempt);
      if (::linkat(AT_FDCWD, by_descriptor.c_str(), AT_FDCWD, name.c_str(), AT_SYMLINK_FOLLOW) ==
          0) {
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

void sum_output::discard() {
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
  temporary_.clear();
  file_.reset();
  fd_ = -1;
  is_replacement_ = false;
}

}  // namespace ufence::tool
