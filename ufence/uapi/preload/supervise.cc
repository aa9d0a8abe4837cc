#include "ufence/uapi/preload/supervise.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <time.h>

#include <cstdint>
#include <cstdio>
#include <string_view>

#include "ufence/base/atomic.h"
#include "ufence/uapi/ioctls.h"
#include "ufence/uapi/preload/asking.h"
#include "ufence/uapi/preload/descriptors.h"
#include "ufence/uapi/preload/layouts.h"
#include "ufence/uapi/preload/next.h"
#include "ufence/uapi/preload/paths.h"
#include "ufence/uapi/preload/supervise_wait.h"
#include "ufence/uapi/preload/system.h"

namespace ufence::uapi {
namespace {

// Newer than the headers of some systems.
constexpr unsigned long set_flags = SECCOMP_IOW(4, __u64);
constexpr std::uint64_t wake_here = 1;

constexpr int threads_max = 512;

// --- The filter ---

#if defined(__x86_64__)
constexpr std::uint32_t architecture = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
constexpr std::uint32_t architecture = AUDIT_ARCH_AARCH64;
#else
constexpr std::uint32_t architecture = 0;  // no call is asked about
#endif

// All but ioctl(), of which the types say enough.
constexpr std::uint32_t asked_about[] = {
#ifdef SYS_open
    SYS_open,   SYS_access,  SYS_stat,      SYS_lstat,      SYS_poll,       SYS_select,
#endif
    SYS_openat, SYS_openat2, SYS_faccessat, SYS_faccessat2, SYS_newfstatat, SYS_statx,
    SYS_fstat,  SYS_ppoll,   SYS_pselect6,  SYS_close,
};
constexpr std::uint32_t types_asked_about[] = {sw_sync_type, sync_type, drm_type, dma_buf_type};

class filter_program {
 public:
  filter_program() noexcept {
    constexpr std::size_t calls = sizeof asked_about / sizeof asked_about[0];
    constexpr std::size_t types = sizeof types_asked_about / sizeof types_asked_about[0];
    put_load(offsetof(seccomp_data, arch));
    put_jump(architecture, 1, 0);
    put_return(SECCOMP_RET_ALLOW);
    put_load(offsetof(seccomp_data, nr));
    for (std::size_t i = 0; i < calls; ++i) put_jump(asked_about[i], calls - i + types + 4, 0);
    put_jump(SYS_ioctl, 1, 0);
    put_return(SECCOMP_RET_ALLOW);
    put_load(offsetof(seccomp_data, args) + sizeof(std::uint64_t));
    put({BPF_ALU | BPF_AND | BPF_K, 0, 0, 0xFF00});
    for (std::size_t i = 0; i < types; ++i) put_jump(types_asked_about[i] << 8, types - i, 0);
    put_return(SECCOMP_RET_ALLOW);
    put_return(SECCOMP_RET_USER_NOTIF);
  }
  [[nodiscard]] sock_fprog get() noexcept { return {.len = size_, .filter = code_}; }

 private:
  void put(const sock_filter& one) noexcept { code_[size_++] = one; }
  void put_load(std::size_t at) noexcept {
    put({BPF_LD | BPF_W | BPF_ABS, 0, 0, static_cast<std::uint32_t>(at)});
  }
  void put_jump(std::uint32_t value, std::size_t so_many, std::uint8_t otherwise) noexcept {
    put({BPF_JMP | BPF_JEQ | BPF_K, static_cast<std::uint8_t>(so_many), otherwise, value});
  }
  void put_return(std::uint32_t what) noexcept { put({BPF_RET | BPF_K, 0, 0, what}); }

