/* What the graphics tests' suite holds of fences on buffers: exported, imported, polled. */
#include <dirent.h>
#include <linux/dma-buf.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "ufence/uapi/testing/drm.h"

struct sync_file_of_buffer {
  uint32_t flags;
  int32_t fd;
};
#define EXPORT_SYNC_FILE _IOWR('b', 2, struct sync_file_of_buffer)
#define IMPORT_SYNC_FILE _IOW('b', 3, struct sync_file_of_buffer)

struct attach {
  uint32_t handle, flags, fence, pad;
};
#define GEM_CLOSE _IOW('d', 0x09, struct drm_handle)
#define PRIME_FD_TO_HANDLE _IOWR('d', 0x2E, struct prime)
#define FENCE_ATTACH _IOWR('d', 0x41, struct attach)
#define FENCE_SIGNAL _IOW('d', 0x42, struct drm_handle)

enum { READ = 1, WRITE = 2, RW = 3 };

static uint32_t make_buffer(int drm, uint64_t* size) {
  struct dumb a = {.width = 1024, .height = 1, .bpp = 32};

  EXPECT(drm_ioctl(drm, CREATE_DUMB, &a) == 0 && a.handle && a.pitch == 4096);
  if (size) *size = a.size;
  return a.handle;
}

static int dma_buf_of(int drm, uint32_t handle) {
  struct prime a = {.handle = handle, .flags = O_CLOEXEC | O_RDWR};

  EXPECT(drm_ioctl(drm, PRIME_HANDLE_TO_FD, &a) == 0 && a.fd >= 0);
  EXPECT(fcntl(a.fd, F_GETFD) == FD_CLOEXEC);
  return a.fd;
}

static uint32_t attach(int drm, uint32_t handle, int writes) {
  struct attach a = {.handle = handle, .flags = (uint32_t)writes};

  EXPECT(drm_ioctl(drm, FENCE_ATTACH, &a) == 0);
  return a.fence;
}

static int finish(int drm, uint32_t fence) {
  struct drm_handle a = {.handle = fence};

  return drm_ioctl(drm, FENCE_SIGNAL, &a);
}

static int export(int buffer, uint32_t flags) {
  struct sync_file_of_buffer a = {.flags = flags, .fd = -1};

  return drm_ioctl(buffer, EXPORT_SYNC_FILE, &a) ? -1 : a.fd;
}

static int import(int buffer, uint32_t flags, int file) {
  struct sync_file_of_buffer a = {.flags = flags, .fd = file};

  return drm_ioctl(buffer, IMPORT_SYNC_FILE, &a);
}

static int is_busy(int buffer, uint32_t flags) {
  short events = (short)((flags & WRITE) ? POLLOUT : POLLIN);
  struct pollfd p = {.fd = buffer, .events = events};
  int n = poll(&p, 1, 0), file, busy;

  EXPECT(n == 0 || (n == 1 && p.revents == events));
  /* Poll and export agree. */
  file = export(buffer, flags);
  EXPECT(file >= 0);
  busy = !wait_for(file, 0);
  EXPECT(busy == (n == 0));
  close(file);
  return busy;
}

static int busy_for(int buffer, int read, int write) {
  return is_busy(buffer, READ) == read && is_busy(buffer, WRITE) == write &&
         is_busy(buffer, RW) == write;
}

static void export_basic(void) {
  int drm = open_card(), buffer;
  uint32_t handle = make_buffer(drm, NULL), fence;

  buffer = dma_buf_of(drm, handle);
  EXPECT(busy_for(buffer, 0, 0));
  fence = attach(drm, handle, 0);
  EXPECT(busy_for(buffer, 0, 1));
  EXPECT(finish(drm, fence) == 0 && busy_for(buffer, 0, 0));
  fence = attach(drm, handle, 1);
  EXPECT(busy_for(buffer, 1, 1));
  EXPECT(finish(drm, fence) == 0 && busy_for(buffer, 0, 0));
  EXPECT_ERRNO(export(buffer, 0), EINVAL);
  EXPECT_ERRNO(export(buffer, 4), EINVAL);
  EXPECT_ERRNO(import(buffer, READ, -1), EINVAL);
  EXPECT_ERRNO(export(open("/dev/null", O_RDWR), READ), ENOTTY);
}

