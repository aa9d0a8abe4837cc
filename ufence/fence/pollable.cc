// fence::pollable_fd(): one end of a socket pair, which becomes readable with the fence.
//
// Its holders share one end, and may do with it what they like: the signalling path touches the
// other end only, which nobody else has, and from which it never reads. A write to an
// eventfd could block: its holders share the counter, which may be full, and O_NONBLOCK.
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <new>
#include <utility>

#include "ufence/base/alloc.h"
#include "ufence/base/passed_fds.h"
#include "ufence/fence/fence_lock.h"
#include "ufence/fence/live.h"
#include "ufence/fence/signalling.h"

namespace ufence {
namespace {

struct pollable_ends {
  unique_fd theirs;
  unique_fd ours;
};

result<pollable_ends> make_ends() noexcept {
  int fds[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) != 0) {
    return failure(errno);
  }
  pollable_ends ends{.theirs = unique_fd(fds[0]), .ours = unique_fd(fds[1])};
  // Holders send nothing: what is in flight to an end may block when that is closed. And they have
  // nothing dropped of what we send.
  const int on = 1;
  if (::shutdown(ends.ours.get(), SHUT_RD) != 0 ||
      ::setsockopt(ends.theirs.get(), SOL_SOCKET, SO_LOCK_FILTER, &on, sizeof on) != 0) {
    return failure(errno);
  }
  return ends;
}

// A message that has our end with it, which thereby lives as long as the message: watchers of edges
// see one. A process that reads it finds the end of the stream behind it, so that it stays readable. Where
// the message is refused there is the end of the stream only, also if children have copies of ours.
void make_readable(unique_fd ours) noexcept {
  char byte = 0;
  iovec bytes{.iov_base = &byte, .iov_len = sizeof byte};
  msghdr message{};
  message.msg_iov = &bytes;
  message.msg_iovlen = 1;
  fd_room<1> room;
  const int fd = ours.get();
  put_fds(message, room, {&fd, 1});
  if (::sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) ::shutdown(fd, SHUT_WR);
}

struct pollable : callback {
  pollable() noexcept : callback(&pollable::run) {}
  static void run(callback& node, fence&) noexcept {
    auto& self = static_cast<pollable&>(node);
    make_readable(std::move(self.ours));
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
  result<pollable_ends> ends = make_ends();
  if (!ends) return std::unexpected(ends.error());
  if (is_signaled()) {
    make_readable(std::move(ends->ours));
    return std::move(ends->theirs);
  }
  void* memory = allocate(sizeof(pollable));
  if (memory == nullptr) return failure(ENOMEM);
  auto* node = ::new (memory) pollable;
  node->ours = std::move(ends->ours);
  if (add_callback(*node)) {
    make_readable(std::move(node->ours));  // signaled meanwhile
    node->destroy();
  }
  return std::move(ends->theirs);
}

}  // namespace ufence
