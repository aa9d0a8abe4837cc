/* What the graphics tests' suite holds of timelines and of eventfds, beyond waiting. */
#include <poll.h>
#include <pthread.h>

#include "ufence/uapi/testing/drm.h"

static int query_all(int drm, const uint32_t* handles, uint64_t* values, uint32_t count,
                     uint32_t flags) {
  struct drm_points a = {
      .handles = (uintptr_t)handles, .points = (uintptr_t)values, .count = count, .flags = flags};

  return drm_ioctl(drm, SYNCOBJ_QUERY, &a);
}

static int transfer(int drm, uint32_t src, uint64_t src_point, uint32_t dst, uint64_t dst_point,
                    uint32_t flags) {
  struct drm_transfer a = {
      .src = src, .dst = dst, .src_point = src_point, .dst_point = dst_point, .flags = flags};

  return drm_ioctl(drm, SYNCOBJ_TRANSFER, &a);
}

static void invalid_query(void) {
  int drm = open_drm();
  uint32_t handles[2] = {create(drm), 0};
  uint64_t values[2];

  EXPECT_ERRNO(query_all(drm, handles, values, 0, 0), EINVAL);
  EXPECT_ERRNO(query_all(drm, handles + 1, values, 1, 0), ENOENT);
  EXPECT_ERRNO(query_all(drm, handles, values, 2, 0), ENOENT);
  EXPECT_ERRNO(query_all(drm, handles, values, 1, 0xdeadbeef), EINVAL);
  EXPECT_ERRNO(query_all(drm, handles, NULL, 1, 0), EFAULT);
  EXPECT(query_all(drm, handles, values, 1, 1) == 0 && values[0] == 0);
}

static void invalid_signal(void) {
  int drm = open_drm();
  uint32_t handles[2] = {create(drm), 0};
  uint64_t points[2] = {1, 1};
  struct drm_points a = {
      .handles = (uintptr_t)handles, .points = (uintptr_t)points, .count = 1, .flags = 0xdeadbeef};

  EXPECT_ERRNO(signal_points(drm, handles, points, 0), EINVAL);
  EXPECT_ERRNO(signal_points(drm, handles + 1, points, 1), ENOENT);
  EXPECT_ERRNO(signal_points(drm, handles, points, 2), ENOENT);
  EXPECT_ERRNO(drm_ioctl(drm, SYNCOBJ_TIMELINE_SIGNAL, &a), EINVAL);
  EXPECT_ERRNO(signal_points(drm, handles, (uint64_t*)8, 1), EFAULT);
  EXPECT(query(drm, handles[0]) == 0);
}

static void signal_array(void) {
  int drm = open_drm();
  uint32_t handles[3] = {create(drm), create(drm), create(drm)};
  uint64_t points[3] = {7, 42, 300}, values[3];

  EXPECT(signal_points(drm, handles, points, 3) == 0);
  EXPECT(wait_points(drm, handles, points, 3, 0, WAIT_ALL, NULL) == 0);
  EXPECT(query_all(drm, handles, values, 3, 0) == 0);
  EXPECT(!memcmp(points, values, sizeof(points)));
}

static void invalid_transfer(void) {
  int drm = open_drm();
  uint32_t a = create(drm), b = create(drm);
  struct drm_transfer bad = {.src = a, .dst = b, .pad = 1};

  EXPECT_ERRNO(transfer(drm, a, 0, 77, 0, 0), ENOENT);
  EXPECT_ERRNO(transfer(drm, 77, 0, a, 0, 0), ENOENT);
  EXPECT_ERRNO(drm_ioctl(drm, SYNCOBJ_TRANSFER, &bad), EINVAL);
  EXPECT_ERRNO(transfer(drm, a, 0, b, 0, 0), EINVAL);
  EXPECT_ERRNO(transfer(drm, a, 5, b, 0, 0), EINVAL);
  EXPECT_ERRNO(transfer(drm, a, 5, b, 0, WAIT_ALL), EINVAL);
}

static void transfer_timeline_point(void) {
  int drm = open_drm();
  uint32_t source = create(drm), timeline = create(drm), binary = create(drm);
  int pending = submit(drm, source, 1);
  uint64_t five = 5;

  EXPECT(transfer(drm, source, 1, timeline, 5, 0) == 0);
  EXPECT(transfer(drm, source, 1, binary, 0, 0) == 0);
  EXPECT_ERRNO(wait_points(drm, &timeline, &five, 1, 0, 0, NULL), ETIME);
  EXPECT_ERRNO(wait_flags(drm, &binary, 1, 0, 0, NULL), ETIME);
  EXPECT(query(drm, timeline) == 0);
  EXPECT(increase(pending, 1) == 0);
  EXPECT(wait_points(drm, &timeline, &five, 1, 0, 0, NULL) == 0);
  EXPECT(wait_flags(drm, &binary, 1, 0, 0, NULL) == 0);
  EXPECT(query(drm, timeline) == 5 && query(drm, source) == 1);
  close(pending);
}

