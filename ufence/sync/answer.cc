#include "ufence/sync/answer.h"

#include <sys/socket.h>

#include <array>
#include <cerrno>

#include "ufence/base/alloc.h"
#include "ufence/io/socket.h"
#include "ufence/sync/wire.h"

namespace ufence::detail {
namespace {

// So many messages of one file at a time: the others have their turn.
constexpr int messages_max = 8;

// A holder that wants an answer has sent a socket that takes it whole, or not at all.
bool takes_messages(int fd) noexcept {
  int domain = 0;
  int type = 0;
  socklen_t size = sizeof domain;
  return ::getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 && domain == AF_UNIX &&
         ::getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_SEQPACKET;
}

void reply(int to, const exported_file& file) noexcept {
  const result<std::size_t> room = record_room(file.f);
  if (!room) return;
  auto* const bytes = static_cast<std::byte*>(allocate(*room));
  if (bytes == nullptr) return;
  const std::size_t size = write_record({bytes, *room}, file.name.data(), file.f);
  if (send_large_message(to, {bytes, size}) == errno_code(EMSGSIZE)) {
    std::array<std::byte, short_record_size_max> less;
    const std::size_t less_size = write_short_record(less, file.name.data(), file.f);
    static_cast<void>(send_message(to, std::span(less).first(less_size)));
  }
  deallocate(bytes);
}

}  // namespace

bool answer_requests(int end, const exported_file& file) noexcept {
  for (int i = 0; i < messages_max; ++i) {
    std::array<std::byte, sizeof(sync_request) + 1> bytes;
    const result<message> got = receive_message(end, bytes, false, 1);
    if (!got || (got->size == 0 && got->fd_count == 0)) return false;
    if (got->is_cut) continue;
    const auto request = parse_request(std::span(bytes).first(got->size));
    if (!request) continue;
    if (request->has_deadline != 0) file.f->set_deadline(request->deadline_ns);
    if (got->fd_count == 1 && takes_messages(got->fds[0].get())) reply(got->fds[0].get(), file);
  }
  return true;
}

}  // namespace ufence::detail
