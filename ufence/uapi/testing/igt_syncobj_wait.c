/* What the graphics tests' suite holds of waiting for binary syncobjs; the same for points of
 * timelines. */
#include <dirent.h>
#include <pthread.h>
#include <sched.h>
#include <sys/time.h>

#include "ufence/uapi/testing/drm.h"

/* The two kinds that the tests run for: 0 binary, else the point of a timeline. */
static uint64_t point_of_kind;

static int wait_kind(int drm, const uint32_t* handles, uint32_t count, int64_t timeout,
                     uint32_t flags, uint32_t* first) {
  uint64_t points[16];
  uint32_t i;

  if (!point_of_kind) return wait_flags(drm, handles, count, timeout, flags, first);
  for (i = 0; i < count && i < 16; i++) points[i] = point_of_kind;
  return wait_points(drm, handles, points, count, timeout, flags, first);
}

static void signal_kind(int drm, uint32_t handle) {
  if (point_of_kind)
    EXPECT(signal_points(drm, &handle, &point_of_kind, 1) == 0);
  else
    EXPECT(on_all(drm, SYNCOBJ_SIGNAL, &handle, 1) == 0);
}

static int submit_kind(int drm, uint32_t handle) { return submit(drm, handle, point_of_kind); }

/* --- Bad arguments --- */

static void invalid_wait_bad_flags(void) {
  int drm = open_drm();
  uint32_t handle = create(drm);

  EXPECT_ERRNO(wait_kind(drm, &handle, 1, 0, 0xdeadbeef, NULL), EINVAL);
  if (!point_of_kind) EXPECT_ERRNO(wait_kind(drm, &handle, 1, 0, WAIT_AVAILABLE, NULL), EINVAL);
}

static void wait_zero_handles(void) { EXPECT(wait_kind(open_drm(), NULL, 0, 0, 0, NULL) == 0); }

static void invalid_wait_illegal_handle(void) {
  uint32_t handle = 0;

  EXPECT_ERRNO(wait_kind(open_drm(), &handle, 1, 0, 0, NULL), ENOENT);
}

static void expect_no_zero_handles(unsigned long request) {
  int drm = open_drm();
  uint32_t handle = create(drm);

  EXPECT_ERRNO(on_all(drm, request, &handle, 0), EINVAL);
  EXPECT_ERRNO(on_all(drm, request, NULL, 0), EINVAL);
}

static void expect_no_illegal_handle(unsigned long request) {
  uint32_t handle = 0;

  EXPECT_ERRNO(on_all(open_drm(), request, &handle, 1), ENOENT);
}

static void expect_no_one_illegal_handle(unsigned long request) {
  int drm = open_drm();
  uint32_t handles[3] = {create(drm), 0, create(drm)};
  int first = submit_kind(drm, handles[0]), last = submit_kind(drm, handles[2]);

  EXPECT_ERRNO(on_all(drm, request, handles, 2), ENOENT);
  EXPECT_ERRNO(on_all(drm, request, handles, 3), ENOENT);
  EXPECT_ERRNO(on_all(drm, request, (uint32_t*)8, 1), EFAULT);
  /* The others were not touched. */
  EXPECT_ERRNO(wait_kind(drm, &handles[0], 1, 0, 0, NULL), ETIME);
  EXPECT_ERRNO(wait_kind(drm, &handles[2], 1, 0, 0, NULL), ETIME);
  close(first), close(last);
}

static void expect_no_bad_pad(unsigned long request) {
  int drm = open_drm();
  uint32_t handle = create(drm);
  struct drm_array a = {.handles = (uintptr_t)&handle, .count = 1, .pad = 0xdeadbeef};
  int timeline = submit_kind(drm, handle);

  EXPECT_ERRNO(drm_ioctl(drm, request, &a), EINVAL);
  EXPECT_ERRNO(wait_kind(drm, &handle, 1, 0, 0, NULL), ETIME);
  close(timeline);
}

