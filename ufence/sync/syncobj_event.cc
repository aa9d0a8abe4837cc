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
#include "ufence/sync/submission.h"
#include "ufence/sync/syncobj.h"

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

}  // namespace

// First queued on the syncobj, then a callback on the fence of the point. Frees itself.
struct syncobj_event : submission {
  struct node : callback {
    node(callback_function function, syncobj_event& self) noexcept
        : callback(function), event(self) {}
    syncobj_event& event;
  };

  syncobj_event(unique_fd fd, bool available) noexcept
      : event_fd(std::move(fd)), when_available(available) {}

  void end() noexcept {
    this->~syncobj_event();
    deallocate(this);
  }
  void fire() noexcept {
    add_one(event_fd.get());
    end();
  }
  // The point is there.
  void proceed(fence_ref f) noexcept {
    if (when_available) return fire();
    // Kept until it is signaled: nobody else may have it. Once the callback is there, the event may
    // be gone.
    found = f;
    if (f->add_callback(signaled)) fire();
  }

  static void on_submitted(callback& n, fence& f) noexcept {
    syncobj_event& self = static_cast<node&>(n).event;
    if (f.error() != 0) {
      self.end();  // the syncobj is gone
    } else {
      self.proceed(fence_of_point(std::move(self.found), self.point));
    }
  }
  static void on_signaled(callback& n, fence&) noexcept { static_cast<node&>(n).event.fire(); }

  node submitted{&syncobj_event::on_submitted, *this};
  node signaled{&syncobj_event::on_signaled, *this};
  unique_fd event_fd;
  const bool when_available;
};

std::error_code syncobj::notify(int event_fd, std::uint64_t point, bool when_available) noexcept {
  if (is_inherited()) return errno_code(EOWNERDEAD);
  unique_fd own(::fcntl(event_fd, F_DUPFD_CLOEXEC, 0));
  // EINVAL is about the lowest number that may be used, above the limit.
  if (!own) return errno_code(errno == EINVAL ? EMFILE : errno);
  if (!is_eventfd(own.get())) return errno_code(EINVAL);
  void* memory = allocate(sizeof(syncobj_event));
  if (memory == nullptr) return errno_code(ENOMEM);
  auto* event = ::new (memory) syncobj_event(std::move(own), when_available);
  result<fence_ref> f = find_fence(point);
  if (f) {
    event->proceed(std::move(*f));
    return {};
  }
  if (const std::error_code failed = event->prepare()) {
    event->end();
    return failed;
  }
  // A fence of its own, that nobody has signaled: it can't refuse.
  static_cast<void>(event->told->add_callback(event->submitted));
  queue(*event, point);  // the event may be gone now
  return {};
}

}  // namespace ufence