  sock_filter code_[64];
  std::uint16_t size_ = 0;
};

// --- Paths ---

// A timeline is named after the thread that opens it.
void be_called_like(pid_t thread) noexcept {
  char path[64];
  char name[17] = "";
  std::snprintf(path, sizeof path, "/proc/%d/comm", thread);
  const borrowed file(
      static_cast<int>(::syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC)));
  const long size = ::syscall(SYS_read, file.get(), name, sizeof name - 1);
  if (size > 0) name[name[size - 1] == '\n' ? size - 1 : size] = '\0';
  ::prctl(PR_SET_NAME, name);
}

// The preloaded library's answer for a path is not the kernel's.
bool is_emulated(const resolved_path& r, const char* path) noexcept {
  return r.emulated != nullptr || r.path != path;
}

verdict open_for(asking& a, int folder, std::uint64_t path, std::uint64_t flags) noexcept {
  char whole[path_max];
  if (!a.find(whole, folder, path)) return leave_to_kernel;
  const resolved_path r = resolve(whole);
  if (!is_emulated(r, whole) || (r.emulated != nullptr && !r.is_file())) return leave_to_kernel;
  be_called_like(a.thread());
  const auto how = static_cast<int>(flags);
  const borrowed opened(::open(whole, how | O_CLOEXEC, 0));
  if (opened.get() < 0) return outcome(-1);
  return {.value = a.give(opened.get(), (how & O_CLOEXEC) != 0), .is_the_kernels = false};
}

verdict open_how_for(asking& a) noexcept {
  std::uint64_t flags = 0;
  if (!a.read(&flags, a.argument(2), sizeof flags)) return leave_to_kernel;
  return open_for(a, static_cast<int>(a.argument(0)), a.argument(1), flags);
}

verdict access_for(asking& a, int folder, std::uint64_t path, std::uint64_t mode) noexcept {
  char whole[path_max];
  if (!a.find(whole, folder, path) || !is_emulated(resolve(whole), whole)) return leave_to_kernel;
  return outcome(::access(whole, static_cast<int>(mode)));
}

// Where `into` is in the caller, what `look` says of a path or, without one, of a descriptor.
template <class Stat, class OfPath, class OfDescriptor>
verdict stat_for(asking& a, int folder, std::uint64_t path, std::uint64_t into, OfPath of_path,
                 OfDescriptor of_descriptor) noexcept {
  Stat s{};
  char whole[path_max];
  char first = 1;
  const bool is_descriptor = path == 0 || (a.read(&first, path, 1) && first == '\0');
  if (is_descriptor) {
    const borrowed fd(a.take(folder));
    if (fd.get() < 0 || device_of(fd.get()) == device_kind::none) return leave_to_kernel;
    if (of_descriptor(fd.get(), &s) != 0) return outcome(-1);
  } else {
    if (!a.find(whole, folder, path) || !is_emulated(resolve(whole), whole)) return leave_to_kernel;
    if (of_path(whole, &s) != 0) return outcome(-1);
  }
  return a.write(into, &s, sizeof s) ? verdict{} : refuse(EFAULT);
}

verdict stat_of(asking& a, int folder, std::uint64_t path, std::uint64_t into) noexcept {
  return stat_for<struct stat>(
      a, folder, path, into, [](const char* p, struct stat* s) { return ::stat(p, s); },
      [](int fd, struct stat* s) { return ::fstat(fd, s); });
}

verdict statx_of(asking& a) noexcept {
  const auto mask = static_cast<unsigned>(a.argument(3));
  return stat_for<struct statx>(
      a, static_cast<int>(a.argument(0)), a.argument(1), a.argument(4),
      [mask](const char* p, struct statx* s) { return ::statx(AT_FDCWD, p, 0, mask, s); },
      [mask](int fd, struct statx* s) { return ::statx(fd, "", AT_EMPTY_PATH, mask, s); });
}

// Closing a device has its effects before the call returns: here, and the kernel closes something
// else.
verdict close_for(asking& a) noexcept {
  const auto theirs = static_cast<int>(a.argument(0));
  const int ours = a.take(theirs);
  if (ours < 0) return leave_to_kernel;
  if (device_of(ours) == device_kind::none) {
    system::close(ours);
    return leave_to_kernel;
  }
  const borrowed other(
      static_cast<int>(::syscall(SYS_openat, AT_FDCWD, "/dev/null", O_RDONLY | O_CLOEXEC)));
  if (other.get() >= 0) a.replace(theirs, other.get());
  ::close(ours);
  return leave_to_kernel;
}

// --- ioctl() ---

// Where the number of a new descriptor comes back; -1: there is none.
int made_at(std::uint32_t code) noexcept {
  struct {
    std::uint32_t code;
    std::size_t at;
  } constexpr made[] = {{sw_sync_create_fence, offsetof(sw_sync_create, fence)},
                        {sync_ioc_merge, offsetof(sync_merge, fence)},
                        {dma_buf_export, offsetof(dma_buf_sync_file, fd)},
                        {drm::prime_to_fd, offsetof(drm_prime, fd)},
                        {drm::syncobj_to_fd, offsetof(drm_syncobj_fd, fd)}};
  for (const auto& one : made) {
    if (is_same(code, one.code)) return static_cast<int>(one.at);
  }
  return -1;
}

// A copy of an argument, whose pointers and descriptors are this process's.
class translated {
 public:
  static constexpr std::size_t arrays_max = 4;

