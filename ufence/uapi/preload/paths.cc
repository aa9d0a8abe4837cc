#include "ufence/uapi/preload/paths.h"

#include <fcntl.h>
#include <sys/sysmacros.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "ufence/base/memory_file.h"
#include "ufence/uapi/preload/descriptors.h"
#include "ufence/uapi/preload/system.h"

namespace ufence::uapi {
namespace {

constexpr mode_t node = S_IFCHR | 0666;
constexpr mode_t file = S_IFREG | 0666;
constexpr mode_t text_file = S_IFREG | 0444;
constexpr mode_t folder_mode = S_IFDIR | 0755;
// As the kernel's macro, which is no constant.
constexpr dev_t device(dev_t major, dev_t minor) noexcept { return major << 8 | minor; }

// The DRM node is two minors of one device on the platform bus, as the kernel's vgem.
constexpr char device_text[] = "DRIVER=vgem\nMODALIAS=platform:vgem\n";
constexpr char virtio_device_text[] = "DRIVER=virtio_gpu\nMODALIAS=virtio:d00000010v00001AF4\n";
constexpr char name_text[] = "vgem dev=vgem unique=vgem\n";
constexpr char virtio_name_text[] = "virtio_gpu dev=virtio0 unique=virtio0\n";
constexpr char card_text[] = "MAJOR=226\nMINOR=0\nDEVNAME=dri/card0\nDEVTYPE=drm_minor\n";
constexpr char render_text[] = "MAJOR=226\nMINOR=128\nDEVNAME=dri/renderD128\nDEVTYPE=drm_minor\n";
constexpr char bus[] = "../../../bus/platform";

constexpr emulated_path folder_at(const char* path) noexcept {
  return {path, device_kind::none, folder_mode, 0, nullptr};
}
constexpr emulated_path text_at(const char* path, const char* text) noexcept {
  return {path, device_kind::none, text_file, 0, text};
}

constexpr emulated_path paths[] = {
    {"/dev/sw_sync", device_kind::sw_sync, node, device(10, 122), nullptr},
    {"/sys/kernel/debug/sync/sw_sync", device_kind::sw_sync, file, 0, nullptr},
    {"/sys/kernel/debug/sw_sync", device_kind::sw_sync, file, 0, nullptr},
    folder_at("/sys/kernel/debug/sync"),
    {"/dev/dri/card0", device_kind::drm_card, node, device(226, 0), nullptr},
    {"/dev/dri/renderD128", device_kind::drm_render, node, device(226, 128), nullptr},
    folder_at("/dev/dri"),
    folder_at("/sys/dev/char/226:0"),
    text_at("/sys/dev/char/226:0/uevent", card_text),
    folder_at("/sys/dev/char/226:0/device"),
    text_at("/sys/dev/char/226:0/device/uevent", device_text),
    folder_at("/sys/dev/char/226:0/device/drm"),
    folder_at("/sys/dev/char/226:0/device/drm/card0"),
    folder_at("/sys/dev/char/226:0/device/drm/renderD128"),
    folder_at("/sys/dev/char/226:128"),
    text_at("/sys/dev/char/226:128/uevent", render_text),
    folder_at("/sys/dev/char/226:128/device"),
    text_at("/sys/dev/char/226:128/device/uevent", device_text),
    folder_at("/sys/dev/char/226:128/device/drm"),
    folder_at("/sys/dev/char/226:128/device/drm/card0"),
    folder_at("/sys/dev/char/226:128/device/drm/renderD128"),
    folder_at("/sys/class/drm"),
    folder_at("/sys/class/drm/card0"),
    text_at("/sys/class/drm/card0/dev", "226:0\n"),
    text_at("/sys/class/drm/card0/uevent", card_text),
    folder_at("/sys/class/drm/renderD128"),
    text_at("/sys/class/drm/renderD128/dev", "226:128\n"),
    text_at("/sys/class/drm/renderD128/uevent", render_text),
    folder_at("/sys/kernel/debug/dri"),
    folder_at("/sys/kernel/debug/dri/0"),
    text_at("/sys/kernel/debug/dri/0/name", name_text),
    folder_at("/sys/kernel/debug/dri/128"),
    text_at("/sys/kernel/debug/dri/128/name", name_text),
};

// Written at load.
constinit bool is_virtio_gpu = false;
[[gnu::constructor]] void note_driver() noexcept {
  const char* const named = ::getenv(driver_variable);
  is_virtio_gpu = named != nullptr && std::string_view(named) == "virtio_gpu";
}

constexpr std::string_view folder_prefix = "ufence-folder:";

struct link {
  const char* path;
  const char* target;
};
constexpr link links[] = {
    {"/sys/dev/char/226:0/device/subsystem", bus},
    {"/sys/dev/char/226:128/device/subsystem", bus},
};

// --- Other names of the same paths ---

// The folder that a descriptor's memory file is named after; empty: it is no such file.
std::string_view without_memory_file(std::string_view link) noexcept {
  constexpr std::string_view begin = "/memfd:";
  if (!link.starts_with(begin)) return {};
  link.remove_prefix(begin.size());
  if (!link.starts_with(folder_prefix)) return {};
  link.remove_prefix(folder_prefix.size());
  return link.substr(0, link.find(' '));
}

// A path without "//", "/./" and "/../", as text alone: nothing emulated is behind a link.
class plain_path {
 public:
  // A relative one in which nothing is called as the end of an emulated path is not looked at any
  // further.
  plain_path(int folder, std::string_view path) noexcept {
    if (!path.starts_with('/')) {
      if (!has_part_of_one(path) || !put_folder(folder)) return;
    }
    put(path);
  }
  // Empty: too long for an emulated one, or not known.
  [[nodiscard]] std::string_view get() const noexcept { return {text_, is_whole_ ? size_ : 0}; }

