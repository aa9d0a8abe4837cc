#include "ufence/uapi/preload/paths.h"

#include <sys/stat.h>
#include <sys/sysmacros.h>

namespace ufence::uapi {
namespace {

constexpr mode_t node = S_IFCHR | 0666;
constexpr mode_t file = S_IFREG | 0666;
constexpr mode_t folder = S_IFDIR | 0755;
// As the kernel's macro, which is no constant.
constexpr dev_t device(dev_t major, dev_t minor) noexcept { return major << 8 | minor; }

constexpr emulated_path paths[] = {
    {"/dev/sw_sync", device_kind::sw_sync, node, device(10, 122)},
    {"/sys/kernel/debug/sync/sw_sync", device_kind::sw_sync, file, 0},
    {"/sys/kernel/debug/sw_sync", device_kind::sw_sync, file, 0},
    {"/sys/kernel/debug/sync", device_kind::none, folder, 0},
    {"/dev/dri/card0", device_kind::drm_card, node, device(226, 0)},
    {"/dev/dri/renderD128", device_kind::drm_render, node, device(226, 128)},
    {"/dev/dri", device_kind::none, folder, 0},
    {"/sys/dev/char/226:0/device/drm", device_kind::none, folder, 0},
    {"/sys/dev/char/226:128/device/drm", device_kind::none, folder, 0},
};

}  // namespace

const emulated_path* find_path(const char* path) noexcept {
  if (path == nullptr || path[0] != '/') return nullptr;
  for (const emulated_path& p : paths) {
    if (std::string_view(path) == p.path) return &p;
  }
  return nullptr;
}

const emulated_path* path_of(device_kind kind) noexcept {
  for (const emulated_path& p : paths) {
    if (kind != device_kind::none && p.kind == kind) return &p;
  }
  return nullptr;
}

}  // namespace ufence::uapi