  translated(asking& a, std::uint32_t code, std::uint64_t theirs) noexcept
      : asking_(a), code_(code), theirs_(theirs), size_(_IOC_SIZE(code)) {}
  translated(const translated&) = delete;
  translated& operator=(const translated&) = delete;
  ~translated() {
    for (const array& one : arrays_) ::free(one.ours);
    if (other_ >= 0) system::close(other_);
  }

  // @return  errno, or 0
  int fetch() noexcept {
    if (size_ > sizeof bytes_) size_ = sizeof bytes_;
    if ((_IOC_DIR(code_) & _IOC_WRITE) != 0 && !asking_.read(bytes_, theirs_, size_)) return EFAULT;
    std::memcpy(before_, bytes_, sizeof bytes_);
    if (code_ == drm::version) return take_texts();
    const layout* const l = layout_of(code_);
    if (l == nullptr) return 0;
    const std::size_t count = at<std::uint32_t>(l->count);
    if (l->handles >= 0 && count > data_size_max / 12) return ENOMEM;
    const std::size_t fit = l->result_size != 0 ? file_data_size_max / l->result_size : 0;
    const std::size_t results = (count < fit ? count : fit) * l->result_size;
    int failed = put_array(l->handles, count * 4, 0);
    if (failed == 0) failed = put_array(l->points, count * 8, 0);
    if (failed == 0) failed = put_array(l->results, results, l->result_size);
    if (l->text >= 0) {
      const auto text = at<std::uint64_t>(0);
      if (text > client_name_max) return EINVAL;
      if (failed == 0) failed = put_array(l->text, static_cast<std::size_t>(text), 0);
    }
    take_other(l->descriptor);
    return failed;
  }

  // The call, a wait in slices: whose caller is gone ends.
  long make(int fd) noexcept {
    const layout* const l = layout_of(code_);
    const int timeout = l != nullptr && l->waits ? l->timeout : -1;
    const auto until = at<std::int64_t>(timeout);
    for (;;) {
      const std::int64_t next = now() + slice_ns;
      const bool is_last = timeout < 0 || until <= next;
      if (timeout >= 0) put(timeout, is_last ? until : next);
      const long result = ::ioctl(fd, code_, bytes_);
      if (is_last || result == 0 || errno != ETIME || !asking_.is_there()) return result;
      if (asking_.is_interrupted()) {
        errno = EINTR;
        return -1;
      }
      restore(bytes_ + timeout, timeout, sizeof until);
    }
  }

  // Gives the program the broker's answer. @return  errno, or 0
  int give_back() noexcept {
    const layout* const l = layout_of(code_);
    const std::size_t count = l != nullptr ? at<std::uint32_t>(l->count) : 0;
    for (std::size_t i = 0; i < used_; ++i) {
      const array& one = arrays_[i];
      const std::size_t come = one.element * count;
      const std::size_t size = one.is_text ? one.size : come < one.size ? come : one.size;
      if (size != 0 && (one.element != 0 || one.is_text) && one.ours != nullptr &&
          !asking_.write(one.theirs, one.ours, size)) {
        return EFAULT;
      }
      restore(bytes_ + one.at, one.at, sizeof one.theirs);
    }
    if ((_IOC_DIR(code_) & _IOC_READ) == 0) return 0;
    const int made = made_at(code_);
    if (l != nullptr && l->descriptor >= 0 && l->descriptor != made) {
      restore(bytes_ + l->descriptor, l->descriptor, sizeof(std::int32_t));
    }
    if (l != nullptr && l->timeout >= 0) restore(bytes_ + l->timeout, l->timeout, 8);
    return made >= 0 ? give_descriptor(made) : write_back();
  }

 private:
  struct array {
    int at;
    std::uint64_t theirs;
    char* ours;
    std::size_t size;
    std::size_t element;  // 0: nothing comes back
    bool is_text;
  };