 private:
  static bool has_part_of_one(std::string_view path) noexcept {
    if (ends_like_one(path)) return true;
    const std::size_t last = path.rfind('/');
    return last != path.npos && has_part_of_one(path.substr(0, last));
  }
  static bool ends_like_one(std::string_view path) noexcept {
    const auto last_of = [](std::string_view of) {
      of = of.substr(0, of.find_last_not_of('/') + 1);
      return of.substr(of.rfind('/') + 1);
    };
    for (const emulated_path& p : paths) {
      if (last_of(p.path) == last_of(path)) return true;
    }
    for (const link& l : links) {
      if (last_of(l.path) == last_of(path)) return true;
    }
    // A descriptor, in its folder.
    const std::string_view last = last_of(path);
    return !last.empty() && last.find_first_not_of("0123456789") == last.npos;
  }
  bool put_folder(int folder) noexcept {
    char where[sizeof text_];
    std::string_view path;
    if (folder == AT_FDCWD) {
      const long size = ::syscall(SYS_getcwd, where, sizeof where) - 1;  // with its zero
      if (size > 0) path = {where, static_cast<std::size_t>(size)};
    } else {
      path = read_link_of(folder, where, sizeof where);
    }
    if (!path.starts_with('/')) return false;
    const std::string_view emulated = without_memory_file(path);
    put(emulated.empty() ? path : emulated);
    return is_whole_;
  }
  void put(std::string_view path) noexcept {
    is_whole_ = true;
    is_folder_ = path.ends_with('/');
    while (!path.empty()) {
      const std::string_view part = path.substr(0, path.find('/'));
      path.remove_prefix(part.size() == path.size() ? part.size() : part.size() + 1);
      if (part.empty()) continue;
      is_through_file_ = names_file();
      if (is_through_file_) return;
      if (part == ".") continue;
      if (part == "..") {
        while (size_ != 0 && text_[--size_] != '/') {
        }
        continue;
      }
      if (size_ + 1 + part.size() > sizeof text_) {
        is_whole_ = false;
        return;
      }
      text_[size_++] = '/';
      std::memcpy(text_ + size_, part.data(), part.size());
      size_ += part.size();
    }
  }

  // Is what has been put so far an emulated file?
  [[nodiscard]] bool names_file() const noexcept {
    const std::string_view so_far(text_, size_);
    if (!so_far.starts_with("/dev/") && !so_far.starts_with("/sys/")) return false;
    for (const emulated_path& p : paths) {
      if (!p.is_folder() && so_far == p.path) return true;
    }
    return false;
  }

  char text_[256];
  std::size_t size_ = 0;
  bool is_whole_ = false;
  bool is_folder_ = false;
  bool is_through_file_ = false;

