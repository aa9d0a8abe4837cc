// The table of what the reactor watches.
#include <sys/epoll.h>
#include <unistd.h>

#include "ufence/base/check.h"
#include "ufence/io/epoll.h"
#include "ufence/io/reactor.h"

namespace ufence::detail {

constinit reactor the_reactor;

watched*& reactor::bucket_of(std::uint64_t key) noexcept {
  return buckets_[(key * 0x9E3779B97F4A7C15) >> 54];
}

watched* reactor::find_any(std::uint64_t key) noexcept {
  watched* w = bucket_of(key);
  while (w != nullptr && w->key != key) w = w->next;
  return w;
}

watched* reactor::find(std::uint64_t key, const watched_kind& kind) noexcept {
  watched* w = bucket_of(key);
  while (w != nullptr && (w->key != key || w->kind != &kind)) w = w->next;
  return w;
}

void reactor::wake_thread() noexcept {
  const std::uint64_t one = 1;
  static_cast<void>(::write(fds_.wake, &one, sizeof one));
}

std::error_code reactor::add(watched& w, int fd) noexcept {
  UFENCE_CHECK(w.key < epoll_own_tags && w.state == watched_state::idle);
  if (const std::error_code failed = start()) return failed;
  const bool is_ready = w.kind->waits_for == watched_kind::event::ready;
  // Messages are told once, so that one that nobody reads does not tell again and again.
  const std::uint32_t events = is_ready                        ? EPOLLIN | EPOLLONESHOT
                               : w.kind->on_message != nullptr ? EPOLLIN | EPOLLET
                                                               : 0U;
  if (!epoll_change(is_ready ? fds_.events : fds_.closed, EPOLL_CTL_ADD, fd, events, w.key)) {
    return errno_code(errno);
  }
  w.fd = fd;
  w.is_in_epoll = true;
  watched*& bucket = bucket_of(w.key);
  w.next = bucket;
  bucket = &w;
  ++count_;
  set_state(w, watched_state::watched);
  return {};
}

// Closing it would not do: a child of fork() may have a duplicate, which keeps the registration.
void reactor::leave_epoll(watched& w) noexcept {
  if (!w.is_in_epoll) return;
  w.is_in_epoll = false;
  const bool is_ready = w.kind->waits_for == watched_kind::event::ready;
  epoll_change(is_ready ? fds_.events : fds_.closed, EPOLL_CTL_DEL, w.fd, 0, 0);
}

void reactor::set_state(watched& w, watched_state to) noexcept {
  if (w.state == watched_state::doubtful) --doubtful_count_;
  w.state = to;
  // The thread did not know yet that it has to look by time.
  if (to == watched_state::doubtful && ++doubtful_count_ == 1) wake_thread();
}

void reactor::remove(watched& w) noexcept {
  watched** at = &bucket_of(w.key);
  while (*at != &w) at = &(*at)->next;
  *at = w.next;
  leave_epoll(w);
  set_state(w, w.state == watched_state::claimed ? watched_state::gone : watched_state::idle);
  if (--count_ == 0) wake_thread();
}

void reactor::doubt(watched& w) noexcept {
  if (w.state == watched_state::doubtful) return;
  leave_epoll(w);
  set_state(w, watched_state::doubtful);
}

void reactor::rearm(watched& w) noexcept {
  if (w.is_in_epoll) {
    epoll_change(fds_.events, EPOLL_CTL_MOD, w.fd, EPOLLIN | EPOLLONESHOT, w.key);
  }
}

}  // namespace ufence::detail
