#include "ufence/module/open_streams.h"

#include <stdio.h>
#include <sys/types.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

#include "ufence/module/exit_functions.h"
#include "ufence/module/memory_copy.h"

namespace ufence::detail {

// The C library's list of open streams, by their _chain, and its lock.
extern "C" {
[[gnu::weak]] extern FILE* open_streams_list __asm__("_IO_list_all");
[[gnu::weak]] void lock_open_streams() noexcept __asm__("_IO_list_lock");
[[gnu::weak]] void unlock_open_streams() noexcept __asm__("_IO_list_unlock");
}

namespace {

constexpr std::size_t told_max = 4;
constexpr std::size_t streams_max = 100'000;

// A stream, as the C library has it: the table of its functions says of what sort it is.
struct any_stream {
  FILE file;
  const void* functions;
};
// One of fopencookie(), of which fmemopen() makes its own.
struct cookie_stream {
  any_stream stream;
  std::uintptr_t cookie;
  std::array<std::uintptr_t, 4> functions;  // enciphered
};

// How streams of fopencookie() are known: by one of ours.
struct cookie_sort {
  const void* functions = nullptr;  // null: not known
  std::uintptr_t key = 0;
};

ssize_t write_nothing(void*, const char*, size_t size) { return static_cast<ssize_t>(size); }

cookie_sort find_cookie_sort() noexcept {
  cookie_sort found;
  char mark = 0;
  FILE* const ours = ::fopencookie(&mark, "w", {.read = nullptr, .write = &write_nothing, .seek = nullptr, .close = nullptr});
  if (ours == nullptr) return found;
  const auto& stream = *reinterpret_cast<const cookie_stream*>(ours);
  if (stream.cookie == reinterpret_cast<std::uintptr_t>(&mark)) {
    found.functions = stream.stream.functions;
    found.key = deciphered(stream.functions[1], reinterpret_cast<std::uintptr_t>(&write_nothing));
  }
  ::fclose(ours);
  return found;
}

// Nothing is allocated while the list is locked.
class look {
 public:
  look(address_range range, cookie_sort cookies) noexcept : range_(range), cookies_(cookies) {}

  std::vector<used_by_stream> run() {
    lock_open_streams();
    std::size_t n = 0;
    for (const FILE* f = open_streams_list; f != nullptr && n < streams_max; f = f->_chain, ++n) at_stream(*f);
    unlock_open_streams();
    return {found_.begin(), found_.begin() + static_cast<std::ptrdiff_t>(count_)};
  }

 private:
  void add(const char* what, std::uintptr_t at) noexcept {
    const auto* const there = reinterpret_cast<const void*>(at);  // NOLINT(performance-no-int-to-ptr)
    if (count_ < found_.size() && range_.contains(there)) found_[count_++] = {.what = what, .at = there};
  }
  void at_stream(const FILE& file) noexcept {
    const bool is_standard = &file == stdin || &file == stdout || &file == stderr;  // these are told by name
    if (!is_standard) add("the buffer of an open stream", reinterpret_cast<std::uintptr_t>(file._IO_buf_base));
    if (cookies_.functions == nullptr || reinterpret_cast<const any_stream&>(file).functions != cookies_.functions) {
      return;
    }
    const auto& stream = reinterpret_cast<const cookie_stream&>(file);
    for (const std::uintptr_t function : stream.functions) {
      add("a function of an open stream", deciphered(function, cookies_.key));
    }
    add("what a function of an open stream is given", stream.cookie);
    // The memory of fmemopen() comes first in what its functions are given.
    std::uintptr_t memory = 0;
    if (copy_thing(stream.cookie, memory)) add("the memory of an open stream", memory);
  }

  const address_range range_;
  const cookie_sort cookies_;
  std::array<used_by_stream, told_max> found_{};
  std::size_t count_ = 0;
};

}  // namespace

std::vector<used_by_stream> used_by_open_streams(address_range range) {
  if (&open_streams_list == nullptr || &lock_open_streams == nullptr || &unlock_open_streams == nullptr) return {};
  static const cookie_sort cookies = find_cookie_sort();
  return look(range, cookies).run();
}

}  // namespace ufence::detail