 public:
  [[nodiscard]] bool is_said_to_be_a_folder() const noexcept { return is_folder_; }
  // More follows what is an emulated file; nothing after that is looked at.
  [[nodiscard]] bool is_through_file() const noexcept { return is_through_file_; }
};

// The descriptor of this process that a path names; -1: none.
int descriptor_of(std::string_view path) noexcept {
  const auto take = [&path](std::string_view prefix) {
    const bool is_so = path.starts_with(prefix);
    if (is_so) path.remove_prefix(prefix.size());
    return is_so;
  };
  const auto take_number = [&path] {
    int number = path.empty() ? -1 : 0;
    while (!path.empty() && path[0] >= '0' && path[0] <= '9' && number < 100'000'000) {
      number = number * 10 + (path[0] - '0');
      path.remove_prefix(1);
    }
    return number;
  };
  if (!take("/dev/fd/") && !take("/proc/self/fd/") && !take("/proc/thread-self/fd/")) {
    if (!take("/proc/") || take_number() != ::getpid() || !take("/fd/")) return -1;
  }
  const int number = take_number();
  return path.empty() ? number : -1;
}

}  // namespace

resolved_path resolve_at(int folder, const char* path) noexcept {
  if (path == nullptr || path[0] == '\0') return {nullptr, path};
  const int before = errno;
  const plain_path plain(folder, path);
  const std::string_view whole = plain.get();
  errno = before;
  if (plain.is_through_file()) return {nullptr, "/dev/null/."};
  if (whole.empty()) return {nullptr, path};
  for (const emulated_path& p : paths) {
    if (whole != p.path) continue;
    const bool is_as_folder = !p.is_folder() && plain.is_said_to_be_a_folder();
    return is_as_folder ? resolved_path{nullptr, "/dev/null/"} : resolved_path{&p, path};
  }
  const int fd = plain.is_said_to_be_a_folder() ? -1 : descriptor_of(whole);
  return {fd < 0 ? nullptr : path_of(device_of(fd)), path};
}

const char* text_of(const emulated_path& p) noexcept {
  if (!is_virtio_gpu) return p.text;
  return p.text == device_text ? virtio_device_text
         : p.text == name_text ? virtio_name_text
                               : p.text;
}

const emulated_path* find_folder(int fd) noexcept {
  char link[256];
  const std::string_view path = without_memory_file(read_link_of(fd, link, sizeof link));
  for (const emulated_path& p : paths) {
    if (!path.empty() && p.is_folder() && path == p.path) return &p;
  }
  return nullptr;
}

int open_folder(const emulated_path& folder, bool close_on_exec) noexcept {
  char name[folder_prefix.size() + 64] = {};
  std::memcpy(name, folder_prefix.data(), folder_prefix.size());
  std::strncpy(name + folder_prefix.size(), folder.path, sizeof name - folder_prefix.size() - 1);
  return open_memory_file(name, close_on_exec);
}

const emulated_path* path_of(device_kind kind) noexcept {
  for (const emulated_path& p : paths) {
    if (kind != device_kind::none && p.kind == kind) return &p;
  }
  return nullptr;
}

const char* find_link_at(int folder, const char* path) noexcept {
  if (path == nullptr || path[0] == '\0') return nullptr;
  const int before = errno;
  const plain_path plain(folder, path);
  const std::string_view whole = plain.get();
  errno = before;
  // With a slash behind it, it is what the link leads to.
  if (whole.empty() || plain.is_said_to_be_a_folder()) return nullptr;
  for (const link& l : links) {
    if (whole == l.path) return l.target;
  }
  const int fd = descriptor_of(whole);
  if (fd < 0) return nullptr;
  const device_kind kind = device_of(fd);
  if (kind == device_kind::syncobj) return "anon_inode:syncobj_file";
  if (const emulated_path* const p = path_of(kind)) return p->path;
  if (is_sync_file(fd)) return "anon_inode:sync_file";
  if (const emulated_path* const p = find_folder(fd)) return p->path;
  return is_dma_buf(fd) ? "/dmabuf:" : nullptr;
}

bool names_dma_buf(int folder, const char* path) noexcept {
  if (path == nullptr || path[0] == '\0') return false;
  const int before = errno;
  const int fd = descriptor_of(plain_path(folder, path).get());
  const bool is_one = fd >= 0 && is_dma_buf(fd);
  errno = before;
  return is_one;
}

folder_entry entry_of(const emulated_path& above, unsigned n) noexcept {
  const std::string_view prefix(above.path);
  for (const emulated_path& p : paths) {
    const std::string_view path(p.path);
    if (!path.starts_with(prefix) || path.size() <= prefix.size() + 1 ||
        path[prefix.size()] != '/' || path.find('/', prefix.size() + 1) != path.npos) {
      continue;
    }
    if (n-- == 0) return {&p, p.path + prefix.size() + 1};
  }
  return {nullptr, nullptr};
}

}  // namespace ufence::uapi