  template <class T>
  [[nodiscard]] T at(int offset) const noexcept {
    T value{};
    if (offset >= 0 && static_cast<std::size_t>(offset) + sizeof value <= size_) {
      std::memcpy(&value, bytes_ + offset, sizeof value);
    }
    return value;
  }
  template <class T>
  void put(int offset, T value) noexcept {
    if (offset >= 0 && static_cast<std::size_t>(offset) + sizeof value <= size_) {
      std::memcpy(bytes_ + offset, &value, sizeof value);
    }
  }
  void restore(char* to, int offset, std::size_t size) noexcept {
    std::memcpy(to, before_ + offset, size);
  }
  // A bad address stays one, since what is wrong with the call otherwise comes first.
  int put_array(int offset, std::size_t size, std::size_t element, bool is_text = false) noexcept {
    const auto theirs = at<std::uint64_t>(offset);
    if (offset < 0 || theirs == 0) return 0;
    char* const ours = static_cast<char*>(::calloc(1, size != 0 ? size : 1));
    if (ours == nullptr) return ENOMEM;
    array& one = arrays_[used_++];
    one = {offset, theirs, ours, size, element, is_text};
    const bool is_known = element != 0 || is_text || size == 0 || asking_.read(ours, theirs, size);
    put(offset, is_known ? reinterpret_cast<std::uint64_t>(ours) : std::uint64_t{16});
    return 0;
  }
  int take_texts() noexcept {
    drm_version v;
    std::memcpy(&v, bytes_, sizeof v);
    struct {
      std::size_t at;
      std::uint64_t size;
    } const texts[] = {{offsetof(drm_version, name), v.name_size},
                       {offsetof(drm_version, date), v.date_size},
                       {offsetof(drm_version, description), v.description_size}};
    for (const auto& t : texts) {
      const std::size_t size = t.size < path_max ? static_cast<std::size_t>(t.size) : path_max;
      if (const int failed = put_array(static_cast<int>(t.at), size, 0, true)) return failed;
    }
    return 0;
  }
  // One that is not open there has to be one that is not open here.
  void take_other(int offset) noexcept {
    const auto theirs = at<std::int32_t>(offset);
    if (offset < 0 || theirs < 0) return;
    other_ = asking_.take(theirs);
    put(offset, other_ >= 0 ? other_ : INT32_MAX);
  }
  int write_back() const noexcept { return asking_.write(theirs_, bytes_, size_) ? 0 : EFAULT; }
  int give_descriptor(int made) noexcept {
    const borrowed ours(at<std::int32_t>(made));
    // Nothing is given to one that can't be told the number.
    if (const int failed = write_back()) return failed;
    const int number =
        asking_.give(ours.get(), (system::fcntl(ours.get(), F_GETFD) & FD_CLOEXEC) != 0);
    if (number < 0) return -number;
    put(made, number);
    return write_back();
  }