static void invalid_reset_zero_handles(void) { expect_no_zero_handles(SYNCOBJ_RESET); }
static void invalid_reset_illegal_handle(void) { expect_no_illegal_handle(SYNCOBJ_RESET); }
static void invalid_reset_one_illegal_handle(void) { expect_no_one_illegal_handle(SYNCOBJ_RESET); }
static void invalid_reset_bad_pad(void) { expect_no_bad_pad(SYNCOBJ_RESET); }
static void invalid_signal_zero_handles(void) { expect_no_zero_handles(SYNCOBJ_SIGNAL); }
static void invalid_signal_illegal_handle(void) { expect_no_illegal_handle(SYNCOBJ_SIGNAL); }
static void invalid_signal_one_illegal_handle(void) {
  expect_no_one_illegal_handle(SYNCOBJ_SIGNAL);
}
static void invalid_signal_bad_pad(void) { expect_no_bad_pad(SYNCOBJ_SIGNAL); }

/* --- Each state, each flag --- */

enum state { UNSUBMITTED, SUBMITTED, DONE };

static void bring_to(int drm, uint32_t handle, enum state state, int* timeline) {
  *timeline = -1;
  if (state == UNSUBMITTED) return;
  *timeline = submit_kind(drm, handle);
  if (state == DONE) EXPECT(increase(*timeline, 1) == 0);
}

static int expected(const enum state* states, int count, uint32_t flags) {
  int i, done = 0;

  for (i = 0; i < count; i++) {
    if (states[i] == UNSUBMITTED && !(flags & (WAIT_FOR_SUBMIT | WAIT_AVAILABLE))) return EINVAL;
    done += states[i] == DONE || (states[i] == SUBMITTED && (flags & WAIT_AVAILABLE));
  }
  return (flags & WAIT_ALL) ? (done == count ? 0 : ETIME) : (done ? 0 : ETIME);
}

static void expect_wait(int drm, const uint32_t* handles, const enum state* states, int count,
                        uint32_t flags) {
  const int64_t timeouts[] = {0, in_ns(1000000), (int64_t)UINT64_MAX, INT64_MAX};
  const int error = expected(states, count, flags);
  unsigned i;

  for (i = 0; i < 4; i++) {
    if (i == 3 && error == ETIME) continue;
    errno = 0;
    EXPECT(wait_kind(drm, handles, (uint32_t)count, timeouts[i], flags, NULL) == (error ? -1 : 0));
    EXPECT(errno == error);
  }
}

static void wait_matrix(int count) {
  const uint32_t top = point_of_kind ? 8 : 4;
  int drm = open_drm(), combination, combinations = 1, i, timelines[3];
  enum state states[3];
  uint32_t handles[3], flags;

  for (i = 0; i < count; i++) combinations *= 3;
  for (combination = 0; combination < combinations; combination++) {
    int rest = combination;

    for (i = 0; i < count; i++, rest /= 3) {
      states[i] = (enum state)(rest % 3);
      handles[i] = create(drm);
      bring_to(drm, handles[i], states[i], &timelines[i]);
    }
    for (flags = 0; flags < top; flags++) expect_wait(drm, handles, states, count, flags);
    for (i = 0; i < count; i++) {
      if (timelines[i] >= 0) close(timelines[i]);
      EXPECT(destroy(drm, handles[i]) == 0);
    }
  }
  close(drm);
}

static void single_wait(void) { wait_matrix(1); }

static void multi_wait(void) { wait_matrix(3); }

/* --- Something happens during the wait --- */

struct later {
  int drm;
  uint32_t handles[8];
  int timelines[8];
  int count;
  int what; /* 0 signal, 1 submit something signaled, 2 reset, then that, 3 submit what is pending
             */
  pid_t waits;
};

/* Until a thread sleeps: it has called, and waits for the answer. The call that follows comes after
 * it. */
