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

// A descriptor for this library is noted as soon as it is there; one for the program is the
// program's.
// @return  as recvmsg()
long receive_message(int connection, const broker_call& call, msghdr& message, int& fd) noexcept {
  const auto take = [&fd](int came) { fd = came; };
  const int flags = call.close_on_exec ? MSG_CMSG_CLOEXEC : 0;
  if (call.for_this_call) {
    if (!await_reply(connection, call.is_interruptible)) return -1;
    opening now;
    const long size = system::receive(connection, message, flags | MSG_DONTWAIT);
    if (size > 0) take_fds(message, take);
    if (fd >= 0) now.note(fd);
    return size;
  }
  long size = -1;
  do {
    size = system::receive(connection, message, flags);
  } while (size < 0 && errno == EINTR && !call.is_interruptible);
  if (size > 0) take_fds(message, take);
  return size;
}

// Is a connection that says this at its end, before it has answered?
bool is_end(int error) noexcept {
  return error == EPIPE || error == ECONNRESET || error == EBADF || error == ENOTSOCK;
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

// `is_lost`: no reply came, since the connection has ended.
broker_reply receive_reply(call_connection& connection, const broker_call& call,
                           bool& is_lost) noexcept {
  reply_header header;
  iovec parts[3] = {{&header, sizeof header}, call.reply_argument, call.reply_data};
  fd_room<1> room;
  msghdr message{};
  message.msg_iov = parts;
  message.msg_iovlen = 3;
  make_room_for_fds(message, room);
  int fd = -1;
  const long size = receive_message(connection.get(), call, message, fd);
  is_lost = size == 0 || (size < 0 && is_end(errno));
  if (is_lost) return failed_with(ENODEV);
  if (size < 0) return failed_with(errno);
  const auto received = static_cast<std::size_t>(size);
  if (received < sizeof header || header.version != protocol_version ||
      (message.msg_flags & MSG_TRUNC) != 0 ||
      received != sizeof header + header.argument_size + header.data_size) {
    return failed_with(EIO, fd);
  }
  if (header.keeps != 0) connection.keep();
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

broker_reply call_over(call_connection& connection, const broker_call& call,
                       bool& is_lost) noexcept {
  if (send_request(connection.get(), call)) return receive_reply(connection, call, is_lost);
  const int failed = errno;
  is_lost = is_end(failed);
  // Nothing was sent: the next call finds it as it was.
  if (!is_lost && connection.was_kept()) connection.keep();
  return failed_with(is_lost ? ENODEV : failed == EMSGSIZE ? ENOMEM : failed);
}

}  // namespace

// So often a call whose connection was ended before it began is tried again: by a broker that ends, or one that
// has more connections than it takes.
constexpr int tries_max = 500;
constexpr int tries_at_once = 3;

broker_reply call_broker(const broker_call& call) noexcept {
  for (int attempt = 0;; ++attempt) {
    bool is_lost = false;
    int number = -1;
    broker_reply reply;
    {
      call_connection connection({.device = call.is_about_device ? call.subject : -1,
                                  .is_interruptible = call.is_interruptible});
      number = connection.get();
      if (number < 0) return failed_with(connection.error());
      reply = call_over(connection, call, is_lost);
    }
    if (is_lost && attempt + 1 < tries_max) {
      if (attempt >= tries_at_once) pause_shortly();
      continue;
    }
    if (reply.fd > number && !call.for_this_call) lower(reply.fd, call.close_on_exec);
    return reply;
  }
}

void flush(call_connection& connection) noexcept {
  if (connection.get() < 0) return;
  broker_call call;
  call.what = operation::flush;
  bool is_lost = false;
  static_cast<void>(call_over(connection, call, is_lost));
}

}  // namespace ufence::uapi
