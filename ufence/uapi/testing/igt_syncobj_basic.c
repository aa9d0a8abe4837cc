/* What the graphics tests' suite holds of syncobjs as handles and descriptors. */
#include "ufence/uapi/testing/drm.h"

static void bad_destroy(void) { EXPECT_ERRNO(destroy(open_drm(), 0xdeadbeef), EINVAL); }

static void bad_create_flags(void) {
  struct drm_handle a = {.flags = 0xdeadbeef};

  EXPECT_ERRNO(drm_ioctl(open_drm(), SYNCOBJ_CREATE, &a), EINVAL);
}

static void bad_handle_to_fd(void) {
  struct drm_fd a = {.handle = 0xdeadbeef};

  EXPECT_ERRNO(drm_ioctl(open_drm(), SYNCOBJ_HANDLE_TO_FD, &a), EINVAL);
}

static void bad_fd_to_handle(void) {
  struct drm_fd a = {.fd = -1};

  EXPECT_ERRNO(drm_ioctl(open_drm(), SYNCOBJ_FD_TO_HANDLE, &a), EINVAL);
}

static void bad_flags_handle_to_fd(void) {
  int drm = open_drm();
  struct drm_fd a = {.handle = create(drm), .flags = 0xdeadbeef};

  EXPECT_ERRNO(drm_ioctl(drm, SYNCOBJ_HANDLE_TO_FD, &a), EINVAL);
}

static void bad_flags_fd_to_handle(void) {
  struct drm_fd a = {.fd = -1, .flags = 0xdeadbeef};

  EXPECT_ERRNO(drm_ioctl(open_drm(), SYNCOBJ_FD_TO_HANDLE, &a), EINVAL);
}

static void bad_pad_handle_to_fd(void) {
  int drm = open_drm();
  struct drm_fd a = {.handle = create(drm), .pad = 0xdeadbeef};

  EXPECT_ERRNO(drm_ioctl(drm, SYNCOBJ_HANDLE_TO_FD, &a), EINVAL);
}

static void bad_pad_fd_to_handle(void) {
  struct drm_fd a = {.fd = -1, .pad = 0xdeadbeef};

  EXPECT_ERRNO(drm_ioctl(open_drm(), SYNCOBJ_FD_TO_HANDLE, &a), EINVAL);
}

static void illegal_fd_to_handle(void) {
  struct drm_fd a = {.fd = open("/dev/null", O_RDWR)};

  EXPECT_ERRNO(drm_ioctl(open_drm(), SYNCOBJ_FD_TO_HANDLE, &a), EINVAL);
}

static void bad_destroy_pad(void) {
  int drm = open_drm();
  struct drm_handle a = {.handle = create(drm), .flags = 0xdeadbeef};

  EXPECT_ERRNO(drm_ioctl(drm, SYNCOBJ_DESTROY, &a), EINVAL);
  EXPECT(destroy(drm, a.handle) == 0);
  EXPECT_ERRNO(destroy(drm, a.handle), EINVAL);
}

static void create_signaled(void) {
  int drm = open_drm();
  struct drm_handle a = {.flags = 1};

  EXPECT(drm_ioctl(drm, SYNCOBJ_CREATE, &a) == 0);
  EXPECT(wait_flags(drm, &a.handle, 1, 0, 0, NULL) == 0);
}

static void test_valid_cycle(void) {
  int drm = open_drm(), other = open_drm();
  struct drm_fd a = {.handle = create(drm)};
  uint32_t first = a.handle;

  EXPECT(drm_ioctl(drm, SYNCOBJ_HANDLE_TO_FD, &a) == 0 && a.fd >= 0);
  EXPECT(fcntl(a.fd, F_GETFD) == FD_CLOEXEC);
  EXPECT(drm_ioctl(drm, SYNCOBJ_FD_TO_HANDLE, &a) == 0 && a.handle != first);
  EXPECT(destroy(drm, a.handle) == 0 && destroy(drm, first) == 0);
  /* The descriptor keeps the object, for any node. */
  EXPECT(drm_ioctl(other, SYNCOBJ_FD_TO_HANDLE, &a) == 0 && a.handle == 1);
  EXPECT(on_all(other, SYNCOBJ_SIGNAL, &a.handle, 1) == 0);
  EXPECT(drm_ioctl(drm, SYNCOBJ_FD_TO_HANDLE, &a) == 0);
  EXPECT(wait_flags(drm, &a.handle, 1, 0, 0, NULL) == 0);
  EXPECT_ERRNO(ioctl(a.fd, SYNCOBJ_CREATE, &a), ENOTTY);
}

