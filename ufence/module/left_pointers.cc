#include "ufence/module/left_pointers.h"

#include <printf.h>
#include <stdio.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <memory>
#include <span>
#include <string_view>
#include <utility>

#include "ufence/module/loaded_objects.h"
#include "ufence/module/memory_copy.h"
#include "ufence/module/registered.h"

namespace ufence::detail {
namespace {

using namespace std::string_view_literals;

constexpr std::size_t told_max = 3;

// Data that the C and C++ libraries keep is looked for by name (registered.h); besides, they have caches. Unwinders,
// garbage collectors and sanitizers note addresses of all that is mapped, and notice when it goes.
constexpr std::array runtime = {"libc.so."sv,      "libm.so."sv,       "ld-linux"sv,   "libpthread.so."sv,
                                "libdl.so."sv,     "librt.so."sv,      "libgcc_s.so."sv, "libstdc++.so."sv,
                                "libunwind.so."sv, "libunwind-"sv,     "libgc.so."sv,  "libasan.so."sv,
                                "libtsan.so."sv,   "libubsan.so."sv,   "liblsan.so."sv};

bool is_runtime(std::string_view library) noexcept {
  return std::ranges::any_of(runtime, [library](std::string_view name) { return library.starts_with(name); });
}

// A part of a library's static data.
struct data_part {
  const std::string* library;
  std::uintptr_t base;  // of the library
  address_range range;
};

// Reads parts as the kernel copies them: a library may have made a part of its data inaccessible, and its
// threads write to it. One call of the kernel takes many parts.
class data_reader {
 public:
  template <class Visit>
  void read(std::span<const data_part> parts, Visit visit) {
    for (const data_part& part : parts) add(part, visit);
    flush(visit);
  }

 private:
  static constexpr std::size_t word = sizeof(std::uintptr_t);

  template <class Visit>
  void add(const data_part& part, Visit& visit) {
    std::uintptr_t at = (part.range.begin + word - 1) & ~(word - 1);
    while (at + word <= part.range.end) {
      if (used_ == pieces_.size() || words_in_ == words_max) flush(visit);
      const std::size_t room = (words_max - words_in_) * word;
      const std::size_t size = std::min<std::size_t>(part.range.end - at, room) & ~(word - 1);
      pieces_[used_++] = {.part = &part, .at = at, .words = size / word};
      words_in_ += size / word;
      at += size;
    }
  }

  // Memory that can't be read is left out, to the end of its piece.
  template <class Visit>
  void flush(Visit& visit) {
    std::size_t first = 0;
    for (std::size_t begin = 0; begin < used_; first = begin) {
      std::size_t got = copy(first) / word;
      for (; begin < used_ && got >= pieces_[begin].words; ++begin) {
        got -= pieces_[begin].words;
      }
      for (; first < begin; ++first) tell_piece(first, pieces_[first].words, visit);
      if (begin < used_) tell_piece(begin++, got, visit);
    }
    used_ = words_in_ = 0;
  }
  // From that piece on; all pieces follow each other in words_, from its begin.
  std::size_t copy(std::size_t first) noexcept {
    std::array<iovec, pieces_max> from;
    std::size_t size = 0;
    for (std::size_t n = first; n < used_; ++n) {
      from[n - first] = {.iov_base = reinterpret_cast<void*>(pieces_[n].at),  // NOLINT(performance-no-int-to-ptr)
                         .iov_len = pieces_[n].words * word};
      size += pieces_[n].words * word;
    }
    read_ = 0;
    return copy_memory(std::span(from).first(used_ - first), words_.get(), size);
  }
  template <class Visit>
  void tell_piece(std::size_t which, std::size_t count, Visit& visit) {
    visit(*pieces_[which].part, pieces_[which].at, std::span(words_.get() + read_, count));
    read_ += count;
  }