static void wait_until_asleep(int drm, const volatile pid_t* thread) {
  const int64_t until = in_ns(120000000000ll);
  char path[64], text[256], state = 0;
  FILE* file;

  while (state != 'S') {
    EXPECT(in_ns(0) < until);
    sched_yield();
    if (!*thread) continue;
    snprintf(path, sizeof(path), "/proc/self/task/%d/stat", (int)*thread);
    file = fopen(path, "r");
    EXPECT(file && fgets(text, sizeof(text), file));
    fclose(file);
    state = strrchr(text, ')')[2];
  }
  EXPECT_ERRNO(wait_flags(drm, (uint32_t[]){0}, 1, 0, 0, NULL), ENOENT);
}

static void* act_later(void* argument) {
  struct later* l = argument;
  int i;

  wait_until_asleep(l->drm, &l->waits);
  for (i = 0; i < l->count; i++) {
    if (l->what == 0) {
      EXPECT(increase(l->timelines[i], 1) == 0);
      continue;
    }
    if (l->what == 3) {
      l->timelines[i] = submit_kind(l->drm, l->handles[i]);
      continue;
    }
    if (l->what == 2) EXPECT(on_all(l->drm, SYNCOBJ_RESET, &l->handles[i], 1) == 0);
    signal_kind(l->drm, l->handles[i]);
  }
  return NULL;
}

static void expect_wait_ends(uint32_t flags, int count, int what) {
  struct later l = {.drm = open_drm(), .count = count, .what = what, .waits = gettid()};
  pthread_t thread;
  int i;

  for (i = 0; i < count; i++) {
    l.handles[i] = create(l.drm);
    if (what == 0) l.timelines[i] = submit_kind(l.drm, l.handles[i]);
  }
  EXPECT(pthread_create(&thread, NULL, act_later, &l) == 0);
  EXPECT(wait_kind(l.drm, l.handles, (uint32_t)count, in_ns(120000000000ll), flags, NULL) == 0);
  pthread_join(thread, NULL);
  for (i = 0; i < count; i++) {
    if (what == 0 || what == 3) close(l.timelines[i]);
  }
  close(l.drm);
}

static void delayed_signal(void) { expect_wait_ends(0, 1, 0); }
static void for_submit_delayed_submit(void) { expect_wait_ends(WAIT_FOR_SUBMIT, 1, 1); }
static void all_delayed_signal(void) { expect_wait_ends(WAIT_ALL, 4, 0); }
static void all_for_submit_delayed_submit(void) {
  expect_wait_ends(WAIT_ALL | WAIT_FOR_SUBMIT, 4, 1);
}
/* Of what is available nothing need be signaled. */
static void available_delayed_submit(void) {
  expect_wait_ends(WAIT_AVAILABLE, 1, 3);
  expect_wait_ends(WAIT_AVAILABLE | WAIT_FOR_SUBMIT, 4, 3);
}
static void all_available_delayed_submit(void) {
  expect_wait_ends(WAIT_ALL | WAIT_AVAILABLE, 4, 3);
  expect_wait_ends(WAIT_ALL | WAIT_AVAILABLE | WAIT_FOR_SUBMIT, 4, 3);
  expect_wait_ends(WAIT_ALL | WAIT_AVAILABLE, 4, 1);
}

static void reset_during_wait_for_submit(void) { expect_wait_ends(WAIT_FOR_SUBMIT, 1, 2); }

/* --- Reset and signal --- */

static void reset_unsignaled(void) {
  int drm = open_drm();
  uint32_t handle = create(drm);

  EXPECT(on_all(drm, SYNCOBJ_RESET, &handle, 1) == 0);
  EXPECT_ERRNO(wait_kind(drm, &handle, 1, 0, 0, NULL), EINVAL);
  close(submit_kind(drm, handle));
  EXPECT(on_all(drm, SYNCOBJ_RESET, &handle, 1) == 0);
  EXPECT_ERRNO(wait_kind(drm, &handle, 1, 0, 0, NULL), EINVAL);
  EXPECT(query(drm, handle) == 0);
}

