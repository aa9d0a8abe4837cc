// poll(), select() and their relatives with emulated descriptors among those that are waited for.
//
// A dma-buf is readable when no fence of a writer is pending, writable when none is: two sync
// files, made for the call, stand for it. When one of them says so the buffer is looked at again:
// fences may have come meanwhile. A sync file is readable, and nothing else; a node has no events;
// what has no poll operation in the kernel is always ready. Sockets, which stand for these, say
// more.
//
// Nothing large is on the stack, which the program may have made small.
#include <poll.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <time.h>

#include "ufence/uapi/ioctls.h"
#include "ufence/uapi/preload/broker_call.h"
#include "ufence/uapi/preload/call_descriptors.h"
#include "ufence/uapi/preload/descriptors.h"
#include "ufence/uapi/preload/next.h"
#include "ufence/uapi/preload/system.h"

namespace ufence::uapi {
namespace {

constinit next_function<int(pollfd*, nfds_t, int)> next_poll("poll");
constinit next_function<int(pollfd*, nfds_t, const timespec*, const sigset_t*)> next_ppoll("ppoll");
constinit next_function<int(int, fd_set*, fd_set*, fd_set*, timeval*)> next_select("select");
constinit next_function<int(int, fd_set*, fd_set*, fd_set*, const timespec*, const sigset_t*)>
    next_pselect("pselect");
constinit next_function<int(int, int, int, epoll_event*)> next_epoll_ctl("epoll_ctl");

constexpr short always_ready = POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM;

// Memory for the time of a call.
class call_memory {
 public:
  explicit call_memory(std::size_t size) noexcept
      : size_(size),
        at_(reinterpret_cast<void*>(::syscall(SYS_mmap, nullptr, size, PROT_READ | PROT_WRITE,
                                              MAP_PRIVATE | MAP_ANONYMOUS, -1, 0L))) {}
  ~call_memory() {
    if (at_ != MAP_FAILED) ::syscall(SYS_munmap, at_, size_);
  }
  call_memory(const call_memory&) = delete;
  call_memory& operator=(const call_memory&) = delete;
  template <class T>
  [[nodiscard]] T* as() const noexcept {
    return at_ != MAP_FAILED ? static_cast<T*>(at_) : nullptr;
  }

 private:
  const std::size_t size_;
  void* const at_;
};

// Until when a call waits.
class time_left {
 public:
  explicit time_left(const timespec* timeout) noexcept : is_limited_(timeout != nullptr) {
    if (!is_limited_) return;
    ::clock_gettime(CLOCK_MONOTONIC, &until_);
    until_.tv_sec += timeout->tv_sec;
    until_.tv_nsec += timeout->tv_nsec;
    if (until_.tv_nsec >= second) {
      until_.tv_nsec -= second;
      ++until_.tv_sec;
    }
  }
  // Null: for ever.
  [[nodiscard]] const timespec* get() noexcept {
    if (!is_limited_) return nullptr;
    timespec now;
    ::clock_gettime(CLOCK_MONOTONIC, &now);
    left_ = {.tv_sec = until_.tv_sec - now.tv_sec, .tv_nsec = until_.tv_nsec - now.tv_nsec};
    if (left_.tv_nsec < 0) {
      left_.tv_nsec += second;
      --left_.tv_sec;
    }
    if (left_.tv_sec < 0) left_ = {};
    return &left_;
  }

 private:
  static constexpr long second = 1'000'000'000;
  const bool is_limited_;
  timespec until_{};
  timespec left_{};
};

// The descriptors that are polled in place of the program's: its descriptors, and behind them the sync
// files that stand for its dma-bufs.
class poll_set {
 public:
  struct stand_in {
    nfds_t for_which;
    short meaning;
  };

  poll_set(pollfd* theirs, nfds_t count, nfds_t dma_bufs) noexcept
      : theirs_(theirs),
        count_(count),
        used_(count),
        memory_((count + 2 * dma_bufs) * sizeof(pollfd) + 2 * dma_bufs * sizeof(stand_in) +
                count * sizeof(short)),
        ours_(memory_.as<pollfd>()),
        stand_ins_(reinterpret_cast<stand_in*>(ours_ + count + 2 * dma_bufs)),
        masks_(reinterpret_cast<short*>(stand_ins_ + 2 * dma_bufs)) {}
  poll_set(const poll_set&) = delete;
  poll_set& operator=(const poll_set&) = delete;
  ~poll_set() {
    for (nfds_t i = count_; i < used_; ++i) close_noted(ours_[i].fd);
  }

