#include "ufence/sync/reactor.h"

#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "ufence/base/check.h"
#include "ufence/base/clock.h"
#include "ufence/sync/answer.h"
#include "ufence/sync/own_thread.h"
#include "ufence/sync/random.h"
#include "ufence/sync/socket.h"
#include "ufence/sync/wire.h"

namespace ufence::detail {
namespace {

// Hang-ups are handled together, this long after the first.
constexpr std::int64_t bunch_ns = 2'000'000;
// What is doubtful is looked at this often.
constexpr std::int64_t doubt_ns = 100'000'000;
// The thread stays this long without anything to watch.
constexpr std::int64_t linger_ns = 10'000'000;

// Tags of the reactor's own descriptors among the keys. Keys are below.
constexpr std::uint64_t own_tags = std::uint64_t{1} << 63;
constexpr std::uint64_t tag_listener = own_tags;
constexpr std::uint64_t tag_hung_up = own_tags + 1;
constexpr std::uint64_t tag_wake = own_tags + 2;
constexpr std::uint64_t tag_connections = own_tags + 0x100;

constexpr std::size_t bucket_count = 1024;

constinit mutex table_lock{lock_rank::leaf};

// The descriptors of the reactor, open while its thread runs; -1: not.
struct descriptors {
  int events = -1;    // epoll: everything the thread waits for
  int hung_up = -1;   // epoll: hang-ups; itself in `events`, one-shot
  int listener = -1;  // bound to the process's address
  int wake = -1;      // eventfd: the last thing was removed
  int probe = -1;  // a socket, to bind to what may be bound; kept so that it is there when needed
};
constinit descriptors fds UFENCE_GUARDED_BY(table_lock);
constinit std::array<watched*, bucket_count> buckets UFENCE_GUARDED_BY(table_lock){};
constinit std::size_t watched_count UFENCE_GUARDED_BY(table_lock) = 0;
constinit std::size_t doubtful_count UFENCE_GUARDED_BY(table_lock) = 0;
constinit bool is_running UFENCE_GUARDED_BY(table_lock) = false;
constinit std::uint64_t exporter UFENCE_GUARDED_BY(table_lock) = 0;
constinit answerer connections;  // the thread's

watched*& bucket_of(std::uint64_t key) noexcept UFENCE_REQUIRES(table_lock) {
  return buckets[(key * 0x9E3779B97F4A7C15) >> 54];
}

watched* find_any(std::uint64_t key) noexcept UFENCE_REQUIRES(table_lock) {
  watched* w = bucket_of(key);
  while (w != nullptr && w->key != key) w = w->next;
  return w;
}

void close_one(int& fd) noexcept {
  if (fd >= 0) ::close(fd);
  fd = -1;
}

void close_descriptors() noexcept UFENCE_REQUIRES(table_lock) {
  for (int* fd : {&fds.events, &fds.hung_up, &fds.listener, &fds.wake, &fds.probe}) close_one(*fd);
}

bool epoll_change(int epoll, int operation, int fd, std::uint32_t events,
                  std::uint64_t key) noexcept {
  epoll_event e{.events = events, .data = {.u64 = key}};
  return ::epoll_ctl(epoll, operation, fd, &e) == 0;
}

int make_socket() noexcept {
  return ::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

void wake_thread() noexcept UFENCE_REQUIRES(table_lock) {
  const std::uint64_t one = 1;
  static_cast<void>(::write(fds.wake, &one, sizeof one));
}

void remove_locked(watched& w) noexcept UFENCE_REQUIRES(table_lock) {
  watched** at = &bucket_of(w.key);
  while (*at != &w) at = &(*at)->next;
  *at = w.next;
  if (w.is_doubtful) {
    --doubtful_count;
  } else if (w.kind->waits_for == watched_kind::event::ready) {
    epoll_change(fds.events, EPOLL_CTL_DEL, w.fd, 0, 0);
  }  // what hung up has no duplicates: closing it does the same
  if (--watched_count == 0) wake_thread();
}

void doubt_locked(watched& w) noexcept UFENCE_REQUIRES(table_lock) {
  if (w.is_doubtful) return;
  w.is_doubtful = true;
  const bool is_ready = w.kind->waits_for == watched_kind::event::ready;
  epoll_change(is_ready ? fds.events : fds.hung_up, EPOLL_CTL_DEL, w.fd, 0, 0);
  // The thread did not know yet that it has to look by time.
  if (++doubtful_count == 1) wake_thread();
}

// Things that hung up, handled together: two short locks for all of them. While one is claimed it
// stays in the table, and so does the thread.
class hung_up_bunch {
 public:
  static constexpr std::size_t size_max = 64;

  [[nodiscard]] bool is_empty() const noexcept { return size_ == 0; }
  void claim(watched& w) noexcept UFENCE_REQUIRES(table_lock) {
    if (w.is_claimed || size_ == size_max) return;
    w.is_claimed = true;
    claimed_[size_++] = &w;
    if (probe_ < 0) std::swap(probe_, fds.probe);
  }
  void handle() noexcept;

 private:
  std::array<watched*, size_max> claimed_;
  std::array<bool, size_max> is_gone_;
  std::size_t size_ = 0;
  int probe_ = -1;
};

void hung_up_bunch::handle() noexcept {
  if (size_ == 0) return;
  for (std::size_t i = 0; i < size_; ++i) {
    is_gone_[i] = claimed_[i]->kind->is_gone(*claimed_[i], probe_);
  }
  {
    scoped_lock guard(table_lock);
    if (fds.probe < 0) std::swap(probe_, fds.probe);
    for (std::size_t i = 0; i < size_; ++i) {
      watched& w = *claimed_[i];
      if (is_gone_[i]) {
        remove_locked(w);
      } else {
        w.is_claimed = false;
        doubt_locked(w);
      }
    }
  }
  if (probe_ >= 0) ::close(probe_);
  for (std::size_t i = 0; i < size_; ++i) {
    if (is_gone_[i]) claimed_[i]->kind->end(*claimed_[i]);
  }
}

// --- The thread ---

class reactor_thread {
 public:
  explicit reactor_thread(const descriptors& d) noexcept : fds_(d) {}
  void run() noexcept;

 private:
  void handle(const epoll_event& e) noexcept;
  void on_time() noexcept;
  [[nodiscard]] int timeout_ms() noexcept;
  bool end_if_idle() noexcept;
  static void look_at_doubtful() noexcept;

  const descriptors fds_;
  std::int64_t bunch_at_ = no_deadline;
  std::int64_t doubt_at_ = no_deadline;
  std::int64_t end_at_ = no_deadline;
  bool listener_rests_ = false;
};

void reactor_thread::run() noexcept {
  std::array<epoll_event, 64> events;
  do {
    const int n = ::epoll_wait(fds_.events, events.data(), events.size(), timeout_ms());
    for (int i = 0; i < n; ++i) handle(events[static_cast<std::size_t>(i)]);
    on_time();
  } while (!end_if_idle());
}

void reactor_thread::handle(const epoll_event& e) noexcept {
  const std::uint64_t key = e.data.u64;
  if (key == tag_hung_up) {
    bunch_at_ = deadline_after(bunch_ns);
  } else if (key == tag_listener) {
    listener_rests_ = !connections.accept_all(fds_.listener, fds_.events, tag_connections);
    if (!listener_rests_) {
      epoll_change(fds_.events, EPOLL_CTL_MOD, fds_.listener, EPOLLIN | EPOLLONESHOT, tag_listener);
    }
  } else if (key == tag_wake) {
    std::uint64_t count = 0;
    static_cast<void>(::read(fds_.wake, &count, sizeof count));
  } else if (key >= tag_connections) {
    connections.answer(key - tag_connections);
  } else {
    const watched_kind* kind = nullptr;
    {
      scoped_lock guard(table_lock);
      if (const watched* w = find_any(key)) kind = w->kind;
    }
    if (kind != nullptr) kind->on_event(key);
  }
}

void reactor_thread::on_time() noexcept {
  const std::int64_t now = now_ns();
  if (now >= bunch_at_) {
    bunch_at_ = no_deadline;
    reap_hung_up();
    epoll_change(fds_.events, EPOLL_CTL_MOD, fds_.hung_up, EPOLLIN | EPOLLONESHOT, tag_hung_up);
  }
  if (now >= doubt_at_) {
    doubt_at_ = no_deadline;
    look_at_doubtful();
    if (listener_rests_) {
      listener_rests_ = false;
      epoll_change(fds_.events, EPOLL_CTL_MOD, fds_.listener, EPOLLIN | EPOLLONESHOT, tag_listener);
    }
  }
}

int reactor_thread::timeout_ms() noexcept {
  {
    scoped_lock guard(table_lock);
    if (doubtful_count == 0 && !listener_rests_) {
      doubt_at_ = no_deadline;
    } else if (doubt_at_ == no_deadline) {
      doubt_at_ = deadline_after(doubt_ns);
    }
    if (watched_count != 0) {
      end_at_ = no_deadline;
    } else if (end_at_ == no_deadline) {
      end_at_ = deadline_after(linger_ns);
    }
  }
  const std::int64_t at = std::min({bunch_at_, doubt_at_, end_at_});
  if (at == no_deadline) return -1;
  const std::int64_t left = at - now_ns();
  return left <= 0 ? 0 : static_cast<int>((left + 999'999) / 1'000'000);
}

void reactor_thread::look_at_doubtful() noexcept {
  std::size_t bucket = 0;
  while (bucket < bucket_count) {
    std::array<std::uint64_t, 64> keys;
    std::array<void (*)(std::uint64_t) noexcept, keys.size()> handlers_of;
    std::size_t n = 0;
    hung_up_bunch bunch;
    {
      scoped_lock guard(table_lock);
      for (; bucket < bucket_count && n == 0 && bunch.is_empty(); ++bucket) {
        for (watched* w = buckets[bucket]; w != nullptr && n < keys.size(); w = w->next) {
          if (!w->is_doubtful) continue;
          if (w->kind->waits_for == watched_kind::event::hung_up) {
            bunch.claim(*w);
          } else {
            handlers_of[n] = w->kind->on_event;
            keys[n++] = w->key;
          }
        }
      }
    }
    bunch.handle();
    for (std::size_t i = 0; i < n; ++i) handlers_of[i](keys[i]);
  }
}

bool reactor_thread::end_if_idle() noexcept {
  if (now_ns() < end_at_) return false;
  scoped_lock guard(table_lock);
  if (watched_count != 0) return false;
  connections.close_all();
  close_descriptors();
  is_running = false;
  return true;
}

void* run_reactor(void*) noexcept {
  ::pthread_setname_np(::pthread_self(), "ufence-reactor");
  descriptors d;
  {
    scoped_lock guard(table_lock);
    d = fds;
  }
  reactor_thread(d).run();
  return nullptr;
}

// --- Start ---

std::uint64_t number_of_process() noexcept UFENCE_REQUIRES(table_lock) {
  while (exporter == 0) {
    if (!fill_random(&exporter, sizeof exporter)) break;
  }
  return exporter;
}

std::error_code open_descriptors() noexcept UFENCE_REQUIRES(table_lock) {
  const std::uint64_t number = number_of_process();
  if (number == 0) return errno_code(EAGAIN);
  const socket_address address = write_listener_address(number);
  if ((fds.events = ::epoll_create1(EPOLL_CLOEXEC)) < 0 ||
      (fds.hung_up = ::epoll_create1(EPOLL_CLOEXEC)) < 0 ||
      (fds.wake = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) < 0 ||
      (fds.listener = make_socket()) < 0 || (fds.probe = make_socket()) < 0 ||
      bind_socket(fds.listener, address) || ::listen(fds.listener, SOMAXCONN) != 0 ||
      !epoll_change(fds.events, EPOLL_CTL_ADD, fds.hung_up, EPOLLIN | EPOLLONESHOT, tag_hung_up) ||
      !epoll_change(fds.events, EPOLL_CTL_ADD, fds.wake, EPOLLIN, tag_wake) ||
      !epoll_change(fds.events, EPOLL_CTL_ADD, fds.listener, EPOLLIN | EPOLLONESHOT,
                    tag_listener)) {
    return errno_code(errno);
  }
  return {};
}

std::error_code start() noexcept UFENCE_REQUIRES(table_lock) {
  if (is_running) return {};
  std::error_code failed = open_descriptors();
  if (!failed) failed = errno_code(start_own_thread(&run_reactor, nullptr));
  if (failed) {
    close_descriptors();
    return failed;
  }
  is_running = true;
  return {};
}

// A child has no reactor, and none of what its parent watches is its own.
void forget_all() noexcept UFENCE_REQUIRES(table_lock) {
  for (watched*& bucket : buckets) {
    while (bucket != nullptr) {
      watched& w = *bucket;
      bucket = w.next;
      w.kind->on_fork(w);
    }
  }
  watched_count = 0;
  doubtful_count = 0;
  connections.close_all();
  close_descriptors();
  is_running = false;
  exporter = 0;
}

struct fork_handlers {
  fork_handlers() noexcept {
    ::pthread_atfork([] { table_lock.lock_for_fork(); }, [] { table_lock.unlock_after_fork(); },
                     []() UFENCE_NO_TSA {
                       forget_all();
                       table_lock.unlock_after_fork();
                     });
  }
};
const fork_handlers handlers;

}  // namespace

// --- The table ---

watched_table::watched_table() noexcept UFENCE_NO_TSA { table_lock.lock(); }
watched_table::~watched_table() UFENCE_NO_TSA { table_lock.unlock(); }

watched* watched_table::find(std::uint64_t key, const watched_kind& kind) noexcept UFENCE_NO_TSA {
  watched* w = bucket_of(key);
  while (w != nullptr && (w->key != key || w->kind != &kind)) w = w->next;
  return w;
}

std::error_code watched_table::add(watched& w, int fd) noexcept UFENCE_NO_TSA {
  UFENCE_CHECK(w.key < own_tags);
  if (const std::error_code failed = start()) return failed;
  const bool added =
      w.kind->waits_for == watched_kind::event::ready
          ? epoll_change(fds.events, EPOLL_CTL_ADD, fd, EPOLLIN | EPOLLONESHOT, w.key)
          : epoll_change(fds.hung_up, EPOLL_CTL_ADD, fd, 0, w.key);
  if (!added) return errno_code(errno);
  w.fd = fd;
  watched*& bucket = bucket_of(w.key);
  w.next = bucket;
  bucket = &w;
  ++watched_count;
  return {};
}

void watched_table::remove(watched& w) noexcept UFENCE_NO_TSA { remove_locked(w); }

void watched_table::rearm(watched& w) noexcept UFENCE_NO_TSA {
  if (!w.is_doubtful) epoll_change(fds.events, EPOLL_CTL_MOD, w.fd, EPOLLIN | EPOLLONESHOT, w.key);
}

void watched_table::doubt(watched& w) noexcept UFENCE_NO_TSA { doubt_locked(w); }

std::size_t watched_table::count() const noexcept UFENCE_NO_TSA { return watched_count; }

std::uint64_t watched_table::exporter_number() noexcept UFENCE_NO_TSA {
  return number_of_process();
}

bool is_bound(const socket_address& address, int& probe) noexcept {
  if (probe < 0 && (probe = make_socket()) < 0) return true;
  if (bind_socket(probe, address)) return true;
  // It is bound now, and of no more use.
  close_one(probe);
  probe = make_socket();
  return false;
}

void reap_hung_up() noexcept {
  std::array<epoll_event, hung_up_bunch::size_max> events;
  int n = 0;
  do {
    hung_up_bunch bunch;
    {
      scoped_lock guard(table_lock);  // the thread may end, and its descriptors with it
      n = fds.hung_up < 0 ? 0 : ::epoll_wait(fds.hung_up, events.data(), events.size(), 0);
      for (int i = 0; i < n; ++i) {
        watched* const w = find_any(events[static_cast<std::size_t>(i)].data.u64);
        if (w != nullptr) bunch.claim(*w);
      }
    }
    bunch.handle();
  } while (n == static_cast<int>(events.size()));
}

}  // namespace ufence::detail
