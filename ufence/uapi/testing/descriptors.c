/* What a program may do to the descriptors of the kernel's devices beside their ioctls. */
#include <dirent.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "ufence/uapi/testing/drm.h"

static uint32_t make_buffer(int drm, uint64_t* size) {
  struct dumb a = {.width = 1024, .height = 2, .bpp = 32};

  EXPECT(drm_ioctl(drm, CREATE_DUMB, &a) == 0);
  if (size) *size = a.size;
  return a.handle;
}

static int dma_buf_of(int drm, uint32_t handle, uint32_t flags) {
  struct prime a = {.handle = handle, .flags = flags};

  EXPECT(drm_ioctl(drm, PRIME_HANDLE_TO_FD, &a) == 0);
  return a.fd;
}

static int syncobj_fd(int drm) {
  struct drm_fd a = {.handle = create(drm)};

  EXPECT(drm_ioctl(drm, SYNCOBJ_HANDLE_TO_FD, &a) == 0);
  return a.fd;
}

/* --- Reading and writing --- */

static void copying_and_looking(int timeline, int fence, int object, int buffer) {
  const int all[] = {timeline, fence, object, buffer};
  int ends[2], file = memfd_create("other", 0);
  struct statx more;
  struct stat s;
  size_t i;

  EXPECT(file >= 0 && pipe(ends) == 0 && write(ends[1], "x", 1) == 1);
  for (i = 0; i < 4; i++) {
    EXPECT_ERRNO(sendfile(ends[1], all[i], NULL, 1), EINVAL);
    EXPECT_ERRNO(splice(all[i], NULL, ends[1], NULL, 1, SPLICE_F_NONBLOCK), EINVAL);
    EXPECT_ERRNO(copy_file_range(all[i], NULL, file, NULL, 1, 0), EINVAL);
    EXPECT_ERRNO(splice(ends[0], NULL, all[i], NULL, 1, SPLICE_F_NONBLOCK),
                 i == 1 || i == 2 ? EBADF : EINVAL);
  }
  for (i = 1; i < 3; i++) {
    EXPECT(fstat(all[i], &s) == 0 && s.st_mode == 0600);
    EXPECT(statx(all[i], "", AT_EMPTY_PATH, STATX_TYPE | STATX_MODE, &more) == 0);
    EXPECT(more.stx_mode == 0600);
  }
  close(file), close(ends[0]), close(ends[1]);
}

