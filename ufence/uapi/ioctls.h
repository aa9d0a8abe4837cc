// The kernel's programming interfaces that are emulated: numbers and structs, whatever the headers
// of this system know of them.
#pragma once

#include <sys/ioctl.h>

#include <cstdint>

#include "ufence/uapi/protocol.h"

namespace ufence::uapi {

// --- sw_sync ---

struct sw_sync_create {
  std::uint32_t value;
  char name[32];
  std::int32_t fence;
};
struct sw_sync_get_deadline {
  std::uint64_t deadline_ns;
  std::uint32_t pad;
  std::int32_t fence_fd;
};
inline constexpr std::uint32_t sw_sync_type = 'W';
inline constexpr std::uint32_t sw_sync_create_fence = 0xC0285700;
inline constexpr std::uint32_t sw_sync_inc = 0x40045701;
inline constexpr std::uint32_t sw_sync_deadline_of = 0xC0105702;

// --- sync files; sync_file_info is <linux/sync_file.h>'s ---

struct sync_merge {
  char name[32];
  std::int32_t fd2;
  std::int32_t fence;
  std::uint32_t flags;
  std::uint32_t pad;
};
struct sync_deadline {
  std::uint64_t deadline_ns;
  std::uint64_t pad;
};
inline constexpr std::uint32_t sync_type = '>';
inline constexpr std::uint32_t sync_ioc_merge = 0xC0303E03;
inline constexpr std::uint32_t sync_ioc_file_info = 0xC0383E04;
inline constexpr std::uint32_t sync_ioc_set_deadline = 0x40103E05;

static_assert(sizeof(sw_sync_create) == 40 && sizeof(sw_sync_get_deadline) == 16);
static_assert(sizeof(sync_merge) == 48 && sizeof(sync_deadline) == 16);

// --- dma-buf ---

struct dma_buf_sync_file {
  std::uint32_t flags;
  std::int32_t fd;
};
inline constexpr std::uint32_t dma_buf_type = 'b';
inline constexpr std::uint32_t dma_buf_sync = 0x40086200;
/// Two numbers of one call, whose argument is the text itself.
inline constexpr std::uint32_t dma_buf_set_name = 0x40086201;
inline constexpr std::uint32_t dma_buf_set_name_a = 0x40046201;
inline constexpr std::size_t dma_buf_name_max = 31;
inline constexpr std::uint32_t dma_buf_export = 0xC0086202;
inline constexpr std::uint32_t dma_buf_import = 0x40086203;
inline constexpr std::uint32_t dma_buf_read = 1;
inline constexpr std::uint32_t dma_buf_write = 2;

// --- DRM: known by number, with any size of argument ---

inline constexpr std::uint32_t drm_type = 'd';

struct drm_version {
  std::int32_t major, minor, patch;
  std::uint32_t pad;
  std::uint64_t name_size, name;
  std::uint64_t date_size, date;
  std::uint64_t description_size, description;
};
struct drm_get_cap {
  std::uint64_t capability, value;
};
struct drm_handle {
  std::uint32_t handle, flags;
};
struct drm_prime {
  std::uint32_t handle, flags;
  std::int32_t fd;
};
struct drm_dumb_buffer {
  std::uint32_t height, width, bpp, flags;
  std::uint32_t handle, pitch;
  std::uint64_t size;
};
struct drm_map_dumb {
  std::uint32_t handle, pad;
  std::uint64_t offset;
};
struct drm_syncobj_fd {
  std::uint32_t handle, flags;
  std::int32_t fd;
  std::uint32_t pad;
  std::uint64_t point;
};
struct drm_syncobj_wait {
  std::uint64_t handles;
  std::int64_t timeout_ns;
  std::uint32_t count, flags, first_signaled, pad;
  std::uint64_t deadline_ns;
};
struct drm_syncobj_timeline_wait {
  std::uint64_t handles, points;
  std::int64_t timeout_ns;
  std::uint32_t count, flags, first_signaled, pad;
  std::uint64_t deadline_ns;
};
struct drm_syncobj_array {
  std::uint64_t handles;
  std::uint32_t count, pad;
};
struct drm_syncobj_points {
  std::uint64_t handles, points;
  std::uint32_t count, flags;
};
struct drm_syncobj_transfer {
  std::uint32_t source, destination;
  std::uint64_t source_point, destination_point;
  std::uint32_t flags, pad;
};
struct drm_syncobj_eventfd {
  std::uint32_t handle, flags;
  std::uint64_t point;
  std::int32_t fd;
  std::uint32_t pad;
};
struct vgem_attach {
  std::uint32_t handle, flags, fence, pad;
};
struct vgem_signal {
  std::uint32_t fence, flags;
};

struct drm_unique {
  std::uint64_t size, text;
};
struct drm_set_version {
  std::int32_t interface_major, interface_minor, driver_major, driver_minor;
};
struct drm_client_info {
  std::int32_t index, is_authenticated;
  std::uint64_t pid, uid, magic, calls;
};
struct drm_stats {
  std::uint64_t count;
  struct {
    std::uint64_t value;
    std::uint32_t type, pad;
  } data[15];
};
struct drm_flink {
  std::uint32_t handle, name;
};
struct drm_open {
  std::uint32_t name, handle;
  std::uint64_t size;
};
struct drm_text {
  std::uint64_t size, text;
};
inline constexpr std::size_t client_name_max = 64;

/// The canonical numbers; the lowest byte is what a call is known by.
namespace drm {
inline constexpr std::uint32_t version = 0xC0406400;
inline constexpr std::uint32_t get_unique = 0xC0106401;
inline constexpr std::uint32_t get_magic = 0x80046402;
inline constexpr std::uint32_t get_client = 0xC0286405;
inline constexpr std::uint32_t get_stats = 0x80F86406;
inline constexpr std::uint32_t set_version = 0xC0106407;
inline constexpr std::uint32_t gem_close = 0x40086409;
inline constexpr std::uint32_t gem_flink = 0xC008640A;
inline constexpr std::uint32_t gem_open = 0xC010640B;
inline constexpr std::uint32_t get_cap = 0xC010640C;
inline constexpr std::uint32_t set_client_cap = 0x4010640D;
inline constexpr std::uint32_t auth_magic = 0x40046411;
inline constexpr std::uint32_t set_master = 0x0000641E;
inline constexpr std::uint32_t drop_master = 0x0000641F;
inline constexpr std::uint32_t prime_to_fd = 0xC00C642D;
inline constexpr std::uint32_t prime_from_fd = 0xC00C642E;
inline constexpr std::uint32_t fence_attach = 0xC0106441;
inline constexpr std::uint32_t fence_signal = 0x40086442;
inline constexpr std::uint32_t create_dumb = 0xC02064B2;
inline constexpr std::uint32_t map_dumb = 0xC01064B3;
inline constexpr std::uint32_t destroy_dumb = 0xC00464B4;
inline constexpr std::uint32_t syncobj_create = 0xC00864BF;
inline constexpr std::uint32_t syncobj_destroy = 0xC00864C0;
inline constexpr std::uint32_t syncobj_to_fd = 0xC01864C1;
inline constexpr std::uint32_t syncobj_from_fd = 0xC01864C2;
inline constexpr std::uint32_t syncobj_wait = 0xC02864C3;
inline constexpr std::uint32_t syncobj_reset = 0xC01064C4;
inline constexpr std::uint32_t syncobj_signal = 0xC01064C5;
inline constexpr std::uint32_t syncobj_timeline_wait = 0xC03064CA;
inline constexpr std::uint32_t syncobj_query = 0xC01864CB;
inline constexpr std::uint32_t syncobj_transfer = 0xC02064CC;
inline constexpr std::uint32_t syncobj_timeline_signal = 0xC01864CD;
inline constexpr std::uint32_t syncobj_eventfd = 0xC01864CF;
inline constexpr std::uint32_t set_client_name = 0xC01064D1;
}  // namespace drm

/// Ioctls for drivers that show something, which these do not: the numbers of those that the
/// master alone may ask, and of the others.
inline constexpr std::uint8_t displays_of_master[] = {0xA2, 0xA3, 0xA5, 0xAB, 0xB0, 0xB1, 0xB7,
                                                      0xBA, 0xBB, 0xBC, 0xC6, 0xC7, 0xC8, 0xC9};
inline constexpr std::uint8_t displays[] = {0x3A, 0x3B, 0x3C, 0xA0, 0xA1, 0xA4, 0xA6,
                                            0xA7, 0xAA, 0xAC, 0xAD, 0xAE, 0xAF, 0xB5,
                                            0xB6, 0xB8, 0xB9, 0xBD, 0xBE, 0xCE, 0xD0};
[[nodiscard]] constexpr bool is_displays_of_master(std::uint32_t code) noexcept {
  for (const std::uint8_t one : displays_of_master) {
    if (_IOC_TYPE(code) == drm_type && _IOC_NR(code) == one) return true;
  }
  return false;
}
[[nodiscard]] constexpr bool is_displays(std::uint32_t code) noexcept {
  for (const std::uint8_t one : displays) {
    if (_IOC_TYPE(code) == drm_type && _IOC_NR(code) == one) return true;
  }
  return is_displays_of_master(code);
}

/// All others.
inline constexpr std::uint32_t known_controls[] = {
    sw_sync_create_fence,  sw_sync_inc,
    sw_sync_deadline_of,   sync_ioc_merge,
    sync_ioc_file_info,    sync_ioc_set_deadline,
    dma_buf_sync,          dma_buf_export,
    dma_buf_import,        drm::version,
    drm::gem_close,        drm::get_cap,
    drm::prime_to_fd,      drm::prime_from_fd,
    drm::fence_attach,     drm::fence_signal,
    drm::create_dumb,      drm::map_dumb,
    drm::destroy_dumb,     drm::syncobj_create,
    drm::syncobj_destroy,  drm::syncobj_to_fd,
    drm::syncobj_from_fd,  drm::syncobj_wait,
    drm::syncobj_reset,    drm::syncobj_signal,
    drm::syncobj_query,    drm::syncobj_timeline_wait,
    drm::syncobj_transfer, drm::syncobj_timeline_signal,
    drm::syncobj_eventfd,  drm::get_unique,
    drm::get_magic,        drm::get_client,
    drm::get_stats,        drm::set_version,
    drm::gem_flink,        drm::gem_open,
    drm::set_client_cap,   drm::auth_magic,
    drm::set_master,       drm::drop_master,
    drm::set_client_name,  dma_buf_set_name,
    dma_buf_set_name_a,
};

/// A render node has no part in what is shown, or in who shows it: that is the other one's.
[[nodiscard]] constexpr bool is_allowed_on(device_kind node, std::uint32_t code) noexcept {
  constexpr std::uint32_t others[] = {
      drm::create_dumb, drm::map_dumb,   drm::destroy_dumb, drm::get_unique,     drm::get_magic,
      drm::get_client,  drm::get_stats,  drm::set_version,  drm::gem_flink,      drm::gem_open,
      drm::auth_magic,  drm::set_master, drm::drop_master,  drm::set_client_cap,
  };
  // Waiting for the display is anybody's, the rest is not.
  if (node != device_kind::drm_render) return true;
  if (is_displays(code)) return false;
  for (const std::uint32_t other : others) {
    if (_IOC_NR(code) == _IOC_NR(other)) return false;
  }
  return true;
}

static_assert(sizeof(drm_version) == _IOC_SIZE(drm::version));
static_assert(sizeof(drm_client_info) == _IOC_SIZE(drm::get_client));
static_assert(sizeof(drm_stats) == _IOC_SIZE(drm::get_stats));
static_assert(sizeof(drm_open) == _IOC_SIZE(drm::gem_open));
static_assert(sizeof(drm_prime) == _IOC_SIZE(drm::prime_to_fd));
static_assert(sizeof(drm_dumb_buffer) == _IOC_SIZE(drm::create_dumb));
static_assert(sizeof(drm_map_dumb) == _IOC_SIZE(drm::map_dumb));
static_assert(sizeof(drm_syncobj_fd) == _IOC_SIZE(drm::syncobj_to_fd));
static_assert(sizeof(drm_syncobj_wait) == _IOC_SIZE(drm::syncobj_wait));
static_assert(sizeof(drm_syncobj_timeline_wait) == _IOC_SIZE(drm::syncobj_timeline_wait));
static_assert(sizeof(drm_syncobj_points) == _IOC_SIZE(drm::syncobj_query));
static_assert(sizeof(drm_syncobj_transfer) == _IOC_SIZE(drm::syncobj_transfer));
static_assert(sizeof(drm_syncobj_eventfd) == _IOC_SIZE(drm::syncobj_eventfd));
static_assert(sizeof(vgem_attach) == _IOC_SIZE(drm::fence_attach));

}  // namespace ufence::uapi