static void export_before_signal(void) {
  int drm = open_card(), buffer, read, write;
  uint32_t handle = make_buffer(drm, NULL), fence;

  buffer = dma_buf_of(drm, handle);
  fence = attach(drm, handle, 0);
  read = export(buffer, READ), write = export(buffer, WRITE);
  EXPECT(wait_for(read, 0) == 1 && wait_for(write, 0) == 0);
  EXPECT(finish(drm, fence) == 0 && wait_for(write, 0) == 1);
  fence = attach(drm, handle, 1);
  close(read), close(write);
  read = export(buffer, READ), write = export(buffer, WRITE);
  EXPECT(wait_for(read, 0) == 0 && wait_for(write, 0) == 0);
  EXPECT(finish(drm, fence) == 0 && wait_for(read, 0) == 1 && wait_for(write, 0) == 1);
}

/* A second opener's fence may stand beside the first one's, if both read. */
static void export_multiwait(void) {
  int one = open_card(), two = open_card(), three = open_card(), buffer, file;
  uint32_t handle = make_buffer(one, NULL), a, b, c;
  struct prime p = {.fd = -1};
  uint32_t second, third;

  buffer = p.fd = dma_buf_of(one, handle);
  EXPECT(drm_ioctl(two, PRIME_FD_TO_HANDLE, &p) == 0);
  second = p.handle;
  EXPECT(drm_ioctl(three, PRIME_FD_TO_HANDLE, &p) == 0);
  third = p.handle;
  a = attach(one, handle, 0), b = attach(two, second, 0);
  file = export(buffer, RW);
  c = attach(three, third, 0);
  EXPECT(wait_for(file, 0) == 0);
  EXPECT(finish(one, a) == 0 && wait_for(file, 0) == 0);
  EXPECT(finish(two, b) == 0 && wait_for(file, 0) == 1);
  EXPECT(is_busy(buffer, WRITE));
  EXPECT(finish(three, c) == 0 && !is_busy(buffer, WRITE));
}

/* Fences of one opener end in any order: the second one says nothing about the first. */
static void fences_of_one_opener_end_in_any_order(void) {
  int drm = open_card(), buffer, file, other, both;
  uint32_t handle = make_buffer(drm, NULL), second = make_buffer(drm, NULL), a, b;

  buffer = dma_buf_of(drm, handle);
  a = attach(drm, handle, 0), b = attach(drm, handle, 0);
  file = export(buffer, WRITE);
  EXPECT(count_all(file) == 2);
  EXPECT(finish(drm, b) == 0 && is_busy(buffer, WRITE) && wait_for(file, 0) == 0);
  EXPECT(finish(drm, a) == 0 && !is_busy(buffer, WRITE) && wait_for(file, 0) == 1);

  a = attach(drm, handle, 1), b = attach(drm, second, 1);
  file = export(buffer, WRITE), other = export(dma_buf_of(drm, second), WRITE);
  both = merge(file, other);
  EXPECT(finish(drm, b) == 0 && wait_for(other, 0) == 1 && wait_for(both, 0) == 0);
  EXPECT(finish(drm, a) == 0 && wait_for(both, 0) == 1);
}

static void export_wait_after_attach(void) {
  int drm = open_card(), buffer, read, write;
  uint32_t handle = make_buffer(drm, NULL), fence;

  buffer = dma_buf_of(drm, handle);
  read = export(buffer, READ), write = export(buffer, WRITE);
  fence = attach(drm, handle, 1);
  EXPECT(wait_for(read, 0) == 1 && wait_for(write, 0) == 1);
  EXPECT(busy_for(buffer, 1, 1));
  EXPECT(finish(drm, fence) == 0 && busy_for(buffer, 0, 0));
}

static void import_basic(void) {
  uint32_t flags;

  for (flags = READ; flags <= RW; flags++) {
    int drm = open_card(), buffer = dma_buf_of(drm, make_buffer(drm, NULL));
    int timeline = open_timeline(), fence = make_fence(timeline, 1);

    EXPECT(busy_for(buffer, 0, 0));
    EXPECT(import(buffer, flags, fence) == 0);
    EXPECT(busy_for(buffer, (flags & WRITE) != 0, 1));
    EXPECT(increase(timeline, 1) == 0 && busy_for(buffer, 0, 0));
    close(timeline), close(fence), close(buffer), close(drm);
  }
}

