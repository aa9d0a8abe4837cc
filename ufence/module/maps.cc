#include "ufence/module/maps.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <optional>
#include <string_view>

#include "ufence/base/fd.h"

namespace ufence::detail {
namespace {

// "7f00-7f10 r-xp 00000000 fd:00 1234    /path": longer than any line without its path.
constexpr std::ptrdiff_t line_head_max = 128;

struct line {
  std::uintptr_t begin = 0;
  std::uintptr_t end = 0;
  std::string_view file;  // "fd:00 1234"; empty if none is mapped
};

std::optional<std::uintptr_t> take_hex(std::string_view& text, char after) noexcept {
  std::uintptr_t value = 0;
  const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), value, 16);
  if (error != std::errc() || rest == text.data() + text.size() || *rest != after) return {};
  text.remove_prefix(static_cast<std::size_t>(rest - text.data()) + 1);
  return value;
}

std::string_view take_word(std::string_view& text) noexcept {
  const std::string_view word = text.substr(0, text.find(' '));
  text.remove_prefix(std::min(word.size() + 1, text.size()));
  return word;
}

std::optional<line> parse(std::string_view text) noexcept {
  const auto begin = take_hex(text, '-');
  const auto end = begin ? take_hex(text, ' ') : std::nullopt;
  if (!end) return {};
  take_word(text);  // permissions
  take_word(text);  // offset
  const std::string_view device = take_word(text);
  const std::string_view inode = take_word(text);
  const bool has_file = !inode.empty() && inode != "0";
  return line{.begin = *begin,
              .end = *end,
              .file = has_file ? std::string_view(device.data(), static_cast<std::size_t>(
                                     inode.data() + inode.size() - device.data()))
                               : std::string_view()};
}

// Hands out the heads of the lines one after the other; the paths, of any length, are skipped.
class line_reader {
 public:
  explicit line_reader(int fd) noexcept : fd_(fd) {}

  /// 1 a line; 0 the end; -errno.
  int next(std::string_view& head) noexcept {
    if (skip_rest_) {
      if (const int found = find_newline(); found <= 0) return found;
    }
    while (end_ - begin_ < line_head_max && !at_end_) {
      const auto newline = std::find(buffer_.begin() + begin_, buffer_.begin() + end_, '\n');
      if (newline != buffer_.begin() + end_) break;
      if (const int failed = fill(); failed != 0) return failed;
    }
    if (begin_ == end_) return 0;
    const std::string_view have(buffer_.data() + begin_, static_cast<std::size_t>(end_ - begin_));
    head = have.substr(0, std::min(have.find('\n'), std::size_t{line_head_max}));
    skip_rest_ = true;
    return 1;
  }

 private:
  int find_newline() noexcept {
    for (;;) {
      const auto newline = std::find(buffer_.begin() + begin_, buffer_.begin() + end_, '\n');
      if (newline != buffer_.begin() + end_) {
        begin_ = newline - buffer_.begin() + 1;
        return 1;
      }
      begin_ = end_;
      if (at_end_) return 0;
      if (const int failed = fill(); failed != 0) return failed;
    }
  }

  int fill() noexcept {
    std::memmove(buffer_.data(), buffer_.data() + begin_, static_cast<std::size_t>(end_ - begin_));
    end_ -= begin_;
    begin_ = 0;
    const auto room = buffer_.size() - static_cast<std::size_t>(end_);
    const ssize_t got = ::read(fd_, buffer_.data() + end_, room);
    if (got < 0 && errno != EINTR) return -errno;
    if (got > 0) end_ += got;
    at_end_ = got == 0;
    return 0;
  }

  int fd_;
  std::array<char, 16384> buffer_;
  std::ptrdiff_t begin_ = 0;
  std::ptrdiff_t end_ = 0;
  bool at_end_ = false;
  bool skip_rest_ = false;
};

// --- Asking about one address ---

// struct procmap_query of <linux/fs.h>, which older headers lack.
struct map_query {
  std::uint64_t size = sizeof(map_query);
  std::uint64_t flags = 0;
  std::uint64_t address = 0;
  std::uint64_t begin = 0;  // from here on: the answer
  std::uint64_t end = 0;
  std::uint64_t vma_flags = 0;
  std::uint64_t page_size = 0;
  std::uint64_t offset = 0;
  std::uint64_t inode = 0;
  std::uint32_t device_major = 0;
  std::uint32_t device_minor = 0;
  std::uint32_t name_size = 0;
  std::uint32_t build_id_size = 0;
  std::uint64_t name_at = 0;
  std::uint64_t build_id_at = 0;
};
static_assert(sizeof(map_query) == 104);
constexpr std::uint64_t covering_or_next = 0x10;
constexpr std::uint64_t file_backed = 0x20;
constexpr auto query_request = _IOWR('f', 17, map_query);

// As the list prints it.
std::string file_name(const map_query& q) {
  std::array<char, 64> text;
  const int size = std::snprintf(text.data(), text.size(), "%02x:%02x %llu", q.device_major,
                                 q.device_minor, static_cast<unsigned long long>(q.inode));
  return {text.data(), static_cast<std::size_t>(size)};
}

unique_fd open_maps() noexcept {
  return unique_fd(::open("/proc/self/maps", O_RDONLY | O_CLOEXEC));
}

}  // namespace

result<std::string> mapped_file_by_asking(address_range range, const std::string& only) {
  const unique_fd fd = open_maps();
  if (!fd) return failure(errno);
  for (std::uintptr_t at = range.begin; at < range.end;) {
    map_query q{.flags = covering_or_next | file_backed, .address = at};
    if (::ioctl(fd.get(), query_request, &q) != 0) {
      if (errno == ENOENT) break;  // no file is mapped from there on
      return failure(ENOTTY);
    }
    if (q.begin >= range.end) break;
    std::string file = file_name(q);
    if (only.empty() || file == only) return file;
    at = q.end;
  }
  return std::string();
}

result<std::string> mapped_file_by_reading(address_range range, const std::string& only) {
  const unique_fd fd = open_maps();
  if (!fd) return failure(errno);
  line_reader lines(fd.get());
  std::string_view head;
  for (;;) {
    const int got = lines.next(head);
    if (got < 0) return failure(-got);
    if (got == 0) return std::string();
    const std::optional<line> l = parse(head);
    if (!l) return failure(EPROTO);
    if (l->begin >= range.end) return std::string();  // by rising address
    if (l->end <= range.begin || l->file.empty()) continue;
    if (only.empty() || l->file == only) return std::string(l->file);
  }
}

result<std::string> mapped_file(address_range range, const std::string& only) {
  result<std::string> file = mapped_file_by_asking(range, only);
  return file ? file : mapped_file_by_reading(range, only);
}

}  // namespace ufence::detail
