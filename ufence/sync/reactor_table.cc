#include "ufence/sync/reactor_table.h"

#include <sys/epoll.h>
#include <unistd.h>

#include <cerrno>

#include "ufence/base/check.h"

namespace ufence::detail {
namespace reactor {

constinit mutex table_lock{lock_rank::leaf};
constinit descriptors fds;
constinit std::array<watched*, bucket_count> buckets{};
constinit std::size_t watched_count = 0;
constinit std::size_t doubtful_count = 0;

namespace {

watched*& bucket_of(std::uint64_t key) noexcept UFENCE_REQUIRES(table_lock) {
  return buckets[(key * 0x9E3779B97F4A7C15) >> 54];
}

void wake_thread() noexcept UFENCE_REQUIRES(table_lock) {
  const std::uint64_t one = 1;
  static_cast<void>(::write(fds.wake, &one, sizeof one));
}

}  // namespace

bool epoll_change(int epoll, int operation, int fd, std::uint32_t events,
                  std::uint64_t key) noexcept {
  epoll_event e{.events = events, .data = {.u64 = key}};
  return ::epoll_ctl(epoll, operation, fd, &e) == 0;
}

watched* find_any(std::uint64_t key) noexcept {
  watched* w = bucket_of(key);
  while (w != nullptr && w->key != key) w = w->next;
  return w;
}

// Closing it would not do: a child of fork() may have a duplicate, which keeps the registration.
namespace {
void stop_watching(const watched& w) noexcept UFENCE_REQUIRES(table_lock) {
  const bool is_ready = w.kind->waits_for == watched_kind::event::ready;
  epoll_change(is_ready ? fds.events : fds.hung_up, EPOLL_CTL_DEL, w.fd, 0, 0);
}
}  // namespace

void remove_locked(watched& w) noexcept {
  watched** at = &bucket_of(w.key);
  while (*at != &w) at = &(*at)->next;
  *at = w.next;
  if (w.is_doubtful) {
    --doubtful_count;
  } else {
    stop_watching(w);
  }
  if (--watched_count == 0) wake_thread();
}

void doubt_locked(watched& w) noexcept {
  if (w.is_doubtful) return;
  w.is_doubtful = true;
  stop_watching(w);
  // The thread did not know yet that it has to look by time.
  if (++doubtful_count == 1) wake_thread();
}

}  // namespace reactor

using namespace reactor;

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

}  // namespace ufence::detail
