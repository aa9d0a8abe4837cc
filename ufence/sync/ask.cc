#include "ufence/sync/ask.h"

#include <sys/socket.h>

#include <cerrno>

#include "ufence/base/alloc.h"
#include "ufence/io/socket.h"

namespace ufence::detail {

record_buffer::~record_buffer() { deallocate(heap_); }

std::span<std::byte> record_buffer::room(std::size_t size) noexcept {
  if (size <= inline_.size()) return inline_;
  deallocate(heap_);
  heap_ = static_cast<std::byte*>(allocate(size));
  return {heap_, heap_ == nullptr ? 0 : size};
}

result<record_view> record_buffer::receive(int socket, bool peek) noexcept {
  // A first look tells the size. An exporter that died with something unread leaves one ECONNRESET.
  result<message> got = receive_message(socket, inline_, true);
  if (!got && got.error() == errno_code(ECONNRESET)) got = receive_message(socket, inline_, true);
  if (!got) {
    const bool is_reset = got.error() == errno_code(ECONNRESET);
    return failure(is_reset ? ENODATA : got.error().value());
  }
  if (got->size == 0) return failure(ENODATA);
  if (got->size > record_size_max) return failure(EPROTO);
  const std::span<std::byte> into = room(got->size);
  if (into.empty()) return failure(ENOMEM);
  const std::size_t size = got->size;
  if (!peek || size > inline_.size()) got = receive_message(socket, into, peek);
  // Somebody else took it.
  if (!got) return failure(got.error() == errno_code(EAGAIN) ? ENODATA : got.error().value());
  if (got->size != size) return failure(got->size == 0 ? ENODATA : EPROTO);
  return record_view::parse(into.first(size));
}

result<record_view> record_buffer::peek(int file) noexcept {
  const result<record_view> record = receive(file, true);
  if (record && record->status() == 0) return failure(EPROTO);
  return record;
}

result<record_view> record_buffer::take(int connection) noexcept {
  return receive(connection, false);
}

result<socket_address> address_of(int file) noexcept {
  socket_address address;
  address.size = sizeof address.name;
  if (::getsockname(file, reinterpret_cast<sockaddr*>(&address.name), &address.size) != 0) {
    return failure(errno == EBADF ? EBADF : EINVAL);
  }
  if (!parse_address(address)) return failure(EINVAL);
  return address;
}

namespace {

result<ucred> credentials_of_peer(int socket) noexcept {
  ucred peer{};
  socklen_t size = sizeof peer;
  if (::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return failure(errno);
  return peer;
}

// The listener belongs to the process that made the sync file, not to one that took its address
// over.
bool is_exporter(int connection, int file) noexcept {
  const result<ucred> answers = credentials_of_peer(connection);
  const result<ucred> exported = credentials_of_peer(file);
  return answers && exported && answers->pid == exported->pid && answers->uid == exported->uid;
}

}  // namespace

result<unique_fd> ask(int file, const sync_request& request) noexcept {
  const result<socket_address> address = address_of(file);
  if (!address) return failure(address.error().value());
  const socket_address listener = write_listener_address(parse_address(*address)->exporter);
  unique_fd connection(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!connection) return failure(errno);
  if (::connect(connection.get(), listener.get(), listener.size) != 0) return failure(errno);
  if (!is_exporter(connection.get(), file)) return failure(ECONNREFUSED);
  if (const std::error_code failed =
          send_message(connection.get(), std::as_bytes(std::span(&request, 1)), {{file}})) {
    return std::unexpected(failed == errno_code(EPIPE) ? errno_code(EAGAIN) : failed);
  }
  return connection;
}

}  // namespace ufence::detail