  static constexpr std::size_t pieces_max = 64;
  struct piece {
    const data_part* part;
    std::uintptr_t at;
    std::size_t words;
  };
  std::array<piece, pieces_max> pieces_;
  std::size_t used_ = 0, words_in_ = 0, read_ = 0;
  static constexpr std::size_t words_max = 4096;
  std::unique_ptr<std::uintptr_t[]> words_ = std::make_unique_for_overwrite<std::uintptr_t[]>(words_max);
};

// Says what a library has at `at`.
void tell(std::vector<std::string>& told, const data_part& part, std::uintptr_t at, std::uintptr_t word) {
  if (told.size() >= told_max) return;
  std::array<char, 80> text;
  std::snprintf(text.data(), text.size(), " has in its data (at +0x%zx) at 0x%zx", at - part.base, word);
  told.push_back("what " + *part.library + text.data());
}

// Nearly all words are none: that is what the loop is quick at.
template <class Found>
void find_in(address_range range, std::span<const std::uintptr_t> words, Found found) {
  const std::uintptr_t size = range.end - range.begin;
  for (std::size_t n = 0; n < words.size(); ++n) {
    if (words[n] - range.begin < size) found(n);
  }
}

// A library that the object needs.
struct needed_library {
  const loaded_object* object;
  companion* came;  // null: it was there from the start
  bool stays;
  bool is_read = false;
};

class search {
 public:
  search(address_range range, std::vector<companion>& came)
      : range_(range), objects_(objects_now()), came_(&came) {}

  std::vector<std::string> run(const std::vector<std::string>& needed) {
    for (const loaded_object* const o : closure(objects_, needed)) {
      if (is_runtime(o->soname)) continue;
      const auto c = std::ranges::find(*came_, o->range.begin,
                                       [](const companion& one) { return one.range.begin; });
      companion* const found = c != came_->end() ? &*c : nullptr;
      libraries_.push_back({.object = o, .came = found, .stays = found == nullptr || found->stays});
    }
    for (needed_library& l : libraries_) l.stays = l.stays || has_other_user(l);
    // An object that is found to stay brings others along.
    while (needed_library* const next = next_to_read()) {
      next->is_read = true;
      for (needed_library& other : libraries_) other.stays = other.stays || needs(*next->object, *other.object);
      const std::string name = name_of(*next);
      std::vector<data_part> parts;
      for (const address_range data : next->object->data) {
        parts.push_back({.library = &name, .base = next->object->base, .range = data});
      }
      words_.read(parts, [this](const data_part& part, std::uintptr_t at,
                                std::span<const std::uintptr_t> words) { look_at(part, at, words); });
    }
    return std::move(told_);
  }

 private:
  static bool needs(const loaded_object& user, const loaded_object& library) noexcept {
    return std::ranges::any_of(user.needed,
                               [&library](const std::string& name) { return library.has_name(name); });
  }
  bool has_other_user(const needed_library& l) const noexcept {
    return std::ranges::any_of(objects_, [&](const loaded_object& o) {
      return o.range.begin != range_.begin && needs(o, *l.object) &&
             std::ranges::find(libraries_, &o, &needed_library::object) == libraries_.end();
    });
  }
  needed_library* next_to_read() noexcept {
    const auto next = std::ranges::find_if(
        libraries_, [](const needed_library& l) { return l.stays && !l.is_read; });
    return next != libraries_.end() ? &*next : nullptr;
  }

  void look_at(const data_part& part, std::uintptr_t at, std::span<const std::uintptr_t> words) {
    find_in(range_, words, [&](std::size_t n) { tell(told_, part, at + n * sizeof(std::uintptr_t), words[n]); });
    for (needed_library& l : libraries_) {
      if (l.stays || l.came == nullptr) continue;
      find_in(l.came->range, words, [&](std::size_t) {
        if (std::exchange(l.stays, true)) return;
        keep_companion(*l.came, "it has left registered a part of itself in " + *part.library);
      });
    }
  }

  static std::string name_of(const needed_library& l) {
    return l.object->soname.empty() ? l.object->path : l.object->soname;
  }