static void import_many(int writes) {
  int drm = open_card(), buffer = dma_buf_of(drm, make_buffer(drm, NULL));
  int timelines[32], i, fence, writer = open_timeline();

  for (i = 0; i < 32; i++) {
    timelines[i] = open_timeline();
    fence = make_fence(timelines[i], 1);
    EXPECT(import(buffer, READ, fence) == 0);
    close(fence);
  }
  EXPECT(busy_for(buffer, 0, 1));
  if (writes) {
    fence = make_fence(writer, 1);
    EXPECT(import(buffer, WRITE, fence) == 0);
    close(fence);
    EXPECT(busy_for(buffer, 1, 1));
  }
  for (i = 31; i >= 0; i--) {
    EXPECT(busy_for(buffer, writes, 1));
    EXPECT(increase(timelines[i], 1) == 0);
  }
  EXPECT(busy_for(buffer, writes, writes));
  EXPECT(increase(writer, 1) == 0 && busy_for(buffer, 0, 0));
}

static void import_multiple_read_only(void) { import_many(0); }

static void import_multiple_read_write(void) { import_many(1); }

/* --- Beyond the suite --- */

static void buffers_are_memory(void) {
  int drm = open_card(), buffer, other = open_card();
  uint64_t size;
  uint32_t handle = make_buffer(drm, &size);
  struct map m = {.handle = handle};
  struct drm_handle gone = {.handle = handle};
  struct prime p = {.handle = 77};
  char *through_node, *through_buffer;

  buffer = dma_buf_of(drm, handle);
  EXPECT(lseek(buffer, 0, SEEK_END) == (off_t)size);
  EXPECT(drm_ioctl(drm, MAP_DUMB, &m) == 0);
  through_node = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, drm, (off_t)m.offset);
  through_buffer = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, buffer, 0);
  EXPECT(through_node != MAP_FAILED && through_buffer != MAP_FAILED);
  strcpy(through_node, "the same memory");
  EXPECT(!strcmp(through_buffer, "the same memory"));
  EXPECT_ERRNO(drm_ioctl(drm, PRIME_HANDLE_TO_FD, &p), ENOENT);
  EXPECT(drm_ioctl(drm, GEM_CLOSE, &gone) == 0);
  EXPECT_ERRNO(drm_ioctl(drm, GEM_CLOSE, &gone), EINVAL);
  /* The descriptor still has the buffer. */
  p.fd = buffer;
  EXPECT(drm_ioctl(other, PRIME_FD_TO_HANDLE, &p) == 0);
  EXPECT(!busy_for(buffer, 1, 1));
}

static void fences_of_buffers_have_their_errors(void) {
  int drm = open_card();
  uint32_t handle = make_buffer(drm, NULL), fence = attach(drm, handle, 1);
  struct attach a = {.handle = handle};
  struct drm_handle s = {.handle = fence, .flags = 1};

  EXPECT_ERRNO(drm_ioctl(drm, FENCE_ATTACH, &a), EBUSY);
  a.flags = 2;
  EXPECT_ERRNO(drm_ioctl(drm, FENCE_ATTACH, &a), EINVAL);
  a.flags = 0, a.handle = 77;
  EXPECT_ERRNO(drm_ioctl(drm, FENCE_ATTACH, &a), ENOENT);
  EXPECT_ERRNO(drm_ioctl(drm, FENCE_SIGNAL, &s), EINVAL);
  EXPECT_ERRNO(finish(drm, 77), ENOENT);
  EXPECT(finish(drm, fence) == 0);
  EXPECT_ERRNO(finish(drm, fence), ENOENT);
}

