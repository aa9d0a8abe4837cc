// opendir() and scandir() of emulated folders: what is really there, and what is emulated.
#include <dirent.h>
#include <sys/stat.h>

#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "ufence/uapi/preload/call_connection.h"
#include "ufence/uapi/preload/descriptors.h"
#include "ufence/uapi/preload/next.h"
#include "ufence/uapi/preload/paths.h"
#include "ufence/uapi/preload/system.h"

namespace ufence::uapi {
namespace {

static_assert(sizeof(dirent) == sizeof(dirent64) &&
              offsetof(dirent, d_name) == offsetof(dirent64, d_name));

using filter_function = int(const dirent*);
using compare_function = int(const dirent**, const dirent**);
using scan_function = int(const char*, dirent***, filter_function*, compare_function*);

constinit next_function<DIR*(const char*)> next_opendir("opendir");
constinit next_function<DIR*(int)> next_fdopendir("fdopendir");
constinit next_function<dirent*(DIR*)> next_readdir("readdir");
constinit next_function<int(DIR*, dirent*, dirent**)> next_readdir_r("readdir_r");
constinit next_function<int(DIR*)> next_closedir("closedir");
constinit next_function<void(DIR*)> next_rewinddir("rewinddir");
constinit next_function<void(DIR*, long)> next_seekdir("seekdir");
constinit next_function<long(DIR*)> next_telldir("telldir");
constinit next_function<int(DIR*)> next_dirfd("dirfd");
constinit next_function<scan_function> next_scandir("scandir");

// The C library's own streams begin with a descriptor, which is never this.
constexpr std::uint64_t emulated_stream = 0x8475'6665'6E63'6501;

// All entries, as they were when it was opened. One thread at a time, as the C library's.
struct stream {
  std::uint64_t tag = emulated_stream;
  const emulated_path* folder = nullptr;
  DIR* real = nullptr;  // the folder that is really there
  int fd = -1;          // of one that is not, if it is opened
  std::size_t count = 0;
  std::size_t next = 0;
  dirent* entries = nullptr;

  bool has(const char* name) const noexcept {
    for (std::size_t i = 0; i < count; ++i) {
      if (std::strcmp(entries[i].d_name, name) == 0) return true;
    }
    return false;
  }
  bool add(const dirent& entry) noexcept {
    auto* const grown = static_cast<dirent*>(std::realloc(entries, (count + 1) * sizeof entry));
    if (grown == nullptr) return false;
    entries = grown;
    std::memcpy(&entries[count++], &entry, sizeof entry);
    return true;
  }
  bool add(const char* name, unsigned char type) noexcept {
    dirent entry{};
    entry.d_ino = count + 1;
    entry.d_off = static_cast<off_t>(count + 1);
    entry.d_reclen = sizeof entry;
    entry.d_type = type;
    std::strncpy(entry.d_name, name, sizeof entry.d_name - 1);
    return add(entry);
  }
};

stream* emulated(DIR* folder) noexcept {
  auto* const s = reinterpret_cast<stream*>(folder);
  return s != nullptr && s->tag == emulated_stream ? s : nullptr;
}

int close_stream(stream* s) noexcept {
  const int result = s->real != nullptr ? next_closedir.get()(s->real) : 0;
  if (s->fd >= 0) system::close(s->fd);
  std::free(s->entries);
  std::free(s);
  return result;
}

bool fill(stream& s, const emulated_path& folder) noexcept {
  s.real = next_opendir.get()(folder.path);
  if (s.real == nullptr) {
    if (!s.add(".", DT_DIR) || !s.add("..", DT_DIR)) return false;
  } else {
    while (const dirent* const entry = next_readdir.get()(s.real)) {
      dirent copy{};
      std::memcpy(&copy, entry, entry->d_reclen < sizeof copy ? entry->d_reclen : sizeof copy);
      if (!s.add(copy)) return false;
    }
  }
  for (unsigned n = 0;; ++n) {
    const folder_entry e = entry_of(folder, n);
    if (e.path == nullptr) return true;
    if (!s.has(e.name) && !s.add(e.name, IFTODT(e.path->mode))) return false;
  }
}

DIR* open_stream(const emulated_path& folder) noexcept {
  if (!folder.is_folder()) {
    errno = ENOTDIR;
    return nullptr;
  }
  auto* const s = static_cast<stream*>(std::malloc(sizeof(stream)));
  if (s == nullptr) return nullptr;
  *s = stream();
  s->folder = &folder;
  const int before = errno;
  if (!fill(*s, folder)) {
    close_stream(s);
    errno = ENOMEM;
    return nullptr;
  }
  errno = before;
  return reinterpret_cast<DIR*>(s);
}

// Is it the folder of this process's descriptors, and the entry one of this library's?
bool is_hidden(DIR* folder, const char* name) noexcept {
  int number = 0;
  for (const char* c = name; *c != '\0'; ++c) {
    if (*c < '0' || *c > '9' || number > 100'000'000) return false;
    number = number * 10 + (*c - '0');
  }
  const int before = errno;
  bool is_so = false;
  if (is_kept_connection(number)) {
    char target[64];
    std::string_view link = read_link_of(next_dirfd.get()(folder), target, sizeof target);
    constexpr std::string_view root("/proc/");
    const bool is_in_proc = link.starts_with(root) && link.ends_with("/fd");
    pid_t process = 0;
    for (const char c : is_in_proc ? link.substr(root.size()) : std::string_view()) {
      if (c < '0' || c > '9') break;
      process = process * 10 + (c - '0');
    }
    is_so = process == ::getpid();
  }
  errno = before;
  return is_so;
}

dirent* read_one(DIR* folder) noexcept {
  stream* const s = emulated(folder);
  if (s == nullptr) {
    dirent* entry = nullptr;
    do {
      entry = next_readdir.get()(folder);
    } while (entry != nullptr && is_hidden(folder, entry->d_name));
    return entry;
  }
  return s->next < s->count ? &s->entries[s->next++] : nullptr;
}

int compare_entries(const void* a, const void* b, void* compare) noexcept {
  auto* const a_entry = *static_cast<const dirent* const*>(a);
  auto* const b_entry = *static_cast<const dirent* const*>(b);
  const dirent* one = a_entry;
  const dirent* two = b_entry;
  return reinterpret_cast<compare_function*>(compare)(&one, &two);
}

int scan(const emulated_path& folder, dirent*** list, filter_function* filter,
         compare_function* compare) noexcept {
  DIR* const opened = open_stream(folder);
  if (opened == nullptr) return -1;
  stream* const s = emulated(opened);
  auto** const found = static_cast<dirent**>(std::calloc(s->count + 1, sizeof(dirent*)));
  std::size_t n = 0;
  bool has_all = found != nullptr;
  for (std::size_t i = 0; i < s->count && has_all; ++i) {
    if (filter != nullptr && filter(&s->entries[i]) == 0) continue;
    found[n] = static_cast<dirent*>(std::malloc(sizeof(dirent)));
    has_all = found[n] != nullptr;
    if (has_all) std::memcpy(found[n++], &s->entries[i], sizeof(dirent));
  }
  close_stream(s);
  if (!has_all) {
    while (n != 0) std::free(found[--n]);
    std::free(found);
    errno = ENOMEM;
    return -1;
  }
  if (compare != nullptr) {
    ::qsort_r(found, n, sizeof *found, &compare_entries, reinterpret_cast<void*>(compare));
  }
  *list = found;
  return static_cast<int>(n);
}

}  // namespace
}  // namespace ufence::uapi

