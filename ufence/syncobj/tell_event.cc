// A write to an eventfd blocks where its counter is full, if its holders let it: they share the
// description, and with it O_NONBLOCK. But the kernel tells an eventfd of the end of an asynchronous
// operation (IOCB_FLAG_RESFD), and that never blocks. The operation is a poll of the eventfd itself,
// which is readable or has room, so that it ends within the call that begins it.
#include "ufence/syncobj/tell_event.h"

#include <linux/aio_abi.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>
#include <ctime>

#include "ufence/base/atomic.h"
#include "ufence/base/fork.h"

namespace ufence::detail {
namespace {

constexpr long operations_max = 64;

// The kernel's name for the context, or 0. A child of fork() has none.
constinit atomic<aio_context_t> operations{0};

const fork_part at_fork(lock_rank::leaf,
                        {.before = [] noexcept {},
                         .in_parent = [] noexcept {},
                         // relaxed: there is one thread
                         .in_child = [] noexcept { operations.store(0, mo::relaxed); }});

// Operations that have ended make room for others.
void take_ended(aio_context_t in) noexcept {
  io_event ended[8];
  timespec at_once{};
  ::syscall(SYS_io_getevents, in, 0L, 8L, ended, &at_once);
}

bool tell_by_operation(aio_context_t in, int event_fd) noexcept {
  const auto fd = static_cast<std::uint32_t>(event_fd);
  iocb operation{};
  operation.aio_lio_opcode = IOCB_CMD_POLL;
  operation.aio_fildes = fd;
  operation.aio_buf = POLLIN | POLLOUT;
  operation.aio_flags = IOCB_FLAG_RESFD;
  operation.aio_resfd = fd;
  iocb* const first = &operation;
  // Twice: other threads may have the room for a moment.
  for (int tries = 0; tries < 2; ++tries) {
    const long begun = ::syscall(SYS_io_submit, in, 1L, &first);
    take_ended(in);
    if (begun == 1) return true;
  }
  return false;
}

}  // namespace

void prepare_to_tell_events() noexcept {
  // relaxed, all: the name is all there is to it
  if (operations.load(mo::relaxed) != 0) return;
  aio_context_t made = 0;
  if (::syscall(SYS_io_setup, operations_max, &made) != 0) return;
  aio_context_t none = 0;
  if (!operations.compare_exchange(none, made, mo::relaxed, mo::relaxed)) {
    ::syscall(SYS_io_destroy, made);
  }
}

void tell_event(int event_fd) noexcept {
  // relaxed: as above
  const aio_context_t in = operations.load(mo::relaxed);
  if (in != 0 && tell_by_operation(in, event_fd)) return;
  // Where the counter is full its reader has not noticed the events before, either.
  pollfd room{.fd = event_fd, .events = POLLOUT, .revents = 0};
  if (::poll(&room, 1, 0) != 1) return;
  const std::uint64_t one = 1;
  static_cast<void>(!::write(event_fd, &one, sizeof one));
}

}  // namespace ufence::detail
