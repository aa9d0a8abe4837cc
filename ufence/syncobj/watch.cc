#include "ufence/syncobj/watch.h"

#include "ufence/base/check.h"

namespace ufence {

std::error_code syncobj_watch::start(syncobj& object, std::uint64_t point,
                                     bool when_available) noexcept {
  when_available_ = when_available;
  result<fence_ref> f = object.find_fence(point);
  if (f) return proceed(std::move(*f));
  if (f.error() != errno_code(EINVAL)) return f.error();
  if (const std::error_code failed = waited_.prepare(point)) return failed;
  // A fence of its own, that nobody has signaled: it can't refuse.
  static_cast<void>(waited_.told->add_callback(submitted_));
  object.queue(waited_, point);  // the watch may be gone now
  return {};
}

std::error_code syncobj_watch::start(fence_ref found, bool when_available) noexcept {
  when_available_ = when_available;
  return proceed(std::move(found));
}

// The point is there. -EOWNERDEAD: its fence was inherited through fork(), and nothing will come.
std::error_code syncobj_watch::proceed(fence_ref f) noexcept {
  std::error_code refused = errno_code(ENOENT);
  if (!when_available_) {
    // Kept until it is signaled: nobody else may have it. Once the callback is there, the watch may
    // be gone.
    found_ = f;
    refused = f->add_callback(signaled_);
    if (refused == errno_code(EOWNERDEAD)) found_.reset();
  }
  if (refused != errno_code(ENOENT)) return refused;
  function_(*this, true);
  return {};
}

void syncobj_watch::on_submitted(callback& n, fence& f) noexcept {
  syncobj_watch& self = static_cast<node&>(n).watch;
  if (f.error() != 0 ||
      self.proceed(fence_of_point(std::move(self.waited_.found), self.waited_.point))) {
    self.function_(self, false);
  }
}

void syncobj_watch::on_signaled(callback& n, fence&) noexcept {
  syncobj_watch& self = static_cast<node&>(n).watch;
  self.function_(self, true);
}

void syncobj_watch::stop(syncobj& object) noexcept {
  // The callback first: what comes off the queue is told that it was canceled.
  if (waited_.told) {
    UFENCE_CHECK(waited_.told->remove_callback(submitted_));
    object.unqueue(waited_);
  }
  if (found_) UFENCE_CHECK(found_->remove_callback(signaled_));
}

}  // namespace ufence
