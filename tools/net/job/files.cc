#include "tools/net/job/files.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <memory>
#include <system_error>

#include "tools/ufence/cli/interrupt.h"
#include "ufence/base/result.h"

namespace ufence::tool {
namespace {

constexpr std::size_t files_max = 1UL << 16U;

std::string error_text(int errno_value) {
  if (errno_value == EOPNOTSUPP) return "Not a regular file";  // as on one host
  return std::generic_category().message(errno_value);
}

}  // namespace

job_files::job_files(const std::string& input, console& con, sum_output& out)
    : inputs_{input}, console_(con), output_(out), walk_(inputs_, false, *this) {}

std::error_code job_files::find_root() {
  const std::unique_ptr<char, decltype(&std::free)> full(
      ::realpath(inputs_.front().c_str(), nullptr), &std::free);
  if (!full) return errno_code(errno);
  root_ = full.get();
  struct stat status {};
  if (::stat(root_.c_str(), &status) != 0) return errno_code(errno);
  if (S_ISDIR(status.st_mode)) return {};
  const std::size_t slash = root_.rfind('/');
  only_name_ = root_.substr(slash + 1);
  root_.resize(std::max<std::size_t>(slash, 1));
  return {};
}

std::string job_files::below_root(const job_file& one) const {
  if (!only_name_.empty()) return only_name_;
  std::string_view path = std::string_view(one.path).substr(inputs_.front().size());
  while (path.starts_with('/')) path.remove_prefix(1);
  return std::string(path);
}

bool job_files::goes_on() const { return interrupt_watch::signal_number() == 0; }

job_file* job_files::next() {
  while (has_more_ && files_.size() < files_max) {
    has_more_ = walk_.next();
    if (!has_more_) return nullptr;
    const tree_walk& at = walk_.current();
    const int directory = at.directory() ? at.directory()->get() : AT_FDCWD;
    struct stat status {};
    if (::fstatat(directory, at.path().c_str() + at.name_begin(), &status,
                  at.is_root() ? 0 : AT_SYMLINK_NOFOLLOW) != 0) {
      failed(at.path(), error_text(errno));
      continue;
    }
    if (output_.is_own_file(status)) continue;
    if (!S_ISREG(status.st_mode)) {
      skipped();  // it was a file a moment ago
      continue;
    }
    files_.push_back({.number = first_ + files_.size(), .path = at.path()});
    ++waiting_;
    return &files_.back();
  }
  return nullptr;
}

job_file* job_files::find(std::uint64_t number) {
  if (number < first_ || number - first_ >= files_.size()) return nullptr;
  return &files_[number - first_];
}

void job_files::claim(job_file& one) {
  one.state = job_file::progress::claimed;
  --waiting_;
}

void job_files::give_back(job_file& one) {
  one.state = job_file::progress::waiting;
  ++one.attempt;
  ++waiting_;
}

void job_files::finish(job_file& one, const sha256_digest& digest, std::uint64_t bytes) {
  one.state = job_file::progress::hashed;
  one.digest = digest;
  ++hashed_;
  bytes_ += bytes;
}

void job_files::fail(job_file& one, int error) {
  one.state = job_file::progress::dropped;
  failed(one.path, error_text(error));
}

void job_files::write_ready() {
  while (!files_.empty()) {
    const job_file& one = files_.front();
    if (one.state == job_file::progress::hashed) {
      append_sum_line(output_.lines(), one.digest, one.path);
    } else if (one.state != job_file::progress::dropped) {
      return;
    }
    files_.pop_front();
    ++first_;
    output_.flush_if_full();
  }
}

}  // namespace ufence::tool
