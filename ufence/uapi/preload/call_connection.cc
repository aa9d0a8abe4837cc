#include "ufence/uapi/preload/call_connection.h"

#include <pthread.h>
#include <sys/resource.h>

#include <cstdint>

#include "ufence/base/atomic.h"
#include "ufence/uapi/preload/call_descriptors.h"
#include "ufence/uapi/preload/reach_broker.h"
#include "ufence/uapi/preload/system.h"

namespace ufence::uapi {
namespace {

// A connection that a thread keeps. Its thread writes it, inside of an `opening`.
struct kept {
  int fd = -1;  // -1: the place is free
  std::uint64_t cookie = 0;
  uid_t user = 0;
  pid_t broker = 0;         // 0: it has no number here
  bool is_by_name = false;  // the broker that is found by its name, not that of some device
};

// Threads beyond so many connect for each call.
constexpr std::size_t places_max = 1024;
constinit kept places[places_max];  // taken and freed inside of an `opening`

// The calling thread's.
[[gnu::tls_model("initial-exec")]] constinit thread_local kept* mine = nullptr;
// relaxed, all: a thread and its own signal handlers.
[[gnu::tls_model("initial-exec")]] constinit thread_local atomic<bool> is_in_call{false};

constinit pthread_key_t at_thread_end = 0;
// The process that keeps connections. A child that was made without fork handlers, whose memory may
// be its parent's, keeps none.
constinit pid_t keeper = 0;

// @return  0: it is no socket, or the system does not say
std::uint64_t cookie_of(int fd) noexcept {
  std::uint64_t cookie = 0;
  socklen_t size = sizeof cookie;
  return ::syscall(SYS_getsockopt, fd, SOL_SOCKET, SO_COOKIE, &cookie, &size) == 0 ? cookie : 0;
}
bool is_there(const kept& k) noexcept { return k.fd >= 0 && cookie_of(k.fd) == k.cookie; }

// The number of the process that made the other end; 0: none, or none here.
pid_t maker_of(int socket) noexcept {
  ucred maker{};
  socklen_t size = sizeof maker;
  return ::syscall(SYS_getsockopt, socket, SOL_SOCKET, SO_PEERCRED, &maker, &size) == 0 ? maker.pid
                                                                                        : 0;
}

// Inside of an `opening`, or in a child that has one thread.
void give_up(kept& k) noexcept {
  if (is_there(k)) system::close(k.fd);
  k = {};
}

void give_up_mine(void* which) noexcept {
  auto& k = *static_cast<kept*>(which);
  opening now;
  if (keeper == ::getpid()) give_up(k);
  mine = nullptr;
}

// A child of fork() has copies of the connections of all threads. It begins with none.
void forget_parents() noexcept {
  const int before = errno;
  for (kept& k : places) {
    if (k.fd >= 0) give_up(k);
  }
  mine = nullptr;
  keeper = ::getpid();
  errno = before;
}

[[gnu::constructor]] void prepare() noexcept {
  if (::pthread_key_create(&at_thread_end, &give_up_mine) != 0 ||
      ::pthread_atfork(nullptr, nullptr, &forget_parents) != 0) {
    return;
  }
  keeper = ::getpid();
}

// Above what most programs use, and no higher: the kernel has tables of the size of the highest.
long high_number() noexcept {
  rlimit limit{};
  constexpr rlim_t usual = 1024;
  const bool is_known = ::syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, nullptr, &limit) == 0;
  const rlim_t all = is_known && limit.rlim_cur < usual ? limit.rlim_cur : usual;
  return static_cast<long>(all / 8 * 7);
}

// The same socket under a high number. @return  -1: none is free
int raise(int fd) noexcept {
  const long number = high_number();
  opening now;
  const int high = system::fcntl(fd, F_DUPFD_CLOEXEC, number);
  if (high < 0) return -1;
  now.note(high);
  now.forget(fd);
  system::close(fd);
  return high;
}

// A thread's own one, if it will do for the call.
kept* find_mine(const call_connection::purpose& what) noexcept {
  kept* const k = mine;
  if (k == nullptr) return nullptr;
  const bool is_right =
      what.device < 0 ? k->is_by_name : k->broker != 0 && maker_of(what.device) == k->broker;
  return is_right && k->user == ::geteuid() && is_there(*k) ? k : nullptr;
}

}  // namespace

call_connection::call_connection(const purpose& what) noexcept {
  const int before = errno;
  has_turn_ = keeper == ::getpid() && !is_in_call.exchange(true, mo::relaxed);
  if (kept* const k = has_turn_ ? find_mine(what) : nullptr) {
    fd_ = k->fd;
    is_old_ = true;
    errno = before;
    return;
  }
  is_by_name_ = what.device < 0;
  fd_ = is_by_name_ ? connect_to_broker(what.starts, what.is_interruptible)
                    : connect_over_device(what.device, what.is_interruptible);
  if (fd_ < 0) {
    error_ = errno;
    return;
  }
  broker_ = maker_of(is_by_name_ ? fd_ : what.device);
  if (const int high = has_turn_ ? raise(fd_) : -1; high >= 0) {
    fd_ = high;
    is_high_ = true;
  }
  errno = before;
}

// In place of the one that the thread has, but for one by name, which does for more.
void call_connection::put_away() noexcept {
  const kept here{.fd = fd_,
                  .cookie = cookie_of(fd_),
                  .user = ::geteuid(),
                  .broker = broker_,
                  .is_by_name = is_by_name_};
  opening now;
  kept* place = mine;
  const bool may_replace = place == nullptr || here.is_by_name || !place->is_by_name ||
                           place->user != here.user || !is_there(*place);
  for (std::size_t i = 0; place == nullptr && i < places_max; ++i) {
    if (places[i].fd < 0) place = &places[i];
  }
  now.forget(fd_);
  if (place == nullptr || !may_replace || here.cookie == 0 ||
      ::pthread_setspecific(at_thread_end, place) != 0) {
    system::close(fd_);
    return;
  }
  give_up(*place);
  *place = here;
  mine = place;
}

bool is_kept_connection(int fd) noexcept {
  opening now;
  for (const kept& k : places) {
    if (k.fd == fd && is_there(k)) return true;
  }
  return false;
}

call_connection::~call_connection() {
  const int before = errno;
  if (is_old_) {
    kept* const k = mine;
    if (!keeps_ && k != nullptr && k->fd == fd_) {
      opening now;
      give_up(*k);
    }
  } else if (fd_ >= 0) {
    if (keeps_ && is_high_) {
      put_away();
    } else {
      close_noted(fd_);
    }
  }
  if (has_turn_) is_in_call.store(false, mo::relaxed);
  errno = before;
}

}  // namespace ufence::uapi
