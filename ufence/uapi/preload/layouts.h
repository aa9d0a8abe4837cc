// The memory that the arguments of ioctls refer to.
#pragma once

#include <cstddef>
#include <cstdint>

#include "ufence/uapi/ioctls.h"

namespace ufence::uapi {

/// As offsets in the argument; -1: nothing. Arrays have as many elements as the field `count` says.
struct layout {
  std::uint32_t code;
  int descriptor = -1;  // of a descriptor that goes to the broker
  int count = -1;
  int handles = -1;             // array of 4 bytes that goes to the broker
  int points = -1;              // array of 8 bytes, the same
  int results = -1;             // array that comes back
  std::size_t result_size = 0;  // of its elements
  int text = -1;                // text that goes to the broker, of the size at 0
  bool waits = false;
  int timeout = -1;  // when the wait ends, absolute
};

inline constexpr layout layouts[] = {
    {.code = sw_sync_deadline_of, .descriptor = offsetof(sw_sync_get_deadline, fence_fd)},
    {.code = sync_ioc_merge, .descriptor = offsetof(sync_merge, fd2)},
    {.code = sync_ioc_file_info, .count = 40, .results = 48, .result_size = 80},
    {.code = dma_buf_import, .descriptor = offsetof(dma_buf_sync_file, fd)},
    {.code = drm::get_unique,
     .count = offsetof(drm_unique, size),
     .results = offsetof(drm_unique, text),
     .result_size = 1},
    {.code = drm::set_client_name, .text = offsetof(drm_text, text)},
    {.code = drm::prime_to_fd},
    {.code = drm::prime_from_fd, .descriptor = offsetof(drm_prime, fd)},
    {.code = drm::syncobj_from_fd, .descriptor = offsetof(drm_syncobj_fd, fd)},
    {.code = drm::syncobj_eventfd, .descriptor = offsetof(drm_syncobj_eventfd, fd)},
    {.code = drm::syncobj_wait,
     .count = offsetof(drm_syncobj_wait, count),
     .handles = offsetof(drm_syncobj_wait, handles),
     .waits = true,
     .timeout = offsetof(drm_syncobj_wait, timeout_ns)},
    {.code = drm::syncobj_timeline_wait,
     .count = offsetof(drm_syncobj_timeline_wait, count),
     .handles = offsetof(drm_syncobj_timeline_wait, handles),
     .points = offsetof(drm_syncobj_timeline_wait, points),
     .waits = true,
     .timeout = offsetof(drm_syncobj_timeline_wait, timeout_ns)},
    {.code = drm::syncobj_reset,
     .count = offsetof(drm_syncobj_array, count),
     .handles = offsetof(drm_syncobj_array, handles)},
    {.code = drm::syncobj_signal,
     .count = offsetof(drm_syncobj_array, count),
     .handles = offsetof(drm_syncobj_array, handles)},
    {.code = drm::syncobj_timeline_signal,
     .count = offsetof(drm_syncobj_points, count),
     .handles = offsetof(drm_syncobj_points, handles),
     .points = offsetof(drm_syncobj_points, points)},
    {.code = drm::syncobj_query,
     .count = offsetof(drm_syncobj_points, count),
     .handles = offsetof(drm_syncobj_points, handles),
     .results = offsetof(drm_syncobj_points, points),
     .result_size = 8},
    {.code = drm::syncobj_transfer, .waits = true},
};

/// DRM's are known by type and number, with any size.
constexpr bool is_same(std::uint32_t code, std::uint32_t known) noexcept {
  if (_IOC_TYPE(known) != drm_type) return code == known;
  return _IOC_TYPE(code) == drm_type && _IOC_NR(code) == _IOC_NR(known);
}

/// Null: it refers to nothing.
constexpr const layout* layout_of(std::uint32_t code) noexcept {
  for (const layout& l : layouts) {
    if (is_same(code, l.code)) return &l;
  }
  return nullptr;
}

}  // namespace ufence::uapi