static void every_way_to_wait_knows_buffers(void) {
  int drm = open_card(), buffer, fds[2];
  uint32_t handle = make_buffer(drm, NULL), fence;
  struct timeval none = {0};
  struct timespec short_time = {.tv_nsec = 1000000};
  struct pollfd p[2] = {{.events = POLLIN | POLLOUT}, {.events = POLLIN}};
  struct epoll_event e = {.events = EPOLLIN};
  struct dma_buf_sync sync = {.flags = DMA_BUF_SYNC_READ};
  fd_set readable, writable;

  buffer = dma_buf_of(drm, handle);
  EXPECT(pipe(fds) == 0 && write(fds[1], "x", 1) == 1);
  fence = attach(drm, handle, 0);
  p[0].fd = buffer, p[1].fd = fds[0];
  EXPECT(ppoll(p, 2, &short_time, NULL) == 2);
  EXPECT(p[0].revents == POLLIN && p[1].revents == POLLIN);
  FD_ZERO(&readable);
  FD_ZERO(&writable);
  FD_SET(buffer, &readable);
  FD_SET(buffer, &writable);
  FD_SET(fds[0], &readable);
  EXPECT(select(buffer + 100, &readable, &writable, NULL, &none) == 2);
  EXPECT(FD_ISSET(buffer, &readable) && !FD_ISSET(buffer, &writable) &&
         FD_ISSET(fds[0], &readable));
  p[0].events = POLLOUT;
  EXPECT(poll(p, 1, 1) == 0);
  EXPECT(finish(drm, fence) == 0 && poll(p, 1, 30000) == 1 && p[0].revents == POLLOUT);
  EXPECT(ioctl(buffer, DMA_BUF_IOCTL_SYNC, &sync) == 0);
  sync.flags = 8;
  EXPECT_ERRNO(ioctl(buffer, DMA_BUF_IOCTL_SYNC, &sync), EINVAL);
  EXPECT_ERRNO(epoll_ctl(epoll_create1(0), EPOLL_CTL_ADD, buffer, &e), EPERM);
}

struct cap {
  uint64_t capability, value;
};
#define GET_CAP _IOWR('d', 0x0C, struct cap)

static void render_nodes_show_nothing(void) {
  struct dumb a = {.width = 1, .height = 1, .bpp = 32};
  struct cap c = {.capability = 3};
  int drm = open_drm();

  EXPECT_ERRNO(ioctl(drm, CREATE_DUMB, &a), EACCES);
  EXPECT_ERRNO(ioctl(drm, CREATE_DUMB, NULL), EACCES);
  EXPECT_ERRNO(ioctl(drm, GET_CAP, &c), EOPNOTSUPP);
  close(drm);
}

/* What a wait that runs out leaves, and one whose fence is followed by another. */
struct late {
  int drm;
  uint32_t handle, fence;
};
static void* end_and_attach(void* argument) {
  struct late* l = argument;

  EXPECT(finish(l->drm, l->fence) == 0);
  l->fence = attach(l->drm, l->handle, 1);
  return NULL;
}
static void waits_leave_what_the_kernel_leaves(void) {
  int drm = open_card(), buffer, i;
  uint32_t handle = make_buffer(drm, NULL), fence = attach(drm, handle, 1);
  struct pollfd p = {.events = POLLIN, .revents = 0x7fff};
  struct timeval time = {.tv_usec = 1000};
  unsigned long large[64] = {0};
  struct late l = {.drm = drm, .handle = handle};
  pthread_t thread;

  buffer = dma_buf_of(drm, handle);
  p.fd = buffer;
  EXPECT(poll(&p, 1, 1) == 0 && p.revents == 0);
  EXPECT(dup2(buffer, 2000) == 2000);
  large[2000 / 64] = 1ul << 2000 % 64;
  EXPECT(select(2001, (fd_set*)large, NULL, NULL, &time) == 0);
  EXPECT(large[2000 / 64] == 0 && time.tv_sec == 0 && time.tv_usec == 0);
  EXPECT(finish(drm, fence) == 0);
  time.tv_sec = 5;
  large[2000 / 64] = 1ul << 2000 % 64;
  EXPECT(select(2001, (fd_set*)large, NULL, NULL, &time) == 1);
  EXPECT(large[2000 / 64] && time.tv_sec <= 5 && time.tv_sec + time.tv_usec > 0);
  /* A wait that says that nothing is pending is right about it, as far as it can be. */
  for (i = 0; i < 50; i++) {
    l.fence = attach(drm, handle, 1);
    EXPECT(pthread_create(&thread, NULL, end_and_attach, &l) == 0);
    p.events = POLLOUT;
    while (poll(&p, 1, 1) == 1) EXPECT(p.revents == POLLOUT);
    EXPECT(p.revents == 0);
    pthread_join(thread, NULL);
    EXPECT(poll(&p, 1, 0) == 0);
    EXPECT(finish(drm, l.fence) == 0 && poll(&p, 1, 1000) == 1);
  }
  close(2000), close(buffer), close(drm);
}

