#include "ufence/uapi/preload/paths.h"

#include <sys/sysmacros.h>

namespace ufence::uapi {
namespace {

constexpr mode_t node = S_IFCHR | 0666;
constexpr mode_t file = S_IFREG | 0666;
constexpr mode_t text_file = S_IFREG | 0444;
constexpr mode_t folder = S_IFDIR | 0755;
// As the kernel's macro, which is no constant.
constexpr dev_t device(dev_t major, dev_t minor) noexcept { return major << 8 | minor; }

// The DRM node is two minors of one device on the platform bus, as the kernel's vgem.
constexpr char device_text[] = "DRIVER=vgem\nMODALIAS=platform:vgem\n";
constexpr char card_text[] = "MAJOR=226\nMINOR=0\nDEVNAME=dri/card0\nDEVTYPE=drm_minor\n";
constexpr char render_text[] = "MAJOR=226\nMINOR=128\nDEVNAME=dri/renderD128\nDEVTYPE=drm_minor\n";
constexpr char bus[] = "../../../bus/platform";

constexpr emulated_path folder_at(const char* path) noexcept {
  return {path, device_kind::none, folder, 0, nullptr};
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
};

struct link {
  const char* path;
  const char* target;
};
constexpr link links[] = {
    {"/sys/dev/char/226:0/device/subsystem", bus},
    {"/sys/dev/char/226:128/device/subsystem", bus},
};

}  // namespace

const emulated_path* find_path(const char* path) noexcept {
  if (path == nullptr || path[0] != '/') return nullptr;
  const std::string_view whole(path);
  const std::string_view bare = whole.substr(0, whole.find_last_not_of('/') + 1);
  for (const emulated_path& p : paths) {
    if ((p.is_folder() ? bare : whole) == p.path) return &p;
  }
  return nullptr;
}

const emulated_path* path_of(device_kind kind) noexcept {
  for (const emulated_path& p : paths) {
    if (kind != device_kind::none && p.kind == kind) return &p;
  }
  return nullptr;
}

const char* find_link(const char* path) noexcept {
  if (path == nullptr || path[0] != '/') return nullptr;
  for (const link& l : links) {
    if (std::string_view(path) == l.path) return l.target;
  }
  return nullptr;
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
