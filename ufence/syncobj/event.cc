// syncobj::notify(): an eventfd that is told once.
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <new>
#include <string_view>

#include "ufence/base/alloc.h"
#include "ufence/base/fd.h"
#include "ufence/syncobj/syncobj.h"
#include "ufence/syncobj/watch.h"

namespace ufence {
namespace {

bool is_eventfd(int fd) noexcept {
  std::array<char, 32> path{};
  std::array<char, 64> target{};
  std::snprintf(path.data(), path.size(), "/proc/self/fd/%d", fd);
  const ssize_t length = ::readlink(path.data(), target.data(), target.size());
  return length > 0 && std::string_view(target.data(), static_cast<std::size_t>(length)) ==
                           "anon_inode:[eventfd]";
}

// Where the counter is full a write may block: its reader has not noticed the events before,
// either.
void add_one(int fd) noexcept {
  pollfd room{.fd = fd, .events = POLLOUT, .revents = 0};
  if (::poll(&room, 1, 0) != 1) return;
  const std::uint64_t one = 1;
  static_cast<void>(!::write(fd, &one, sizeof one));
}

// Frees itself.
struct syncobj_event : syncobj_watch {
  explicit syncobj_event(unique_fd fd) noexcept
      : syncobj_watch(&syncobj_event::on_end), event_fd(std::move(fd)) {}

  static void on_end(syncobj_watch& watch, bool is_there) noexcept {
    auto& self = static_cast<syncobj_event&>(watch);
    if (is_there) add_one(self.event_fd.get());
    self.end();
  }
  void end() noexcept {
    this->~syncobj_event();
    deallocate(this);
  }

  unique_fd event_fd;
};

}  // namespace

std::error_code syncobj::notify(int event_fd, std::uint64_t point, bool when_available) noexcept {
  if (is_inherited()) return errno_code(EOWNERDEAD);
  unique_fd own(::fcntl(event_fd, F_DUPFD_CLOEXEC, 0));
  // EINVAL is about the lowest number that may be used, above the limit.
  if (!own) return errno_code(errno == EINVAL ? EMFILE : errno);
  if (!is_eventfd(own.get())) return errno_code(EINVAL);
  void* memory = allocate(sizeof(syncobj_event));
  if (memory == nullptr) return errno_code(ENOMEM);
  auto* event = ::new (memory) syncobj_event(std::move(own));
  const std::error_code failed = event->start(*this, point, when_available);
  if (failed) event->end();
  return failed;
}

}  // namespace ufence