static void reading_and_writing(void) {
  int timeline = open_timeline(), fence = make_fence(timeline, 1), drm = open_card();
  int node = open("/dev/dri/renderD128", O_RDWR | O_NONBLOCK), object = syncobj_fd(drm);
  int buffer = dma_buf_of(drm, make_buffer(drm, NULL), O_RDWR), signaled, i;
  int reader = dma_buf_of(drm, make_buffer(drm, NULL), 0);
  char bytes[512];
  struct iovec part = {bytes, sizeof(bytes)};

  EXPECT(increase(timeline, 1) == 0);
  signaled = make_fence(timeline, 1);
  fence = make_fence(timeline, 2);
  for (i = 0; i < 2; i++) {
    int file = i ? signaled : fence;

    EXPECT_ERRNO(read(file, bytes, sizeof(bytes)), EINVAL);
    EXPECT_ERRNO(readv(file, &part, 1), EINVAL);
    EXPECT_ERRNO(write(file, "x", 1), EBADF);
    EXPECT_ERRNO(writev(file, &part, 1), EBADF);
    EXPECT_ERRNO(pread(file, bytes, 1, 0), ESPIPE);
    EXPECT_ERRNO(pwrite(file, bytes, 1, 0), ESPIPE);
    EXPECT_ERRNO(send(file, "x", 1, MSG_NOSIGNAL), ENOTSOCK);
    EXPECT_ERRNO(recv(file, bytes, 1, MSG_DONTWAIT), ENOTSOCK);
    EXPECT_ERRNO(lseek(file, 0, SEEK_SET), ESPIPE);
    EXPECT_ERRNO(ftruncate(file, 0), EINVAL);
    EXPECT_ERRNO(ioctl(file, FIONREAD, bytes), ENOTTY);
    EXPECT_ERRNO(fcntl(file, F_GET_SEALS), EINVAL);
  }
  EXPECT(wait_for(signaled, 0) == 1 && count(signaled, 1) == 1 && wait_for(fence, 0) == 0);
  EXPECT_ERRNO(read(timeline, bytes, 1), EINVAL);
  EXPECT_ERRNO(write(timeline, bytes, 1), EINVAL);
  EXPECT_ERRNO(pread(timeline, bytes, 1, 0), EINVAL);
  EXPECT_ERRNO(send(timeline, "x", 1, MSG_NOSIGNAL), ENOTSOCK);
  EXPECT_ERRNO(lseek(timeline, 0, SEEK_SET), ESPIPE);
  EXPECT_ERRNO(ioctl(timeline, FIONREAD, bytes), ENOTTY);
  EXPECT_ERRNO(read(object, bytes, 1), EINVAL);
  EXPECT_ERRNO(write(object, bytes, 1), EBADF);
  EXPECT_ERRNO(read(node, bytes, sizeof(bytes)), EAGAIN);
  EXPECT_ERRNO(write(node, bytes, 1), EINVAL);
  EXPECT_ERRNO(recv(node, bytes, 1, 0), ENOTSOCK);
  EXPECT_ERRNO(ioctl(node, FIONREAD, bytes), ENOTTY);
  EXPECT_ERRNO(read(buffer, bytes, 1), EINVAL);
  EXPECT_ERRNO(write(buffer, bytes, 1), EINVAL);
  EXPECT_ERRNO(write(reader, bytes, 1), EBADF);
  EXPECT_ERRNO(pread(buffer, bytes, 1, 0), ESPIPE);
  EXPECT_ERRNO(ftruncate(buffer, 0), EINVAL);
  EXPECT_ERRNO(fcntl(buffer, F_GET_SEALS), EINVAL);
  EXPECT_ERRNO(fcntl(buffer, F_ADD_SEALS, F_SEAL_WRITE), EINVAL);
  EXPECT_ERRNO(pwritev(buffer, &part, 1, 0), ESPIPE);
  EXPECT_ERRNO(preadv(fence, &part, 1, 0), ESPIPE);
  EXPECT_ERRNO(preadv2(buffer, &part, 1, -1, 0), EINVAL);
  EXPECT_ERRNO(pwritev2(reader, &part, 1, -1, 0), EBADF);
  EXPECT_ERRNO(fallocate(buffer, 0, 0, 1), ENODEV);
  EXPECT_ERRNO(fallocate(fence, 0, 0, 1), EBADF);
  EXPECT_ERRNO(fsync(buffer), EINVAL);
  EXPECT_ERRNO(fdatasync(fence), EINVAL);
  copying_and_looking(timeline, fence, object, buffer);
  EXPECT(lseek(buffer, 0, SEEK_END) == 8192 && lseek(buffer, 0, SEEK_SET) == 0);
  EXPECT_ERRNO(lseek(buffer, 1, SEEK_SET), EINVAL);
  EXPECT_ERRNO(lseek(buffer, 0, SEEK_CUR), EINVAL);
}

/* Others are what they were: files, pipes, sockets, and memory files with the same seals. */
static void others_are_what_they_were(void) {
  int memory = memfd_create("other", MFD_ALLOW_SEALING), ends[2], sockets[2], left = 0;
  char byte = 0;

  EXPECT(memory >= 0 && ftruncate(memory, 4096) == 0);
  EXPECT(fcntl(memory, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW) == 0);
  EXPECT((fcntl(memory, F_GET_SEALS) & 7) == (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW));
  EXPECT(write(memory, "ab", 2) == 2 && lseek(memory, 1, SEEK_SET) == 1);
  EXPECT(read(memory, &byte, 1) == 1 && byte == 'b' && pread(memory, &byte, 1, 0) == 1);
  EXPECT(mmap(NULL, 8192, PROT_READ, MAP_PRIVATE, memory, 0) != MAP_FAILED);
  EXPECT(pipe(ends) == 0 && write(ends[1], "x", 1) == 1);
  EXPECT(ioctl(ends[0], FIONREAD, &left) == 0 && left == 1 && read(ends[0], &byte, 1) == 1);
  EXPECT(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets) == 0 && send(sockets[0], "y", 1, 0) == 1);
  EXPECT(ioctl(sockets[1], FIONREAD, &left) == 0 && left == 1);
  EXPECT(recv(sockets[1], &byte, 1, 0) == 1 && byte == 'y');
  EXPECT_ERRNO(read(-1, &byte, 1), EBADF);
  EXPECT_ERRNO(fcntl(-1, F_GETFD), EBADF);
}

/* --- Waiting --- */

static short poll_now(int fd, short events) {
  struct pollfd p = {.fd = fd, .events = events, .revents = 0x7fff};

  EXPECT(poll(&p, 1, 0) == (p.revents != 0));
  return p.revents;
}