/* Threads may have little room for their stacks. */
static void* poll_on_small_stack(void* argument) {
  int* fd = argument;
  struct pollfd p = {.fd = *fd, .events = POLLIN | POLLOUT};
  struct timeval none = {0};
  fd_set set;

  FD_ZERO(&set);
  FD_SET(*fd, &set);
  EXPECT(poll(&p, 1, 1000) == 1 && p.revents == (POLLIN | POLLOUT));
  EXPECT(select(*fd + 1, &set, NULL, NULL, &none) == 1);
  return NULL;
}
static void waits_need_little_stack(void) {
  int drm = open_card(), buffer = dma_buf_of(drm, make_buffer(drm, NULL));
  pthread_attr_t attributes;
  pthread_t thread;

  pthread_attr_init(&attributes);
  EXPECT(pthread_attr_setstacksize(&attributes, 16384) == 0);
  EXPECT(pthread_create(&thread, &attributes, poll_on_small_stack, &buffer) == 0);
  pthread_join(thread, NULL);
}

static void nodes_look_like_nodes(void) {
  struct stat64 s;
  struct stat t;
  int drm;

  EXPECT(stat64("/dev/dri/card0", &s) == 0 && S_ISCHR(s.st_mode) && s.st_rdev >> 8 == 226);
  EXPECT(stat64("/dev/dri/renderD128", &s) == 0 && s.st_rdev == (226 << 8 | 128));
  EXPECT(stat64("/sys/dev/char/226:128/device/drm", &s) == 0 && S_ISDIR(s.st_mode));
  drm = open_drm();
  EXPECT(fstat(drm, &t) == 0 && S_ISCHR(t.st_mode) && t.st_rdev == (226 << 8 | 128));
}

static int is_render_node(const struct dirent* entry) {
  return !strncmp(entry->d_name, "renderD", 7);
}

/* What is really there is listed as well. */
static void folders_list_nodes(void) {
  DIR* folder = opendir("/dev/dri/");
  struct dirent *entry, **list = NULL;
  int nodes = 0, others = 0, all, n, i, fd;
  char text[128];
  long at = 0;

  EXPECT(folder);
  while ((entry = readdir(folder))) {
    int is_node = !strcmp(entry->d_name, "card0") || !strcmp(entry->d_name, "renderD128");

    EXPECT(!is_node || entry->d_type == DT_CHR);
    nodes += is_node;
    others += !is_node;
  }
  EXPECT(nodes == 2 && others >= 2);
  rewinddir(folder);
  for (all = 0; readdir(folder); all++) at = telldir(folder);
  EXPECT(all == nodes + others && at == all);
  seekdir(folder, 1);
  for (n = 0; readdir(folder); n++)
    ;
  EXPECT(n == all - 1 && closedir(folder) == 0);
  n = scandir("/dev/dri", &list, is_render_node, alphasort);
  EXPECT(n >= 1 && !strcmp(list[0]->d_name, "renderD128"));
  for (i = 0; i < n; i++) free(list[i]);
  free(list);
  n = scandir("/dev/dri", &list, NULL, alphasort);
  EXPECT(n == all);
  for (i = 1; i < n; i++) EXPECT(strcoll(list[i - 1]->d_name, list[i]->d_name) <= 0);
  for (i = 0; i < n; i++) free(list[i]);
  free(list);
  /* Other folders are what they are. */
  folder = opendir("/proc/self/fd");
  EXPECT(folder && readdir(folder) && dirfd(folder) >= 0 && closedir(folder) == 0);
  EXPECT(!opendir("/dev/dri/card0") && errno == ENOTDIR);
  n = (int)readlink("/sys/dev/char/226:0/device/subsystem", text, sizeof(text));
  EXPECT(n > 9 && !strncmp(text + n - 9, "/platform", 9));
  EXPECT(readlink("/sys/dev/char/226:0/device/subsystem", text, 3) == 3);
  fd = open("/sys/dev/char/226:0/uevent", O_RDONLY);
  n = (int)read(fd, text, sizeof(text) - 1);
  EXPECT(fd >= 0 && n > 0);
  text[n] = 0;
  EXPECT(strstr(text, "MINOR=0\n") && close(fd) == 0);
  EXPECT_ERRNO(open("/sys/dev/char/226:0/uevent", O_RDWR), EACCES);
  EXPECT_ERRNO(access("/sys/dev/char/226:0/uevent", W_OK), EACCES);
}