static void reset_signaled(void) {
  int drm = open_drm();
  uint32_t handle = create(drm);

  signal_kind(drm, handle);
  EXPECT(wait_kind(drm, &handle, 1, 0, 0, NULL) == 0);
  EXPECT(query(drm, handle) == point_of_kind);
  EXPECT(on_all(drm, SYNCOBJ_RESET, &handle, 1) == 0);
  EXPECT_ERRNO(wait_kind(drm, &handle, 1, 0, 0, NULL), EINVAL);
  EXPECT_ERRNO(wait_kind(drm, &handle, 1, 0, WAIT_FOR_SUBMIT, NULL), ETIME);
  EXPECT(query(drm, handle) == 0);
}

static void reset_multiple_signaled(void) {
  int drm = open_drm(), i;
  uint32_t handles[3];

  for (i = 0; i < 3; i++) signal_kind(drm, handles[i] = create(drm));
  EXPECT(on_all(drm, SYNCOBJ_RESET, handles, 3) == 0);
  for (i = 0; i < 3; i++) {
    EXPECT_ERRNO(wait_kind(drm, &handles[i], 1, 0, 0, NULL), EINVAL);
    EXPECT(query(drm, handles[i]) == 0);
  }
}

static void signal_by_host(void) {
  int drm = open_drm(), timeline;
  uint32_t handle = create(drm);

  EXPECT_ERRNO(wait_kind(drm, &handle, 1, 0, 0, NULL), EINVAL);
  EXPECT_ERRNO(wait_kind(drm, &handle, 1, 0, WAIT_FOR_SUBMIT, NULL), ETIME);
  signal_kind(drm, handle);
  EXPECT(wait_kind(drm, &handle, 1, 0, 0, NULL) == 0);
  EXPECT(wait_kind(drm, &handle, 1, 0, WAIT_FOR_SUBMIT, NULL) == 0);
  EXPECT(on_all(drm, SYNCOBJ_RESET, &handle, 1) == 0);
  timeline = submit_kind(drm, handle);
  EXPECT_ERRNO(wait_kind(drm, &handle, 1, 0, 0, NULL), ETIME);
  if (!point_of_kind) {
    signal_kind(drm, handle);
    EXPECT(wait_kind(drm, &handle, 1, 0, 0, NULL) == 0);
  }
  close(timeline);
}

/* --- What a wait has found it keeps --- */

struct waiter {
  int drm;
  const uint32_t* handles;
  uint32_t count, flags, first;
  int result, error;
  int64_t until;
  volatile pid_t thread;
};

static void* wait_in_thread(void* argument) {
  struct waiter* w = argument;

  /* A call before, so that the only thing it sleeps in afterwards is the wait. */
  EXPECT_ERRNO(wait_flags(w->drm, (uint32_t[]){0}, 1, 0, 0, NULL), ENOENT);
  w->thread = gettid();
  w->result = wait_kind(w->drm, w->handles, w->count, w->until, w->flags, &w->first);
  w->error = errno;
  return NULL;
}

/* An object that was submitted when the wait began is reset, and gets something that is signaled:
 * the wait goes on for what it found. */
static void snapshot(void) {
  uint32_t flags;

  for (flags = 0; flags < 4; flags++) {
    int drm = open_drm(), one, two;
    uint32_t handles[2] = {create(drm), create(drm)};
    struct waiter w = {.drm = drm, .handles = handles, .count = 2, .flags = flags};
    pthread_t thread;

    one = submit_kind(drm, handles[0]);
    two = submit_kind(drm, handles[1]);
    w.until = in_ns(120000000000ll);
    EXPECT(pthread_create(&thread, NULL, wait_in_thread, &w) == 0);
    wait_until_asleep(drm, &w.thread);
    EXPECT(on_all(drm, SYNCOBJ_RESET, handles, 1) == 0);
    signal_kind(drm, handles[0]);
    wait_until_asleep(drm, &w.thread);
    EXPECT(increase(two, 1) == 0);
    if (flags & WAIT_ALL) EXPECT(increase(one, 1) == 0);
    pthread_join(thread, NULL);
    EXPECT(w.result == 0);
    if (!(flags & WAIT_ALL)) EXPECT(w.first == 1);
    close(one), close(two), close(drm);
  }
}

