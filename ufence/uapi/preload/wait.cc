// poll(), select() and their relatives with dma-bufs among the descriptors. A dma-buf is readable
// when no fence of a writer is pending, writable when none is: two sync files, made for the call,
// stand for it.
#include <poll.h>
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

// With dma-bufs among them a call takes at most so many descriptors.
constexpr nfds_t set_size = 1024;

// What is polled in place of what the program asks for.
class poll_set {
 public:
  poll_set(pollfd* theirs, nfds_t count) noexcept : theirs_(theirs), count_(count), used_(count) {}
  poll_set(const poll_set&) = delete;
  poll_set& operator=(const poll_set&) = delete;
  ~poll_set() {
    for (nfds_t i = count_; i < used_; ++i) close_noted(ours_[i].fd);
  }

  // @return  errno, or 0
  int fill() noexcept {
    for (nfds_t i = 0; i < count_; ++i) {
      ours_[i] = theirs_[i];
      if (theirs_[i].fd < 0 || !may_be_dma_buf(theirs_[i].fd)) continue;
      for (const short event : {short{POLLIN}, short{POLLOUT}}) {
        if ((theirs_[i].events & event) == 0) continue;
        if (const int failed = add(i, event)) return failed;
      }
    }
    return 0;
  }
  int wait(const timespec* timeout, const sigset_t* signals) noexcept {
    const int n = next_ppoll.get()(ours_, used_, timeout, signals);
    if (n <= 0) return n;
    for (nfds_t i = 0; i < count_; ++i) theirs_[i].revents = ours_[i].fd < 0 ? 0 : ours_[i].revents;
    for (nfds_t i = count_; i < used_; ++i) {
      if (ours_[i].revents != 0) {
        theirs_[stands_for_[i]].revents =
            static_cast<short>(theirs_[stands_for_[i]].revents | meaning_[i]);
      }
    }
    int ready = 0;
    for (nfds_t i = 0; i < count_; ++i) ready += theirs_[i].revents != 0 ? 1 : 0;
    return ready;
  }

 private:
  int add(nfds_t which, short event) noexcept {
    dma_buf_sync_file a{.flags = event == POLLIN ? dma_buf_read : dma_buf_write, .fd = -1};
    broker_call call;
    call.code = dma_buf_export;
    call.subject = theirs_[which].fd;
    call.argument = &a;
    call.argument_size = sizeof a;
    call.reply_argument = {&a, sizeof a};
    call.for_this_call = true;
    const broker_reply reply = call_broker(call);
    if (reply.error == ENOTTY) return 0;  // some other memory file
    if (reply.error != 0) return reply.error;
    if (used_ == set_size) {
      close_noted(reply.fd);
      return ENOMEM;
    }
    ours_[which].fd = -1;
    ours_[used_] = {.fd = reply.fd, .events = POLLIN, .revents = 0};
    stands_for_[used_] = which;
    meaning_[used_] = event;
    ++used_;
    return 0;
  }

  pollfd* const theirs_;
  const nfds_t count_;
  nfds_t used_;
  pollfd ours_[set_size];
  nfds_t stands_for_[set_size];
  short meaning_[set_size];
};

bool has_dma_buf(pollfd* fds, nfds_t count) noexcept {
  for (nfds_t i = 0; i < count; ++i) {
    if (fds[i].fd >= 0 && may_be_dma_buf(fds[i].fd)) return true;
  }
  return false;
}

int poll_emulated(pollfd* fds, nfds_t count, const timespec* timeout,
                  const sigset_t* signals) noexcept {
  int failed = ENOMEM;
  if (count <= set_size) {
    poll_set set(fds, count);
    failed = set.fill();
    if (failed == 0) return set.wait(timeout, signals);
  }
  errno = failed;
  return -1;
}

// --- select() ---

bool is_in(int fd, const fd_set* set) noexcept { return set != nullptr && FD_ISSET(fd, set); }

bool has_dma_buf(int count, const fd_set* readable, const fd_set* writable) noexcept {
  for (int fd = 0; fd < count && fd < FD_SETSIZE; ++fd) {
    if ((is_in(fd, readable) || is_in(fd, writable)) && may_be_dma_buf(fd)) return true;
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
  pollfd fds[FD_SETSIZE];
  nfds_t used = 0;
  for (int fd = 0; fd < count && fd < FD_SETSIZE; ++fd) {
    short events = 0;
    for (const part& p : parts) {
      if (is_in(fd, p.set)) events = static_cast<short>(events | p.asked);
    }
    if (events != 0) fds[used++] = {.fd = fd, .events = events, .revents = 0};
  }
  const int n = poll_emulated(fds, used, timeout, signals);
  if (n < 0) return n;
  int ready = 0;
  for (nfds_t i = 0; i < used; ++i) {
    const short told = n == 0 ? short{0} : fds[i].revents;
    if ((told & POLLNVAL) != 0) {
      errno = EBADF;
      return -1;
    }
    for (const part& p : parts) {
      if (!is_in(fds[i].fd, p.set)) continue;
      if ((told & p.means) != 0) {
        ++ready;
      } else {
        FD_CLR(fds[i].fd, p.set);
      }
    }
  }
  return ready;
}

}  // namespace
}  // namespace ufence::uapi

#define UFENCE_REPLACES extern "C" [[gnu::visibility("default")]]

namespace uapi = ufence::uapi;

UFENCE_REPLACES int poll(pollfd* fds, nfds_t count, int timeout_ms) {
  if (!uapi::has_dma_buf(fds, count)) return uapi::next_poll.get()(fds, count, timeout_ms);
  const timespec timeout{.tv_sec = timeout_ms / 1000, .tv_nsec = timeout_ms % 1000 * 1'000'000L};
  return uapi::poll_emulated(fds, count, timeout_ms < 0 ? nullptr : &timeout, nullptr);
}
UFENCE_REPLACES int ppoll(pollfd* fds, nfds_t count, const timespec* timeout,
                          const sigset_t* signals) {
  if (!uapi::has_dma_buf(fds, count)) return uapi::next_ppoll.get()(fds, count, timeout, signals);
  return uapi::poll_emulated(fds, count, timeout, signals);
}
UFENCE_REPLACES int select(int count, fd_set* readable, fd_set* writable, fd_set* exceptional,
                           timeval* timeout) {
  if (!uapi::has_dma_buf(count, readable, writable)) {
    return uapi::next_select.get()(count, readable, writable, exceptional, timeout);
  }
  timespec time{};
  if (timeout != nullptr) time = {.tv_sec = timeout->tv_sec, .tv_nsec = timeout->tv_usec * 1000};
  return uapi::select_emulated(count, readable, writable, exceptional,
                               timeout == nullptr ? nullptr : &time, nullptr);
}
UFENCE_REPLACES int pselect(int count, fd_set* readable, fd_set* writable, fd_set* exceptional,
                            const timespec* timeout, const sigset_t* signals) {
  if (!uapi::has_dma_buf(count, readable, writable)) {
    return uapi::next_pselect.get()(count, readable, writable, exceptional, timeout, signals);
  }
  return uapi::select_emulated(count, readable, writable, exceptional, timeout, signals);
}
