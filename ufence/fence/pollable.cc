// fence::pollable_fd(): an eventfd that becomes readable with the fence.
#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <new>

#include "ufence/base/alloc.h"
#include "ufence/base/check.h"
#include "ufence/fence/fence_lock.h"
#include "ufence/fence/live.h"
#include "ufence/fence/signalling.h"

namespace ufence {
namespace {

// In semaphore mode a stray read takes one from the most that fits: it stays readable.
void make_readable(int fd) noexcept {
  // Its holders share the open file, and may have let it block.
  const int flags = ::fcntl(fd, F_GETFL);
  if ((flags & O_NONBLOCK) == 0) ::fcntl(fd, F_SETFL, flags | O_NONBLOCK);
  const std::uint64_t most = UINT64_MAX - 1;
  const ssize_t written = ::write(fd, &most, sizeof most);
  // EAGAIN: its user wrote to it, and it is readable already.
  UFENCE_CHECK(written == sizeof most || errno == EAGAIN);
}

// The library writes to a descriptor of its own: the user may close his, and its number be used
// again.
struct pollable : callback {
  pollable() noexcept : callback(&pollable::run) {}
  static void run(callback& node, fence&) noexcept {
    auto& self = static_cast<pollable&>(node);
    make_readable(self.ours.get());
    self.destroy();
  }
  void destroy() noexcept {
    this->~pollable();
    deallocate(this);
  }
  unique_fd ours;
};

}  // namespace

callback_function detail::callback_of_pollable() noexcept { return &pollable::run; }

result<unique_fd> fence::pollable_fd() noexcept {
  if (!is_signaled() && is_inherited()) return failure(EOWNERDEAD);
  detail::check_not_signalling("a thread makes a descriptor on the signalling path");
  unique_fd theirs(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK | EFD_SEMAPHORE));
  if (!theirs) return failure(errno);
  if (is_signaled()) {
    make_readable(theirs.get());
    return theirs;
  }
  unique_fd ours(::fcntl(theirs.get(), F_DUPFD_CLOEXEC, 0));
  if (!ours) return failure(errno);
  void* memory = allocate(sizeof(pollable));
  if (memory == nullptr) return failure(ENOMEM);
  auto* node = ::new (memory) pollable;
  node->ours = std::move(ours);
  if (add_callback(*node)) {
    make_readable(theirs.get());  // signaled meanwhile
    node->destroy();
  }
  return theirs;
}

}  // namespace ufence
