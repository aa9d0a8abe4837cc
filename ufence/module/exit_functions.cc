#include "ufence/module/exit_functions.h"

#include <stdlib.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <optional>
#include <string_view>

#include "ufence/base/lock.h"
#include "ufence/module/loaded_objects.h"
#include "ufence/module/memory_copy.h"
#include "ufence/module/process_end.h"

namespace ufence::detail {
namespace {

// As the C library has them, since ever. The newest list comes first.
struct exit_function {
  std::uint64_t kind;
  std::uintptr_t function;  // enciphered
  std::uintptr_t argument;
  std::uintptr_t owner;     // of `kind_owned`
};
constexpr std::uint64_t kind_on_exit = 2, kind_at_exit = 3, kind_owned = 4;
struct exit_list {
  std::uintptr_t next;
  std::uint64_t used;
  std::array<exit_function, 32> functions;
};
static_assert(sizeof(exit_list) == 1040);
constexpr std::size_t lists_max = 1024;

// Where the list's begin stands, and the key. Found once, by registering a function and searching for it.
struct found_lists {
  std::uintptr_t first_at = 0;  // 0: not found
  std::uintptr_t key = 0;
  address_range data;           // of the C library, where these lie: it is always there
};

// The first list is the library's own; the others it has allocated, and frees when the process ends.
bool copy_list(std::uintptr_t at, address_range data, exit_list& list) noexcept {
  const auto* const there = reinterpret_cast<const void*>(at);  // NOLINT(performance-no-int-to-ptr)
  if (!data.contains(there, sizeof list)) return copy_thing(at, list);
  std::memcpy(&list, there, sizeof list);
  return true;
}

template <class Visit>
void visit_lists(std::uintptr_t first, address_range data, Visit visit) {
  exit_list list;
  for (std::size_t n = 0; first != 0 && n < lists_max && copy_list(first, data, list); ++n) {
    for (std::size_t i = 0; i < std::min<std::size_t>(list.used, list.functions.size()); ++i) {
      visit(list.functions[i]);
    }
    first = list.next;
  }
}

void do_nothing(void*) {}
const char mark = 0;

class search {
 public:
  found_lists run() {
    for (const loaded_object& o : objects_now()) {
      if (!o.soname.starts_with("libc.so.")) continue;
      for (const address_range part : o.data) look_at(part);
    }
    return found_;
  }

 private:
  void look_at(address_range part) {
    std::array<std::uintptr_t, 512> words;
    for (std::uintptr_t at = part.begin; at < part.end && found_.first_at == 0; at += sizeof words) {
      const std::size_t got = copy_memory(at, words.data(), std::min(part.end - at, sizeof words));
      for (std::size_t n = 0; n < got / sizeof(std::uintptr_t); ++n) {
        if (words[n] != 0 && words[n] % alignof(exit_list) == 0 && has_mark(words[n])) {
          found_.first_at = at + n * sizeof(std::uintptr_t);
          found_.data = part;
          return;
        }
      }
    }
  }
  bool has_mark(std::uintptr_t list) noexcept {
    bool is_it = false;
    visit_lists(list, {}, [&](const exit_function& f) {
      const auto ours = reinterpret_cast<std::uintptr_t>(&mark);
      if (f.kind != kind_owned || f.argument != ours || f.owner != ours) return;
      found_.key = deciphered(f.function, reinterpret_cast<std::uintptr_t>(&do_nothing));
      is_it = true;
    });
    return is_it;
  }

  found_lists found_;
};

// Never destroyed: modules may be unloaded while the process ends.
struct known_lists {
  mutex lock{lock_rank::leaf};
  bool is_looked_for UFENCE_GUARDED_BY(lock) = false;
  found_lists found UFENCE_GUARDED_BY(lock);
};
constinit known_lists exit_lists;

found_lists lists() {
  {
    const scoped_lock hold(exit_lists.lock);
    if (exit_lists.is_looked_for) return exit_lists.found;
  }
  auto* const owner = const_cast<char*>(&mark);
  if (!at_process_end(&do_nothing, owner, owner)) return {};
  found_lists found;
  try {
    found = search().run();
  } catch (...) {
    forget_process_end(owner);
    throw;
  }
  forget_process_end(owner);
  const scoped_lock hold(exit_lists.lock);
  exit_lists.is_looked_for = true;
  return exit_lists.found = found;
}

std::string line_of(std::string_view what, std::uintptr_t at) {
  std::array<char, 32> address;
  std::snprintf(address.data(), address.size(), " at 0x%zx", at);
  return std::string(what) + address.data();
}

}  // namespace

std::uintptr_t deciphered(std::uintptr_t function, std::uintptr_t key) noexcept {
#if defined(__x86_64__)
  constexpr unsigned turned = 17;
  function = function >> turned | function << (64 - turned);
#endif
  return function ^ key;
}

std::vector<std::string> exit_functions_in(address_range range) {
  std::vector<std::string> told;
  const found_lists known_now = lists();
  std::uintptr_t first = 0;
  if (known_now.first_at == 0) return told;
  const auto* const first_at = reinterpret_cast<const void*>(known_now.first_at);  // NOLINT(performance-no-int-to-ptr)
  std::memcpy(&first, first_at, sizeof first);
  const auto is_in = [range](std::uintptr_t at) { return at >= range.begin && at < range.end; };
  visit_lists(first, known_now.data, [&](const exit_function& f) {
    if (f.kind < kind_on_exit || f.kind > kind_owned || (f.kind == kind_owned && is_in(f.owner))) return;
    const std::uintptr_t function = deciphered(f.function, known_now.key);
    if (is_in(function)) {
      told.push_back(line_of(f.kind == kind_on_exit ? "a function of on_exit()" : "a function that exit() calls",
                             function));
    } else if (f.kind != kind_at_exit && is_in(f.argument)) {
      told.push_back(line_of("what a function that exit() calls is given", f.argument));
    }
  });
  return told;
}

}  // namespace ufence::detail