  asking& asking_;
  const std::uint32_t code_;
  const std::uint64_t theirs_;
  std::size_t size_;
  alignas(8) char bytes_[argument_size_max] = {};
  alignas(8) char before_[argument_size_max] = {};
  array arrays_[arrays_max] = {};
  std::size_t used_ = 0;
  int other_ = -1;
};

verdict name_buffer(asking& a, int fd, std::uint32_t code, std::uint64_t text) noexcept {
  char name[dma_buf_name_max + 2] = {};
  for (std::size_t i = 0; i <= dma_buf_name_max; ++i) {
    if (!a.read(name + i, text + i, 1)) return refuse(EFAULT);
    if (name[i] == '\0') return outcome(::ioctl(fd, code, name));
  }
  return refuse(EINVAL);
}

verdict control_for(asking& a) noexcept {
  const borrowed fd(a.take(static_cast<int>(a.argument(0))));
  if (fd.get() < 0 || kind_of(fd.get()) == file_kind::other) return leave_to_kernel;
  const auto code = static_cast<std::uint32_t>(a.argument(1));
  if (code == dma_buf_set_name || code == dma_buf_set_name_a) {
    return name_buffer(a, fd.get(), code, a.argument(2));
  }
  translated t(a, code, a.argument(2));
  const int bad = t.fetch();
  // Faults other than the address come first.
  if (bad == EFAULT) return outcome(::ioctl(fd.get(), code, reinterpret_cast<void*>(16)));
  if (bad != 0) return refuse(bad);
  const long result = t.make(fd.get());
  if (result < 0) return outcome(result);
  const int failed = t.give_back();
  return failed != 0 ? refuse(failed) : verdict{.value = result, .is_the_kernels = false};
}

// --- Answering ---

verdict decide(asking& a) noexcept {
  const auto first = static_cast<int>(a.argument(0));
  switch (a.number_of_call()) {
#ifdef SYS_open
    case SYS_open: return open_for(a, AT_FDCWD, a.argument(0), a.argument(1));
    case SYS_access: return access_for(a, AT_FDCWD, a.argument(0), a.argument(1));
    case SYS_stat:
    case SYS_lstat: return stat_of(a, AT_FDCWD, a.argument(0), a.argument(1));
    case SYS_poll: return poll_for(a);
    case SYS_select: return select_for(a, 1000);
#endif
    case SYS_openat: return open_for(a, first, a.argument(1), a.argument(2));
    case SYS_openat2: return open_how_for(a);
    case SYS_faccessat:
    case SYS_faccessat2: return access_for(a, first, a.argument(1), a.argument(2));
    case SYS_newfstatat: return stat_of(a, first, a.argument(1), a.argument(2));
    case SYS_fstat: return stat_of(a, first, 0, a.argument(1));
    case SYS_statx: return statx_of(a);
    case SYS_ppoll: return ppoll_for(a);
    case SYS_pselect6: return select_for(a, 1);
    case SYS_ioctl: return control_for(a);
    case SYS_close: return close_for(a);
    default: return leave_to_kernel;
  }
}

struct crew {
  int listener = -1;
  atomic<int> idle{0};  // relaxed, both: a guess that is good enough
  atomic<int> threads{0};
};
constinit crew workers;

void* work(void*) noexcept;

// One is always left to hear the next question: some calls wait.
void add_worker() noexcept {
  if (workers.threads.fetch_add(1, mo::relaxed) >= threads_max) {
    workers.threads.fetch_sub(1, mo::relaxed);
    return;
  }
  pthread_t thread;
  pthread_attr_t how;
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  pthread_attr_init(&how);
  pthread_attr_setdetachstate(&how, PTHREAD_CREATE_DETACHED);
  pthread_attr_setstacksize(&how, 256 * 1024);
  if (pthread_create(&thread, &how, &work, nullptr) != 0) {
    workers.threads.fetch_sub(1, mo::relaxed);
  }
  pthread_attr_destroy(&how);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

void* work(void*) noexcept {
  for (;;) {
    // The kernel may know of more than is known here.
    alignas(8) char room_for_more[1024] = {};
    auto& what = *reinterpret_cast<seccomp_notif*>(room_for_more);
    workers.idle.fetch_add(1, mo::relaxed);
    const long failed =
        ::syscall(SYS_ioctl, workers.listener, SECCOMP_IOCTL_NOTIF_RECV, &what) != 0 ? errno : 0;
    if (workers.idle.fetch_sub(1, mo::relaxed) == 1) add_worker();
    if (failed == EINTR || failed == ENOENT) continue;  // the one that asked is gone
    if (failed != 0) return nullptr;
    asking a(workers.listener, what);
    a.answer(decide(a));
  }
}

}  // namespace
}  // namespace ufence::uapi

namespace uapi = ufence::uapi;

UFENCE_REPLACES int ufence_uapi_filter(void) noexcept {
  uapi::filter_program program;
  const sock_fprog code = program.get();
  // A signal does not begin a call anew that is being made in the program's place: it would have
  // its effects twice. Linux before 5.19 does not know that.
  const auto install = [&code] {
    constexpr unsigned listens = SECCOMP_FILTER_FLAG_NEW_LISTENER;
    constexpr unsigned lasts = SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
    const long listener = ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, listens | lasts, &code);
    if (listener >= 0 || errno != EINVAL) return listener;
    return ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, listens, &code);
  };
  long listener = install();
  // A process that is not root's has to give up becoming another user.
  if (listener < 0 && errno == EACCES && ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0) {
    listener = install();
  }
  return static_cast<int>(listener);
}

UFENCE_REPLACES int ufence_uapi_supervise(int listener) noexcept {
  uapi::workers.listener = listener;
  // Not everywhere; it saves a switch of processors.
  ::syscall(SYS_ioctl, listener, uapi::set_flags, uapi::wake_here);
  uapi::add_worker();
  for (;;) {
    pollfd p{.fd = listener, .events = 0, .revents = 0};
    const long n = ::syscall(SYS_ppoll, &p, 1UL, nullptr, nullptr, 0UL);
    if (n < 0 && errno != EINTR) return errno;
    if (n > 0 && (p.revents & (POLLHUP | POLLERR | POLLNVAL)) != 0) return 0;
  }
}
