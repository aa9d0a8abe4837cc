/* What the graphics tests' suite holds of sw_sync, and more of the interface: sizes, numbers,
 * errors. */
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "ufence/uapi/testing/sync.h"

static void alloc_timeline(void) {
  int timeline = open_timeline();

  EXPECT(timeline >= 0);
  close(timeline);
}

static void alloc_fence(void) {
  int timeline = open_timeline();
  int fence = make_fence(timeline, 1);

  EXPECT(fence >= 0);
  close(fence), close(timeline);
}

static void alloc_fence_invalid_timeline(void) { EXPECT_ERRNO(make_fence(-1, 0), EBADF); }

static void timeline_closed(void) {
  int timeline = open_timeline();
  int fence = make_fence(timeline, 1);

  close(timeline);
  EXPECT(wait_for(fence, 0) == 1);
  EXPECT(status_of(fence) == -ENOENT && count(fence, -ENOENT) == 1);
  close(fence);
}

static void timeline_closed_signaled(void) {
  int timeline = open_timeline();
  int fence = make_fence(timeline, 1);

  EXPECT(increase(timeline, 1) == 0);
  close(timeline);
  EXPECT(wait_for(fence, 0) == 1 && status_of(fence) == SIGNALED);
  close(fence);
}

static void alloc_merge_fence(void) {
  int first = open_timeline(), second = open_timeline();
  int a = make_fence(first, 1), b = make_fence(second, 1);
  int both = merge(a, b);

  EXPECT(both >= 0);
  close(a), close(b), close(both), close(first), close(second);
}

static void sync_busy(void) {
  int timeline = open_timeline();
  int fence, seqno;

  for (seqno = 1; seqno <= 20; seqno += 4) {
    fence = make_fence(timeline, (uint32_t)seqno);
    EXPECT(wait_for(fence, 0) == 0);
    EXPECT(increase(timeline, seqno == 1 ? 1 : 3) == 0);
    EXPECT(wait_for(fence, 0) == (seqno == 1));
    if (seqno != 1) EXPECT(increase(timeline, 1) == 0);
    EXPECT(wait_for(fence, 0) == 1);
    close(fence);
  }
  close(timeline);
}

static void end_child(pid_t child) {
  int status;

  EXPECT(waitpid(child, &status, 0) == child);
  EXPECT(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void sync_busy_fork(void) {
  int timeline = open_timeline();
  int fence = make_fence(timeline, 1);
  pid_t child = fork();

  EXPECT(child >= 0);
  if (child == 0) {
    EXPECT(wait_for(fence, 0) == 0);
    EXPECT(increase(timeline, 1) == 0);
    _exit(0);
  }
  EXPECT(wait_for(fence, 10000) == 1);
  end_child(child);
  /* The child's end closes nothing that is still open here. */
  close(fence);
  fence = make_fence(timeline, 2);
  EXPECT(fence >= 0 && wait_for(fence, 0) == 0);
  close(fence), close(timeline);
}

static void send_fd(int socket, int fd) {
  char byte = 0;
  struct iovec data = {.iov_base = &byte, .iov_len = 1};
  union {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(sizeof(int))];
  } control = {.bytes = {0}};
  struct msghdr message = {.msg_iov = &data,
                           .msg_iovlen = 1,
                           .msg_control = control.bytes,
                           .msg_controllen = sizeof(control.bytes)};

  control.header.cmsg_level = SOL_SOCKET;
  control.header.cmsg_type = SCM_RIGHTS;
  control.header.cmsg_len = CMSG_LEN(sizeof(int));
  memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
  EXPECT(sendmsg(socket, &message, 0) == 1);
}

static int receive_fd(int socket) {
  char byte;
  struct iovec data = {.iov_base = &byte, .iov_len = 1};
  union {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(sizeof(int))];
  } control;
  struct msghdr message = {.msg_iov = &data,
                           .msg_iovlen = 1,
                           .msg_control = control.bytes,
                           .msg_controllen = sizeof(control.bytes)};
  int fd;

  EXPECT(recvmsg(socket, &message, 0) == 1);
  EXPECT(message.msg_controllen >= CMSG_LEN(sizeof(int)));
  memcpy(&fd, CMSG_DATA(&control.header), sizeof(fd));
  return fd;
}