/* --- Beyond the suite --- */

static void node_tells_what_it_is(void) {
  struct {
    int version[3];
    size_t name_size;
    char* name;
    size_t date_size;
    char* date;
    size_t description_size;
    char* description;
  } version = {.version = {0}};
  struct {
    uint64_t capability, value;
  } cap = {.capability = 0x13};
  char name[16] = "", date[16] = "", description[64] = "";
  const unsigned long get_version = _IOC(_IOC_READ | _IOC_WRITE, 'd', 0, sizeof(version));
  const unsigned long get_cap = _IOWR('d', 0x0C, uint64_t[2]);
  int drm = open("/dev/dri/card0", O_RDWR);

  EXPECT(drm >= 0 && sizeof(version) == 64);
  EXPECT(drm_ioctl(drm, get_version, &version) == 0);
  EXPECT(version.name_size > 0 && version.date_size > 0 && version.description_size > 0);
  EXPECT(version.name_size < sizeof(name) && version.date_size < sizeof(date));
  EXPECT(version.description_size < sizeof(description));
  version.name = name, version.date = date, version.description = description;
  EXPECT(drm_ioctl(drm, get_version, &version) == 0);
  EXPECT(strlen(name) == version.name_size && strlen(date) == version.date_size);
  EXPECT(strlen(description) == version.description_size);
  EXPECT(drm_ioctl(drm, get_cap, &cap) == 0 && cap.value == 1);
  cap.capability = 0x14, cap.value = 0;
  EXPECT(drm_ioctl(drm, get_cap, &cap) == 0 && cap.value == 1);
  cap.capability = 0xdeadbeef;
  EXPECT_ERRNO(drm_ioctl(drm, get_cap, &cap), EINVAL);
  EXPECT_ERRNO(ioctl(drm, _IO('d', 0xFE)), EINVAL);
}

static void errors_of_sync_files(void) {
  int drm = open_drm(), timeline = open_timeline(), fence = make_fence(timeline, 1);
  struct drm_fd a = {.handle = 77, .flags = SYNC_FILE};
  uint32_t handle = create(drm);

  EXPECT_ERRNO(drm_ioctl(drm, SYNCOBJ_HANDLE_TO_FD, &a), ENOENT);
  a.handle = handle;
  EXPECT_ERRNO(drm_ioctl(drm, SYNCOBJ_HANDLE_TO_FD, &a), EINVAL);
  EXPECT_ERRNO(put_fence(drm, 77, fence, 0), ENOENT);
  EXPECT_ERRNO(put_fence(drm, handle, timeline, 0), EINVAL);
  EXPECT(put_fence(drm, handle, fence, 0) == 0);
  EXPECT(drm_ioctl(drm, SYNCOBJ_HANDLE_TO_FD, &a) == 0);
  EXPECT(wait_for(a.fd, 0) == 0);
  EXPECT(increase(timeline, 1) == 0 && wait_for(a.fd, 0) == 1);
  a.flags = 0, a.point = 1;
  EXPECT_ERRNO(drm_ioctl(drm, SYNCOBJ_HANDLE_TO_FD, &a), EINVAL);
  a.flags = AT_POINT;
  EXPECT_ERRNO(drm_ioctl(drm, SYNCOBJ_HANDLE_TO_FD, &a), EINVAL);
  EXPECT_ERRNO(drm_ioctl(drm, SYNCOBJ_FD_TO_HANDLE, &a), EINVAL);
  EXPECT(put_fence(drm, handle, fence, 5) == 0);
  a.flags = SYNC_FILE | AT_POINT, a.point = 6;
  EXPECT_ERRNO(drm_ioctl(drm, SYNCOBJ_HANDLE_TO_FD, &a), EINVAL);
  a.point = 5;
  EXPECT(drm_ioctl(drm, SYNCOBJ_HANDLE_TO_FD, &a) == 0 && wait_for(a.fd, 0) == 1);
}

