/* What calls say of paths that lead to devices, beside opening them: what the kernel says of a
 * device that is really there, to which the same is done. */
#include <dirent.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "ufence/uapi/testing/sync.h"

/* Each way to a device, and the same way to another one. */
static const char* const devices[] = {"/dev/dri/card0", "/dev/dri/renderD128", "/dev/sw_sync",
                                      "/sys/dev/char/226:0/uevent"};
static const char* const endings[] = {"/", "//", "/.", "/..", "/x", "/x/y", "/../null", "/x/"};
enum { DEVICES = 4, ENDINGS = 8 };

struct outcome {
  long value;
  int error;
};

static struct outcome outcome_of(long value) {
  return (struct outcome){value < 0 ? -1 : 0, value < 0 ? errno : 0};
}

/* A call by its number, with a path that is relative to a folder. */
static struct outcome call(int n, int folder, const char* path, int is_relative) {
  struct statx more;
  struct stat s;
  FILE* file;

  switch (n) {
    case 0: return outcome_of(openat(folder, path, O_RDONLY));
    case 1: return outcome_of(openat(folder, path, O_RDONLY | O_NOFOLLOW));
    case 2: return outcome_of(openat(folder, path, O_RDONLY | O_DIRECTORY));
    case 3: return outcome_of(openat(folder, path, O_RDWR | O_CREAT, 0600));
    case 4: return outcome_of(openat(folder, path, O_RDWR | O_CREAT | O_EXCL, 0600));
    case 5: return outcome_of(openat(folder, path, O_RDWR | O_CREAT | O_DIRECTORY, 0600));
    case 6: return outcome_of(fstatat(folder, path, &s, 0));
    case 7: return outcome_of(fstatat(folder, path, &s, AT_SYMLINK_NOFOLLOW));
    case 8: return outcome_of(faccessat(folder, path, R_OK, 0));
    case 9: return outcome_of(statx(folder, path, 0, STATX_TYPE, &more));
    default: break;
  }
  if (is_relative) return (struct outcome){0, 0};
  switch (n) {
    case 10: return outcome_of(open(path, O_RDONLY));
    case 11: return outcome_of(access(path, F_OK));
    case 12: return outcome_of(stat(path, &s));
    case 13: return outcome_of(lstat(path, &s));
    case 14: file = fopen(path, "r"); return outcome_of(file ? fclose(file) : -1);
    default: return (struct outcome){0, 0};
  }
}
enum { CALLS = 15 };

static void expect_as(int n, const char* path, struct outcome got, struct outcome kernels) {
  if (got.value == kernels.value && got.error == kernels.error) return;
  fprintf(stderr, "call %d of %s: %ld, %s; the kernel's: %ld, %s\n", n, path, got.value,
          strerror(got.error), kernels.value, strerror(kernels.error));
  exit(1);
}

static void no_device_is_a_folder(void) {
  char path[128], other[128];
  size_t d, e;
  int n;

  for (d = 0; d < DEVICES; d++) {
    for (e = 0; e < ENDINGS; e++) {
      snprintf(path, sizeof(path), "%s%s", devices[d], endings[e]);
      snprintf(other, sizeof(other), "/dev/null%s", endings[e]);
      for (n = 0; n < CALLS; n++) {
        expect_as(n, path, call(n, AT_FDCWD, path, 0), call(n, AT_FDCWD, other, 0));
      }
    }
  }
  EXPECT_ERRNO(open("/dev/dri/card0/x", O_RDWR), ENOTDIR);
  EXPECT_ERRNO(open("/dev/dri/card0/", O_RDWR), ENOTDIR);
  EXPECT_ERRNO(open("/dev/dri/card1/x", O_RDWR), ENOENT);
}

static void opening_by_halves(void) {
  int n;

  for (n = 1; n < 6; n++) {
    if (n == 3) continue;
    expect_as(n, "/dev/dri/card0", call(n, AT_FDCWD, "/dev/dri/card0", 0),
              call(n, AT_FDCWD, "/dev/null", 0));
  }
  EXPECT_ERRNO(open("/dev/dri/card0", O_RDWR | O_DIRECTORY), ENOTDIR);
  EXPECT_ERRNO(open("/dev/dri/card0", O_RDWR | O_CREAT | O_EXCL, 0600), EEXIST);
  EXPECT(open("/dev/dri/card0", O_RDWR | O_CREAT, 0600) >= 0);
  EXPECT(open("/dev/dri/card0", O_RDWR | O_NOFOLLOW | O_TRUNC) >= 0);
}

/* Relative to a folder, which may not really be there. */
static void folders_have_no_more_either(void) {
  const int nodes = open("/dev/dri", O_RDONLY | O_DIRECTORY), real = open("/dev", O_RDONLY);
  char path[128], other[128];
  size_t e;
  int n;

  EXPECT(nodes >= 0 && real >= 0);
  for (e = 0; e < ENDINGS; e++) {
    snprintf(path, sizeof(path), "renderD128%s", endings[e]);
    snprintf(other, sizeof(other), "null%s", endings[e]);
    for (n = 0; n < CALLS; n++) {
      expect_as(n, path, call(n, nodes, path, 1), call(n, real, other, 1));
    }
  }
  EXPECT(openat(real, "dri/card0", O_RDWR) >= 0);
  EXPECT_ERRNO(openat(real, "dri/card0/x", O_RDWR), ENOTDIR);
}