static void complex(void) {
  static const int order[8] = {3, 6, 0, 7, 1, 4, 2, 5};
  uint32_t flags;
  int i;

  for (flags = 0; flags < 4; flags++) {
    int drm = open_drm(), timelines[8];
    uint32_t handles[8];
    struct waiter w = {.drm = drm, .handles = handles, .count = 8, .flags = flags};
    pthread_t thread;

    for (i = 0; i < 8; i++) {
      handles[i] = create(drm);
      timelines[i] = -1;
      if (!(flags & WAIT_FOR_SUBMIT) || i % 2) timelines[i] = submit_kind(drm, handles[i]);
    }
    w.until = in_ns(120000000000ll);
    EXPECT(pthread_create(&thread, NULL, wait_in_thread, &w) == 0);
    wait_until_asleep(drm, &w.thread);
    for (i = 0; i < 8; i++) {
      int o = order[i];

      if (timelines[o] < 0) timelines[o] = submit_kind(drm, handles[o]);
      EXPECT(increase(timelines[o], 1) == 0);
      if (!(flags & WAIT_ALL)) break;
    }
    pthread_join(thread, NULL);
    EXPECT(w.result == 0);
    if (!(flags & WAIT_ALL)) EXPECT(w.first == (uint32_t)order[0]);
    for (i = 0; i < 8; i++)
      if (timelines[i] >= 0) close(timelines[i]);
    close(drm);
  }
}

static volatile sig_atomic_t alarms;

static void on_alarm(int number) {
  (void)number;
  alarms++;
}

static void interrupted(void) {
  struct sigaction action = {.sa_handler = on_alarm};
  struct itimerval often = {.it_interval = {.tv_usec = 3000}, .it_value = {.tv_usec = 3000}};
  int drm = open_drm();
  uint32_t handles[2] = {create(drm), create(drm)};
  int one = submit_kind(drm, handles[0]), two = submit_kind(drm, handles[1]);
  int64_t until;

  EXPECT(sigaction(SIGALRM, &action, NULL) == 0);
  EXPECT(setitimer(ITIMER_REAL, &often, NULL) == 0);
  until = in_ns(SHORT_NS * 5);
  EXPECT_ERRNO(wait_kind(drm, handles, 2, until, 0, NULL), ETIME);
  EXPECT(in_ns(0) >= until);
  until = in_ns(SHORT_NS * 5);
  EXPECT_ERRNO(wait_kind(drm, handles, 2, until, WAIT_ALL, NULL), ETIME);
  EXPECT(in_ns(0) >= until && alarms > 0);
  close(one), close(two), close(drm);
}

/* --- Beyond the suite --- */

static int descriptors_of_broker(void) {
  char path[64];
  DIR* folder;
  int n = 0;

  snprintf(path, sizeof(path), "/proc/%d/fd", (int)getppid());
  folder = opendir(path);
  EXPECT(folder);
  while (readdir(folder)) n++;
  closedir(folder);
  return n;
}

/* Fewer with a broker that is slowed down. */
enum { INTERRUPTED_WAITS = STRESS_ROUNDS > 1000 ? 10000 : 1000 };

struct interrupter {
  pthread_t waits;
  volatile int ends;
};

static void* interrupt(void* argument) {
  struct interrupter* i = argument;

  while (!i->ends) {
    EXPECT(pthread_kill(i->waits, SIGUSR1) == 0);
    sched_yield();
  }
  return NULL;
}

