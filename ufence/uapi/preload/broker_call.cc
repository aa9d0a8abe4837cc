#include "ufence/uapi/preload/broker_call.h"

#include "ufence/base/passed_fds.h"
#include "ufence/uapi/preload/call_descriptors.h"
#include "ufence/uapi/preload/descriptors.h"
#include "ufence/uapi/preload/reach_broker.h"
#include "ufence/uapi/preload/system.h"

namespace ufence::uapi {
namespace {

bool send_request(int connection, const broker_call& call) noexcept {
  request_header header;
  header.what = static_cast<std::uint32_t>(call.what);
  header.code = call.code;
  header.argument_size = static_cast<std::uint32_t>(call.argument_size);
  header.data_size = static_cast<std::uint32_t>(call.data[0].iov_len + call.data[1].iov_len);
  int fds[2];
  std::size_t fd_count = 0;
  if (call.subject >= 0) {
    header.descriptors |= request_header::has_subject;
    fds[fd_count++] = call.subject;
  }
  if (call.other >= 0) {
    header.descriptors |= request_header::has_other;
    fds[fd_count++] = call.other;
  }
  iovec parts[4] = {{&header, sizeof header},
                    {const_cast<void*>(call.argument), call.argument_size},
                    call.data[0],
                    call.data[1]};
  fd_room<2> room;
  msghdr message{};
  message.msg_iov = parts;
  message.msg_iovlen = 4;
  put_fds(message, room, {fds, fd_count});
  while (system::send(connection, message) < 0) {
    if (errno != EINTR) return false;
  }
  return true;
}

// The one that there was room for, or -1.
int descriptor_of(msghdr& message) noexcept {
  int found = -1;
  take_fds(message, [&found](int fd) { found = fd; });
  return found;
}

broker_reply failed_with(int error, int fd = -1) noexcept {
  if (fd >= 0) close_noted(fd);
  broker_reply reply;
  reply.error = error;
  return reply;
}

// Waits for the reply, and leaves it there.
bool await_reply(int connection, bool is_interruptible) noexcept {
  char first = 0;
  iovec part{.iov_base = &first, .iov_len = 1};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  while (system::receive(connection, message, MSG_PEEK) < 0) {
    if (errno != EINTR || is_interruptible) return false;
  }
  return true;
}

// The data that came in a file.
broker_reply read_file(int fd, std::size_t size, const broker_call& call) noexcept {
  if (fd < 0 || size > call.reply_data.iov_len) return failed_with(EIO, fd);
  for (std::size_t done = 0; done < size;) {
    char* const to = static_cast<char*>(call.reply_data.iov_base) + done;
    const long n = ::syscall(SYS_pread64, fd, to, size - done, static_cast<long>(done));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return failed_with(n < 0 ? errno : EIO, fd);
    done += static_cast<std::size_t>(n);
  }
  close_noted(fd);
  broker_reply reply;
  reply.data_size = size;
  return reply;
}

// ENODEV: no reply came.
broker_reply receive_reply(int connection, const broker_call& call) noexcept {
  reply_header header;
  iovec parts[3] = {{&header, sizeof header}, call.reply_argument, call.reply_data};
  fd_room<1> room;
  msghdr message{};
  message.msg_iov = parts;
  message.msg_iovlen = 3;
  make_room_for_fds(message, room);
  long size = -1;
  int fd = -1;
  if (await_reply(connection, call.is_interruptible)) {
    opening now;
    size = system::receive(connection, message,
                           MSG_DONTWAIT | (call.close_on_exec ? MSG_CMSG_CLOEXEC : 0));
    if (size > 0) fd = descriptor_of(message);
    if (fd >= 0 && call.for_this_call) now.note(fd);
  }
  if (size < 0) return failed_with(errno == ECONNRESET ? ENODEV : errno);
  if (size == 0) return failed_with(ENODEV);
  const auto received = static_cast<std::size_t>(size);
  if (received < sizeof header || header.version != protocol_version ||
      (message.msg_flags & MSG_TRUNC) != 0 ||
      received != sizeof header + header.argument_size + header.data_size) {
    return failed_with(EIO, fd);
  }
  if (header.error != 0) return failed_with(header.error, fd);
  // No number was free for the descriptor.
  if ((message.msg_flags & MSG_CTRUNC) != 0) return failed_with(EMFILE, fd);
  if (header.file_size != 0) return read_file(fd, header.file_size, call);
  broker_reply reply;
  reply.fd = fd;
  reply.descriptor_at = header.descriptor_at;
  reply.data_size = header.data_size;
  return reply;
}

// The program gets the lowest free number, as from the kernel: not one above the connection's.
void lower(int& fd, bool close_on_exec) noexcept {
  const int lowest = system::fcntl(fd, close_on_exec ? F_DUPFD_CLOEXEC : F_DUPFD);
  if (lowest < 0) return;
  system::close(lowest < fd ? fd : lowest);
  if (lowest < fd) fd = lowest;
}

// Over a connection, which is closed then.
broker_reply call_over(int connection, const broker_call& call) noexcept {
  broker_reply reply;
  if (send_request(connection, call)) {
    reply = receive_reply(connection, call);
  } else {
    const int failed = errno;
    reply = failed_with(failed == EMSGSIZE                        ? ENOMEM
                        : failed == EPIPE || failed == ECONNRESET ? ENODEV
                                                                  : failed);
  }
  close_noted(connection);
  if (reply.fd > connection && !call.for_this_call) lower(reply.fd, call.close_on_exec);
  return reply;
}

}  // namespace

broker_reply call_broker(const broker_call& call) noexcept {
  if (call.subject >= 0 && device_of(call.subject) != device_kind::none) {
    const int connection = connect_over_device(call.subject);
    return connection < 0 ? failed_with(errno) : call_over(connection, call);
  }
  for (int attempt = 0;; ++attempt) {
    const int connection = connect_to_broker(true, call.is_interruptible);
    if (connection < 0) return failed_with(errno);
    const broker_reply reply = call_over(connection, call);
    // A broker that ends has not begun with any call: another one may do it.
    if (reply.error != ENODEV || attempt == 3) return reply;
  }
}

int begin_flush(int device) noexcept { return connect_over_device(device); }

void end_flush(int connection) noexcept {
  if (connection < 0) connection = connect_to_broker(false, false);
  if (connection < 0) return;
  broker_call call;
  call.what = operation::flush;
  static_cast<void>(call_over(connection, call));
}

}  // namespace ufence::uapi
