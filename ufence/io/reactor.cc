#include "ufence/io/reactor.h"

#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <ctime>

#include "ufence/base/clock.h"
#include "ufence/base/fork.h"
#include "ufence/base/own_thread.h"
#include "ufence/io/epoll.h"

namespace ufence::detail {
namespace {

// Closed peers are handled together, this long after the first.
constexpr std::int64_t batch_ns = 2'000'000;
// Doubtful things are looked at this often.
constexpr std::int64_t doubt_ns = 100'000'000;
// The thread stays this long without anything to watch.
constexpr std::int64_t linger_ns = 10'000'000;

// The values that the thread finds in epoll's events in place of a key: the epoll of what waits for peer_closed has
// something, or another thread wants the time looked at again.
constexpr std::uint64_t tag_closed = epoll_own_tags;
constexpr std::uint64_t tag_wake = epoll_own_tags + 1;

}  // namespace

// --- The thread ---

// The state that the reactor's thread keeps between its rounds. Each round waits for events until the next of three
// times, handles the events, and then does what is due:
//   batch_at_  things whose peer is closed are reaped; set by the first such event, batch_ns later
//   doubt_at_  doubtful things are looked at; set while there are any, doubt_ns later
//   end_at_    the thread ends; set while nothing is watched, linger_ns later
// Only this thread touches its fields. The loop knows of the things that are watched no more than their kind.
class reactor::loop {
 public:
  explicit loop(reactor& of) noexcept : reactor_(of) {
    const scoped_lock guard(reactor_.lock);
    fds_ = reactor_.fds_;
    life_ = reactor_.life_;
  }
  void run() noexcept;

  static void* start(void*) noexcept {
    ::pthread_setname_np(::pthread_self(), "ufence-reactor");
    loop(the_reactor).run();
    return nullptr;
  }

 private:
  void handle(const epoll_event& e) noexcept;
  static void rest() noexcept;
  void on_time() noexcept;
  [[nodiscard]] int timeout_ms() noexcept;
  [[nodiscard]] bool end_if_idle() noexcept;