  // @return  errno, or 0
  int fill() noexcept {
    if (ours_ == nullptr) return ENOMEM;
    for (nfds_t i = 0; i < count_; ++i) {
      ours_[i] = theirs_[i];
      masks_[i] = -1;
      if (theirs_[i].fd < 0) continue;
      const file_kind kind = kind_of(theirs_[i].fd);
      switch (kind) {
        case file_kind::other: break;
        case file_kind::dma_buf:
          if (const int failed = add_stand_ins(i)) return failed;
          break;
        case file_kind::sync_file:
          masks_[i] = POLLIN;
          ours_[i].events &= POLLIN;
          if (ours_[i].events == 0) ours_[i].fd = -1;
          break;
        case file_kind::drm_node:
          ours_[i].fd = -1;
          ours_[i].events = 0;
          break;
        case file_kind::sw_sync:
        case file_kind::syncobj:
          ours_[i].fd = -1;
          ours_[i].events &= always_ready;
          is_ready_ = is_ready_ || ours_[i].events != 0;
          break;
      }
    }
    return 0;
  }

  int wait(const timespec* timeout, const sigset_t* signals) noexcept {
    const timespec at_once{};
    time_left left(is_ready_ ? &at_once : timeout);
    for (;;) {
      const int n = next_ppoll.get()(ours_, used_, left.get(), signals);
      if (n < 0) return n;
      for (nfds_t i = 0; i < count_; ++i) {
        const pollfd& one = ours_[i];
        const short says = one.fd >= 0 ? one.revents : theirs_[i].fd >= 0 ? one.events : short{0};
        theirs_[i].revents = static_cast<short>(says & masks_[i]);
      }
      for (nfds_t i = count_; i < used_; ++i) {
        if (ours_[i].revents == 0) continue;
        bool is_so = false;
        if (const int failed = look_again(i, is_so)) {
          errno = failed;
          return -1;
        }
        pollfd& one = theirs_[stand_ins_[i - count_].for_which];
        if (is_so) one.revents = static_cast<short>(one.revents | stand_ins_[i - count_].meaning);
      }
      int ready = 0;
      for (nfds_t i = 0; i < count_; ++i) ready += theirs_[i].revents != 0 ? 1 : 0;
      if (ready != 0 || n == 0) return ready;
    }
  }

 private:
  // @return  errno, or 0
  int add_stand_ins(nfds_t which) noexcept {
    for (const short event : {short{POLLIN}, short{POLLOUT}}) {
      if ((theirs_[which].events & event) == 0) continue;
      int file = -1;
      if (const int failed = make_file(theirs_[which].fd, event, file)) return failed;
      if (file < 0) continue;  // some other memory file
      stand_ins_[used_ - count_] = {.for_which = which, .meaning = event};
      ours_[used_++] = {.fd = file, .events = POLLIN, .revents = 0};
      ours_[which].fd = -1;
      ours_[which].events = 0;
    }
    return 0;
  }

  // @return  errno, or 0; the file is -1 where it is no dma-buf
  static int make_file(int dma_buf, short event, int& file) noexcept {
    dma_buf_sync_file a{.flags = event == POLLIN ? dma_buf_read : dma_buf_write, .fd = -1};
    broker_call call;
    call.code = dma_buf_export;
    call.subject = dma_buf;
    call.argument = &a;
    call.argument_size = sizeof a;
    call.reply_argument = {&a, sizeof a};
    call.for_this_call = true;
    const broker_reply reply = call_broker(call);
    file = reply.fd;
    return reply.error == ENOTTY ? 0 : reply.error;
  }

  // Its fences are signaled. Are there others now? Then those stand for it.
  int look_again(nfds_t which, bool& is_so) noexcept {
    const stand_in& s = stand_ins_[which - count_];
    int file = -1;
    if (const int failed = make_file(theirs_[s.for_which].fd, s.meaning, file)) return failed;
    pollfd now{.fd = file, .events = POLLIN, .revents = 0};
    const timespec at_once{};
    is_so = file < 0 || next_ppoll.get()(&now, 1, &at_once, nullptr) == 1;
    if (file < 0) return 0;
    close_noted(is_so ? file : ours_[which].fd);
    if (!is_so) ours_[which].fd = file;
    return 0;
  }