static void waiting(void) {
  int timeline = open_timeline(), fence = make_fence(timeline, 1), drm = open_card();
  int object = syncobj_fd(drm), epoll = epoll_create1(EPOLL_CLOEXEC);
  short all = POLLIN | POLLOUT | POLLPRI | POLLRDNORM | POLLWRNORM | POLLRDHUP;
  struct epoll_event e = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP}, got;
  struct timeval none = {0};
  fd_set writable;

  EXPECT(poll_now(fence, all) == 0 && poll_now(fence, POLLOUT) == 0);
  EXPECT(poll_now(drm, all) == 0 && poll_now(drm, POLLIN) == 0);
  EXPECT(poll_now(timeline, all) == (POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM));
  EXPECT(poll_now(object, POLLIN | POLLOUT) == (POLLIN | POLLOUT));
  EXPECT_ERRNO(epoll_ctl(epoll, EPOLL_CTL_ADD, timeline, &e), EPERM);
  EXPECT_ERRNO(epoll_ctl(epoll, EPOLL_CTL_ADD, object, &e), EPERM);
  EXPECT(epoll_ctl(epoll, EPOLL_CTL_ADD, drm, &e) == 0);
  EXPECT(epoll_ctl(epoll, EPOLL_CTL_ADD, fence, &e) == 0 && epoll_wait(epoll, &got, 1, 0) == 0);
  EXPECT(epoll_ctl(epoll, EPOLL_CTL_MOD, fence, &e) == 0 && epoll_wait(epoll, &got, 1, 0) == 0);
  FD_ZERO(&writable);
  FD_SET(fence, &writable);
  EXPECT(select(fence + 1, NULL, &writable, NULL, &none) == 0 && !FD_ISSET(fence, &writable));
  EXPECT(increase(timeline, 1) == 0);
  EXPECT(poll_now(fence, all) == POLLIN && poll_now(fence, POLLIN) == POLLIN);
  EXPECT(poll_now(fence, POLLOUT | POLLRDHUP) == 0);
  EXPECT(epoll_wait(epoll, &got, 1, 1000) == 1 && got.events == EPOLLIN);
  FD_SET(fence, &writable);
  EXPECT(select(fence + 1, NULL, &writable, NULL, &none) == 0);
}

/* Told once for each signal, however fast the one who waits is. */
enum { EDGES = 200 };
struct edges {
  int epoll;
  int told[EDGES];
};

static void* collect(void* argument) {
  struct edges* all = argument;
  struct epoll_event e;
  int n = 0;

  while (n != EDGES) {
    EXPECT(epoll_wait(all->epoll, &e, 1, 30000) == 1 && e.events == EPOLLIN);
    n += all->told[e.data.u32]++ == 0;
  }
  return NULL;
}

static void edges_are_told_once(void) {
  struct edges all = {.epoll = epoll_create1(EPOLL_CLOEXEC)};
  int timeline = open_timeline(), i, fences[EDGES];
  struct epoll_event e = {.events = EPOLLIN | EPOLLET};
  pthread_t thread;

  for (i = 0; i < EDGES; i++) {
    fences[i] = make_fence(timeline, (uint32_t)i + 1);
    e.data.u64 = (uint64_t)i;
    EXPECT(epoll_ctl(all.epoll, EPOLL_CTL_ADD, fences[i], &e) == 0);
  }
  EXPECT(pthread_create(&thread, NULL, collect, &all) == 0);
  for (i = 0; i < EDGES; i++) EXPECT(increase(timeline, 1) == 0);
  EXPECT(pthread_join(thread, NULL) == 0);
  EXPECT(epoll_wait(all.epoll, &e, 1, 0) == 0);
  for (i = 0; i < EDGES; i++) EXPECT(all.told[i] == 1);
  /* Who changes what is watched is told again. */
  e.events = EPOLLIN | EPOLLET, e.data.u64 = 7;
  EXPECT(epoll_ctl(all.epoll, EPOLL_CTL_MOD, fences[7], &e) == 0);
  EXPECT(epoll_wait(all.epoll, &e, 1, 1000) == 1 && epoll_wait(all.epoll, &e, 1, 0) == 0);
}

/* --- Numbers --- */

static void numbers_are_the_lowest_free_ones(void) {
  int timeline = open_timeline(), free_one = dup(timeline), fence, second;

  EXPECT(close(free_one) == 0);
  fence = make_fence(timeline, 1);
  EXPECT(fence == free_one);
  second = make_fence(timeline, 2);
  EXPECT(second == free_one + 1);
  EXPECT(close(fence) == 0 && open_timeline() == free_one);
  EXPECT(open_card() == free_one + 2);
  EXPECT(close(second) == 0 && open("/sys/dev/char/226:0/uevent", O_RDONLY) == second);
}