static void signal_point_0(void) {
  int drm = open_drm();
  uint32_t handle = create(drm);
  uint64_t zero = 0;

  EXPECT(signal_points(drm, &handle, &zero, 1) == 0);
  EXPECT(wait_points(drm, &handle, &zero, 1, 0, 0, NULL) == 0);
}

static void host_signal_points(void) {
  int drm = open_drm(), i;
  uint32_t handle = create(drm);
  uint64_t point = 0;

  srand(3);
  for (i = 0; i < 100; i++) {
    point += (uint64_t)(rand() % 1000) + 1;
    EXPECT(signal_points(drm, &handle, &point, 1) == 0);
    EXPECT(query(drm, handle) == point);
    EXPECT(wait_points(drm, &handle, &point, 1, 0, 0, NULL) == 0);
  }
}

/* Later points are done before earlier ones: the query stays where all is done. */
static void device_signal_unordered(void) {
  static const int order[5] = {4, 2, 0, 1, 3};
  static const uint64_t after[5] = {0, 0, 1, 3, 5};
  int drm = open_drm(), timelines[5], i;
  uint32_t handle = create(drm);
  uint64_t point;

  for (i = 0; i < 5; i++) timelines[i] = submit(drm, handle, (uint64_t)i + 1);
  for (i = 0; i < 5; i++) {
    EXPECT(increase(timelines[order[i]], 1) == 0);
    EXPECT(query(drm, handle) == after[i]);
    point = (uint64_t)order[i] + 1;
    errno = 0;
    EXPECT((wait_points(drm, &handle, &point, 1, 0, 0, NULL) == 0) == (after[i] >= point));
  }
  for (i = 0; i < 5; i++) close(timelines[i]);
}

static void device_submit_unordered(void) {
  static const uint64_t points[5] = {1, 5, 3, 6, 7};
  int drm = open_drm(), timelines[5], i;
  uint32_t handle = create(drm);

  for (i = 0; i < 5; i++) timelines[i] = submit(drm, handle, points[i]);
  /* 3 came after 5: a new run begins there, with the number 5. */
  EXPECT(query(drm, handle) == 0);
  for (i = 0; i < 3; i++) EXPECT(increase(timelines[i], 1) == 0);
  EXPECT(query(drm, handle) == 5);
  for (; i < 5; i++) EXPECT(increase(timelines[i], 1) == 0);
  EXPECT(query(drm, handle) == 7);
  for (i = 0; i < 5; i++) close(timelines[i]);
}

static void host_signal_ordered(void) {
  int drm = open_drm(), pending;
  uint32_t handle = create(drm);
  uint64_t two = 2;

  pending = submit(drm, handle, 1);
  EXPECT(signal_points(drm, &handle, &two, 1) == 0);
  EXPECT_ERRNO(wait_points(drm, &handle, &two, 1, 0, 0, NULL), ETIME);
  EXPECT(query(drm, handle) == 0);
  EXPECT(increase(pending, 1) == 0);
  EXPECT(wait_points(drm, &handle, &two, 1, 0, 0, NULL) == 0);
  EXPECT(query(drm, handle) == 2);
  close(pending);
}

static void limit_of_32_bits(void) {
  int drm = open_drm();
  uint32_t handle = create(drm);
  uint64_t low = 0xFFFFFFFFull - 1, high = 0xFFFFFFFFull + 1, next = high + 1;

  EXPECT(signal_points(drm, &handle, &low, 1) == 0 && query(drm, handle) == low);
  EXPECT(signal_points(drm, &handle, &high, 1) == 0 && query(drm, handle) == high);
  EXPECT(wait_points(drm, &handle, &high, 1, 0, 0, NULL) == 0);
  EXPECT_ERRNO(wait_points(drm, &handle, &next, 1, 0, 0, NULL), EINVAL);
  EXPECT_ERRNO(wait_points(drm, &handle, &next, 1, 0, WAIT_FOR_SUBMIT, NULL), ETIME);
}

/* --- Beyond the suite --- */

static void query_of_last_submitted(void) {
  int drm = open_drm();
  uint32_t handle = create(drm);
  uint64_t value = 7;
  int one = submit(drm, handle, 3), two = submit(drm, handle, 9);

  EXPECT(query(drm, handle) == 0);
  EXPECT(query_all(drm, &handle, &value, 1, 1) == 0 && value == 9);
  EXPECT(increase(one, 1) == 0 && query(drm, handle) == 3);
  EXPECT(query_all(drm, &handle, &value, 1, 1) == 0 && value == 9);
  close(one), close(two);
}

struct submission {
  int drm;
  uint32_t handle;
};

static void* submit_five(void* argument) {
  struct submission* s = argument;
  uint64_t five = 5;

  EXPECT(signal_points(s->drm, &s->handle, &five, 1) == 0);
  return NULL;
}

static void transfer_waits_for_submission(void) {
  int drm = open_drm();
  struct submission s = {.drm = drm, .handle = create(drm)};
  uint32_t timeline = create(drm);
  pthread_t thread;

  EXPECT(pthread_create(&thread, NULL, submit_five, &s) == 0);
  EXPECT(transfer(drm, s.handle, 5, timeline, 8, WAIT_FOR_SUBMIT) == 0);
  pthread_join(thread, NULL);
  EXPECT(query(drm, timeline) == 8);
  EXPECT_ERRNO(transfer(drm, s.handle, 6, timeline, 9, 0), EINVAL);
  EXPECT_ERRNO(transfer(drm, s.handle, 6, timeline, 9, WAIT_FOR_SUBMIT), ETIME);
  EXPECT(query(drm, timeline) == 8);
}