  const address_range range_;
  const std::vector<loaded_object> objects_;
  std::vector<companion>* came_;
  std::vector<needed_library> libraries_;
  data_reader words_;
  std::vector<std::string> told_;
};

}  // namespace

namespace {

// All writable data of the C library, part by part.
template <class Visit>
void visit_c_library(Visit visit) {
  constexpr std::size_t word = sizeof(std::uintptr_t);
  const std::vector<loaded_object> objects = objects_now();
  for (const loaded_object& o : objects) {
    if (!o.soname.starts_with("libc.so.")) continue;
    for (const address_range data : o.data) {
      const std::uintptr_t begin = (data.begin + word - 1) & ~(word - 1);
      std::vector<std::uintptr_t> words(begin < data.end ? (data.end - begin) / word : 0);
      words.resize(copy_memory(begin, words.data(), words.size() * word) / word);
      visit(o, begin, std::span<const std::uintptr_t>(words));
    }
  }
}

// In an object that goes there is a word, called __dso_handle, that has its own address.
bool is_owner(std::uintptr_t at, address_range range) noexcept {
  std::uintptr_t word = 0;
  return at - range.begin < range.end - range.begin && copy_thing(at, word) && word == at;
}

// Of a function that exit() or quick_exit() calls, or has called, and that goes with the object: its owner, or its
// argument, which comes before the owner.
bool is_of_exit_function(std::span<const std::uintptr_t> words, std::size_t n, address_range range) noexcept {
  return is_owner(words[n], range) || (n + 1 < words.size() && is_owner(words[n + 1], range));
}

int print_nothing(FILE*, const printf_info*, const void* const*) { return 0; }
int take_nothing(const printf_info*, std::size_t, int*, int*) { return 0; }

// Where the C library has the functions that print conversions, known by one of ours; 0: not found.
std::uintptr_t find_conversions() {
  constexpr int unused = 1;  // no character that anybody would take
  std::uintptr_t found = 0;
  if (::register_printf_specifier(unused, &print_nothing, &take_nothing) != 0) return found;
  try {
    visit_c_library([&](const loaded_object&, std::uintptr_t, std::span<const std::uintptr_t> words) {
      for (const std::uintptr_t table : words) {
        std::uintptr_t function = 0;
        const bool may_be = found == 0 && table != 0 && table % sizeof table == 0;
        if (may_be && copy_thing(table + unused * sizeof table, function) &&
            function == reinterpret_cast<std::uintptr_t>(&print_nothing)) {
          found = table;
        }
      }
    });
  } catch (const std::exception&) {  // no memory
  }
  static_cast<void>(::register_printf_specifier(unused, nullptr, nullptr));
  return found;
}

}  // namespace

std::vector<std::string> pointers_left(address_range range, const std::vector<std::string>& needed,
                                       std::vector<companion>& came) {
  if (std::ranges::all_of(needed, is_runtime)) return {};
  const auto known = data_that_stays(needed, &is_runtime);
  if (!known) return search(range, came).run(needed);
  std::vector<std::string> told;
  std::vector<data_part> parts;
  for (const static_data& library : *known) {
    for (const address_range part : library.parts) {
      parts.push_back({.library = &library.name, .base = library.base, .range = part});
    }
  }
  data_reader().read(parts, [&](const data_part& part, std::uintptr_t at, std::span<const std::uintptr_t> words) {
    find_in(range, words, [&](std::size_t n) { tell(told, part, at + n * sizeof(std::uintptr_t), words[n]); });
  });
  return told;
}

std::vector<std::string> pointers_in_c_library(address_range range) {
  const address_range keys = table_of_keys();
  std::vector<std::string> told;
  visit_c_library([&](const loaded_object& library, std::uintptr_t begin, std::span<const std::uintptr_t> words) {
    const data_part part{.library = &library.soname, .base = library.base, .range = {}};
    find_in(range, words, [&](std::size_t n) {
      const std::uintptr_t at = begin + n * sizeof(std::uintptr_t);
      const bool is_of_key = at - keys.begin < keys.end - keys.begin;
      if (told.empty() && !is_of_key && !is_of_exit_function(words, n, range)) tell(told, part, at, words[n]);
    });
  });
  return told;
}

std::vector<std::string> conversions_in(address_range range) {
  static const std::uintptr_t table = find_conversions();
  std::vector<std::string> told;
  // Before the functions that print it has those that tell the arguments.
  constexpr std::size_t conversions = 256;
  std::array<std::uintptr_t, 2 * conversions> functions{};
  if (table == 0 || !copy_thing(table - conversions * sizeof(std::uintptr_t), functions)) return told;
  std::size_t last = conversions;
  find_in(range, functions, [&](std::size_t n) {
    const std::size_t conversion = n % conversions;
    if (told.size() == told_max || std::exchange(last, conversion) == conversion) return;
    std::array<char, 80> text;
    std::snprintf(text.data(), text.size(), "the conversion %%%c of printf() at 0x%zx",
                  static_cast<char>(conversion), functions[n]);
    told.emplace_back(text.data());
  });
  return told;
}

}  // namespace ufence::detail