/* --- Mapping --- */

static void mapping(void) {
  uint64_t size;
  int drm = open_card(), buffer, reader;
  uint32_t handle = make_buffer(drm, &size);
  struct map m = {.handle = handle};
  const int rw = PROT_READ | PROT_WRITE;

  EXPECT(drm_ioctl(drm, MAP_DUMB, &m) == 0);
  buffer = dma_buf_of(drm, handle, O_RDWR), reader = dma_buf_of(drm, handle, 0);
  EXPECT(mmap(NULL, size, rw, MAP_SHARED, drm, (off_t)m.offset) != MAP_FAILED);
  EXPECT(mmap(NULL, 4096, rw, MAP_SHARED, drm, (off_t)m.offset) != MAP_FAILED);
  EXPECT(mmap(NULL, size + 1, rw, MAP_SHARED, drm, (off_t)m.offset) == MAP_FAILED &&
         errno == EINVAL);
  EXPECT(mmap(NULL, 4096, rw, MAP_SHARED, drm, (off_t)m.offset + 4096) == MAP_FAILED &&
         errno == EINVAL);
  EXPECT(mmap(NULL, 4096, rw, MAP_SHARED, drm, 0) == MAP_FAILED && errno == EINVAL);
  EXPECT(mmap(NULL, 4096, rw, MAP_PRIVATE, drm, (off_t)m.offset) == MAP_FAILED && errno == EINVAL);
  EXPECT(mmap(NULL, size, rw, MAP_SHARED, buffer, 0) != MAP_FAILED);
  EXPECT(mmap(NULL, 4096, rw, MAP_SHARED, buffer, 4096) != MAP_FAILED);
  EXPECT(mmap(NULL, size, rw, MAP_SHARED, buffer, 4096) == MAP_FAILED && errno == EINVAL);
  EXPECT(mmap(NULL, size + 4096, rw, MAP_SHARED, buffer, 0) == MAP_FAILED && errno == EINVAL);
  EXPECT(mmap(NULL, size, rw, MAP_PRIVATE, buffer, 0) == MAP_FAILED && errno == EINVAL);
  EXPECT(mmap(NULL, size, PROT_READ, MAP_SHARED, reader, 0) != MAP_FAILED);
  EXPECT(mmap(NULL, size, rw, MAP_SHARED, reader, 0) == MAP_FAILED && errno == EACCES);
  EXPECT(mmap(NULL, 4096, PROT_READ, MAP_SHARED, open_timeline(), 0) == MAP_FAILED &&
         errno == ENODEV);
}

/* --- What sync files tell --- */

static uint64_t time_of(int fence) {
  struct sync_fence_info leaf = {.timestamp_ns = 0};
  struct sync_file_info info = {.num_fences = 1, .sync_fence_info = (uintptr_t)&leaf};

  EXPECT(ioctl(fence, SYNC_IOC_FILE_INFO, &info) == 0 && info.num_fences == 1);
  EXPECT(info.status == 1 && leaf.status == 1);
  return leaf.timestamp_ns;
}

/* More leaves than a message has room for. */
static void info_of_1700_leaves(void) {
  enum { LEAVES = 1700 };
  int drm = open_card(), i, file;
  int timeline = open_timeline(), all = make_fence(timeline, 1), next, one, timelines[LEAVES];
  struct sync_fence_info* told = calloc(LEAVES, sizeof(*told));
  struct sync_file_info info = {.num_fences = LEAVES, .sync_fence_info = (uintptr_t)told};

  timelines[0] = timeline;
  for (i = 1; i < LEAVES; i++) {
    timelines[i] = open_timeline();
    EXPECT(timelines[i] >= 0);
    one = make_fence(timelines[i], 1), next = merge(all, one);
    EXPECT(one >= 0 && next >= 0);
    close(one), close(all);
    all = next;
  }
  EXPECT(ioctl(all, SYNC_IOC_FILE_INFO, &info) == 0 && info.num_fences == LEAVES);
  for (i = 0; i < LEAVES; i++) EXPECT(!strcmp(told[i].driver_name, "sw_sync") && !told[i].status);
  info.num_fences = LEAVES - 1;
  EXPECT_ERRNO(ioctl(all, SYNC_IOC_FILE_INFO, &info), EINVAL);
  info.num_fences = LEAVES, info.sync_fence_info = 16;
  EXPECT_ERRNO(ioctl(all, SYNC_IOC_FILE_INFO, &info), EFAULT);
  for (i = 0; i < LEAVES; i++) EXPECT(increase(timelines[i], 1) == 0);
  info.sync_fence_info = (uintptr_t)told, info.num_fences = LEAVES;
  EXPECT(ioctl(all, SYNC_IOC_FILE_INFO, &info) == 0 && info.status == 1);
  file = dup(all);
  EXPECT(wait_for(file, 0) == 1);
  free(told), close(drm);
}

