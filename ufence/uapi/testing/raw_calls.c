/* Programs that make system calls past the C library, as those in Go do: from many threads that start
 * and end, with large flags, and interrupted by signals whose calls are begun again. */
#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>

#include "ufence/uapi/testing/sync.h"

static volatile int interruptions;
static void note(int number) { interruptions += number != 0; }

/* Signals all the time, as the Go runtime's. */
static void be_interrupted(int flags) {
  struct sigaction action = {.sa_flags = flags};
  struct itimerval often = {.it_interval = {.tv_usec = 500}, .it_value = {.tv_usec = 500}};

  action.sa_handler = note;
  EXPECT(sigaction(SIGALRM, &action, NULL) == 0);
  EXPECT(setitimer(ITIMER_REAL, &often, NULL) == 0);
}

static long open_raw(void) {
  return syscall(SYS_openat, AT_FDCWD, "/dev/sw_sync", O_RDWR | O_CLOEXEC | O_LARGEFILE, 0);
}
static long control(long fd, unsigned long code, void* argument) {
  return syscall(SYS_ioctl, fd, code, argument);
}
static int make_raw(long timeline, uint32_t value) {
  struct sw_sync_create_fence_data data = {.value = value, .name = "raw"};

  return control(timeline, SW_SYNC_IOC_CREATE_FENCE, &data) == 0 ? data.fence : -1;
}
static int raw_status(int fence) {
  struct sync_file_info info = {.num_fences = 0};

  EXPECT(control(fence, SYNC_IOC_FILE_INFO, &info) == 0);
  return info.status;
}

/* Each call has its effect once, however often the program is interrupted in it. */
static void interrupted_calls_are_made_once(void) {
  enum { CALLS = 1000 };
  const long timeline = open_raw();
  const int last = make_raw(timeline, CALLS), after = make_raw(timeline, CALLS + 1);
  int i;

  EXPECT(timeline >= 0 && last >= 0 && after >= 0);
  be_interrupted(SA_RESTART);
  for (i = 0; i < CALLS; i++) {
    uint32_t one = 1;

    EXPECT(raw_status(last) == 0);
    EXPECT(control(timeline, SW_SYNC_IOC_INC, &one) == 0);
  }
  EXPECT(raw_status(last) == 1 && raw_status(after) == 0);
  EXPECT(interruptions > 0);
}

/* A wait is ended by a signal all the same. */
static void waits_are_interrupted(void) {
  const long timeline = open_raw();
  struct pollfd p = {.fd = make_raw(timeline, 1), .events = POLLIN};

  be_interrupted(0);
  EXPECT_ERRNO(syscall(SYS_ppoll, &p, 1, NULL, NULL, 8), EINTR);
  EXPECT(interruptions > 0);
}

struct raw {
  long timeline;
  uint32_t value;
};
static void* wait_raw(void* argument) {
  const struct raw* r = argument;
  struct pollfd p = {.fd = make_raw(r->timeline, r->value), .events = POLLIN};

  EXPECT(syscall(SYS_ppoll, &p, 1, NULL, NULL, 8) == 1 && p.revents == POLLIN);
  EXPECT(raw_status(p.fd) == 1);
  EXPECT(syscall(SYS_close, p.fd) == 0);
  return NULL;
}

static void threads_wait(void) {
  enum { THREADS = 16 };
  struct raw all[THREADS];
  pthread_t threads[THREADS];
  const long timeline = open_raw();
  uint32_t i, one = 1;

  for (i = 0; i < THREADS; i++) {
    all[i] = (struct raw){timeline, i + 1};
    EXPECT(pthread_create(&threads[i], NULL, wait_raw, &all[i]) == 0);
  }
  for (i = 0; i < THREADS; i++) EXPECT(control(timeline, SW_SYNC_IOC_INC, &one) == 0);
  for (i = 0; i < THREADS; i++) EXPECT(pthread_join(threads[i], NULL) == 0);
}

static const struct test_case cases[] = {
    {"RAW_interrupted_calls_are_made_once", interrupted_calls_are_made_once},
    {"RAW_waits_are_interrupted", waits_are_interrupted},
    {"RAW_threads_wait", threads_wait},
};

int main(int argc, char** argv) {
  return run_cases(cases, sizeof(cases) / sizeof(cases[0]), argc, argv);
}
