#include "ufence/sync/answer.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "ufence/base/alloc.h"
#include "ufence/io/socket.h"
#include "ufence/sync/exported.h"
#include "ufence/sync/wire.h"

namespace ufence::detail {
namespace {

// Sends the record of the sync file that the message came with.
void reply(int to, const message& got, const sync_request& request) noexcept {
  exported_file file;
  if (!find_exported(got.fds[0].get(), file)) {
    std::array<std::byte, 64> bytes;
    static_cast<void>(send_message(to, std::span(bytes).first(write_owner_dead_record(bytes))));
    return;
  }
  if (request.has_deadline != 0) file.f->set_deadline(request.deadline_ns);
  const result<std::size_t> room = record_room(file.f);
  if (!room) return;
  auto* const bytes = static_cast<std::byte*>(allocate(*room));
  if (bytes == nullptr) return;
  const std::size_t size = write_record({bytes, *room}, file.name.data(), file.f);
  static_cast<void>(send_message(to, {bytes, size}));
  deallocate(bytes);
}

}  // namespace

bool answerer::accept_all(int listener, int epoll, std::uint64_t tag) noexcept {
  for (;;) {
    const auto slot = std::ranges::min_element(
        connections_, {}, [](const connection& c) { return c.fd < 0 ? 0 : c.number; });
    const int fd = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) {
      if (errno == EINTR || errno == ECONNABORTED) continue;
      return errno == EAGAIN;
    }
    const auto index = static_cast<std::size_t>(slot - connections_.begin());
    close(index);
    *slot = {.fd = fd, .number = ++accepted_};
    epoll_event e{.events = EPOLLIN, .data = {.u64 = tag + index}};
    if (::epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e) != 0) close(index);
  }
}

void answerer::answer(std::size_t index) noexcept {
  const int fd = connections_[index].fd;
  if (fd < 0) return;
  std::array<std::byte, sizeof(sync_request)> bytes;
  const result<message> got = receive_message(fd, bytes, false, 1);
  if (!got && got.error() == errno_code(EAGAIN)) return;
  if (got && !got->is_cut && got->fd_count == 1) {
    if (const auto request = parse_request(std::span(bytes).first(got->size))) {
      reply(fd, *got, *request);
    }
  }
  close(index);
}

void answerer::close(std::size_t index) noexcept {
  int& fd = connections_[index].fd;
  if (fd >= 0) ::close(fd);
  fd = -1;
}

void answerer::close_all() noexcept {
  for (std::size_t i = 0; i < connections_.size(); ++i) close(i);
}

}  // namespace ufence::detail