  pollfd* const theirs_;
  const nfds_t count_;
  nfds_t used_;
  const call_memory memory_;
  pollfd* const ours_;
  stand_in* const stand_ins_;
  short* const masks_;  // what each may say
  bool is_ready_ = false;
};

// The emulated ones among descriptors.
struct survey {
  nfds_t dma_bufs = 0;
  bool is_needed = false;  // the kernel would not answer as it should
};

// A socket that is asked for nothing but data says what it should, but for its end. The array is
// not const: glibc declares what poll() gets as written only, and g++ then warns of a reader.
survey look_at(pollfd* fds, nfds_t count) noexcept {
  constexpr unsigned only_data = POLLIN | POLLRDNORM | POLLRDBAND | POLLPRI;
  survey found;
  for (nfds_t i = 0; i < count; ++i) {
    if (fds[i].fd < 0) continue;
    if (is_dma_buf(fds[i].fd)) {
      ++found.dma_bufs;
      found.is_needed = true;
      continue;
    }
    const auto events = static_cast<unsigned short>(fds[i].events);
    const bool is_more = (events & POLLIN) == 0 || (events & ~only_data) != 0;
    if (is_more && !found.is_needed) found.is_needed = kind_of(fds[i].fd) != file_kind::other;
  }
  return found;
}

// The kernel's sync files know no end of their exporter.
void forget_ends(pollfd* fds, nfds_t count) noexcept {
  constexpr short ends = POLLHUP | POLLERR;
  for (nfds_t i = 0; i < count; ++i) {
    if ((fds[i].revents & ends) != 0 && is_sync_file(fds[i].fd)) fds[i].revents &= POLLIN;
  }
}

int poll_emulated(pollfd* fds, nfds_t count, nfds_t dma_bufs, const timespec* timeout,
                  const sigset_t* signals) noexcept {
  poll_set set(fds, count, dma_bufs);
  if (const int failed = set.fill()) {
    errno = failed;
    return -1;
  }
  return set.wait(timeout, signals);
}

// --- select() ---

// A program may have sets of any size, and say so by the count.
bool is_in(int fd, const fd_set* set) noexcept {
  if (set == nullptr) return false;
  const auto* const words = reinterpret_cast<const fd_mask*>(set);
  return (words[fd / NFDBITS] >> (fd % NFDBITS) & 1) != 0;
}
void take_out(int fd, fd_set* set) noexcept {
  auto* const words = reinterpret_cast<fd_mask*>(set);
  words[fd / NFDBITS] &= ~static_cast<fd_mask>(1UL << (fd % NFDBITS));
}

bool has_emulated(int count, const fd_set* readable, const fd_set* writable) noexcept {
  for (int fd = 0; fd < count; ++fd) {
    if (is_in(fd, writable) && kind_of(fd) != file_kind::other) return true;
    if (is_in(fd, readable) && is_dma_buf(fd)) return true;
  }
  return false;
}

int select_emulated(int count, fd_set* readable, fd_set* writable, fd_set* exceptional,
                    const timespec* timeout, const sigset_t* signals) noexcept {
  struct part {
    fd_set* set;
    short asked;
    short means;
  };
  const part parts[] = {{readable, POLLIN, POLLIN | POLLHUP | POLLERR},
                        {writable, POLLOUT, POLLOUT | POLLERR},
                        {exceptional, POLLPRI, POLLPRI}};
  const call_memory memory(static_cast<std::size_t>(count) * sizeof(pollfd));
  auto* const fds = memory.as<pollfd>();
  if (fds == nullptr) {
    errno = ENOMEM;
    return -1;
  }
  nfds_t used = 0;
  for (int fd = 0; fd < count; ++fd) {
    short events = 0;
    for (const part& p : parts) {
      if (is_in(fd, p.set)) events = static_cast<short>(events | p.asked);
    }
    if (events != 0) fds[used++] = {.fd = fd, .events = events, .revents = 0};
  }
  const int n = poll_emulated(fds, used, look_at(fds, used).dma_bufs, timeout, signals);
  if (n < 0) return n;
  for (nfds_t i = 0; i < used; ++i) {
    if ((fds[i].revents & POLLNVAL) == 0) continue;
    errno = EBADF;
    return -1;
  }
  int ready = 0;
  for (nfds_t i = 0; i < used; ++i) {
    for (const part& p : parts) {
      if (!is_in(fds[i].fd, p.set)) continue;
      if ((fds[i].revents & p.means) != 0) {
        ++ready;
      } else {
        take_out(fds[i].fd, p.set);
      }
    }
  }
  return ready;
}

// select() as Linux has it: the time that was not slept is left in the program's argument.
int select_in_time(int count, fd_set* readable, fd_set* writable, fd_set* exceptional,
                   timeval* timeout) noexcept {
  if (timeout == nullptr) {
    return select_emulated(count, readable, writable, exceptional, nullptr, nullptr);
  }
  if (timeout->tv_sec < 0 || timeout->tv_usec < 0) {
    errno = EINVAL;
    return -1;
  }
  const timespec time{.tv_sec = timeout->tv_sec + timeout->tv_usec / 1'000'000,
                      .tv_nsec = timeout->tv_usec % 1'000'000 * 1000};
  time_left left(&time);
  const int n = select_emulated(count, readable, writable, exceptional, &time, nullptr);
  const int saved_errno = errno;
  const timespec* const rest = left.get();
  *timeout = {.tv_sec = rest->tv_sec, .tv_usec = rest->tv_nsec / 1000};
  errno = saved_errno;
  return n;
}

}  // namespace
}  // namespace ufence::uapi