static void sync_busy_fork_unixsocket(void) {
  int ends[2], timeline, fence;
  pid_t child;

  EXPECT(socketpair(AF_UNIX, SOCK_DGRAM, 0, ends) == 0);
  child = fork();
  EXPECT(child >= 0);
  if (child == 0) {
    timeline = open_timeline();
    fence = make_fence(timeline, 1);
    send_fd(ends[1], fence);
    send_fd(ends[1], timeline);
    _exit(0);
  }
  fence = receive_fd(ends[0]);
  timeline = receive_fd(ends[0]);
  end_child(child);
  /* The timeline outlives who opened it. */
  EXPECT(wait_for(fence, 0) == 0 && status_of(fence) == ACTIVE);
  EXPECT(increase(timeline, 1) == 0);
  EXPECT(wait_for(fence, 0) == 1 && status_of(fence) == SIGNALED);
  close(fence), close(timeline), close(ends[0]), close(ends[1]);
}

static void sync_merge_invalid(void) {
  int timeline = open_timeline();
  int fence = make_fence(timeline, 1);
  int null = open("/dev/null", O_RDWR);
  struct sync_merge_data data = {.fd2 = fence, .flags = 1};

  EXPECT_ERRNO(merge(fence, -1), ENOENT);
  EXPECT_ERRNO(merge(fence, null), ENOENT);
  EXPECT_ERRNO(merge(fence, timeline), ENOENT);
  EXPECT_ERRNO(merge(-1, fence), EBADF);
  EXPECT_ERRNO(merge(null, fence), ENOTTY);
  EXPECT_ERRNO(merge(timeline, fence), ENOTTY);
  EXPECT_ERRNO(ioctl(fence, SYNC_IOC_MERGE, &data), EINVAL);
  data.flags = 0, data.pad = 1;
  EXPECT_ERRNO(ioctl(fence, SYNC_IOC_MERGE, &data), EINVAL);
  close(null), close(fence), close(timeline);
}

static void sync_merge(void) {
  int timeline = open_timeline();
  int a = make_fence(timeline, 1), b = make_fence(timeline, 2), c = make_fence(timeline, 3);
  int ab = merge(a, b), all = merge(ab, c);

  EXPECT(count(all, ACTIVE) == 1);
  EXPECT(increase(timeline, 1) == 0 && wait_for(all, 0) == 0);
  EXPECT(increase(timeline, 1) == 0 && wait_for(all, 0) == 0);
  EXPECT(increase(timeline, 1) == 0 && wait_for(all, 0) == 1);
  EXPECT(count(all, SIGNALED) == 1);
  close(a), close(b), close(c), close(ab), close(all), close(timeline);
}

static void sync_merge_same(void) {
  int timeline = open_timeline();
  int fence = make_fence(timeline, 1), merged = merge(fence, fence);

  EXPECT(count_all(merged) == 1 && count(merged, SIGNALED) == 0);
  EXPECT(increase(timeline, 1) == 0 && count(merged, SIGNALED) == 1);
  close(fence), close(merged), close(timeline);
}

static void sync_multi_timeline_wait(void) {
  int timelines[3], fences[3], ab, all, i;

  for (i = 0; i < 3; i++) {
    timelines[i] = open_timeline();
    fences[i] = make_fence(timelines[i], 5);
  }
  ab = merge(fences[0], fences[1]);
  all = merge(ab, fences[2]);
  for (i = 0; i < 3; i++) {
    EXPECT(wait_for(all, 0) == 0 && count(all, ACTIVE) == 3 - i);
    EXPECT(increase(timelines[i], 5) == 0);
  }
  EXPECT(count(all, ACTIVE) == 0 && count(all, SIGNALED) == 3 && wait_for(all, 0) == 1);
  close(ab), close(all);
  for (i = 0; i < 3; i++) close(fences[i]), close(timelines[i]);
}

/* --- Several threads --- */

#define THREADS 8
#define ROUNDS STRESS_ROUNDS
static int timeline, answers[THREADS], order[THREADS], counter, counted;
static pthread_mutex_t counting = PTHREAD_MUTEX_INITIALIZER;