/* --- Events --- */

static int event_ioctl(int drm, uint32_t handle, uint64_t point, int fd, uint32_t flags) {
  struct drm_event a = {.handle = handle, .flags = flags, .point = point, .fd = fd};

  return drm_ioctl(drm, SYNCOBJ_EVENTFD, &a);
}

static int has_fired(int event) { return wait_for(event, 0); }

static void event_bad_flags(void) {
  int drm = open_drm();

  EXPECT_ERRNO(event_ioctl(drm, create(drm), 0, eventfd(0, 0), 0xdeadbeef), EINVAL);
}

static void event_illegal_handle(void) {
  EXPECT_ERRNO(event_ioctl(open_drm(), 0xdeadbeef, 0, eventfd(0, 0), 0), ENOENT);
}

static void event_illegal_eventfd(void) {
  int drm = open_drm();

  EXPECT_ERRNO(event_ioctl(drm, create(drm), 0, open("/dev/null", O_RDWR), 0), EINVAL);
  EXPECT_ERRNO(event_ioctl(drm, create(drm), 0, -1, 0), EBADF);
}

static void event_bad_pad(void) {
  int drm = open_drm();
  struct drm_event a = {.handle = create(drm), .fd = eventfd(0, 0), .pad = 1};

  EXPECT_ERRNO(drm_ioctl(drm, SYNCOBJ_EVENTFD, &a), EINVAL);
}

static void expect_events(uint64_t point, int submitted, int signaled) {
  int drm = open_drm(), there = eventfd(0, EFD_NONBLOCK), done = eventfd(0, EFD_NONBLOCK);
  int timeline = -1;
  uint32_t handle = create(drm);
  uint64_t fired;

  if (submitted) timeline = submit(drm, handle, point);
  if (signaled) EXPECT(increase(timeline, 1) == 0);
  EXPECT(event_ioctl(drm, handle, point, there, WAIT_AVAILABLE) == 0);
  EXPECT(event_ioctl(drm, handle, point, done, 0) == 0);
  EXPECT(has_fired(there) == submitted && has_fired(done) == signaled);
  if (!submitted) {
    timeline = submit(drm, handle, point);
    EXPECT(has_fired(there) == 1 && has_fired(done) == 0);
  }
  if (!signaled) EXPECT(increase(timeline, 1) == 0);
  EXPECT(has_fired(done) == 1);
  /* Once. */
  EXPECT(read(there, &fired, sizeof(fired)) == sizeof(fired) && fired == 1);
  EXPECT(read(done, &fired, sizeof(fired)) == sizeof(fired) && fired == 1);
  EXPECT(!has_fired(there) && !has_fired(done));
  close(timeline);
}

static void binary_wait(void) { expect_events(0, 1, 0); }

static void timeline_wait(void) { expect_events(3, 1, 0); }

static void binary_wait_before_signal(void) { expect_events(0, 0, 0); }

static void timeline_wait_before_signal(void) { expect_events(3, 0, 0); }

static void binary_wait_signaled(void) { expect_events(0, 1, 1); }

static void timeline_wait_signaled(void) { expect_events(3, 1, 1); }

static const struct test_case cases[] = {
    {"ST02_invalid_query", invalid_query},
    {"ST03_invalid_signal", invalid_signal},
    {"ST05_signal_array", signal_array},
    {"ST06_invalid_transfer", invalid_transfer},
    {"ST07_transfer_timeline_point", transfer_timeline_point},
    {"ST12_signal_point_0", signal_point_0},
    {"ST14_host_signal_points", host_signal_points},
    {"ST15_device_signal_unordered", device_signal_unordered},
    {"ST16_device_submit_unordered", device_submit_unordered},
    {"ST17_host_signal_ordered", host_signal_ordered},
    {"ST18_limit_of_32_bits", limit_of_32_bits},
    {"DRM_query_of_last_submitted", query_of_last_submitted},
    {"DRM_transfer_waits_for_submission", transfer_waits_for_submission},
    {"SE01_invalid_bad_flags", event_bad_flags},
    {"SE02_invalid_illegal_handle", event_illegal_handle},
    {"SE03_invalid_illegal_eventfd", event_illegal_eventfd},
    {"SE04_invalid_bad_pad", event_bad_pad},
    {"SE05_binary_wait", binary_wait},
    {"SE06_timeline_wait", timeline_wait},
    {"SE07_binary_wait_before_signal", binary_wait_before_signal},
    {"SE08_timeline_wait_before_signal", timeline_wait_before_signal},
    {"SE09_binary_wait_signaled", binary_wait_signaled},
    {"SE10_timeline_wait_signaled", timeline_wait_signaled},
};

int main(int argc, char** argv) {
  return run_cases(cases, sizeof(cases) / sizeof(cases[0]), argc, argv);
}