  reactor& reactor_;
  descriptors fds_;  // those of this thread's life, copied once, as the next
  std::uint64_t life_ = 0;
  std::int64_t batch_at_ = no_deadline;
  std::int64_t doubt_at_ = no_deadline;
  std::int64_t end_at_ = no_deadline;
  std::uint64_t round_ = 0;  // that looks at what is doubtful; 0: none
};

void reactor::loop::run() noexcept {
  std::array<epoll_event, 64> events;
  do {
    const int n = ::epoll_wait(fds_.events, events.data(), events.size(), timeout_ms());
    if (n < 0 && errno != EINTR) rest();
    for (int i = 0; i < n; ++i) handle(events[static_cast<std::size_t>(i)]);
    on_time();
  } while (!end_if_idle());
}

// epoll_wait() fails where a sandbox that came later refuses it. The thread then sleeps for a moment in its
// place, so that doubtful things are still looked at and the loop does not spin.
void reactor::loop::rest() noexcept {
  const timespec time{.tv_sec = 0, .tv_nsec = linger_ns};
  ::nanosleep(&time, nullptr);
}

// A key that is not in the table any more is of a thing that was removed after the event was fetched. The
// client is called without the lock, with the key alone: it finds out by itself whether the thing is there.
void reactor::loop::handle(const epoll_event& e) noexcept {
  const std::uint64_t key = e.data.u64;
  if (key == tag_closed) {
    batch_at_ = deadline_after(batch_ns);
  } else if (key == tag_wake) {
    std::uint64_t count = 0;
    static_cast<void>(::read(fds_.wake, &count, sizeof count));
  } else {
    const watched_kind* kind = nullptr;
    {
      const scoped_lock guard(reactor_.lock);
      if (const watched* w = reactor_.find_any(key)) kind = w->kind;
    }
    if (kind != nullptr) kind->on_ready(key);
  }
}

// Reaping re-arms the one-shot event that told of closed peers. Of the doubtful things only a part is looked
// at in one call, so that events do not wait for all of them: doubt_at_ stays in the past until the round is
// through, and timeout_ms() then is 0.
void reactor::loop::on_time() noexcept {
  const std::int64_t now = now_ns();
  if (now >= batch_at_) {
    batch_at_ = no_deadline;
    reactor_.reap_closed();
    epoll_change(fds_.events, EPOLL_CTL_MOD, fds_.closed, EPOLLIN | EPOLLONESHOT, tag_closed);
  }
  if (now >= doubt_at_) {
    if (round_ == 0) round_ = reactor_.begin_round();
    if (!reactor_.look_at_doubtful(round_, false)) {
      round_ = 0;
      doubt_at_ = no_deadline;
    }
  }
}

// How long epoll_wait() may sleep: until the next of the three times, rounded up, or for ever (-1). Sets or
// clears the two that depend on what the table has now.
int reactor::loop::timeout_ms() noexcept {
  {
    const scoped_lock guard(reactor_.lock);
    if (reactor_.doubtful_count_ == 0) {
      doubt_at_ = no_deadline;
    } else if (doubt_at_ == no_deadline) {
      doubt_at_ = deadline_after(doubt_ns);
    }
    if (reactor_.count_ != 0) {
      end_at_ = no_deadline;
    } else if (end_at_ == no_deadline) {
      end_at_ = deadline_after(linger_ns);
    }
  }
  const std::int64_t at = std::min({batch_at_, doubt_at_, end_at_});
  if (at == no_deadline) return -1;
  const std::int64_t left = at - now_ns();
  return left <= 0 ? 0 : static_cast<int>((left + 999'999) / 1'000'000);
}

// True: the thread has to end. It decides so and gives its descriptors up under one lock, so that add() either
// finds it running, or starts another one.
bool reactor::loop::end_if_idle() noexcept {
  const std::int64_t now = now_ns();
  const scoped_lock guard(reactor_.lock);
  if (reactor_.life_ != life_) return true;  // its descriptors are not there any more
  if (now < end_at_ || reactor_.count_ != 0) return false;
  reactor_.close_descriptors();
  reactor_.is_running_ = false;
  return true;
}

// --- Start and end ---

void reactor::close_descriptors() noexcept {
  for (const int fd : {fds_.events, fds_.closed, fds_.wake}) {
    if (fd >= 0) ::close(fd);
  }
  fds_ = {};
}

// On failure some are open: close_descriptors() closes these.
std::error_code reactor::open_descriptors() noexcept {
  if ((fds_.events = ::epoll_create1(EPOLL_CLOEXEC)) < 0 ||
      (fds_.closed = ::epoll_create1(EPOLL_CLOEXEC)) < 0 ||
      (fds_.wake = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) < 0 ||
      !epoll_change(fds_.events, EPOLL_CTL_ADD, fds_.closed, EPOLLIN | EPOLLONESHOT, tag_closed) ||
      !epoll_change(fds_.events, EPOLL_CTL_ADD, fds_.wake, EPOLLIN, tag_wake)) {
    return errno_code(errno);
  }
  return {};
}

// An epoll knows a descriptor by its number and its file: both are still ours.
bool reactor::has_its_descriptors() noexcept {
  return epoll_change(fds_.events, EPOLL_CTL_MOD, fds_.wake, EPOLLIN, tag_wake);
}

// Somebody has closed the descriptors of this life. If its thread still sleeps in epoll_wait(), it sleeps on a
// file that nobody can reach any more; if it wakes, it finds that life_ has moved on, and ends. Things that
// waited to be ready become doubtful: the next thread looks at them and tells their clients. Things that are
// claimed belong to the threads that claimed them. All others leave the table.
void reactor::lose_all() noexcept {
  for (watched*& bucket : buckets_) {
    for (watched** at = &bucket; *at != nullptr;) {
      watched& w = **at;
      w.is_in_epoll = false;
      if (w.state != watched_state::claimed) w.kind->on_loss(w);
      if (w.state == watched_state::claimed || w.kind->waits_for == watched_kind::event::ready) {
        if (w.state == watched_state::watched) set_state(w, watched_state::doubtful);
        at = &w.next;
        continue;
      }
      *at = w.next;
      --count_;
      set_state(w, watched_state::idle);
    }
  }
  fds_ = {};
  is_running_ = false;
}

// Makes sure that a thread runs which has its descriptors.
std::error_code reactor::start() noexcept {
  if (is_running_ && has_its_descriptors()) return {};
  if (is_running_) lose_all();
  ++life_;
  std::error_code failed = open_descriptors();
  if (!failed) failed = errno_code(start_own_thread(&loop::start, nullptr));
  if (failed) {
    close_descriptors();
    return failed;
  }
  is_running_ = true;
  return {};
}

void reactor::forget_all() noexcept {
  for (watched*& bucket : buckets_) {
    while (bucket != nullptr) {
      watched& w = *bucket;
      bucket = w.next;
      w.state = watched_state::idle;
      w.is_in_epoll = false;
      w.kind->on_fork(w);
    }
  }
  count_ = 0;
  doubtful_count_ = 0;
  batches_claimed_ = 0;  // who was closing is not here
  close_descriptors();
  is_running_ = false;
}

namespace {

const fork_part at_fork(lock_rank::leaf,
                        {.before = [] noexcept { the_reactor.lock.lock_for_fork(); },
                         .in_parent = [] noexcept { the_reactor.lock.unlock_after_fork(); },
                         .in_child =
                             []() UFENCE_NO_TSA noexcept {
                               the_reactor.forget_all();
                               the_reactor.lock.unlock_after_fork();
                             }});

}  // namespace
}  // namespace ufence::detail
