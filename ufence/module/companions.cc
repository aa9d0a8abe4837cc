#include "ufence/module/companions.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <optional>
#include <string_view>
#include <utility>

#include "ufence/base/fd.h"
#include "ufence/base/lock.h"
#include "ufence/driver.h"
#include "ufence/module/elf_file.h"
#include "ufence/module/file_stamp.h"
#include "ufence/module/library_file.h"
#include "ufence/module/loaded_objects.h"

namespace ufence::detail {
namespace {

// A library that some load has looked at.
struct known_library {
  companion what;
  std::uintptr_t base = 0;
  file_stamp stamp;         // of its file when it was seen first
  void* handle = nullptr;   // our reference, if it is kept
  std::vector<std::string> needed;
  std::vector<address_range> data;
  bool is_from_start = false;

  [[nodiscard]] bool has_name(std::string_view name) const noexcept {
    return what.name == name || what.path == name;
  }
  // It is there for as long as the process is.
  [[nodiscard]] bool is_forever() const noexcept { return is_from_start || what.stays; }
};

// The facts about one that a load wants.
struct seen_library {
  companion what;
  std::uintptr_t base = 0;
  file_stamp stamp;
};

// Never destroyed: modules may be unloaded while the process ends.
struct library_list {
  mutex lock{lock_rank::leaf};
  std::vector<known_library>* all UFENCE_GUARDED_BY(lock) = nullptr;
};
constinit library_list libraries;

std::vector<known_library>& list_locked() UFENCE_REQUIRES(libraries.lock) {
  if (libraries.all == nullptr) libraries.all = new std::vector<known_library>;
  return *libraries.all;
}

companion describe(const loaded_object& o) {
  companion c{.name = o.soname.empty() ? o.path.substr(o.path.rfind('/') + 1) : o.soname,
              .path = o.path,
              .kept = {},
              .stays = false,
              .memory_size = o.range.end - o.range.begin,
              .range = o.range};
  return c;
}

// The libraries that the program was linked with: looked up once.
void know_the_start() {
  {
    const scoped_lock hold(libraries.lock);
    if (libraries.all != nullptr) return;
  }
  const std::vector<loaded_object> objects = objects_now();
  if (objects.empty()) return;
  std::vector<known_library> found;
  for (const loaded_object* const o : closure(objects, objects.front().needed)) {
    found.push_back({.what = describe(*o),
                     .base = o->base,
                     .stamp = {},
                     .needed = o->needed,
                     .data = o->data,
                     .is_from_start = true});
  }
  const scoped_lock hold(libraries.lock);
  if (libraries.all == nullptr) list_locked() = std::move(found);
}

bool is_there_from_start(const std::string& name) {
  know_the_start();
  const scoped_lock hold(libraries.lock);
  return std::ranges::any_of(list_locked(), [&](const known_library& k) {
    return k.is_from_start && k.has_name(name);
  });
}

// The libraries with these names and what they need, but for those from the start; nothing if one is not
// known to be there for ever.
std::optional<std::vector<seen_library>> known_closure(const std::vector<std::string>& needed) {
  std::vector<seen_library> found;
  std::vector<std::string_view> names(needed.begin(), needed.end());
  const scoped_lock hold(libraries.lock);
  for (std::size_t n = 0; n < names.size(); ++n) {
    const auto known = std::ranges::find_if(list_locked(), [&](const known_library& k) {
      return k.is_forever() && k.has_name(names[n]);
    });
    if (known == list_locked().end()) return std::nullopt;
    if (known->is_from_start || std::ranges::find(found, known->base, &seen_library::base) != found.end()) {
      continue;
    }
    found.push_back({.what = known->what, .base = known->base, .stamp = known->stamp});
    names.insert(names.end(), known->needed.begin(), known->needed.end());
  }
  return found;
}

// A driver module goes as its own unload says.
bool is_driver(const elf_file& file) noexcept {
  return std::ranges::any_of(file.symbols, [](const elf_symbol& s) {
    return s.is_defined && s.name == UFENCE_DRIVER_SYMBOL;
  });
}

void look_into_file(companion& c) {
  const unique_fd fd(::open(c.path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  struct stat file {};
  if (!fd || ::fstat(fd.get(), &file) != 0) return;
  fd_source source(fd.get(), static_cast<std::uint64_t>(file.st_size));
  const auto library = read_elf(source);
  if (!library || is_driver(*library)) return;
  c.kept = reason_to_keep(*library);
  c.stays = !c.kept.empty() || (library->flags_1 & DF_1_NODELETE) != 0;
}

void* reference(const std::string& path) noexcept {
  return ::dlopen(path.c_str(), RTLD_NOLOAD | RTLD_LAZY | RTLD_LOCAL);
}

// Enters what is new, or finds what is known of it.
known_library look_up(const loaded_object& o, bool& is_new) {
  {
    const scoped_lock hold(libraries.lock);
    for (const known_library& k : list_locked()) {
      if (k.base == o.base && k.what.path == o.path) return k;
    }
  }
  is_new = true;
  known_library made;
  made.what = describe(o);
  made.base = o.base;
  made.stamp = stamp_of(o.path.c_str());
  made.needed = o.needed;
  made.data = o.data;
  look_into_file(made.what);
  if (!made.what.kept.empty()) made.handle = reference(o.path);
  {
    const scoped_lock hold(libraries.lock);
    const auto raced = std::ranges::find_if(list_locked(), [&](const known_library& k) {
      return k.base == o.base && k.what.path == o.path;
    });
    if (raced == list_locked().end()) {
      list_locked().push_back(made);
      return made;
    }
  }
  if (made.handle != nullptr) ::dlclose(made.handle);  // another load has one
  is_new = false;
  return made;
}

// Forgets those that are gone: another one may come to lie there.
void forget_gone(const std::vector<loaded_object>& objects) {
  const scoped_lock hold(libraries.lock);
  std::erase_if(list_locked(), [&](const known_library& k) {
    return !k.is_from_start && k.handle == nullptr &&
           std::ranges::none_of(objects, [&](const loaded_object& o) {
             return o.base == k.base && o.path == k.what.path;
           });
  });
}

// Is the file of that name another one now, or written to, while this is mapped?
bool was_replaced(const seen_library& k) {
  const file_stamp now = stamp_of(k.what.path.c_str());
  if (!k.stamp.is_known() || now.is_same_content(k.stamp)) return false;
  if (now.id == k.stamp.id) return true;
  // Somebody else may have let go of the old one, and the new one has come to lie in its place.
  const result<std::string> mapped = mapped_file(k.what.range);
  if (!mapped || !mapped->ends_with(" " + std::to_string(now.id.inode))) return true;
  const scoped_lock hold(libraries.lock);
  for (known_library& other : list_locked()) {
    if (other.base == k.base) other.stamp = now;
  }
  return false;
}

}  // namespace

std::string companion::to_text() const {
  std::string text = name + " (" + path + ")";
  if (kept.empty()) return text;
  return text + " stays mapped, " + std::to_string((memory_size + 1023) / 1024) + " KiB: " + kept;
}

bool libraries_here::has(const std::string& name) const {
  know_the_start();
  {
    const scoped_lock hold(libraries.lock);
    const auto is_it = [&](const known_library& k) { return k.is_forever() && k.has_name(name); };
    if (std::ranges::any_of(list_locked(), is_it)) return true;
  }
  if (!has_looked_) {
    for (const loaded_object& o : objects_now()) {
      names_.push_back(o.soname);
      names_.push_back(o.path.substr(o.path.rfind('/') + 1));
      names_.push_back(o.path);
    }
    has_looked_ = true;
  }
  return std::ranges::find(names_, name) != names_.end();
}

std::optional<std::vector<static_data>> data_that_stays(
    const std::vector<std::string>& needed, bool (*leaves_out)(std::string_view name) noexcept) {
  std::vector<static_data> found;
  std::vector<std::string_view> names(needed.begin(), needed.end());
  const scoped_lock hold(libraries.lock);
  for (std::size_t n = 0; n < names.size(); ++n) {
    if (leaves_out(names[n])) continue;
    const auto known = std::ranges::find_if(list_locked(), [&](const known_library& k) {
      return k.is_forever() && (k.what.name == names[n] || k.what.path == names[n]);
    });
    if (known == list_locked().end()) return std::nullopt;
    if (std::ranges::find(found, known->base, &static_data::base) != found.end()) continue;
    found.push_back({.name = known->what.name, .base = known->base, .parts = known->data});
    names.insert(names.end(), known->needed.begin(), known->needed.end());
  }
  return found;
}

companions_found find_companions(const std::vector<std::string>& needed) {
  companions_found found;
  know_the_start();
  std::vector<seen_library> seen;
  if (auto known = known_closure(needed)) {
    seen = std::move(*known);
  } else {
    const std::vector<loaded_object> objects = objects_now();
    for (const loaded_object* const o : closure(objects, needed)) {
      bool is_new = false;
      known_library k = look_up(*o, is_new);
      if (is_new && !k.what.kept.empty()) found.notes.push_back(k.what.to_text());
      if (!k.is_from_start) seen.push_back({.what = std::move(k.what), .base = k.base, .stamp = k.stamp});
    }
  }
  for (seen_library& k : seen) {
    if (was_replaced(k)) {
      found.notes.push_back(k.what.path +
                            " was changed or replaced since it was mapped: the old one stays in use");
    }
    found.all.push_back(std::move(k.what));
  }
  return found;
}

std::vector<std::uintptr_t> bases_now() {
  std::vector<std::uintptr_t> bases;
  for (const loaded_object& o : objects_now()) bases.push_back(o.base);
  return bases;
}

std::vector<companion> find_opened(const std::vector<std::uintptr_t>& before, address_range but) {
  std::vector<companion> kept;
  for (const loaded_object& o : objects_now()) {
    if (o.range.begin == but.begin || std::ranges::find(before, o.base) != before.end()) continue;
    bool is_new = false;
    known_library k = look_up(o, is_new);
    if (!k.what.kept.empty()) kept.push_back(std::move(k.what));
  }
  return kept;
}

void keep_companion(companion& c, std::string reason) {
  if (!c.kept.empty()) return;
  c.kept = std::move(reason);
  c.stays = true;
  void* handle = reference(c.path);
  {
    const scoped_lock hold(libraries.lock);
    for (known_library& k : list_locked()) {
      if (k.what.range.begin != c.range.begin || k.handle != nullptr) continue;
      k.what.kept = c.kept;
      k.what.stays = true;
      k.handle = std::exchange(handle, nullptr);
    }
  }
  if (handle != nullptr) ::dlclose(handle);
}

std::vector<std::string> still_there(const std::vector<companion>& list) {
  std::vector<std::string> names;
  if (list.empty()) return names;
  const std::vector<loaded_object> objects = objects_now();
  for (const companion& c : list) {
    const auto is_it = [&c](const loaded_object& o) {
      return o.range.begin == c.range.begin && o.path == c.path;
    };
    if (std::ranges::any_of(objects, is_it)) names.push_back(c.name);
  }
  forget_gone(objects);
  return names;
}

std::vector<std::string> holders_of_static_tls() {
  know_the_start();
  std::vector<std::string> holders;
  const std::vector<loaded_object> objects = objects_now();
  for (const loaded_object& o : objects) {
    if (o.static_tls_size == 0 || o.path.empty()) continue;
    const companion c = describe(o);
    if (is_there_from_start(c.name)) continue;
    holders.push_back(c.name + " (" + std::to_string(o.static_tls_size) + " bytes)");
  }
  return holders;
}

}  // namespace ufence::detail
