#include "ufence/sync/ask.h"

#include <cerrno>

#include "ufence/base/alloc.h"
#include "ufence/io/peer.h"
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

result<unique_fd> ask(int file, const sync_request& request) noexcept {
  result<socket_pair> ends = make_socket_pair();
  if (!ends) return std::unexpected(ends.error());
  const int theirs = ends->second.get();
  const auto bytes = std::as_bytes(std::span(&request, 1));
  std::error_code failed = send_message(file, bytes, {{theirs}});
  // An exporter that died with something unread is told once.
  if (failed == errno_code(ECONNRESET)) failed = send_message(file, bytes, {{theirs}});
  if (failed) return std::unexpected(failed);
  return std::move(ends->first);
}

bool is_exporter_gone(int file) noexcept {
  return state_of_maker(file) == peer_state::closed ||
         // It runs another program now, or has closed everything.
         state_of_other_end(file) == peer_state::closed;
}

}  // namespace ufence::detail
