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
#include "ufence/uapi/preload/descriptors.h"
#include "ufence/uapi/preload/layouts.h"
#include "ufence/uapi/preload/next.h"
#include "ufence/uapi/preload/paths.h"
#include "ufence/uapi/preload/system.h"

namespace ufence::uapi {
namespace {

// Newer than the headers of some systems.
constexpr unsigned long set_flags = SECCOMP_IOW(4, __u64);
constexpr std::uint64_t wake_here = 1;
constexpr unsigned pidfd_of_thread = O_EXCL;

// So often a wait looks whether its caller is still there, and has no signal to handle.
constexpr std::int64_t slice_ns = 100'000'000;
constexpr std::size_t path_max = 4096;
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
    SYS_open,   SYS_access,  SYS_stat,      SYS_lstat,      SYS_poll,
#endif
    SYS_openat, SYS_openat2, SYS_faccessat, SYS_faccessat2, SYS_newfstatat,
    SYS_statx,  SYS_fstat,   SYS_ppoll,     SYS_close,
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

// --- One question ---

// What a call gives back: a number, or -errno; or the kernel is to make it.
struct verdict {
  std::int64_t value = 0;
  bool is_the_kernels = false;
};
constexpr verdict leave_to_kernel{.value = 0, .is_the_kernels = true};
verdict refuse(int error) noexcept { return {.value = -error, .is_the_kernels = false}; }
verdict outcome(long result) noexcept {
  return {.value = result < 0 ? -errno : result, .is_the_kernels = false};
}

// A descriptor of this process for the time of a call.
class borrowed {
 public:
  explicit borrowed(int fd) noexcept : fd_(fd) {}
  ~borrowed() {
    if (fd_ >= 0) system::close(fd_);
  }
  borrowed(const borrowed&) = delete;
  borrowed& operator=(const borrowed&) = delete;
  [[nodiscard]] int get() const noexcept { return fd_; }

 private:
  const int fd_;
};

// Memory for the time of a call; null: there is none, or none was asked for.
class room {
 public:
  explicit room(std::size_t size) noexcept
      : at_(size != 0 ? static_cast<char*>(::calloc(1, size)) : nullptr) {}
  ~room() { ::free(at_); }
  room(const room&) = delete;
  room& operator=(const room&) = delete;
  [[nodiscard]] char* get() const noexcept { return at_; }

 private:
  char* const at_;
};

// The thread that asks, and how it is reached.
class asking {
 public:
  asking(int listener, const seccomp_notif& what) noexcept : listener_(listener), what_(what) {}
  asking(const asking&) = delete;
  asking& operator=(const asking&) = delete;
  ~asking() {
    if (process_ >= 0) system::close(process_);
  }

  [[nodiscard]] std::uint64_t argument(int n) const noexcept { return what_.data.args[n]; }
  [[nodiscard]] int number_of_call() const noexcept { return what_.data.nr; }
  [[nodiscard]] pid_t thread() const noexcept { return static_cast<pid_t>(what_.pid); }
  // Its number may be another one's since it has asked.
  [[nodiscard]] bool is_there() const noexcept {
    return ::syscall(SYS_ioctl, listener_, SECCOMP_IOCTL_NOTIF_ID_VALID, &what_.id) == 0;
  }

  // Has it a signal to handle, which ends a wait?
  [[nodiscard]] bool is_interrupted() const noexcept {
    char text[2048];
    read_status(text);
    const std::uint64_t waiting = signals_of(text, "\nSigPnd:") | signals_of(text, "\nShdPnd:");
    return (waiting & ~signals_of(text, "\nSigBlk:") & signals_of(text, "\nSigCgt:")) != 0;
  }

  [[nodiscard]] bool read(void* to, std::uint64_t from, std::size_t size) const noexcept {
    iovec ours{.iov_base = to, .iov_len = size};
    iovec theirs{.iov_base = reinterpret_cast<void*>(from), .iov_len = size};
    const long n = ::syscall(SYS_process_vm_readv, thread(), &ours, 1UL, &theirs, 1UL, 0UL);
    return n == static_cast<long>(size) && is_there();
  }
  [[nodiscard]] bool write(std::uint64_t to, const void* from, std::size_t size) const noexcept {
    iovec ours{.iov_base = const_cast<void*>(from), .iov_len = size};
    iovec theirs{.iov_base = reinterpret_cast<void*>(to), .iov_len = size};
    return is_there() && ::syscall(SYS_process_vm_writev, thread(), &ours, 1UL, &theirs, 1UL,
                                   0UL) == static_cast<long>(size);
  }
  // As much of a text as there is memory for, page by page. @return  false: it has no end there
  [[nodiscard]] bool read_text(char (&to)[path_max], std::uint64_t from) const noexcept {
    for (std::size_t done = 0; done < path_max;) {
      std::size_t part = 256 - (from + done) % 256;
      if (part > path_max - done) part = path_max - done;
      if (!read(to + done, from + done, part)) return false;
      if (std::memchr(to + done, 0, part) != nullptr) return true;
      done += part;
    }
    return false;
  }

