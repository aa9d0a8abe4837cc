/* sw_sync and sync files, as test suites of the kernel's users define them for themselves. */
#pragma once

#include <fcntl.h>
#include <linux/sync_file.h>
#include <poll.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "ufence/uapi/testing/cases.h"

struct sw_sync_create_fence_data {
  uint32_t value;
  char name[32];
  int32_t fence;
};

struct sw_sync_get_deadline {
  uint64_t deadline_ns;
  uint32_t pad;
  int32_t fence_fd;
};

#define SW_SYNC_IOC_CREATE_FENCE _IOWR('W', 0, struct sw_sync_create_fence_data)
#define SW_SYNC_IOC_INC _IOW('W', 1, uint32_t)
#define SW_SYNC_GET_DEADLINE _IOWR('W', 2, struct sw_sync_get_deadline)

struct sync_set_deadline_data {
  uint64_t deadline_ns;
  uint64_t pad;
};

#define SYNC_IOC_DEADLINE _IOW('>', 5, struct sync_set_deadline_data)

static inline int open_timeline(void) {
  static const char* const paths[] = {"/dev/sw_sync", "/sys/kernel/debug/sync/sw_sync",
                                      "/sys/kernel/debug/sw_sync"};
  size_t i;

  for (i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
    if (access(paths[i], F_OK | R_OK | W_OK) == 0) return open64(paths[i], O_RDWR);
  }
  return -1;
}

static inline int make_fence(int timeline, uint32_t value) {
  struct sw_sync_create_fence_data data = {.value = value, .name = "a fence"};

  return ioctl(timeline, SW_SYNC_IOC_CREATE_FENCE, &data) ? -1 : data.fence;
}

static inline int increase(int timeline, uint32_t by) {
  return ioctl(timeline, SW_SYNC_IOC_INC, &by);
}

static inline int merge(int a, int b) {
  struct sync_merge_data data = {.name = "merged", .fd2 = b};

  return ioctl(a, SYNC_IOC_MERGE, &data) ? -1 : data.fence;
}

/* As poll() says: 1 signaled, 0 not by then. */
static inline int wait_for(int fence, int timeout_ms) {
  struct pollfd p = {.fd = fence, .events = POLLIN};
  int n;

  do n = poll(&p, 1, timeout_ms);
  while (n < 0 && errno == EINTR);
  if (n <= 0) return n;
  return (p.revents & (POLLERR | POLLNVAL)) ? -1 : 1;
}

static inline int status_of(int fence) {
  struct sync_file_info info = {.num_fences = 0};

  EXPECT(ioctl(fence, SYNC_IOC_FILE_INFO, &info) == 0);
  return info.status;
}

/* How many fences there are, and how many of them have this status. */
static inline int count_all(int fence) {
  struct sync_file_info info = {.num_fences = 0};

  EXPECT(ioctl(fence, SYNC_IOC_FILE_INFO, &info) == 0);
  return (int)info.num_fences;
}

static inline int count(int fence, int status) {
  struct sync_file_info info = {.num_fences = 0};
  struct sync_fence_info* fences;
  uint32_t i;
  int found = 0;

  EXPECT(ioctl(fence, SYNC_IOC_FILE_INFO, &info) == 0);
  fences = calloc(info.num_fences ? info.num_fences : 1, sizeof(*fences));
  info.sync_fence_info = (uintptr_t)fences;
  EXPECT(ioctl(fence, SYNC_IOC_FILE_INFO, &info) == 0);
  for (i = 0; i < info.num_fences; i++) found += fences[i].status == status;
  free(fences);
  return found;
}

enum { ACTIVE = 0, SIGNALED = 1 };
