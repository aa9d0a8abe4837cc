/* A client of libdrm, the library that graphics programs reach the DRM interface through. */
#include <fcntl.h>
#include <stdint.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xf86drm.h>

#include "ufence/uapi/testing/sync.h"

static int open_node(void) {
  char path[64];
  int i, fd;
  struct stat s;

  for (i = 0; i < 16; i++) {
    snprintf(path, sizeof(path), "/dev/dri/card%d", i);
    if (stat(path, &s) != 0 || !S_ISCHR(s.st_mode)) continue;
    fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd >= 0) return fd;
  }
  return -1;
}

static void version_and_capabilities(void) {
  int drm = open_node();
  drmVersionPtr version;
  uint64_t value = 0;

  EXPECT(drm >= 0);
  version = drmGetVersion(drm);
  EXPECT(version && version->name_len > 0 && version->date_len > 0 && version->desc_len > 0);
  EXPECT(strlen(version->name) == (size_t)version->name_len);
  EXPECT(strlen(version->date) == (size_t)version->date_len);
  EXPECT(strlen(version->desc) == (size_t)version->desc_len);
  drmFreeVersion(version);
  EXPECT(drmGetCap(drm, DRM_CAP_SYNCOBJ, &value) == 0 && value == 1);
  EXPECT(drmGetCap(drm, DRM_CAP_SYNCOBJ_TIMELINE, &value) == 0 && value == 1);
  EXPECT(drmGetNodeTypeFromFd(drm) == DRM_NODE_PRIMARY);
  close(drm);
}

static void syncobjs(void) {
  int drm = open_node(), file = -1, object = -1, timeline = open_timeline();
  uint32_t handle = 0, other = 0, first = 7;
  uint64_t point = 5, value = 0;
  int fence = make_fence(timeline, 1);

  EXPECT(drmSyncobjCreate(drm, 0, &handle) == 0);
  EXPECT(drmSyncobjWait(drm, &handle, 1, 0, 0, &first) == -EINVAL);
  EXPECT(drmSyncobjImportSyncFile(drm, handle, fence) == 0);
  EXPECT(drmSyncobjWait(drm, &handle, 1, 0, 0, &first) == -ETIME);
  EXPECT(drmSyncobjExportSyncFile(drm, handle, &file) == 0 && wait_for(file, 0) == 0);
  EXPECT(drmSyncobjHandleToFD(drm, handle, &object) == 0);
  EXPECT(drmSyncobjFDToHandle(drm, object, &other) == 0 && other != handle);
  EXPECT(increase(timeline, 1) == 0);
  EXPECT(drmSyncobjWait(drm, &other, 1, INT64_MAX, 0, &first) == 0 && first == 0);
  EXPECT(wait_for(file, 0) == 1);
  EXPECT(drmSyncobjReset(drm, &handle, 1) == 0 && drmSyncobjSignal(drm, &other, 1) == 0);
  EXPECT(drmSyncobjWait(drm, &handle, 1, 0, 0, &first) == 0);
  EXPECT(drmSyncobjReset(drm, &handle, 1) == 0);
  EXPECT(drmSyncobjTimelineSignal(drm, &handle, &point, 1) == 0);
  EXPECT(drmSyncobjTimelineWait(drm, &handle, &point, 1, 0, 0, &first) == 0);
  EXPECT(drmSyncobjQuery(drm, &handle, &value, 1) == 0 && value == 5);
  EXPECT(drmSyncobjTransfer(drm, other, 9, handle, 5, 0) == 0);
  EXPECT(drmSyncobjQuery(drm, &other, &value, 1) == 0 && value == 9);
  EXPECT(drmSyncobjDestroy(drm, handle) == 0);
  EXPECT_ERRNO(drmSyncobjDestroy(drm, handle), EINVAL);
  close(file), close(object), close(fence), close(timeline), close(drm);
}

/* As programs look for devices: all of them, then by a descriptor. */
static void devices_are_found(void) {
  drmDevicePtr devices[16] = {NULL}, mine;
  int drm = open_node(), count = drmGetDevices2(0, NULL, 0), i, found = -1;
  char* name;

  EXPECT(count >= 1);
  count = drmGetDevices2(0, devices, 16);
  EXPECT(count >= 1);
  for (i = 0; i < count; i++) {
    if (!(devices[i]->available_nodes & (1 << DRM_NODE_PRIMARY))) continue;
    if (strcmp(devices[i]->nodes[DRM_NODE_PRIMARY], "/dev/dri/card0")) continue;
    EXPECT(found == -1);
    found = i;
  }
  EXPECT(found >= 0 && (devices[found]->available_nodes & (1 << DRM_NODE_RENDER)));
  EXPECT(!strcmp(devices[found]->nodes[DRM_NODE_RENDER], "/dev/dri/renderD128"));
  EXPECT(devices[found]->bustype == DRM_BUS_PLATFORM);
  EXPECT(!strcmp(devices[found]->businfo.platform->fullname, "vgem"));
  EXPECT(drmGetDevice2(drm, 0, &mine) == 0 && drmDevicesEqual(mine, devices[found]));
  drmFreeDevice(&mine);
  drmFreeDevices(devices, count);
  name = drmGetRenderDeviceNameFromFd(drm);
  EXPECT(name && !strcmp(name, "/dev/dri/renderD128"));
  free(name);
  name = drmGetPrimaryDeviceNameFromFd(drm);
  EXPECT(name && !strcmp(name, "/dev/dri/card0"));
  free(name);
  name = drmGetDeviceNameFromFd2(drm);
  EXPECT(name && !strcmp(name, "/dev/dri/card0"));
  free(name);
  close(drm);
}

static const struct test_case cases[] = {
    {"LIBDRM_version_and_capabilities", version_and_capabilities},
    {"LIBDRM_syncobjs", syncobjs},
    {"LIBDRM_devices_are_found", devices_are_found},
};

int main(int argc, char** argv) {
  return run_cases(cases, sizeof(cases) / sizeof(cases[0]), argc, argv);
}