static void times_are_never_0(void) {
  int drm = open_card(), timeline = open_timeline();
  int buffer = dma_buf_of(drm, make_buffer(drm, NULL), O_RDWR), before = make_fence(timeline, 0);
  struct {
    uint32_t flags;
    int32_t fd;
  } idle = {.flags = 1};
  struct drm_fd a = {.handle = create(drm), .flags = SYNC_FILE | AT_POINT, .point = 5};
  uint64_t point = 5;

  EXPECT(ioctl(buffer, _IOWR('b', 2, idle), &idle) == 0 && time_of(idle.fd) != 0);
  EXPECT(signal_points(drm, &a.handle, &point, 1) == 0);
  EXPECT(drm_ioctl(drm, SYNCOBJ_HANDLE_TO_FD, &a) == 0 && time_of(a.fd) != 0);
  EXPECT(time_of(before) != 0 && time_of(merge(before, a.fd)) != 0);
}

/* Times have a sign there: the last one is before all others. */
static void deadlines_are_signed(void) {
  int timeline = open_timeline(), fence = make_fence(timeline, 1);
  struct sw_sync_get_deadline told = {.fence_fd = fence};
  struct sync_set_deadline_data hint = {.deadline_ns = 1000};

  EXPECT(ioctl(fence, SYNC_IOC_DEADLINE, &hint) == 0);
  hint.deadline_ns = ~0ull;
  EXPECT(ioctl(fence, SYNC_IOC_DEADLINE, &hint) == 0);
  EXPECT(ioctl(timeline, SW_SYNC_GET_DEADLINE, &told) == 0 && told.deadline_ns == ~0ull);
}

/* --- Folders --- */

static void folders_are_opened_and_read(void) {
  static const char* const names[] = {"/sys/dev/char/226:0", "/sys/kernel/debug/dri/0",
                                      "/sys/class/drm/card0", "/sys/kernel/debug/sync"};
  static const char* const inside[] = {"uevent", "name", "dev", "sw_sync"};
  char text[128], path[32];
  size_t i;

  for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
    int folder = open(names[i], O_RDONLY | O_DIRECTORY | O_CLOEXEC), file, found = 0;
    struct dirent* entry;
    struct stat s;
    DIR* stream;

    EXPECT(folder >= 0 && fstat(folder, &s) == 0 && S_ISDIR(s.st_mode));
    EXPECT_ERRNO(open(names[i], O_RDWR), EISDIR);
    EXPECT(fstatat(folder, inside[i], &s, 0) == 0 && !S_ISDIR(s.st_mode));
    file = openat(folder, inside[i], i == 3 ? O_RDWR : O_RDONLY);
    EXPECT(file >= 0 && (i == 3 || read(file, text, sizeof(text)) > 4));
    snprintf(path, sizeof(path), "/proc/self/fd/%d", folder);
    EXPECT(readlink(path, text, sizeof(text)) == (ssize_t)strlen(names[i]));
    EXPECT(!strncmp(text, names[i], strlen(names[i])));
    stream = fdopendir(folder);
    EXPECT(stream && dirfd(stream) == folder);
    while ((entry = readdir(stream))) found += !strcmp(entry->d_name, inside[i]);
    EXPECT(found == 1 && closedir(stream) == 0);
    EXPECT_ERRNO(fcntl(folder, F_GETFD), EBADF);
    stream = opendir(names[i]);
    EXPECT(stream && (folder = dirfd(stream)) >= 0 && faccessat(folder, inside[i], R_OK, 0) == 0);
    EXPECT(closedir(stream) == 0);
  }
}

/* --- What a node's owner is asked --- */