static void deadlines_reach_fences(void) {
  int drm = open_drm(), timeline = open_timeline(), fence = make_fence(timeline, 1);
  uint32_t handle = create(drm);
  struct drm_wait wait = {
      .handles = (uintptr_t)&handle, .count = 1, .flags = WAIT_DEADLINE, .deadline = 12345};
  struct sw_sync_get_deadline told = {.fence_fd = fence};

  EXPECT(put_fence(drm, handle, fence, 0) == 0);
  EXPECT_ERRNO(wait_flags(drm, &handle, 1, 0, 0, NULL), ETIME);
  EXPECT_ERRNO(ioctl(timeline, SW_SYNC_GET_DEADLINE, &told), ENOENT);
  EXPECT_ERRNO(drm_ioctl(drm, SYNCOBJ_WAIT, &wait), ETIME);
  EXPECT(ioctl(timeline, SW_SYNC_GET_DEADLINE, &told) == 0 && told.deadline_ns == 12345);
  close(fence), close(timeline), close(drm);
}

/* The shorter argument of older headers. */
static void arguments_of_other_sizes_are_known(void) {
  struct {
    uint64_t handles;
    int64_t timeout;
    uint32_t count, flags, first, pad;
  } old = {.count = 1, .first = ~0u};
  int drm = open_drm(), timeline = open_timeline();
  uint32_t handle = create(drm), large[128] = {0};

  old.handles = (uintptr_t)&handle;
  EXPECT_ERRNO(drm_ioctl(drm, _IOC(_IOC_READ | _IOC_WRITE, 'd', 0xC3, sizeof(old)), &old), EINVAL);
  EXPECT(on_all(drm, SYNCOBJ_SIGNAL, &handle, 1) == 0);
  EXPECT(drm_ioctl(drm, _IOC(_IOC_READ | _IOC_WRITE, 'd', 0xC3, sizeof(old)), &old) == 0);
  EXPECT(old.first == 0);
  old.handles = 1;
  EXPECT_ERRNO(drm_ioctl(drm, _IOC(_IOC_READ | _IOC_WRITE, 'd', 0xC3, sizeof(old)), &old), EFAULT);
  /* What is longer than known, and what is too short to say what it must. */
  EXPECT(drm_ioctl(drm, _IOC(_IOC_READ | _IOC_WRITE, 'd', 0xBF, sizeof(large)), large) == 0);
  EXPECT(large[0] == handle + 1 && destroy(drm, large[0]) == 0);
  EXPECT_ERRNO(drm_ioctl(drm, _IOC(_IOC_READ | _IOC_WRITE, 'd', 0xC0, 4), large), EINVAL);
  EXPECT_ERRNO(ioctl(drm, _IO('d', 0xC4)), EINVAL);
  /* A number that is not known is refused before its argument is looked at. */
  EXPECT_ERRNO(drm_ioctl(drm, _IOWR('d', 0xFE, uint64_t), (void*)8), EINVAL);
  EXPECT_ERRNO(drm_ioctl(drm, _IOWR('W', 0, uint64_t), (void*)8), ENOTTY);
  EXPECT_ERRNO(drm_ioctl(drm, SYNCOBJ_CREATE, (void*)8), EFAULT);
  EXPECT_ERRNO(drm_ioctl(timeline, SYNCOBJ_CREATE, (void*)8), ENOTTY);
}

static const struct test_case cases[] = {
    {"SB01_bad_destroy", bad_destroy},
    {"SB02_bad_create_flags", bad_create_flags},
    {"SB03_bad_handle_to_fd", bad_handle_to_fd},
    {"SB04_bad_fd_to_handle", bad_fd_to_handle},
    {"SB05_bad_flags_handle_to_fd", bad_flags_handle_to_fd},
    {"SB06_bad_flags_fd_to_handle", bad_flags_fd_to_handle},
    {"SB07_bad_pad_handle_to_fd", bad_pad_handle_to_fd},
    {"SB08_bad_pad_fd_to_handle", bad_pad_fd_to_handle},
    {"SB09_illegal_fd_to_handle", illegal_fd_to_handle},
    {"SB10_bad_destroy_pad", bad_destroy_pad},
    {"SB11_create_signaled", create_signaled},
    {"SB12_test_valid_cycle", test_valid_cycle},
    {"DRM_node_tells_what_it_is", node_tells_what_it_is},
    {"DRM_errors_of_sync_files", errors_of_sync_files},
    {"DRM_arguments_of_other_sizes_are_known", arguments_of_other_sizes_are_known},
    {"DRM_deadlines_reach_fences", deadlines_reach_fences},
};

int main(int argc, char** argv) {
  return run_cases(cases, sizeof(cases) / sizeof(cases[0]), argc, argv);
}
