#include "ufence/module/left_pointers.h"

#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <string_view>

#include "ufence/module/loaded_objects.h"

namespace ufence::detail {
namespace {

using namespace std::string_view_literals;

constexpr std::size_t told_max = 3;

// What the C and C++ libraries keep is looked for by name (registered.h); besides, they have caches. Unwinders,
// garbage collectors and sanitizers note addresses of all that is mapped, and notice when it goes.
constexpr std::array runtime = {"libc.so."sv,      "libm.so."sv,       "ld-linux"sv,   "libpthread.so."sv,
                                "libdl.so."sv,     "librt.so."sv,      "libgcc_s.so."sv, "libstdc++.so."sv,
                                "libunwind.so."sv, "libunwind-"sv,     "libgc.so."sv,  "libasan.so."sv,
                                "libtsan.so."sv,   "libubsan.so."sv,   "liblsan.so."sv};

bool is_runtime(std::string_view library) noexcept {
  return std::ranges::any_of(runtime, [library](std::string_view name) { return library.starts_with(name); });
}

// Two pages on the stack.
class data_reader {
 public:
  // As the kernel copies it: a library may have made a part of its data inaccessible, and its threads write
  // to it.
  template <class Visit>
  void read(address_range data, Visit visit) {
    std::uintptr_t at = (data.begin + sizeof(std::uintptr_t) - 1) & ~(sizeof(std::uintptr_t) - 1);
    while (at < data.end) {
      const iovec to{.iov_base = words_.data(),
                     .iov_len = std::min(data.end - at, sizeof words_)};
      const iovec from{.iov_base = reinterpret_cast<void*>(at),  // NOLINT(performance-no-int-to-ptr)
                       .iov_len = to.iov_len};
      const ssize_t got = ::process_vm_readv(::getpid(), &to, 1, &from, 1, 0);
      if (got < static_cast<ssize_t>(sizeof(std::uintptr_t))) return;
      const auto count = static_cast<std::size_t>(got) / sizeof(std::uintptr_t);
      for (std::size_t n = 0; n < count; ++n) visit(at + n * sizeof(std::uintptr_t), words_[n]);
      at += count * sizeof(std::uintptr_t);
    }
  }

 private:
  std::array<std::uintptr_t, 1024> words_;
};

// Says what a library has there, if it is in the range.
bool tell_if_in(address_range range, std::vector<std::string>& told, const std::string& holder,
                std::uintptr_t offset, std::uintptr_t word) {
  const auto* const to = reinterpret_cast<const void*>(word);  // NOLINT(performance-no-int-to-ptr)
  if (!range.contains(to)) return false;
  if (told.size() >= told_max) return true;
  std::array<char, 80> text;
  std::snprintf(text.data(), text.size(), " has in its data (at +0x%zx) at %p", offset, to);
  told.push_back("what " + holder + text.data());
  return true;
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
    // What is found to stay brings others along.
    while (needed_library* const next = next_to_read()) {
      next->is_read = true;
      for (needed_library& other : libraries_) other.stays = other.stays || needs(*next->object, *other.object);
      for (const address_range data : next->object->data) {
        words_.read(data, [&](std::uintptr_t at, std::uintptr_t word) { look_at(*next, at, word); });
      }
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

  void look_at(const needed_library& holder, std::uintptr_t at, std::uintptr_t word) {
    if (tell_if_in(range_, told_, name_of(holder), at - holder.object->base, word)) return;
    const auto* const to = reinterpret_cast<const void*>(word);  // NOLINT(performance-no-int-to-ptr)
    for (needed_library& l : libraries_) {
      if (l.stays || l.came == nullptr || !l.came->range.contains(to)) continue;
      keep_companion(*l.came, "it has left registered a part of itself in " + name_of(holder));
      l.stays = true;
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

std::vector<std::string> pointers_left(address_range range, const std::vector<std::string>& needed,
                                       std::vector<companion>& came) {
  if (std::ranges::all_of(needed, is_runtime)) return {};
  const auto known = data_that_stays(needed, &is_runtime);
  if (!known) return search(range, came).run(needed);
  std::vector<std::string> told;
  data_reader words;
  for (const static_data& library : *known) {
    for (const address_range part : library.parts) {
      words.read(part, [&](std::uintptr_t at, std::uintptr_t word) {
        tell_if_in(range, told, library.name, at - library.base, word);
      });
    }
  }
  return told;
}

}  // namespace ufence::detail