#define GET_UNIQUE _IOWR('d', 0x01, struct text)
#define GET_MAGIC _IOR('d', 0x02, uint32_t)
#define GET_CLIENT _IOWR('d', 0x05, struct client)
#define GET_STATS _IOR('d', 0x06, struct stats)
#define SET_VERSION _IOWR('d', 0x07, struct versions)
#define GEM_CLOSE _IOW('d', 0x09, struct drm_handle)
#define GEM_FLINK _IOWR('d', 0x0A, struct drm_handle)
#define GEM_OPEN _IOWR('d', 0x0B, struct named)
#define SET_CLIENT_CAP _IOW('d', 0x0D, struct text)
#define AUTH_MAGIC _IOW('d', 0x11, uint32_t)
#define SET_MASTER _IO('d', 0x1E)
#define DROP_MASTER _IO('d', 0x1F)
#define SET_CLIENT_NAME _IOWR('d', 0xD1, struct text)
#define SET_NAME_A _IOW('b', 1, uint32_t)
#define SET_NAME _IOW('b', 1, uint64_t)

struct text {
  uint64_t size, text;
};
struct client {
  int32_t index, authenticated;
  uint64_t pid, uid, magic, calls;
};
struct stats {
  uint64_t count;
  struct {
    uint64_t value, type;
  } data[15];
};
struct versions {
  int32_t interface_major, interface_minor, driver_major, driver_minor;
};
struct named {
  uint32_t name, handle;
  uint64_t size;
};

static void versions_and_names_of_the_bus(void) {
  int drm = open_card(), other = open_card();
  char name[16] = "";
  struct text unique = {.size = 0};
  struct versions all = {1, 4, -1, 0}, wrong = {2, 0, -1, 0}, none = {-1, 0, -1, 0};

  EXPECT(ioctl(drm, GET_UNIQUE, &unique) == 0 && unique.size == 0);
  EXPECT_ERRNO(ioctl(other, SET_VERSION, &all), EACCES);
  EXPECT_ERRNO(ioctl(drm, SET_VERSION, &wrong), EINVAL);
  EXPECT(ioctl(drm, SET_VERSION, &none) == 0 && none.interface_major == 1);
  EXPECT(none.interface_minor == 4 && none.driver_major == 1 && none.driver_minor == 0);
  EXPECT(ioctl(drm, GET_UNIQUE, &unique) == 0 && unique.size == 0);
  EXPECT(ioctl(drm, SET_VERSION, &all) == 0);
  unique.text = (uintptr_t)name;
  EXPECT(ioctl(drm, GET_UNIQUE, &unique) == 0 && unique.size == 4 && !name[0]);
  EXPECT(ioctl(other, GET_UNIQUE, &unique) == 0 && unique.size == 4 && !strcmp(name, "vgem"));
}

static void masters_and_magic(void) {
  int drm = open_card(), other = open_card(), render = open_drm(), third;
  uint32_t magic = 0, again = 0, none = 77;
  struct client c = {.index = 0}, far = {.index = 1};
  struct stats s;

  memset(&s, 1, sizeof(s));
  EXPECT(ioctl(drm, GET_STATS, &s) == 0 && s.count == 0 && s.data[14].value == 0);
  EXPECT(ioctl(drm, GET_CLIENT, &c) == 0 && c.authenticated && c.pid == (uint64_t)getpid());
  EXPECT_ERRNO(ioctl(drm, GET_CLIENT, &far), EINVAL);
  EXPECT(ioctl(other, GET_MAGIC, &magic) == 0 && magic != 0);
  EXPECT(ioctl(other, GET_MAGIC, &again) == 0 && magic == again);
  EXPECT_ERRNO(ioctl(other, AUTH_MAGIC, &magic), EACCES);
  EXPECT_ERRNO(ioctl(drm, AUTH_MAGIC, &none), EINVAL);
  EXPECT(ioctl(drm, AUTH_MAGIC, &magic) == 0);
  EXPECT_ERRNO(ioctl(drm, AUTH_MAGIC, &magic), EINVAL);
  EXPECT(ioctl(other, GET_CLIENT, &c) == 0 && c.authenticated);
  EXPECT(ioctl(drm, SET_MASTER, 0) == 0);
  EXPECT(ioctl(drm, DROP_MASTER, 0) == 0);
  EXPECT_ERRNO(ioctl(drm, DROP_MASTER, 0), EINVAL);
  EXPECT_ERRNO(ioctl(drm, AUTH_MAGIC, &magic), EACCES);
  third = open_card();
  EXPECT(ioctl(third, AUTH_MAGIC, &none) == -1 && errno == EINVAL);
  EXPECT_ERRNO(ioctl(drm, SET_MASTER, 0), EBUSY);
  EXPECT(close(third) == 0 && ioctl(drm, SET_MASTER, 0) == 0);
  EXPECT_ERRNO(ioctl(render, GET_MAGIC, &magic), EACCES);
  EXPECT_ERRNO(ioctl(render, SET_MASTER, 0), EACCES);
  EXPECT_ERRNO(ioctl(render, GET_STATS, &s), EACCES);
}

