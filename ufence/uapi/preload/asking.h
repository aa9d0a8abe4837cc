// One question of the kernel in the name of a program's thread, and how that thread is reached.
#pragma once

#include <linux/seccomp.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <time.h>

#include <cstdint>
#include <cstdio>
#include <string_view>

#include "ufence/uapi/preload/system.h"

namespace ufence::uapi {

// So often a wait looks whether its caller is still there, and has no signal to handle.
inline constexpr std::int64_t slice_ns = 100'000'000;
inline constexpr std::size_t path_max = 4096;
// Newer than the headers of some systems.
inline constexpr unsigned pidfd_of_thread = O_EXCL;

inline std::int64_t now() noexcept {
  timespec t;
  ::clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1'000'000'000 + t.tv_nsec;
}

// The result of a call: a number, or -errno; or the kernel is to make it.
struct verdict {
  std::int64_t value = 0;
  bool is_the_kernels = false;
};
inline constexpr verdict leave_to_kernel{.value = 0, .is_the_kernels = true};
inline verdict refuse(int error) noexcept { return {.value = -error, .is_the_kernels = false}; }
inline verdict outcome(long result) noexcept {
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

}  // namespace ufence::uapi