  // This process's descriptor for one of its; -1: it has none under that number.
  [[nodiscard]] int take(int theirs) noexcept {
    if (theirs < 0) return -1;
    if (process_ < 0) process_ = static_cast<int>(::syscall(SYS_pidfd_open, thread(), 0U));
    if (process_ < 0) {
      process_ = static_cast<int>(::syscall(SYS_pidfd_open, thread(), pidfd_of_thread));
    }
    if (process_ < 0) process_ = static_cast<int>(::syscall(SYS_pidfd_open, leader(), 0U));
    const long fd = process_ < 0 ? -1 : ::syscall(SYS_pidfd_getfd, process_, theirs, 0U);
    if (fd >= 0 && !is_there()) {
      system::close(static_cast<int>(fd));
      return -1;
    }
    return static_cast<int>(fd);
  }
  // Gives it a descriptor: the number there, or -errno.
  [[nodiscard]] int give(int ours, bool close_on_exec) const noexcept {
    seccomp_notif_addfd give{};
    give.id = what_.id;
    give.srcfd = static_cast<std::uint32_t>(ours);
    give.newfd_flags = close_on_exec ? O_CLOEXEC : 0;
    const long number = ::syscall(SYS_ioctl, listener_, SECCOMP_IOCTL_NOTIF_ADDFD, &give);
    return number < 0 ? -errno : static_cast<int>(number);
  }
  // Puts one in the place of one that it has.
  void replace(int theirs, int ours) const noexcept {
    seccomp_notif_addfd give{};
    give.id = what_.id;
    give.flags = SECCOMP_ADDFD_FLAG_SETFD;
    give.srcfd = static_cast<std::uint32_t>(ours);
    give.newfd = static_cast<std::uint32_t>(theirs);
    ::syscall(SYS_ioctl, listener_, SECCOMP_IOCTL_NOTIF_ADDFD, &give);
  }
  void answer(const verdict& v) const noexcept {
    seccomp_notif_resp r{};
    r.id = what_.id;
    r.flags = v.is_the_kernels ? SECCOMP_USER_NOTIF_FLAG_CONTINUE : 0;
    if (!v.is_the_kernels && v.value < 0) r.error = static_cast<std::int32_t>(v.value);
    if (!v.is_the_kernels && v.value >= 0) r.val = v.value;
    ::syscall(SYS_ioctl, listener_, SECCOMP_IOCTL_NOTIF_SEND, &r);
  }

  // A path as this process would write it; false: nothing emulated can be there.
  [[nodiscard]] bool find(char (&whole)[path_max], int folder, std::uint64_t path) const noexcept {
    char text[path_max];
    if (!read_text(text, path)) return false;
    std::size_t size = 0;
    if (text[0] != '/') {
      char link[64];
      if (folder == AT_FDCWD) {
        std::snprintf(link, sizeof link, "/proc/%d/cwd", thread());
      } else {
        std::snprintf(link, sizeof link, "/proc/%d/fd/%d", thread(), folder);
      }
      const long n = ::syscall(SYS_readlinkat, AT_FDCWD, link, whole, path_max - 1);
      if (n <= 0 || whole[0] != '/') return false;
      size = static_cast<std::size_t>(n);
      whole[size++] = '/';
    }
    const std::size_t more = std::strlen(text) + 1;
    if (text[0] == '\0' || size + more > path_max) return false;
    std::memcpy(whole + size, text, more);
    // Another process's descriptors would be looked for among this one's.
    const std::string_view made(whole);
    return !made.starts_with("/proc/") && !made.starts_with("/dev/fd");
  }

 private:
  void read_status(char (&text)[2048]) const noexcept {
    char path[64];
    std::snprintf(path, sizeof path, "/proc/%d/status", thread());
    const borrowed file(
        static_cast<int>(::syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC)));
    const long size = ::syscall(SYS_read, file.get(), text, sizeof text - 1);
    text[size > 0 ? size : 0] = '\0';
  }
  static std::uint64_t signals_of(const char* text, const char* name) noexcept {
    const char* const line = std::strstr(text, name);
    return line != nullptr ? ::strtoull(line + std::strlen(name), nullptr, 16) : 0;
  }
  [[nodiscard]] pid_t leader() const noexcept {
    char text[2048];
    read_status(text);
    const char* const line = std::strstr(text, "\nTgid:");
    return line != nullptr ? ::atoi(line + 6) : -1;
  }