/* A call that a signal ends has no trace in the broker, which is this program's parent. */
static void interrupted_waits_leave_nothing(void) {
  struct sigaction action = {.sa_handler = on_alarm};
  int drm = open_drm(), before, i;
  uint32_t handles[2] = {create(drm), create(drm)};
  int pending = submit_kind(drm, handles[0]);
  struct drm_wait a = {.handles = (uintptr_t)handles,
                       .timeout = INT64_MAX,
                       .count = 2,
                       .flags = WAIT_ALL | WAIT_FOR_SUBMIT};
  struct interrupter other = {.waits = pthread_self()};
  int64_t until;
  pthread_t thread;

  EXPECT(sigaction(SIGUSR1, &action, NULL) == 0);
  before = descriptors_of_broker();
  EXPECT(pthread_create(&thread, NULL, interrupt, &other) == 0);
  for (i = 0; i < INTERRUPTED_WAITS; i++) {
    a.flags = i % 2 ? WAIT_FOR_SUBMIT : WAIT_ALL | WAIT_FOR_SUBMIT;
    EXPECT_ERRNO(ioctl(drm, SYNCOBJ_WAIT, &a), EINTR);
  }
  other.ends = 1;
  pthread_join(thread, NULL);
  until = in_ns(60000000000ll);
  while (descriptors_of_broker() > before && in_ns(0) < until) sched_yield();
  EXPECT(descriptors_of_broker() <= before);
  EXPECT_ERRNO(wait_kind(drm, handles, 2, 0, WAIT_FOR_SUBMIT, NULL), ETIME);
  close(pending), close(drm);
}

/* What does not wait is not interrupted, however often signals come. */
static void polls_are_not_interrupted(void) {
  struct sigaction action = {.sa_handler = on_alarm};
  int drm = open_drm(), i;
  uint32_t handle = create(drm);
  int pending = submit_kind(drm, handle);
  struct drm_wait a = {.handles = (uintptr_t)&handle, .count = 1};
  struct interrupter other = {.waits = pthread_self()};
  pthread_t thread;

  EXPECT(sigaction(SIGUSR1, &action, NULL) == 0);
  EXPECT(pthread_create(&thread, NULL, interrupt, &other) == 0);
  for (i = 0; i < STRESS_ROUNDS || !alarms; i++) EXPECT_ERRNO(ioctl(drm, SYNCOBJ_WAIT, &a), ETIME);
  other.ends = 1;
  pthread_join(thread, NULL);
  close(pending), close(drm);
}

#define OF_TIMELINES(name)            \
  static void timeline_##name(void) { \
    point_of_kind = 1;                \
    name();                           \
  }

OF_TIMELINES(invalid_wait_bad_flags)
OF_TIMELINES(wait_zero_handles)
OF_TIMELINES(invalid_wait_illegal_handle)
OF_TIMELINES(invalid_reset_zero_handles)
OF_TIMELINES(invalid_reset_illegal_handle)
OF_TIMELINES(invalid_reset_one_illegal_handle)
OF_TIMELINES(invalid_reset_bad_pad)
OF_TIMELINES(single_wait)
OF_TIMELINES(multi_wait)
OF_TIMELINES(delayed_signal)
OF_TIMELINES(for_submit_delayed_submit)
OF_TIMELINES(all_delayed_signal)
OF_TIMELINES(all_for_submit_delayed_submit)
OF_TIMELINES(available_delayed_submit)
OF_TIMELINES(all_available_delayed_submit)
OF_TIMELINES(reset_unsignaled)
OF_TIMELINES(reset_signaled)
OF_TIMELINES(reset_multiple_signaled)
OF_TIMELINES(reset_during_wait_for_submit)
OF_TIMELINES(signal_by_host)
OF_TIMELINES(snapshot)
OF_TIMELINES(complex)
OF_TIMELINES(interrupted)

