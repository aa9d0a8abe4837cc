#include "ufence/sync/reactor_table.h"

#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <ctime>

#include "ufence/base/clock.h"
#include "ufence/base/fork.h"
#include "ufence/base/own_thread.h"
#include "ufence/io/random.h"
#include "ufence/io/socket.h"
#include "ufence/sync/answer.h"
#include "ufence/sync/wire.h"

namespace ufence::detail {

using namespace reactor;

namespace {

// Hang-ups are handled together, this long after the first.
constexpr std::int64_t bunch_ns = 2'000'000;
// What is doubtful is looked at this often.
constexpr std::int64_t doubt_ns = 100'000'000;
// The thread stays this long without anything to watch.
constexpr std::int64_t linger_ns = 10'000'000;

// Tags of the reactor's own descriptors among the keys.
constexpr std::uint64_t tag_listener = own_tags;
constexpr std::uint64_t tag_hung_up = own_tags + 1;
constexpr std::uint64_t tag_wake = own_tags + 2;
constexpr std::uint64_t tag_connections = own_tags + 0x100;

constinit bool is_running UFENCE_GUARDED_BY(table_lock) = false;
constinit std::uint64_t exporter UFENCE_GUARDED_BY(table_lock) = 0;
constinit answerer connections;  // the thread's

void close_descriptors() noexcept UFENCE_REQUIRES(table_lock) {
  for (const int fd : {fds.events, fds.hung_up, fds.listener, fds.wake}) {
    if (fd >= 0) ::close(fd);
  }
  fds = {};
}

// --- The thread ---

class reactor_thread {
 public:
  explicit reactor_thread(const descriptors& d) noexcept : fds_(d) {}
  void run() noexcept;

 private:
  void handle(const epoll_event& e) noexcept;
  static void rest() noexcept;
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
    if (n < 0 && errno != EINTR) rest();
    for (int i = 0; i < n; ++i) handle(events[static_cast<std::size_t>(i)]);
    on_time();
  } while (!end_if_idle());
}

// The system refuses to let it wait (a sandbox that came later): what is doubtful is still looked
// at.
void reactor_thread::rest() noexcept {
  const timespec time{.tv_sec = 0, .tv_nsec = linger_ns};
  ::nanosleep(&time, nullptr);
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
  reap_doubtful();
  std::size_t bucket = 0;
  while (bucket < bucket_count) {
    std::array<std::uint64_t, 64> keys;
    std::array<void (*)(std::uint64_t) noexcept, keys.size()> handlers_of;
    std::size_t n = 0;
    {
      scoped_lock guard(table_lock);
      for (; bucket < bucket_count && n == 0; ++bucket) {
        for (watched* w = buckets[bucket]; w != nullptr && n < keys.size(); w = w->next) {
          if (!w->is_doubtful || w->kind->waits_for != watched_kind::event::ready) continue;
          handlers_of[n] = w->kind->on_event;
          keys[n++] = w->key;
        }
      }
    }
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

std::error_code open_descriptors() noexcept UFENCE_REQUIRES(table_lock) {
  const std::uint64_t number = number_of_process();
  if (number == 0) return errno_code(EAGAIN);
  const socket_address address = write_listener_address(number);
  if ((fds.events = ::epoll_create1(EPOLL_CLOEXEC)) < 0 ||
      (fds.hung_up = ::epoll_create1(EPOLL_CLOEXEC)) < 0 ||
      (fds.wake = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) < 0 ||
      (fds.listener = ::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) < 0 ||
      bind_socket(fds.listener, address) || ::listen(fds.listener, SOMAXCONN) != 0 ||
      !epoll_change(fds.events, EPOLL_CTL_ADD, fds.hung_up, EPOLLIN | EPOLLONESHOT, tag_hung_up) ||
      !epoll_change(fds.events, EPOLL_CTL_ADD, fds.wake, EPOLLIN, tag_wake) ||
      !epoll_change(fds.events, EPOLL_CTL_ADD, fds.listener, EPOLLIN | EPOLLONESHOT,
                    tag_listener)) {
    return errno_code(errno);
  }
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
  forget_bunches();
}

const fork_part at_fork(lock_rank::leaf,
                        {.before = [] noexcept { table_lock.lock_for_fork(); },
                         .in_parent = [] noexcept { table_lock.unlock_after_fork(); },
                         .in_child =
                             []() noexcept UFENCE_NO_TSA {
                               forget_all();
                               table_lock.unlock_after_fork();
                             }});

}  // namespace

std::uint64_t reactor::number_of_process() noexcept {
  while (exporter == 0) {
    if (!fill_random(&exporter, sizeof exporter)) break;
  }
  return exporter;
}

std::error_code reactor::start() noexcept {
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

}  // namespace ufence::detail