static void global_names_of_buffers(void) {
  int drm = open_card(), other = open_card();
  uint64_t size;
  struct drm_handle flink = {.handle = make_buffer(drm, &size)}, gone = {.handle = flink.handle};
  struct named n = {.name = 0};
  struct drm_handle bad = {.handle = 99};
  uint32_t magic;

  EXPECT(ioctl(other, GET_MAGIC, &magic) == 0 && ioctl(drm, AUTH_MAGIC, &magic) == 0);
  EXPECT_ERRNO(ioctl(drm, GEM_FLINK, &bad), ENOENT);
  EXPECT(ioctl(drm, GEM_FLINK, &flink) == 0 && flink.flags == 1);
  EXPECT(ioctl(drm, GEM_FLINK, &flink) == 0 && flink.flags == 1);
  n.name = 5;
  EXPECT_ERRNO(ioctl(other, GEM_OPEN, &n), ENOENT);
  n.name = flink.flags;
  EXPECT(ioctl(other, GEM_OPEN, &n) == 0 && n.handle == 1 && n.size == size);
  EXPECT(ioctl(drm, GEM_CLOSE, &gone) == 0 && ioctl(other, GEM_OPEN, &n) == 0 && n.handle == 2);
  gone.handle = 1;
  EXPECT(ioctl(other, GEM_CLOSE, &gone) == 0);
  gone.handle = 2;
  EXPECT(ioctl(other, GEM_CLOSE, &gone) == 0);
  EXPECT_ERRNO(ioctl(other, GEM_OPEN, &n), ENOENT);
}

static void names_that_programs_give(void) {
  int drm = open_card(), render = open_drm();
  int buffer = dma_buf_of(drm, make_buffer(drm, NULL), O_RDWR);
  struct text name = {.size = 4, .text = (uintptr_t) "name"};
  struct text spaced = {.size = 3, .text = (uintptr_t) "a b"}, large = {.size = 65, .text = 16};

  EXPECT(ioctl(render, SET_CLIENT_NAME, &name) == 0 && ioctl(drm, SET_CLIENT_NAME, &name) == 0);
  EXPECT_ERRNO(ioctl(drm, SET_CLIENT_NAME, &spaced), EINVAL);
  EXPECT_ERRNO(ioctl(drm, SET_CLIENT_NAME, &large), EINVAL);
  large.size = 4;
  EXPECT_ERRNO(ioctl(drm, SET_CLIENT_NAME, &large), EFAULT);
  name.size = 0;
  EXPECT(ioctl(drm, SET_CLIENT_NAME, &name) == 0);
  EXPECT_ERRNO(ioctl(drm, SET_CLIENT_CAP, &name), EOPNOTSUPP);
  EXPECT(ioctl(buffer, SET_NAME, "framebuffer") == 0 && ioctl(buffer, SET_NAME_A, "f") == 0);
  EXPECT_ERRNO(ioctl(buffer, SET_NAME, "a name that has more than thirty-one letters"), EINVAL);
  EXPECT_ERRNO(ioctl(buffer, SET_NAME, NULL), EFAULT);
}

/* Of a driver that shows nothing. */
static void nothing_is_shown(void) {
  static const uint32_t of_all[] = {0x3A, 0x3B, 0xA0, 0xA1, 0xA6, 0xA7,
                                    0xAD, 0xAE, 0xB5, 0xB9, 0xBD, 0xCE};
  static const uint32_t of_the_master[] = {0xA2, 0xA3, 0xB0, 0xB7, 0xBC, 0xC6};
  int drm = open_card(), other = open_card(), render = open_drm();
  char argument[64] = "";
  size_t i;

  for (i = 0; i < sizeof(of_all) / sizeof(of_all[0]); i++) {
    const unsigned long code = _IOC(_IOC_READ | _IOC_WRITE, 'd', of_all[i], sizeof(argument));

    EXPECT_ERRNO(ioctl(drm, code, argument), EOPNOTSUPP);
    EXPECT_ERRNO(ioctl(other, code, argument), EOPNOTSUPP);
    EXPECT_ERRNO(ioctl(render, code, argument), EACCES);
  }
  for (i = 0; i < sizeof(of_the_master) / sizeof(of_the_master[0]); i++) {
    const unsigned long code =
        _IOC(_IOC_READ | _IOC_WRITE, 'd', of_the_master[i], sizeof(argument));

    EXPECT_ERRNO(ioctl(drm, code, argument), EOPNOTSUPP);
    EXPECT_ERRNO(ioctl(other, code, argument), EACCES);
    EXPECT_ERRNO(ioctl(render, code, argument), EACCES);
  }
}

