#include "ufence/module/begun_threads.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <sys/types.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>

#include "ufence/base/fd.h"
#include "ufence/module/memory_copy.h"

namespace ufence::detail {
namespace {

constexpr std::size_t threads_max = 100'000;

// The descriptions of its data that the C library has for debuggers: size in bits, count, offset.
using field = std::array<std::uint32_t, 3>;

const field* field_of(const char* name) noexcept { return static_cast<const field*>(::dlsym(RTLD_DEFAULT, name)); }

// Where a thread's data has what is wanted; all 0: the C library does not say so.
class thread_layout {
 public:
  thread_layout() noexcept {
    const auto* const linker = static_cast<const std::uintptr_t*>(::dlsym(RTLD_DEFAULT, "__nptl_rtld_global"));
    const field* const used = field_of("_thread_db_rtld_global__dl_stack_used");
    const field* const users = field_of("_thread_db_rtld_global__dl_stack_user");
    const field* const link = field_of("_thread_db_pthread_list");
    const field* const tid = field_of("_thread_db_pthread_tid");
    const field* const start = field_of("_thread_db_pthread_start_routine");
    for (const void* const part : {static_cast<const void*>(linker), static_cast<const void*>(used),
                                   static_cast<const void*>(users), static_cast<const void*>(link),
                                   static_cast<const void*>(tid), static_cast<const void*>(start)}) {
      if (part == nullptr) return;
    }
    const auto [first, last] = std::minmax({(*link)[2], (*tid)[2], (*start)[2]});
    constexpr std::uint32_t function_and_argument = 2 * sizeof(std::uintptr_t);
    if ((*start)[0] != 64 || (*tid)[0] != 32 || last - first + function_and_argument > bytes_max) return;
    lists = {*linker + (*used)[2], *linker + (*users)[2]};
    link_at = (*link)[2];
    begin = first;
    size = last - first + function_and_argument;
    tid_at = (*tid)[2];
    start_at = (*start)[2];
  }

  static constexpr std::size_t bytes_max = 4096;
  std::array<std::uintptr_t, 2> lists{};
  std::uint32_t link_at = 0, tid_at = 0, start_at = 0;
  std::uint32_t begin = 0, size = 0;  // all of them lie there
};

struct thread_now {
  std::uintptr_t next = 0;  // in the list
  pid_t tid = 0;
  std::uintptr_t function = 0, argument = 0;
};

bool is_of_std_thread(std::uintptr_t function) noexcept {
  Dl_info where{};
  const auto* const at = reinterpret_cast<const void*>(function);  // NOLINT(performance-no-int-to-ptr)
  return ::dladdr(at, &where) != 0 && std::strstr(where.dli_fname, "libstdc++.so") != nullptr;
}

class look {
 public:
  look(address_range range, const thread_layout& layout) noexcept : range_(range), layout_(layout) {}

  std::vector<std::string> run() {
    for (const std::uintptr_t list : layout_.lists) {
      std::uintptr_t at = 0;
      if (list == 0 || !copy_thing(list, at)) continue;
      // A thread that ends meanwhile leaves the list for another one: that has an end as well.
      for (std::size_t n = 0; at != list && n < threads_max; ++n) {
        thread_now t;
        if (!read(at - layout_.link_at, t)) break;
        if (t.tid > 0 && begins_here(t)) add(t);
        at = t.next;
      }
    }
    return std::move(found_);
  }

 private:
  bool read(std::uintptr_t thread, thread_now& t) noexcept {
    if (copy_memory(thread + layout_.begin, bytes_.data(), layout_.size) != layout_.size) return false;
    const auto take = [this](std::uint32_t at, void* to, std::size_t size) {
      std::memcpy(to, bytes_.data() + (at - layout_.begin), size);
    };
    take(layout_.link_at, &t.next, sizeof t.next);
    take(layout_.tid_at, &t.tid, sizeof t.tid);
    take(layout_.start_at, &t.function, sizeof t.function);
    take(layout_.start_at + sizeof t.function, &t.argument, sizeof t.argument);
    return true;
  }
  bool is_in(std::uintptr_t at) const noexcept { return at >= range_.begin && at < range_.end; }
  bool begins_here(const thread_now& t) const noexcept {
    if (is_in(t.function) || is_in(t.argument)) return true;
    std::uintptr_t table_of_functions = 0;
    return t.argument != 0 && copy_thing(t.argument, table_of_functions) && is_in(table_of_functions) &&
           is_of_std_thread(t.function);
  }
  void add(const thread_now& t) {
    const std::string number = std::to_string(t.tid);
    std::array<char, 32> name{};
    const unique_fd fd(::open(("/proc/self/task/" + number + "/comm").c_str(), O_RDONLY | O_CLOEXEC));
    const ssize_t size = fd ? ::read(fd.get(), name.data(), name.size() - 1) : 0;
    if (fd && size <= 0) return;  // it has ended
    *std::find(name.begin(), name.end() - 1, '\n') = '\0';
    found_.push_back("thread " + number + " (" + name.data() + ")");
  }

  const address_range range_;
  const thread_layout& layout_;
  std::array<char, thread_layout::bytes_max> bytes_;
  std::vector<std::string> found_;
};

}  // namespace

std::vector<std::string> threads_begun_in(address_range range) {
  static const thread_layout layout;
  return look(range, layout).run();
}

}  // namespace ufence::detail
