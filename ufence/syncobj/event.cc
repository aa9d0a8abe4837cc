// syncobj::notify(): an eventfd that is told once.
#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <new>
#include <string_view>

#include "ufence/base/alloc.h"
#include "ufence/base/fd.h"
#include "ufence/syncobj/syncobj.h"
#include "ufence/syncobj/tell_event.h"
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

// Frees itself.
struct syncobj_event : syncobj_watch {
  syncobj_event(unique_fd fd, const detail::event_end& when_ended) noexcept
      : syncobj_watch(&syncobj_event::on_end), event_fd(std::move(fd)), ended(when_ended) {}

  static void on_end(syncobj_watch& watch, bool is_there) noexcept {
    auto& self = static_cast<syncobj_event&>(watch);
    if (is_there) detail::tell_event(self.event_fd.get());
    const detail::event_end ended = self.ended;
    self.end();
    if (ended.run != nullptr) ended.run(ended.argument);
  }
  void end() noexcept {
    this->~syncobj_event();
    deallocate(this);
  }

  unique_fd event_fd;
  const detail::event_end ended;
};

}  // namespace

std::error_code syncobj::notify(int event_fd, std::uint64_t point, bool when_available) noexcept {
  return detail::notify(*this, event_fd, point, when_available, {});
}

std::error_code detail::notify(syncobj& object, int event_fd, std::uint64_t point,
                               bool when_available, const event_end& end) noexcept {
  if (object.is_inherited()) return errno_code(EOWNERDEAD);
  unique_fd own(::fcntl(event_fd, F_DUPFD_CLOEXEC, 0));
  // EINVAL is about the lowest number that may be used, above the limit.
  if (!own) return errno_code(errno == EINVAL ? EMFILE : errno);
  if (!is_eventfd(own.get())) return errno_code(EINVAL);
  prepare_to_tell_events();
  void* memory = allocate(sizeof(syncobj_event));
  if (memory == nullptr) return errno_code(ENOMEM);
  auto* event = ::new (memory) syncobj_event(std::move(own), end);
  const std::error_code failed = event->start(object, point, when_available);
  if (failed) event->end();
  return failed;
}

}  // namespace ufence
