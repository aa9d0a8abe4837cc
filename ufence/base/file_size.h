// Writing to files where a limit forbids it (RLIMIT_FSIZE): an error, and no signal that ends the
// process.
#pragma once

#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <ctime>

namespace ufence {

/// While it is there, SIGXFSZ is held off on this thread; one that came meanwhile is taken. errno
/// stays what it is.
class no_file_size_signal {
 public:
  no_file_size_signal() noexcept {
    sigemptyset(&it_);
    sigaddset(&it_, SIGXFSZ);
    pthread_sigmask(SIG_BLOCK, &it_, &before_);
    was_pending_ = is_pending();
  }
  ~no_file_size_signal() {
    const int saved_errno = errno;
    if (!was_pending_ && is_pending()) {
      const std::timespec at_once{};
      // Not sigtimedwait(), where a thread may be cancelled.
      ::syscall(SYS_rt_sigtimedwait, &it_, nullptr, &at_once, sizeof(unsigned long));
    }
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
    errno = saved_errno;
  }
  no_file_size_signal(const no_file_size_signal&) = delete;
  no_file_size_signal& operator=(const no_file_size_signal&) = delete;

 private:
  static bool is_pending() noexcept {
    sigset_t pending;
    return sigpending(&pending) == 0 && sigismember(&pending, SIGXFSZ) == 1;
  }

  sigset_t it_;
  sigset_t before_;
  bool was_pending_ = false;
};

/// ftruncate(), without the signal. @return  0, or -1 and errno
inline int set_file_size(int fd, off_t size) noexcept {
  const no_file_size_signal quiet;
  return ::ftruncate(fd, size);
}

}  // namespace ufence
