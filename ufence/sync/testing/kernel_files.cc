// The init process of a virtual machine with Debian's kernel: imports sync files of a real driver
// (vgem) and prints what holds, one line for each check; the last line is "kernel_files: passed" or
// "failed". It ends by switching the machine off. Its arguments are module files to load, in order.
#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <string_view>

#include "ufence/base/clock.h"
#include "ufence/sync/sync_file.h"

using namespace ufence;

namespace {

// Numbers and layouts of the kernel's DRM interface, as far as this needs them.
struct create_dumb {
  std::uint32_t height, width, bpp, flags, handle, pitch;
  std::uint64_t size;
};
struct prime_handle {
  std::uint32_t handle, flags;
  std::int32_t fd;
};
struct vgem_fence_attach {
  std::uint32_t handle, flags, out_fence, pad;
};
struct vgem_fence_signal {
  std::uint32_t fence, flags;
};
constexpr std::uint32_t vgem_fence_write = 1;
constexpr unsigned long create_dumb_ioctl = _IOWR('d', 0xB2, create_dumb);
constexpr unsigned long prime_handle_to_fd_ioctl = _IOWR('d', 0x2D, prime_handle);
constexpr unsigned long vgem_fence_attach_ioctl = _IOWR('d', 0x41, vgem_fence_attach);
constexpr unsigned long vgem_fence_signal_ioctl = _IOW('d', 0x42, vgem_fence_signal);
// Since Linux 6.0.
struct export_sync_file {
  std::uint32_t flags;
  std::int32_t fd;
};
constexpr std::uint32_t export_for_read = 1;
constexpr unsigned long export_sync_file_ioctl = _IOWR('b', 2, export_sync_file);

int failures = 0;

void check(bool holds, const char* what) {
  std::printf("%s: %s\n", holds ? "ok" : "FAILED", what);
  if (!holds) ++failures;
}
#define CHECK(condition) check((condition), #condition)

[[nodiscard]] std::int64_t patience() { return deadline_after(120'000'000'000); }

// A buffer of the driver: its handle, and the descriptor that it is shared by.
struct buffer {
  std::uint32_t handle = 0;
  int fd = -1;
};
buffer make_buffer(int card) {
  create_dumb dumb{};
  dumb.width = dumb.height = 64;
  dumb.bpp = 32;
  CHECK(::ioctl(card, create_dumb_ioctl, &dumb) == 0);
  prime_handle prime{};
  prime.handle = dumb.handle;
  prime.flags = O_CLOEXEC | O_RDWR;
  CHECK(::ioctl(card, prime_handle_to_fd_ioctl, &prime) == 0);
  return {dumb.handle, prime.fd};
}

// Puts a fence on a buffer, as its writer; returns the fence's number.
std::uint32_t attach(int card, const buffer& b) {
  vgem_fence_attach attach{};
  attach.handle = b.handle;
  attach.flags = vgem_fence_write;
  CHECK(::ioctl(card, vgem_fence_attach_ioctl, &attach) == 0);
  return attach.out_fence;
}
void signal(int card, std::uint32_t which) {
  vgem_fence_signal signal{};
  signal.fence = which;
  CHECK(::ioctl(card, vgem_fence_signal_ioctl, &signal) == 0);
}
unique_fd export_file(const buffer& b) {
  export_sync_file request{};
  request.flags = export_for_read;
  request.fd = -1;
  CHECK(::ioctl(b.fd, export_sync_file_ioctl, &request) == 0);
  return unique_fd(request.fd);
}
bool is_readable(int fd) {
  pollfd p{.fd = fd, .events = POLLIN, .revents = 0};
  return ::poll(&p, 1, 0) == 1;
}

void import_pending_and_signaled(int card) {
  const buffer b = make_buffer(card);
  const std::uint32_t number = attach(card, b);
  const unique_fd file = export_file(b);
  const fence_ref f = sync_file_get_fence(file.get()).value();
  CHECK(f->status() == 0);
  CHECK(f->driver_name() == "vgem");
  CHECK(f->wait(no_wait) == errno_code(ETIME));
  ::sync_fence_info leaf{};
  ::sync_file_info info{};
  info.num_fences = 1;
  info.sync_fence_info = reinterpret_cast<std::uintptr_t>(&leaf);
  CHECK(!sync_file_get_info(file.get(), info));
  CHECK(info.num_fences == 1 && info.status == 0);
  CHECK(std::string_view(leaf.driver_name) == "vgem" && leaf.status == 0);
  CHECK(!sync_file_set_deadline(file.get(), INT64_C(1)));
  signal(card, number);
  CHECK(!f->wait(patience()));
  CHECK(f->status() == 1);
  CHECK(sync_file_get_fence(file.get()).value()->status() == 1);
}

void merge_with_ours(int card) {
  const buffer b = make_buffer(card);
  const std::uint32_t number = attach(card, b);
  const unique_fd theirs = export_file(b);
  new_fence mine = fence::create(fence::allocate_contexts(1), 1).value();
  const unique_fd ours = sync_file_create(mine.fence).value();
  const unique_fd both = sync_file_merge(theirs.get(), ours.get()).value();
  ::sync_file_info info{};
  CHECK(!sync_file_get_info(both.get(), info));
  CHECK(info.num_fences == 2 && info.status == 0);
  mine.signal.signal();
  CHECK(!is_readable(both.get()));
  signal(card, number);
  pollfd p{.fd = both.get(), .events = POLLIN, .revents = 0};
  CHECK(::poll(&p, 1, 20'000) == 1);
}

// What is pending on a card's file ends, with an error, when that is closed.
void file_that_is_closed() {
  const int second = ::open("/dev/dri/card0", O_RDWR | O_CLOEXEC);
  CHECK(second >= 0);
  const buffer b = make_buffer(second);
  static_cast<void>(attach(second, b));
  const unique_fd file = export_file(b);
  const fence_ref f = sync_file_get_fence(file.get()).value();
  CHECK(f->status() == 0);
  ::close(b.fd);
  ::close(second);
  CHECK(!f->wait(patience()));
  CHECK(f->status() != 0);
}

void load(const char* module) {
  const int fd = ::open(module, O_RDONLY | O_CLOEXEC);
  CHECK(fd >= 0 && ::syscall(SYS_finit_module, fd, "", 0) == 0);
  ::close(fd);
}

}  // namespace

int main(int argc, char** argv) {
  std::setvbuf(stdout, nullptr, _IONBF, 0);
  ::mkdir("/dev", 0755);
  ::mkdir("/proc", 0755);
  static_cast<void>(::mount("devtmpfs", "/dev", "devtmpfs", 0, nullptr));
  static_cast<void>(::mount("proc", "/proc", "proc", 0, nullptr));
  for (int i = 1; i < argc; ++i) load(argv[i]);
  const int card = ::open("/dev/dri/card0", O_RDWR | O_CLOEXEC);
  CHECK(card >= 0);
  if (card >= 0) {
    import_pending_and_signaled(card);
    merge_with_ours(card);
    file_that_is_closed();
  }
  std::printf("kernel_files: %s\n", failures == 0 ? "passed" : "failed");
  ::sync();
  ::reboot(RB_POWER_OFF);
  return 0;
}