static void links_are_not_followed(void) {
  const int timeline = open_timeline(), other = open("/dev/null", O_RDWR);
  char path[64], null_path[64], text[64];
  int n;

  snprintf(path, sizeof(path), "/proc/self/fd/%d", timeline);
  snprintf(null_path, sizeof(null_path), "/proc/self/fd/%d", other);
  for (n = 1; n < 6; n++) {
    if (n == 3) continue;
    expect_as(n, path, call(n, AT_FDCWD, path, 0), call(n, AT_FDCWD, null_path, 0));
  }
  EXPECT_ERRNO(open(path, O_RDWR | O_NOFOLLOW), ELOOP);
  EXPECT_ERRNO(open("/sys/dev/char/226:0/device/subsystem", O_RDONLY | O_NOFOLLOW), ELOOP);
  strcat(path, "/"), strcat(null_path, "/");
  for (n = 0; n < CALLS; n++) {
    expect_as(n, path, call(n, AT_FDCWD, path, 0), call(n, AT_FDCWD, null_path, 0));
  }
  EXPECT_ERRNO(readlink("/dev/dri/card0", text, sizeof(text)), EINVAL);
  EXPECT_ERRNO(readlink("/dev/dri", text, sizeof(text)), EINVAL);
  EXPECT_ERRNO(readlink("/dev/dri/card0/", text, sizeof(text)), ENOTDIR);
  EXPECT_ERRNO(readlinkat(AT_FDCWD, "/dev/sw_sync/x", text, sizeof(text)), ENOTDIR);
  EXPECT(!realpath("/dev/dri/card0/x", NULL) && errno == ENOTDIR);
  EXPECT(!realpath("/dev/dri/card0/", NULL) && errno == ENOTDIR);
}

static void nothing_is_made_or_removed(void) {
  struct dirent** list;
  size_t e;

  for (e = 0; e < ENDINGS; e++) {
    char path[128], other[128];

    snprintf(path, sizeof(path), "/dev/dri/card0%s", endings[e]);
    snprintf(other, sizeof(other), "/dev/null%s", endings[e]);
    expect_as(20, path, outcome_of(mkdir(path, 0700)), outcome_of(mkdir(other, 0700)));
    expect_as(21, path, outcome_of(mknod(path, S_IFIFO | 0600, 0)),
              outcome_of(mknod(other, S_IFIFO | 0600, 0)));
    expect_as(22, path, outcome_of(unlink(path)), outcome_of(unlink(other)));
    expect_as(23, path, outcome_of(rmdir(path)), outcome_of(rmdir(other)));
    expect_as(24, path, outcome_of(truncate(path, 0)), outcome_of(truncate(other, 0)));
    EXPECT(!opendir(path) && errno == ENOTDIR);
    EXPECT(scandir(path, &list, NULL, NULL) == -1 && errno == ENOTDIR);
  }
  EXPECT_ERRNO(mkdir("/dev/dri/card0", 0700), EEXIST);
  EXPECT_ERRNO(mkdir("/dev/dri", 0700), EEXIST);
  EXPECT_ERRNO(mknodat(AT_FDCWD, "/dev/sw_sync", S_IFCHR | 0600, 0), EEXIST);
  EXPECT_ERRNO(unlink("/dev/dri/card0"), EACCES);
  EXPECT_ERRNO(unlink("/dev/dri"), EISDIR);
  EXPECT_ERRNO(rmdir("/dev/dri/card0"), ENOTDIR);
  EXPECT_ERRNO(unlinkat(AT_FDCWD, "/dev/dri", AT_REMOVEDIR), EBUSY);
  expect_as(24, "/dev/dri/card0", outcome_of(truncate("/dev/dri/card0", 0)),
            outcome_of(truncate("/dev/null", 0)));
  EXPECT(creat("/dev/sw_sync", 0600) >= 0);
}

/* A limit of file sizes is none of what is no file of the program's, and ends nobody. */
static void texts_are_read_where_files_may_not_grow(void) {
  const struct rlimit none = {0, 0};
  char text[128];
  int i, fd;

  EXPECT(setrlimit(RLIMIT_FSIZE, &none) == 0);
  for (i = 0; i < 3; i++) {
    fd = open("/sys/dev/char/226:0/uevent", O_RDONLY | (i == 1 ? O_CLOEXEC : 0));
    EXPECT(fd >= 0 && read(fd, text, sizeof(text)) > 9 && !memcmp(text, "MAJOR=226", 9));
    EXPECT(read(fd, text, sizeof(text)) == 0 && close(fd) == 0);
  }
}

static const struct test_case cases[] = {
    {"PATH_no_device_is_a_folder", no_device_is_a_folder},
    {"PATH_opening_by_halves", opening_by_halves},
    {"PATH_folders_have_no_more_either", folders_have_no_more_either},
    {"PATH_links_are_not_followed", links_are_not_followed},
    {"PATH_nothing_is_made_or_removed", nothing_is_made_or_removed},
    {"PATH_texts_are_read_where_files_may_not_grow", texts_are_read_where_files_may_not_grow},
};

int main(int argc, char** argv) {
  return run_cases(cases, sizeof(cases) / sizeof(cases[0]), argc, argv);
}