/* As those do who read the folder of their descriptors entry by entry. */
/* What a link is, and what it leads to. */
static void links_are_links(void) {
  int drm = open_card(), buffer = dma_buf_of(drm, make_buffer(drm, NULL), O_RDWR);
  char path[64], *whole;
  struct statx more;
  struct stat s;

  snprintf(path, sizeof(path), "/proc/self/fd/%d", drm);
  EXPECT(lstat(path, &s) == 0 && S_ISLNK(s.st_mode));
  EXPECT(fstatat(AT_FDCWD, path, &s, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(s.st_mode));
  EXPECT(statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, STATX_TYPE, &more) == 0);
  EXPECT(S_ISLNK(more.stx_mode));
  EXPECT(stat(path, &s) == 0 && S_ISCHR(s.st_mode));
  EXPECT((whole = realpath(path, NULL)) && !strcmp(whole, "/dev/dri/card0"));
  free(whole);
  EXPECT(lstat("/sys/dev/char/226:0/device/subsystem", &s) == 0 && S_ISLNK(s.st_mode));
  EXPECT((whole = realpath("/dev/dri/../sw_sync", NULL)) && !strcmp(whole, "/dev/sw_sync"));
  free(whole);
  EXPECT(!realpath("/dev/dri/card7", NULL) && errno == ENOENT);
  snprintf(path, sizeof(path), "/proc/self/fd/%d", buffer);
  EXPECT_ERRNO(open(path, O_RDWR), ENXIO);
  EXPECT_ERRNO(openat(AT_FDCWD, path, O_RDONLY), ENXIO);
}

static void links_have_relative_names(void) {
  int timeline = open_timeline(), fence = make_fence(timeline, 1), folder;
  char name[32], text[64] = "";
  struct stat s;

  folder = open("/proc/self/fd", O_RDONLY | O_DIRECTORY);
  snprintf(name, sizeof(name), "%d", timeline);
  EXPECT(folder >= 0 && readlinkat(folder, name, text, sizeof(text)) > 0);
  EXPECT(!strncmp(text, "/dev/sw_sync", 12));
  EXPECT(fstatat(folder, name, &s, 0) == 0 && S_ISCHR(s.st_mode));
  snprintf(name, sizeof(name), "./%d", fence);
  EXPECT(readlinkat(folder, name, text, sizeof(text)) == 20);
  EXPECT(!memcmp(text, "anon_inode:sync_file", 20));
  EXPECT(chdir("/proc/self/fd") == 0 && readlink(name, text, sizeof(text)) == 20);
  EXPECT(readlinkat(AT_FDCWD, "/proc//self/./fd/../fd/0", text, sizeof(text)) > 0);
  EXPECT(readlink("/sys/dev/char/226:0//device/subsystem", text, sizeof(text)) > 0);
  EXPECT(chdir("/dev") == 0);
  EXPECT_ERRNO(readlinkat(folder, "99999", text, sizeof(text)), ENOENT);
}

static const struct test_case cases[] = {
    {"FILE_reading_and_writing", reading_and_writing},
    {"FILE_others_are_what_they_were", others_are_what_they_were},
    {"FILE_waiting", waiting},
    {"FILE_edges_are_told_once", edges_are_told_once},
    {"FILE_numbers_are_the_lowest_free_ones", numbers_are_the_lowest_free_ones},
    {"FILE_mapping", mapping},
    {"FILE_info_of_1700_leaves", info_of_1700_leaves},
    {"FILE_times_are_never_0", times_are_never_0},
    {"FILE_deadlines_are_signed", deadlines_are_signed},
    {"FILE_folders_are_opened_and_read", folders_are_opened_and_read},
    {"NODE_versions_and_names_of_the_bus", versions_and_names_of_the_bus},
    {"NODE_masters_and_magic", masters_and_magic},
    {"NODE_global_names_of_buffers", global_names_of_buffers},
    {"NODE_names_that_programs_give", names_that_programs_give},
    {"NODE_nothing_is_shown", nothing_is_shown},
    {"FILE_links_have_relative_names", links_have_relative_names},
    {"FILE_links_are_links", links_are_links},
};

int main(int argc, char** argv) {
  return run_cases(cases, sizeof(cases) / sizeof(cases[0]), argc, argv);
}