static void* consume(void* which) {
  int fence, i;

  (void)which;
  for (i = 1; i <= ROUNDS; i++) {
    fence = make_fence(timeline, (uint32_t)i);
    EXPECT(fence >= 0 && wait_for(fence, -1) == 1);
    close(fence);
    pthread_mutex_lock(&counting);
    counted++;
    pthread_mutex_unlock(&counting);
  }
  return NULL;
}

static void sync_multi_consumer(void) {
  pthread_t threads[THREADS];
  int i;

  timeline = open_timeline();
  for (i = 0; i < THREADS; i++) EXPECT(pthread_create(&threads[i], NULL, consume, NULL) == 0);
  for (i = 0; i < ROUNDS; i++) EXPECT(increase(timeline, 1) == 0);
  for (i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
  EXPECT(counted == THREADS * ROUNDS);
  close(timeline);
}

/* Each waits for its turn in a circle, counts, and lets the next one go. */
static void* take_turns(void* which) {
  int me = *(int*)which, fence, i;

  for (i = 0; i < ROUNDS; i++) {
    fence = make_fence(timeline, (uint32_t)(i * THREADS + me));
    EXPECT(wait_for(fence, -1) == 1);
    close(fence);
    EXPECT(counter == i * THREADS + me);
    counter++;
    EXPECT(increase(timeline, 1) == 0);
  }
  return NULL;
}

static void sync_multi_consumer_producer(void) {
  pthread_t threads[THREADS];
  int i;

  timeline = open_timeline();
  for (i = 0; i < THREADS; i++) {
    order[i] = i;
    EXPECT(pthread_create(&threads[i], NULL, take_turns, &order[i]) == 0);
  }
  for (i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
  EXPECT(counter == THREADS * ROUNDS);
  close(timeline);
}

static void* produce(void* which) {
  int me = *(int*)which, fence, i;

  for (i = 0; i < ROUNDS; i++) {
    fence = make_fence(timeline, (uint32_t)i);
    EXPECT(wait_for(fence, -1) == 1);
    close(fence);
    pthread_mutex_lock(&counting);
    counted++;
    pthread_mutex_unlock(&counting);
    EXPECT(increase(answers[me], 1) == 0);
  }
  return NULL;
}

static void sync_multi_producer_single_consumer(void) {
  pthread_t threads[THREADS];
  int i, round, all, one, both;

  timeline = open_timeline();
  for (i = 0; i < THREADS; i++) {
    order[i] = i;
    answers[i] = open_timeline();
  }
  for (i = 0; i < THREADS; i++) EXPECT(pthread_create(&threads[i], NULL, produce, &order[i]) == 0);
  for (round = 1; round <= ROUNDS; round++) {
    all = make_fence(answers[0], (uint32_t)round);
    for (i = 1; i < THREADS; i++) {
      one = make_fence(answers[i], (uint32_t)round);
      both = merge(all, one);
      close(all), close(one);
      all = both;
    }
    EXPECT(wait_for(all, -1) == 1 && counted == THREADS * round);
    close(all);
    EXPECT(increase(timeline, 1) == 0);
  }
  for (i = 0; i < THREADS; i++) {
    pthread_join(threads[i], NULL);
    close(answers[i]);
  }
  close(timeline);
}

static void sync_expired_merge(void) {
  int first = open_timeline(), a, b, merged, active, both;

  EXPECT(increase(first, 100) == 0);
  a = make_fence(first, 1), b = make_fence(first, 10);
  EXPECT(wait_for(a, 0) == 1 && wait_for(b, 0) == 1);
  merged = merge(a, b);
  EXPECT(wait_for(merged, 0) == 1);
  active = make_fence(first, 101);
  both = merge(merged, active);
  EXPECT(wait_for(both, 0) == 0);
  EXPECT(increase(first, 1) == 0 && wait_for(both, 0) == 1);
  close(a), close(b), close(merged), close(active), close(both), close(first);
}

static void sync_random_merge(void) {
  int timelines[32], touched[32] = {0}, i, used = 0, merged, one, both;

  srand(2);
  for (i = 0; i < 32; i++) timelines[i] = open_timeline();
  merged = make_fence(timelines[0], 1);
  touched[0] = 1;
  for (i = 0; i < 1024; i++) {
    int t = rand() % 32, value = rand() % 100 + 1;

    one = make_fence(timelines[t], (uint32_t)value);
    both = merge(merged, one);
    EXPECT(both >= 0);
    close(merged), close(one);
    merged = both;
    if (touched[t] < value) touched[t] = value;
  }
  for (i = 0; i < 32; i++) used += touched[i] != 0;
  EXPECT(count_all(merged) == used);
  for (i = 0; i < 32; i++) {
    EXPECT(wait_for(merged, 0) == (used == 0));
    EXPECT(increase(timelines[i], (uint32_t)touched[i]) == 0);
    used -= touched[i] != 0;
  }
  EXPECT(wait_for(merged, 0) == 1);
  close(merged);
  for (i = 0; i < 32; i++) close(timelines[i]);
}

/* --- Beyond the suite: the letter of the interface --- */

static void arguments_are_checked(void) {
  int fd = open_timeline(), fence = make_fence(fd, 7);
  struct sync_file_info info = {.flags = 1};
  struct sync_set_deadline_data hint = {.pad = 1};
  struct sw_sync_get_deadline pad = {.pad = 1};
  void* bad = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  void* fixed = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

  EXPECT(SW_SYNC_IOC_CREATE_FENCE == 0xC0285700 && SW_SYNC_IOC_INC == 0x40045701);
  EXPECT(SW_SYNC_GET_DEADLINE == 0xC0105702 && SYNC_IOC_DEADLINE == 0x40103E05);
  EXPECT(SYNC_IOC_MERGE == 0xC0303E03 && SYNC_IOC_FILE_INFO == 0xC0383E04);
  EXPECT_ERRNO(ioctl(fd, SW_SYNC_IOC_CREATE_FENCE, NULL), EFAULT);
  EXPECT_ERRNO(ioctl(fd, SW_SYNC_IOC_CREATE_FENCE, bad), EFAULT);
  EXPECT_ERRNO(ioctl(fd, SW_SYNC_IOC_CREATE_FENCE, fixed), EFAULT);
  EXPECT_ERRNO(ioctl(fd, SW_SYNC_IOC_INC, bad), EFAULT);
  EXPECT_ERRNO(ioctl(fence, SYNC_IOC_MERGE, bad), EFAULT);
  EXPECT_ERRNO(ioctl(fence, SYNC_IOC_FILE_INFO, bad), EFAULT);
  EXPECT_ERRNO(ioctl(fence, SYNC_IOC_FILE_INFO, &info), EINVAL);
  info.flags = 0, info.pad = 1;
  EXPECT_ERRNO(ioctl(fence, SYNC_IOC_FILE_INFO, &info), EINVAL);
  info.pad = 0, info.num_fences = 1, info.sync_fence_info = (uintptr_t)bad;
  EXPECT_ERRNO(ioctl(fence, SYNC_IOC_FILE_INFO, &info), EFAULT);
  EXPECT_ERRNO(ioctl(fence, SYNC_IOC_DEADLINE, &hint), EINVAL);
  EXPECT_ERRNO(ioctl(fd, _IO('W', 9)), ENOTTY);
  /* A number says its size: another one is not known, and nothing is looked at. */
  EXPECT_ERRNO(ioctl(fd, _IOW('W', 1, uint64_t), bad), ENOTTY);
  EXPECT_ERRNO(ioctl(fd, _IOW('W', 1, uint64_t), &hint), ENOTTY);
  EXPECT_ERRNO(ioctl(fd, _IOWR('W', 1, uint32_t), bad), ENOTTY);
  EXPECT_ERRNO(ioctl(fence, _IOWR('>', 3, uint64_t), bad), ENOTTY);
  EXPECT_ERRNO(ioctl(fence, _IOWR('>', 1, struct sync_merge_data), bad), ENOTTY);
  EXPECT_ERRNO(ioctl(fence, SW_SYNC_IOC_CREATE_FENCE, bad), ENOTTY);
  EXPECT_ERRNO(ioctl(fd, SYNC_IOC_FILE_INFO, bad), ENOTTY);
  EXPECT_ERRNO(ioctl(fd, SW_SYNC_GET_DEADLINE, bad), EFAULT);
  EXPECT_ERRNO(ioctl(fence, SYNC_IOC_DEADLINE, bad), EFAULT);
  pad.fence_fd = fence;
  EXPECT_ERRNO(ioctl(fd, SW_SYNC_GET_DEADLINE, &pad), EINVAL);
  EXPECT_ERRNO(ioctl(fence, _IO('>', 0)), ENOTTY);
  EXPECT_ERRNO(ioctl(fence, SW_SYNC_IOC_INC, &info), ENOTTY);
  EXPECT(status_of(fence) == ACTIVE);
  close(fence), close(fd);
}

static void info_tells_names_and_times(void) {
  int fd = open_timeline(), other = open_timeline();
  int a = make_fence(fd, 7), b = make_fence(other, 7), both = merge(a, b);
  struct sync_file_info info = {.num_fences = 1};
  struct sync_fence_info leaves[3];

  info.sync_fence_info = (uintptr_t)leaves;
  EXPECT_ERRNO(ioctl(both, SYNC_IOC_FILE_INFO, &info), EINVAL);
  EXPECT(increase(fd, 7) == 0);
  memset(leaves, 0, sizeof(leaves));
  info.num_fences = 3;
  EXPECT(ioctl(both, SYNC_IOC_FILE_INFO, &info) == 0);
  EXPECT(info.num_fences == 2 && info.status == ACTIVE && !strcmp(info.name, "merged"));
  EXPECT(info.sync_fence_info == (uintptr_t)leaves);
  EXPECT(!strcmp(leaves[0].driver_name, "sw_sync"));
  EXPECT(!strncmp(leaves[0].obj_name, "uapi_igt_sw_sync", 15));
  EXPECT((leaves[0].status == SIGNALED) == (leaves[0].timestamp_ns != 0));
  EXPECT((leaves[1].status == SIGNALED) == (leaves[1].timestamp_ns != 0));
  EXPECT(leaves[0].status + leaves[1].status == 1);
  close(a), close(b), close(both), close(fd), close(other);
}

static void values_wrap_and_are_shared(void) {
  int fd = open_timeline(), a, b, far;

  EXPECT(increase(fd, 0xFFFFFFF0u) == 0);
  a = make_fence(fd, 0xFFFFFFFFu), b = make_fence(fd, 8);
  EXPECT(wait_for(a, 0) == 0 && wait_for(b, 0) == 0);
  EXPECT(increase(fd, 0xF) == 0 && wait_for(a, 0) == 1 && wait_for(b, 0) == 0);
  EXPECT(increase(fd, 9) == 0 && wait_for(b, 0) == 1);
  far = make_fence(fd, 8u - 1u);
  EXPECT(wait_for(far, 0) == 1);
  close(a), close(b), close(far), close(fd);
}

static void deadlines_keep_the_soonest(void) {
  int fd = open_timeline(), fence = make_fence(fd, 1);
  struct sw_sync_get_deadline told = {.fence_fd = fence};
  struct sync_set_deadline_data hint = {.deadline_ns = 2000};

  EXPECT_ERRNO(ioctl(fd, SW_SYNC_GET_DEADLINE, &told), ENOENT);
  EXPECT(ioctl(fence, SYNC_IOC_DEADLINE, &hint) == 0);
  hint.deadline_ns = 1000;
  EXPECT(ioctl(fence, SYNC_IOC_DEADLINE, &hint) == 0);
  hint.deadline_ns = 3000;
  EXPECT(ioctl(fence, SYNC_IOC_DEADLINE, &hint) == 0);
  EXPECT(ioctl(fd, SW_SYNC_GET_DEADLINE, &told) == 0 && told.deadline_ns == 1000);
  EXPECT_ERRNO(ioctl(fd, SW_SYNC_GET_DEADLINE, &told), EINVAL);
  told.deadline_ns = 0, told.fence_fd = fd;
  EXPECT_ERRNO(ioctl(fd, SW_SYNC_GET_DEADLINE, &told), EINVAL);
  told.fence_fd = -1;
  EXPECT_ERRNO(ioctl(fd, SW_SYNC_GET_DEADLINE, &told), EINVAL);
  close(fence), close(fd);
}

/* Nobody takes it from the others. */
static void no_sockets(void) {
  int fd = open_timeline(), copy = dup(fd), fence = make_fence(fd, 1);

  EXPECT_ERRNO(shutdown(fd, SHUT_RDWR), ENOTSOCK);
  EXPECT_ERRNO(shutdown(fence, SHUT_RDWR), ENOTSOCK);
  EXPECT(status_of(fence) == ACTIVE && wait_for(fence, 0) == 0);
  EXPECT(increase(copy, 1) == 0 && wait_for(fence, 0) == 1);
  EXPECT_ERRNO(shutdown(-1, SHUT_RDWR), EBADF);
  close(fd), close(copy), close(fence);
}

static void the_last_duplicate_closes(void) {
  int fd = open_timeline(), copy = dup(fd), fence = make_fence(fd, 1), copy_of_fence = dup(fence);

  close(fd);
  EXPECT(wait_for(fence, 0) == 0 && status_of(fence) == ACTIVE);
  close(fence);
  EXPECT(increase(copy, 1) == 0 && wait_for(copy_of_fence, 0) == 1);
  fence = make_fence(copy, 2);
  close(copy);
  EXPECT(status_of(fence) == -ENOENT);
  close(fence), close(copy_of_fence);
}

/* Whatever closes a descriptor ends what it was the last one of. */
static void everything_that_closes_does(void) {
  int fd = open_timeline(), fence = make_fence(fd, 1), null = open("/dev/null", O_RDWR), other;

  EXPECT(dup2(null, fd) == fd && status_of(fence) == -ENOENT);
  close(fence);
  fd = open_timeline(), fence = make_fence(fd, 1);
  EXPECT(dup3(null, fd, O_CLOEXEC) == fd && status_of(fence) == -ENOENT);
  close(fence);
  fd = open_timeline(), fence = make_fence(fd, 1);
  EXPECT(dup2(fd, fd) == fd && status_of(fence) == ACTIVE);
  other = fcntl(fd, F_DUPFD, 500);
  close(fd);
  EXPECT(status_of(fence) == ACTIVE);
  EXPECT(close_range((unsigned)other, ~0U, 0) == 0 && status_of(fence) == -ENOENT);
  close(fence), close(null);
}

/* Other names of the same: links in /proc, relative paths, detours. */
static void names_of_devices(void) {
  static const char* const same[] = {"/dev//sw_sync", "/dev/./sw_sync", "/dev/../dev/sw_sync",
                                     "//dev/sw_sync"};
  char link[64], target[64] = "";
  int fd = open("/dev/sw_sync", O_RDWR), fence = make_fence(fd, 1), again, folder;
  ssize_t size;
  size_t i;

  snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
  size = readlink(link, target, sizeof(target));
  EXPECT(size == 12 && !memcmp(target, "/dev/sw_sync", 12));
  again = open(link, O_RDWR);
  EXPECT(again >= 0);
  EXPECT(increase(again, 1) == 0 && status_of(fence) == ACTIVE); /* a timeline of its own */
  close(again);
  snprintf(link, sizeof(link), "/proc/%d/fd/%d", (int)getpid(), fence);
  size = readlink(link, target, sizeof(target));
  EXPECT(size == 20 && !memcmp(target, "anon_inode:sync_file", 20));
  for (i = 0; i < sizeof(same) / sizeof(same[0]); i++) {
    again = open(same[i], O_RDWR);
    EXPECT(again >= 0 && access(same[i], R_OK) == 0);
    close(again);
  }
  EXPECT_ERRNO(open("/sw_sync", O_RDWR), ENOENT);
  folder = open("/dev", O_RDONLY | O_DIRECTORY);
  again = openat(folder, "sw_sync", O_RDWR);
  EXPECT(folder >= 0 && again >= 0 && faccessat(folder, "dri/card0", R_OK, 0) == 0);
  close(again);
  EXPECT(chdir("/dev") == 0 && (again = open("sw_sync", O_RDWR)) >= 0);
  close(again);
  EXPECT(chdir("/") == 0 && (again = open("dev/sw_sync", O_RDWR)) >= 0);
  EXPECT_ERRNO(open("sw_sync", O_RDWR), ENOENT);
  close(again), close(folder), close(fence), close(fd);
}

/* The program once more, for one case, with a variable that tells it what to do. */
static void run_again(const char* name, const char* variable, const char* value) {
  pid_t child = fork();

  EXPECT(child >= 0);
  if (child == 0) {
    setenv(variable, value, 1);
    execl("/proc/self/exe", "again", name, (char*)NULL);
    _exit(1);
  }
  end_child(child);
}

static void descriptors_live_through_exec(void) {
  const char* inherited = getenv("INHERITED_TIMELINE");
  char number[16];
  int fd, fence;

  if (inherited) {
    EXPECT(increase(atoi(inherited), 1) == 0);
    return;
  }
  fd = open_timeline(), fence = make_fence(fd, 1);
  EXPECT(fcntl(fd, F_GETFD) == 0);
  snprintf(number, sizeof(number), "%d", fd);
  run_again("SYNC_descriptors_live_through_exec", "INHERITED_TIMELINE", number);
  EXPECT(wait_for(fence, 0) == 1 && status_of(fence) == SIGNALED);
  close(fence);
  fence = make_fence(fd, 2);
  EXPECT(wait_for(fence, 0) == 0);
  close(fence), close(fd);
}

/* A broker of its own, which the first open starts. */
static void the_broker_may_be_killed(void) {
  const char* const own = getenv("UFENCE_UAPI_BROKER");
  int fd, pending, done, other, status, i;
  struct ucred broker;
  socklen_t size = sizeof(broker);
  char name[64];

  if (!own || strncmp(own, "killed-", 7) != 0) {
    snprintf(name, sizeof(name), "killed-%d-%ld", (int)getpid(), (long)time(NULL));
    run_again("SYNC_the_broker_may_be_killed", "UFENCE_UAPI_BROKER", name);
    return;
  }
  fd = open_timeline(), pending = make_fence(fd, 2), done = make_fence(fd, 1);
  EXPECT(pending >= 0 && increase(fd, 1) == 0 && status_of(done) == SIGNALED);
  EXPECT(getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &broker, &size) == 0);
  EXPECT(broker.pid > 1 && broker.pid != getpid() && broker.pid != getppid());
  EXPECT(kill(broker.pid, SIGKILL) == 0);
  EXPECT(wait_for(pending, -1) == 1 && wait_for(done, -1) == 1);
  /* Another one finds out what became of them. */
  other = open_timeline();
  EXPECT(other >= 0 && status_of(done) == SIGNALED);
  for (i = 0; (status = status_of(pending)) == ACTIVE && i < 30000; i++) poll(NULL, 0, 1);
  EXPECT(status == -EOWNERDEAD);
  EXPECT_ERRNO(increase(fd, 1), ENODEV);
  EXPECT_ERRNO(make_fence(fd, 1), ENODEV);
  close(done);
  done = make_fence(other, 1);
  EXPECT(increase(other, 1) == 0 && wait_for(done, 0) == 1);
  close(fd), close(pending), close(done), close(other);
}

/* What fails for want of a descriptor has done nothing. */
static void descriptors_run_out(void) {
  int fd = open_timeline(), fence = make_fence(fd, 1), copies[1], merged;
  struct rlimit limit = {.rlim_cur = 64, .rlim_max = 64};

  EXPECT(setrlimit(RLIMIT_NOFILE, &limit) == 0);
  copies[0] = dup(fd);
  while (dup(fd) >= 0)
    ;
  EXPECT(errno == EMFILE);
  EXPECT_ERRNO(make_fence(fd, 1), EMFILE);
  EXPECT_ERRNO(open("/dev/sw_sync", O_RDWR), EMFILE);
  /* What makes none takes none. */
  EXPECT(status_of(fence) == ACTIVE && count_all(fence) == 1);
  EXPECT_ERRNO(merge(fence, fence), EMFILE);
  close(copies[0]);
  merged = merge(fence, fence);
  EXPECT(merged == copies[0] && count_all(merged) == 1);
  close(merged);
  merged = open("/dev/sw_sync", O_RDWR);
  EXPECT(merged == copies[0] && close(merged) == 0);
  EXPECT(status_of(fence) == ACTIVE && increase(fd, 1) == 0 && wait_for(fence, 0) == 1);
}

static void paths_are_there(void) {
  struct stat s;
  int fd;

  EXPECT(access("/dev/sw_sync", R_OK | W_OK) == 0);
  EXPECT_ERRNO(access("/dev/sw_sync", X_OK), EACCES);
  EXPECT(stat("/dev/sw_sync", &s) == 0 && S_ISCHR(s.st_mode));
  EXPECT(stat("/sys/kernel/debug/sync/sw_sync", &s) == 0 && S_ISREG(s.st_mode));
  fd = open("/sys/kernel/debug/sw_sync", O_RDWR);
  EXPECT(fd >= 0 && fcntl(fd, F_GETFD) == 0);
  close(fd);
  fd = openat(AT_FDCWD, "/dev/sw_sync", O_RDWR | O_CLOEXEC);
  EXPECT(fd >= 0 && fcntl(fd, F_GETFD) == FD_CLOEXEC);
  EXPECT(fstat(fd, &s) == 0 && S_ISCHR(s.st_mode));
  close(fd);
  EXPECT_ERRNO(open("/dev/sw_sync", O_RDWR | O_DIRECTORY), ENOTDIR);
  EXPECT_ERRNO(open("/dev/sw_sync_of_others", O_RDWR), ENOENT);
  EXPECT(fstat(0, &s) == 0);
}

static const struct test_case cases[] = {
    {"IS01_alloc_timeline", alloc_timeline},
    {"IS02_alloc_fence", alloc_fence},
    {"IS03_alloc_fence_invalid_timeline", alloc_fence_invalid_timeline},
    {"IS04_timeline_closed", timeline_closed},
    {"IS05_timeline_closed_signaled", timeline_closed_signaled},
    {"IS06_alloc_merge_fence", alloc_merge_fence},
    {"IS07_sync_busy", sync_busy},
    {"IS08_sync_busy_fork", sync_busy_fork},
    {"IS09_sync_busy_fork_unixsocket", sync_busy_fork_unixsocket},
    {"IS10_sync_merge_invalid", sync_merge_invalid},
    {"IS11_sync_merge", sync_merge},
    {"IS12_sync_merge_same", sync_merge_same},
    {"IS13_sync_multi_timeline_wait", sync_multi_timeline_wait},
    {"IS14_sync_multi_consumer", sync_multi_consumer},
    {"IS15_sync_multi_consumer_producer", sync_multi_consumer_producer},
    {"IS16_sync_multi_producer_single_consumer", sync_multi_producer_single_consumer},
    {"IS17_sync_expired_merge", sync_expired_merge},
    {"IS18_sync_random_merge", sync_random_merge},
    {"SYNC_arguments_are_checked", arguments_are_checked},
    {"SYNC_info_tells_names_and_times", info_tells_names_and_times},
    {"SYNC_values_wrap_and_are_shared", values_wrap_and_are_shared},
    {"SYNC_deadlines_keep_the_soonest", deadlines_keep_the_soonest},
    {"SYNC_the_last_duplicate_closes", the_last_duplicate_closes},
    {"SYNC_everything_that_closes_does", everything_that_closes_does},
    {"SYNC_names_of_devices", names_of_devices},
    {"SYNC_no_sockets", no_sockets},
    {"SYNC_descriptors_live_through_exec", descriptors_live_through_exec},
    {"SYNC_the_broker_may_be_killed", the_broker_may_be_killed},
    {"SYNC_descriptors_run_out", descriptors_run_out},
    {"SYNC_paths_are_there", paths_are_there},
};

int main(int argc, char** argv) {
  return run_cases(cases, sizeof(cases) / sizeof(cases[0]), argc, argv);
}