  const int listener_;
  const seccomp_notif& what_;
  int process_ = -1;
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

verdict open_for(asking& a, int folder, std::uint64_t path, std::uint64_t flags) noexcept {
  char whole[path_max];
  if (!a.find(whole, folder, path)) return leave_to_kernel;
  const emulated_path* const p = find_path(whole);
  if (p == nullptr || p->is_folder()) return leave_to_kernel;
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
  if (!a.find(whole, folder, path) || find_path(whole) == nullptr) return leave_to_kernel;
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
    if (!a.find(whole, folder, path) || find_path(whole) == nullptr) return leave_to_kernel;
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

std::int64_t now() noexcept {
  timespec t;
  ::clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1'000'000'000 + t.tv_nsec;
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

  // What came back. @return  errno, or 0
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
  // What is wrong beside the address comes first.
  if (bad == EFAULT) return outcome(::ioctl(fd.get(), code, reinterpret_cast<void*>(16)));
  if (bad != 0) return refuse(bad);
  const long result = t.make(fd.get());
  if (result < 0) return outcome(result);
  const int failed = t.give_back();
  return failed != 0 ? refuse(failed) : verdict{.value = result, .is_the_kernels = false};
}

// --- poll() ---

// Sets that have something emulated in them; the kernel knows all others.
verdict poll_for(asking& a, std::int64_t timeout_ns) noexcept {
  constexpr std::uint64_t count_max = 4096;
  const std::uint64_t count = a.argument(1);
  if (count == 0 || count > count_max) return leave_to_kernel;
  const std::size_t size = static_cast<std::size_t>(count) * sizeof(pollfd);
  const room theirs(size);
  const room ours(size);
  auto* const told = reinterpret_cast<pollfd*>(theirs.get());
  auto* const asked = reinterpret_cast<pollfd*>(ours.get());
  if (told == nullptr || asked == nullptr || !a.read(told, a.argument(0), size)) {
    return leave_to_kernel;
  }
  bool is_emulated = false;
  bool is_wrong = false;  // one is not open: the kernel does not wait then
  for (std::size_t i = 0; i < count; ++i) {
    asked[i] = {.fd = a.take(told[i].fd), .events = told[i].events, .revents = 0};
    is_emulated = is_emulated || (asked[i].fd >= 0 && kind_of(asked[i].fd) != file_kind::other);
    is_wrong = is_wrong || (asked[i].fd < 0 && told[i].fd >= 0);
  }
  const std::int64_t until = is_wrong ? 0 : timeout_ns < 0 ? INT64_MAX : now() + timeout_ns;
  int ready = 0;
  while (is_emulated) {
    const std::int64_t left = until - now();
    const std::int64_t part = left < 0 ? 0 : left < slice_ns ? left : slice_ns;
    const timespec time{.tv_sec = 0, .tv_nsec = static_cast<long>(part)};
    ready = ::ppoll(asked, count, &time, nullptr);
    if (ready != 0 || part == left || left <= 0 || !a.is_there()) break;
    if (a.is_interrupted()) {
      ready = -1;
      errno = EINTR;
      break;
    }
  }
  const int failed = errno;
  for (std::size_t i = 0; i < count; ++i) {
    told[i].revents = asked[i].revents;
    // What is not open there.
    if (asked[i].fd < 0 && told[i].fd >= 0) {
      told[i].revents = POLLNVAL;
      ready += ready >= 0 ? 1 : 0;
    }
    if (asked[i].fd >= 0) system::close(asked[i].fd);
  }
  if (!is_emulated) return leave_to_kernel;
  if (ready < 0) return refuse(failed);
  return a.write(a.argument(0), told, size) ? verdict{.value = ready, .is_the_kernels = false}
                                            : refuse(EFAULT);
}

verdict ppoll_for(asking& a) noexcept {
  timespec t{};
  if (a.argument(2) == 0) return poll_for(a, -1);
  if (!a.read(&t, a.argument(2), sizeof t) || t.tv_sec < 0 || t.tv_nsec < 0) return leave_to_kernel;
  constexpr std::int64_t second = 1'000'000'000;
  const bool is_long = t.tv_sec > INT32_MAX;
  return poll_for(a, is_long ? -1 : t.tv_sec * second + t.tv_nsec);
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
    case SYS_poll: {
      const auto timeout_ms = static_cast<int>(a.argument(2));
      return poll_for(a, timeout_ms < 0 ? -1 : timeout_ms * std::int64_t{1'000'000});
    }
#endif
    case SYS_openat: return open_for(a, first, a.argument(1), a.argument(2));
    case SYS_openat2: return open_how_for(a);
    case SYS_faccessat:
    case SYS_faccessat2: return access_for(a, first, a.argument(1), a.argument(2));
    case SYS_newfstatat: return stat_of(a, first, a.argument(1), a.argument(2));
    case SYS_fstat: return stat_of(a, first, 0, a.argument(1));
    case SYS_statx: return statx_of(a);
    case SYS_ppoll: return ppoll_for(a);
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
  // A signal does not begin a call anew that is being made in the program's place: it would have its
  // effects twice. Linux before 5.19 does not know that.
  const auto install = [&code] {
    constexpr unsigned listens = SECCOMP_FILTER_FLAG_NEW_LISTENER;
    constexpr unsigned lasts = SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
    const long listener =
        ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, listens | lasts, &code);
    if (listener >= 0 || errno != EINVAL) return listener;
    return ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, listens, &code);
  };
  long listener = install();
  // Who is not root has to give up becoming another user.
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
