/* The parts of the DRM interface that syncobjs, buffers and implicit fences need. */
#pragma once

#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "ufence/uapi/testing/sync.h"

struct drm_handle {
  uint32_t handle, flags;
};
struct drm_fd {
  uint32_t handle, flags;
  int32_t fd;
  uint32_t pad;
  uint64_t point;
};
struct drm_wait {
  uint64_t handles;
  int64_t timeout;
  uint32_t count, flags, first, pad;
  uint64_t deadline;
};
struct drm_timeline_wait {
  uint64_t handles, points;
  int64_t timeout;
  uint32_t count, flags, first, pad;
  uint64_t deadline;
};
struct drm_array {
  uint64_t handles;
  uint32_t count, pad;
};
struct drm_points {
  uint64_t handles, points;
  uint32_t count, flags;
};
struct drm_transfer {
  uint32_t src, dst;
  uint64_t src_point, dst_point;
  uint32_t flags, pad;
};
struct drm_event {
  uint32_t handle, flags;
  uint64_t point;
  int32_t fd;
  uint32_t pad;
};
struct dumb {
  uint32_t height, width, bpp, flags, handle, pitch;
  uint64_t size;
};
struct map {
  uint32_t handle, pad;
  uint64_t offset;
};
struct prime {
  uint32_t handle, flags;
  int32_t fd;
};

#define CREATE_DUMB _IOWR('d', 0xB2, struct dumb)
#define MAP_DUMB _IOWR('d', 0xB3, struct map)
#define PRIME_HANDLE_TO_FD _IOWR('d', 0x2D, struct prime)
#define SYNCOBJ_CREATE _IOWR('d', 0xBF, struct drm_handle)
#define SYNCOBJ_DESTROY _IOWR('d', 0xC0, struct drm_handle)
#define SYNCOBJ_HANDLE_TO_FD _IOWR('d', 0xC1, struct drm_fd)
#define SYNCOBJ_FD_TO_HANDLE _IOWR('d', 0xC2, struct drm_fd)
#define SYNCOBJ_WAIT _IOWR('d', 0xC3, struct drm_wait)
#define SYNCOBJ_RESET _IOWR('d', 0xC4, struct drm_array)
#define SYNCOBJ_SIGNAL _IOWR('d', 0xC5, struct drm_array)
#define SYNCOBJ_TIMELINE_WAIT _IOWR('d', 0xCA, struct drm_timeline_wait)
#define SYNCOBJ_QUERY _IOWR('d', 0xCB, struct drm_points)
#define SYNCOBJ_TRANSFER _IOWR('d', 0xCC, struct drm_transfer)
#define SYNCOBJ_TIMELINE_SIGNAL _IOWR('d', 0xCD, struct drm_points)
#define SYNCOBJ_EVENTFD _IOWR('d', 0xCF, struct drm_event)

enum { WAIT_ALL = 1, WAIT_FOR_SUBMIT = 2, WAIT_AVAILABLE = 4, WAIT_DEADLINE = 8 };
enum { SYNC_FILE = 1, AT_POINT = 2 };

#define SHORT_NS 20000000ll

/* As graphics libraries call it: again when a signal came between. */
static inline int drm_ioctl(int fd, unsigned long request, void* argument) {
  int result;

  do result = ioctl(fd, request, argument);
  while (result == -1 && (errno == EINTR || errno == EAGAIN));
  return result;
}

static inline int open_drm(void) {
  int fd = open64("/dev/dri/renderD128", O_RDWR | O_CLOEXEC);

  EXPECT(fd >= 0);
  return fd;
}

/* Buffers are made on the node that shows them. */
static inline int open_card(void) {
  int fd = open64("/dev/dri/card0", O_RDWR | O_CLOEXEC);

  EXPECT(fd >= 0);
  return fd;
}

static inline int64_t in_ns(int64_t ns) {
  struct timespec now;

  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000000000ll + now.tv_nsec + ns;
}

static inline uint32_t create(int drm) {
  struct drm_handle a = {0};

  EXPECT(drm_ioctl(drm, SYNCOBJ_CREATE, &a) == 0 && a.handle != 0);
  return a.handle;
}

static inline int destroy(int drm, uint32_t handle) {
  struct drm_handle a = {.handle = handle};

  return drm_ioctl(drm, SYNCOBJ_DESTROY, &a);
}

/* Puts the fence of a sync file into a syncobj; at a point unless that is 0. */
static inline int put_fence(int drm, uint32_t handle, int file, uint64_t point) {
  struct drm_fd a = {.handle = handle, .flags = SYNC_FILE, .fd = file, .point = point};

  if (point) a.flags |= AT_POINT;
  return drm_ioctl(drm, SYNCOBJ_FD_TO_HANDLE, &a);
}

/* Puts a new fence there, which is signaled when the timeline is closed or increased. */
static inline int submit(int drm, uint32_t handle, uint64_t point) {
  int timeline = open_timeline();
  int fence = make_fence(timeline, 1);

  EXPECT(fence >= 0 && put_fence(drm, handle, fence, point) == 0);
  close(fence);
  return timeline;
}

static inline int wait_flags(int drm, const uint32_t* handles, uint32_t count, int64_t timeout,
                             uint32_t flags, uint32_t* first) {
  struct drm_wait a = {.handles = (uintptr_t)handles,
                       .timeout = timeout,
                       .count = count,
                       .flags = flags,
                       .first = ~0u};
  int result = drm_ioctl(drm, SYNCOBJ_WAIT, &a);

  if (first) *first = a.first;
  return result;
}

static inline int wait_points(int drm, const uint32_t* handles, const uint64_t* points,
                              uint32_t count, int64_t timeout, uint32_t flags, uint32_t* first) {
  struct drm_timeline_wait a = {.handles = (uintptr_t)handles,
                                .points = (uintptr_t)points,
                                .timeout = timeout,
                                .count = count,
                                .flags = flags,
                                .first = ~0u};
  int result = drm_ioctl(drm, SYNCOBJ_TIMELINE_WAIT, &a);

  if (first) *first = a.first;
  return result;
}

static inline int on_all(int drm, unsigned long request, const uint32_t* handles, uint32_t count) {
  struct drm_array a = {.handles = (uintptr_t)handles, .count = count};

  return drm_ioctl(drm, request, &a);
}

static inline int signal_points(int drm, const uint32_t* handles, const uint64_t* points,
                                uint32_t count) {
  struct drm_points a = {
      .handles = (uintptr_t)handles, .points = (uintptr_t)points, .count = count};

  return drm_ioctl(drm, SYNCOBJ_TIMELINE_SIGNAL, &a);
}

static inline uint64_t query(int drm, uint32_t handle) {
  uint64_t value = ~0ull;
  struct drm_points a = {.handles = (uintptr_t)&handle, .points = (uintptr_t)&value, .count = 1};

  EXPECT(drm_ioctl(drm, SYNCOBJ_QUERY, &a) == 0);
  return value;
}
