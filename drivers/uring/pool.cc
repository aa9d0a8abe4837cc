#include "drivers/uring/pool.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/uio.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>

namespace ufence::uring {

/// A thread in read_stream(), and how to wake it.
class pool::stream_wait {
 public:
  explicit stream_wait(pool& owner) : owner_(owner), wake_fd_(::eventfd(0, EFD_CLOEXEC)) {
    const std::scoped_lock lock(owner_.mutex_);
    next_ = owner_.waiting_;
    owner_.waiting_ = this;
  }
  ~stream_wait() {
    {
      const std::scoped_lock lock(owner_.mutex_);
      stream_wait** link = &owner_.waiting_;
      while (*link != this) link = &(*link)->next_;
      *link = next_;
    }
    if (wake_fd_ >= 0) ::close(wake_fd_);
  }
  stream_wait(const stream_wait&) = delete;
  stream_wait& operator=(const stream_wait&) = delete;

  [[nodiscard]] bool is_usable() const noexcept { return wake_fd_ >= 0; }
  [[nodiscard]] stream_wait* next() const noexcept { return next_; }
  void wake() const noexcept { static_cast<void>(::eventfd_write(wake_fd_, 1)); }
  /// Until fd has something to read, or wake().
  /// @return  0, or a negative errno: it can't wait
  [[nodiscard]] int wait(int fd) const noexcept {
    std::array<pollfd, 2> both = {pollfd{.fd = fd, .events = POLLIN, .revents = 0},
                                  pollfd{.fd = wake_fd_, .events = POLLIN, .revents = 0}};
    return ::poll(both.data(), both.size(), -1) < 0 && errno != EINTR ? -errno : 0;
  }

 private:
  pool& owner_;
  const int wake_fd_;
  stream_wait* next_ = nullptr;
};

void pool::run() {
  driver::job_list mine;
  for (;;) {
    const inbox::orders told = inbox_.receive(mine, 1, true);
    job* const j = mine.pop_front();
    if (j == nullptr && told.is_stopping) return;
    if (j == nullptr) continue;
    const int error = perform(*j);
    ufence_uring_counters counted{};
    end(*j, error, counted);
    inbox_.count(counted);
    host_.signal(*j, error);
  }
}

void pool::interrupt() {
  const std::scoped_lock lock(mutex_);
  for (const stream_wait* w = waiting_; w != nullptr; w = w->next()) w->wake();
}

int pool::perform(job& j) {
  if (is_file(j)) {
    const auto& args = *driver::args_of<ufence_uring_read_file>(j);
    int fd = -1;
    do {
      fd = ::openat(args.dirfd, args.path, open_flags(args));
    } while (fd < 0 && errno == EINTR);
    if (fd < 0) return -errno;
    const int error = accept_file(j, fd);
    if (error != 0) return error;
  }
  return read_all(j);
}

int pool::read_all(job& j) {
  for (;;) {
    const span_left left = left_to_read(j);
    if (left.size == 0) return 0;
    std::int64_t n = 0;
    if (is_stream(j)) {
      n = read_stream(j, left);
    } else {
      n = ::pread(left.fd, left.buffer, left.size, static_cast<off_t>(left.offset));
      if (n < 0) n = -errno;
    }
    if (n == -EINTR || (n == -EAGAIN && make_blocking(j))) continue;
    if (n < 0) return static_cast<int>(n);
    if (advance(j, static_cast<std::uint64_t>(n))) return 0;
    if (inbox_.was_cancel_asked(j)) return -ECANCELED;
  }
}

// Waits for data and for the end of its patience at once: nobody may hang in read() for ever (D-9).
std::int64_t pool::read_stream(job& j, const span_left& left) {
  const stream_wait wait(*this);
  if (!wait.is_usable()) return -EMFILE;
  const iovec part{.iov_base = left.buffer, .iov_len = left.size};
  for (;;) {
    const std::int64_t n = ::preadv2(left.fd, &part, 1, -1, RWF_NOWAIT);
    if (n >= 0) return n;
    if (errno == EOPNOTSUPP) {  // it cannot be asked without waiting: wait until it has something
      pollfd one{.fd = left.fd, .events = POLLIN, .revents = 0};
      if (::poll(&one, 1, 0) > 0) {
        const std::int64_t m = ::read(left.fd, left.buffer, left.size);
        return m >= 0 ? m : -errno;
      }
    } else if (errno != EAGAIN) {
      return -errno;
    }
    if (inbox_.was_cancel_asked(j)) return -ECANCELED;
    if (const int failed = wait.wait(left.fd)) return failed;
  }
}

}  // namespace ufence::uring