namespace uapi = ufence::uapi;

UFENCE_REPLACES int poll(pollfd* fds, nfds_t count, int timeout_ms) {
  const uapi::survey found = uapi::look_at(fds, count);
  if (!found.is_needed) {
    const int n = uapi::next_poll.get()(fds, count, timeout_ms);
    if (n > 0) uapi::forget_ends(fds, count);
    return n;
  }
  const timespec timeout{.tv_sec = timeout_ms / 1000, .tv_nsec = timeout_ms % 1000 * 1'000'000L};
  return uapi::poll_emulated(fds, count, found.dma_bufs, timeout_ms < 0 ? nullptr : &timeout,
                             nullptr);
}
UFENCE_REPLACES int ppoll(pollfd* fds, nfds_t count, const timespec* timeout,
                          const sigset_t* signals) {
  const uapi::survey found = uapi::look_at(fds, count);
  if (found.is_needed) return uapi::poll_emulated(fds, count, found.dma_bufs, timeout, signals);
  const int n = uapi::next_ppoll.get()(fds, count, timeout, signals);
  if (n > 0) uapi::forget_ends(fds, count);
  return n;
}
UFENCE_REPLACES int select(int count, fd_set* readable, fd_set* writable, fd_set* exceptional,
                           timeval* timeout) {
  if (!uapi::has_emulated(count, readable, writable)) {
    return uapi::next_select.get()(count, readable, writable, exceptional, timeout);
  }
  return uapi::select_in_time(count, readable, writable, exceptional, timeout);
}
UFENCE_REPLACES int pselect(int count, fd_set* readable, fd_set* writable, fd_set* exceptional,
                            const timespec* timeout, const sigset_t* signals) {
  if (!uapi::has_emulated(count, readable, writable)) {
    return uapi::next_pselect.get()(count, readable, writable, exceptional, timeout, signals);
  }
  return uapi::select_emulated(count, readable, writable, exceptional, timeout, signals);
}
// A sync file tells of its signal alone, and a node of nothing; what has no poll operation can't be
// watched.
UFENCE_REPLACES int epoll_ctl(int epoll, int operation, int fd, epoll_event* event) noexcept {
  const uapi::file_kind kind =
      operation == EPOLL_CTL_DEL ? uapi::file_kind::other : uapi::kind_of(fd);
  epoll_event narrowed{};
  if (kind == uapi::file_kind::other || !uapi::system::copy_in(&narrowed, event, sizeof narrowed)) {
    return uapi::next_epoll_ctl.get()(epoll, operation, fd, event);
  }
  if (kind == uapi::file_kind::sw_sync || kind == uapi::file_kind::syncobj) {
    errno = EPERM;
    return -1;
  }
  constexpr std::uint32_t ways = EPOLLET | EPOLLONESHOT | EPOLLEXCLUSIVE | EPOLLWAKEUP;
  narrowed.events &= kind == uapi::file_kind::sync_file ? ways | EPOLLIN : ways;
  // There is one edge, its signal. A socket has more of them.
  if ((narrowed.events & EPOLLET) != 0) narrowed.events |= EPOLLONESHOT;
  return uapi::next_epoll_ctl.get()(epoll, operation, fd, &narrowed);
}
