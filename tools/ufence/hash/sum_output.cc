#include "tools/ufence/hash/sum_output.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string_view>

#include "tools/ufence/cli/interrupt.h"
#include "ufence/base/result.h"

namespace ufence::tool {
namespace {

constexpr std::size_t piece_bytes = 64UL * 1024;

}  // namespace

void sum_output::open_stdout() {
  place_ = place::standard_output;
  name_ = "standard output";
}

std::error_code sum_output::open_file(const std::string& path) {
  name_ = path;
  const std::error_code failed = file_.open(path);
  if (!failed) place_ = place::file;
  return failed;
}

void sum_output::flush_if_full() {
  if (lines_.size() >= piece_bytes) flush();
}

void sum_output::flush() {
  std::string_view rest = lines_;
  while (place_ != place::nowhere && !error_ && !rest.empty()) {
    const ssize_t n = place_ == place::file ? file_.write_some(rest)
                                            : ::write(STDOUT_FILENO, rest.data(), rest.size());
    if (n < 0 && errno != EINTR) {
      error_ = errno_code(errno);
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
  if (!error_ && place_ == place::file) error_ = file_.commit();
  discard();
  return error_;
}

void sum_output::discard() {
  file_.discard();
  place_ = place::nowhere;
}

}  // namespace ufence::tool