/* The descriptors of this process but the one that reads them. */
/* By their numbers: nothing hides any of them. */
static int open_descriptors(void) {
  int fd, n = 0;

  for (fd = 0; fd < 4096; fd++) n += fcntl(fd, F_GETFD) >= 0;
  return n;
}

/* As programs count them. */
static int listed_descriptors(void) {
  DIR* folder = opendir("/proc/self/fd");
  int n = -3;

  EXPECT(folder);
  while (readdir(folder)) n++;
  closedir(folder);
  return n;
}

struct waiting {
  int fd;
  uint32_t handle;
};

static void* poll_buffer(void* data) {
  const struct waiting* w = data;
  struct pollfd p = {.fd = w->fd, .events = POLLIN};

  EXPECT(poll(&p, 1, 30000) == 1);
  return NULL;
}

static void* wait_for_submission(void* data) {
  const struct waiting* w = data;
  struct drm_wait a = {.handles = (uintptr_t)&w->handle, .count = 1, .flags = WAIT_FOR_SUBMIT};

  a.timeout = INT64_MAX;
  EXPECT(drm_ioctl(w->fd, SYNCOBJ_WAIT, &a) == 0);
  return NULL;
}

/* Children that are forked while another thread waits have the program's descriptors. */
static void fork_children(int before, int listed) {
  int i, status;

  while (open_descriptors() == before) sched_yield();
  for (i = 0; i < 20; i++) {
    const pid_t child = fork();

    if (child == 0) _exit(open_descriptors() == listed ? 0 : 1);
    EXPECT(waitpid(child, &status, 0) == child && status == 0);
  }
}

static void children_have_no_descriptors_of_waits(void) {
  int drm = open_card();
  uint32_t handle = make_buffer(drm, NULL), fence = attach(drm, handle, 1);
  struct waiting buffer = {.fd = dma_buf_of(drm, handle)}, object = {.fd = drm};
  struct drm_handle made = {0};
  struct drm_array signaled = {.count = 1};
  const int before = open_descriptors(), listed = listed_descriptors();
  pthread_t waiter;

  EXPECT(pthread_create(&waiter, NULL, poll_buffer, &buffer) == 0);
  fork_children(before, listed);
  EXPECT(finish(drm, fence) == 0 && pthread_join(waiter, NULL) == 0);

  EXPECT(drm_ioctl(drm, SYNCOBJ_CREATE, &made) == 0);
  object.handle = made.handle;
  signaled.handles = (uintptr_t)&made.handle;
  EXPECT(pthread_create(&waiter, NULL, wait_for_submission, &object) == 0);
  fork_children(before, listed);
  EXPECT(drm_ioctl(drm, SYNCOBJ_SIGNAL, &signaled) == 0 && pthread_join(waiter, NULL) == 0);
  EXPECT(open_descriptors() == before && listed_descriptors() == listed);
}

static const struct test_case cases[] = {
    {"DB01_export_basic", export_basic},
    {"DB02_export_before_signal", export_before_signal},
    {"DB03_export_multiwait", export_multiwait},
    {"DB04_export_wait_after_attach", export_wait_after_attach},
    {"DB05_import_basic", import_basic},
    {"DB06_import_multiple_read_only", import_multiple_read_only},
    {"DB07_import_multiple_read_write", import_multiple_read_write},
    {"BUFFER_buffers_are_memory", buffers_are_memory},
    {"BUFFER_fences_of_one_opener_end_in_any_order", fences_of_one_opener_end_in_any_order},
    {"BUFFER_fences_have_their_errors", fences_of_buffers_have_their_errors},
    {"BUFFER_every_way_to_wait_knows_buffers", every_way_to_wait_knows_buffers},
    {"BUFFER_render_nodes_show_nothing", render_nodes_show_nothing},
    {"BUFFER_waits_leave_what_the_kernel_leaves", waits_leave_what_the_kernel_leaves},
    {"BUFFER_waits_need_little_stack", waits_need_little_stack},
    {"BUFFER_nodes_look_like_nodes", nodes_look_like_nodes},
    {"BUFFER_folders_list_nodes", folders_list_nodes},
    {"BUFFER_children_have_no_descriptors_of_waits", children_have_no_descriptors_of_waits},
};

int main(int argc, char** argv) {
  return run_cases(cases, sizeof(cases) / sizeof(cases[0]), argc, argv);
}
