#include "ufence/syncobj/watch.h"

#include "ufence/base/check.h"

namespace ufence {

std::error_code syncobj_watch::start(syncobj& object, std::uint64_t point,
                                     bool when_available) noexcept {
  when_available_ = when_available;
  result<fence_ref> f = object.find_fence(point);
  if (f) {
    proceed(std::move(*f));
    return {};
  }
  if (f.error() != errno_code(EINVAL)) return f.error();
  if (const std::error_code failed = waited_.prepare()) return failed;
  // A fence of its own, that nobody has signaled: it can't refuse.
  static_cast<void>(waited_.told->add_callback(submitted_));
  object.queue(waited_, point);  // the watch may be gone now
  return {};
}

// The point is there.
void syncobj_watch::proceed(fence_ref f) noexcept {
  if (when_available_) return function_(*this, true);
  // Kept until it is signaled: nobody else may have it. Once the callback is there, the watch may
  // be gone.
  found_ = f;
  if (f->add_callback(signaled_)) function_(*this, true);
}

void syncobj_watch::on_submitted(callback& n, fence& f) noexcept {
  syncobj_watch& self = static_cast<node&>(n).watch;
  if (f.error() != 0) {
    self.function_(self, false);
  } else {
    self.proceed(fence_of_point(std::move(self.waited_.found), self.waited_.point));
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