static const struct test_case cases[] = {
    {"SW01_invalid_wait_bad_flags", invalid_wait_bad_flags},
    {"SW02_wait_zero_handles", wait_zero_handles},
    {"SW03_invalid_wait_illegal_handle", invalid_wait_illegal_handle},
    {"SW04_invalid_reset_zero_handles", invalid_reset_zero_handles},
    {"SW05_invalid_reset_illegal_handle", invalid_reset_illegal_handle},
    {"SW06_invalid_reset_one_illegal_handle", invalid_reset_one_illegal_handle},
    {"SW07_invalid_reset_bad_pad", invalid_reset_bad_pad},
    {"SW08_invalid_signal_zero_handles", invalid_signal_zero_handles},
    {"SW09_invalid_signal_illegal_handle", invalid_signal_illegal_handle},
    {"SW10_invalid_signal_one_illegal_handle", invalid_signal_one_illegal_handle},
    {"SW11_invalid_signal_bad_pad", invalid_signal_bad_pad},
    {"SW12_single_wait", single_wait},
    {"SW13_multi_wait", multi_wait},
    {"SW14_wait_delayed_signal", delayed_signal},
    {"SW14_wait_for_submit_delayed_submit", for_submit_delayed_submit},
    {"SW14_wait_all_delayed_signal", all_delayed_signal},
    {"SW14_wait_all_for_submit_delayed_submit", all_for_submit_delayed_submit},
    {"SW15_reset_unsignaled", reset_unsignaled},
    {"SW16_reset_signaled", reset_signaled},
    {"SW17_reset_multiple_signaled", reset_multiple_signaled},
    {"SW18_reset_during_wait_for_submit", reset_during_wait_for_submit},
    {"SW19_signal", signal_by_host},
    {"SW20_snapshot", snapshot},
    {"SW21_complex", complex},
    {"SW22_interrupted", interrupted},
    {"DRM_interrupted_waits_leave_nothing", interrupted_waits_leave_nothing},
    {"DRM_polls_are_not_interrupted", polls_are_not_interrupted},
    {"ST01_invalid_wait_bad_flags", timeline_invalid_wait_bad_flags},
    {"ST01_wait_zero_handles", timeline_wait_zero_handles},
    {"ST01_invalid_wait_illegal_handle", timeline_invalid_wait_illegal_handle},
    {"ST04_invalid_reset_zero_handles", timeline_invalid_reset_zero_handles},
    {"ST04_invalid_reset_illegal_handle", timeline_invalid_reset_illegal_handle},
    {"ST04_invalid_reset_one_illegal_handle", timeline_invalid_reset_one_illegal_handle},
    {"ST04_invalid_reset_bad_pad", timeline_invalid_reset_bad_pad},
    {"ST08_single_wait", timeline_single_wait},
    {"ST09_multi_wait", timeline_multi_wait},
    {"ST10_wait_delayed_signal", timeline_delayed_signal},
    {"ST10_wait_for_submit_delayed_submit", timeline_for_submit_delayed_submit},
    {"ST10_wait_all_delayed_signal", timeline_all_delayed_signal},
    {"ST10_wait_all_for_submit_delayed_submit", timeline_all_for_submit_delayed_submit},
    {"ST10_wait_available_delayed_submit", timeline_available_delayed_submit},
    {"ST10_wait_all_available_delayed_submit", timeline_all_available_delayed_submit},
    {"ST11_reset_unsignaled", timeline_reset_unsignaled},
    {"ST11_reset_signaled", timeline_reset_signaled},
    {"ST11_reset_multiple_signaled", timeline_reset_multiple_signaled},
    {"ST11_reset_during_wait_for_submit", timeline_reset_during_wait_for_submit},
    {"ST12_signal", timeline_signal_by_host},
    {"ST13_snapshot", timeline_snapshot},
    {"ST13_complex", timeline_complex},
    {"ST13_interrupted", timeline_interrupted},
};

int main(int argc, char** argv) {
  return run_cases(cases, sizeof(cases) / sizeof(cases[0]), argc, argv);
}
