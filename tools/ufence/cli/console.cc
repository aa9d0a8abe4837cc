#include "tools/ufence/cli/console.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "tools/ufence/hash/sum_line.h"

namespace ufence::tool {
namespace {

// stderr is not buffered: a line is one write, so that lines of several processes do not mix.
void write_all(std::string_view text) {
  while (!text.empty()) {
    const ssize_t n = ::write(STDERR_FILENO, text.data(), text.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return;  // nobody left to tell
    text.remove_prefix(static_cast<std::size_t>(n));
  }
}

constexpr std::string_view back_to_line_begin = "\r\033[K";

}  // namespace

console::console(bool quiet)
    : quiet_(quiet), shows_progress_(!quiet && ::isatty(STDERR_FILENO) == 1) {}

console::~console() { clear_progress(); }

void console::line(std::string_view text) {
  clear_progress();
  write_all(fmt::format("{}\n", text));
}

void console::problem(std::string_view path, std::string_view text) {
  problem(fmt::format("{}: {}", printable(path), text));
}

void console::problem(std::string_view text) {
  ++problems_;
  line(fmt::format("ufence: {}", text));
}

void console::note(std::string_view text) {
  if (!quiet_) line(text);
}

void console::progress(std::string_view text) {
  if (!shows_progress_) return;
  write_all(fmt::format("{}{}", back_to_line_begin, text));
  has_progress_ = true;
}

void console::clear_progress() {
  if (!has_progress_) return;
  write_all(back_to_line_begin);
  has_progress_ = false;
}

}  // namespace ufence::tool