namespace uapi = ufence::uapi;

UFENCE_REPLACES DIR* opendir(const char* path) {
  const uapi::resolved_path r = uapi::resolve(path);
  return r.emulated != nullptr ? uapi::open_stream(*r.emulated) : uapi::next_opendir.get()(r.path);
}
UFENCE_REPLACES dirent* readdir(DIR* folder) { return uapi::read_one(folder); }
UFENCE_REPLACES dirent64* readdir64(DIR* folder) {
  return reinterpret_cast<dirent64*>(uapi::read_one(folder));
}
UFENCE_REPLACES int readdir_r(DIR* folder, dirent* into, dirent** result) {
  if (uapi::emulated(folder) == nullptr) {
    int failed = 0;
    do {
      failed = uapi::next_readdir_r.get()(folder, into, result);
    } while (failed == 0 && *result != nullptr && uapi::is_hidden(folder, into->d_name));
    return failed;
  }
  const dirent* const entry = uapi::read_one(folder);
  if (entry != nullptr) std::memcpy(into, entry, sizeof *entry);
  *result = entry != nullptr ? into : nullptr;
  return 0;
}
UFENCE_REPLACES int closedir(DIR* folder) {
  uapi::stream* const s = uapi::emulated(folder);
  return s != nullptr ? uapi::close_stream(s) : uapi::next_closedir.get()(folder);
}
UFENCE_REPLACES void rewinddir(DIR* folder) noexcept {
  if (uapi::stream* const s = uapi::emulated(folder)) {
    s->next = 0;
  } else {
    uapi::next_rewinddir.get()(folder);
  }
}
UFENCE_REPLACES void seekdir(DIR* folder, long position) noexcept {
  if (uapi::stream* const s = uapi::emulated(folder)) {
    s->next = static_cast<std::size_t>(position);
  } else {
    uapi::next_seekdir.get()(folder, position);
  }
}
UFENCE_REPLACES long telldir(DIR* folder) noexcept {
  const uapi::stream* const s = uapi::emulated(folder);
  return s != nullptr ? static_cast<long>(s->next) : uapi::next_telldir.get()(folder);
}
// A folder that is not really there has a descriptor once somebody asks for it.
UFENCE_REPLACES int dirfd(DIR* folder) noexcept {
  uapi::stream* const s = uapi::emulated(folder);
  if (s == nullptr) return uapi::next_dirfd.get()(folder);
  if (s->real != nullptr) return uapi::next_dirfd.get()(s->real);
  if (s->fd < 0) s->fd = uapi::open_folder(*s->folder, true);
  return s->fd;
}
UFENCE_REPLACES DIR* fdopendir(int fd) {
  const uapi::emulated_path* const p = uapi::find_folder(fd);
  if (p == nullptr) return uapi::next_fdopendir.get()(fd);
  DIR* const opened = uapi::open_stream(*p);
  if (opened != nullptr) uapi::emulated(opened)->fd = fd;
  return opened;
}

UFENCE_REPLACES int scandir(const char* path, dirent*** list, uapi::filter_function* filter,
                            uapi::compare_function* compare) {
  const uapi::resolved_path r = uapi::resolve(path);
  return r.emulated != nullptr ? uapi::scan(*r.emulated, list, filter, compare)
                               : uapi::next_scandir.get()(r.path, list, filter, compare);
}
UFENCE_REPLACES int scandir64(const char* path, dirent64*** list, int (*filter)(const dirent64*),
                              int (*compare)(const dirent64**, const dirent64**)) {
  return scandir(path, reinterpret_cast<dirent***>(list),
                 reinterpret_cast<uapi::filter_function*>(filter),
                 reinterpret_cast<uapi::compare_function*>(compare));
}
