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

// What others have closed is handled together, this long after the first.
constexpr std::int64_t batch_ns = 2'000'000;
// What is doubtful is looked at this often.
constexpr std::int64_t doubt_ns = 100'000'000;
// The thread stays this long without anything to watch.
constexpr std::int64_t linger_ns = 10'000'000;

constexpr std::uint64_t tag_closed = epoll_own_tags;
constexpr std::uint64_t tag_wake = epoll_own_tags + 1;

}  // namespace

// --- The thread ---

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
  descriptors fds_;  // constant, as the next
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

// The system refuses to let it wait (a sandbox that came later): what is doubtful is still looked
// at.
void reactor::loop::rest() noexcept {
  const timespec time{.tv_sec = 0, .tv_nsec = linger_ns};
  ::nanosleep(&time, nullptr);
}

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

// A part of what is doubtful at a time: events do not wait for all of it.
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

// The thread, if it still sleeps, sleeps on what nobody can reach any more; otherwise it ends. What
// waited to be ready is looked at by the next one, which tells its clients; what others claimed is
// theirs.
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
