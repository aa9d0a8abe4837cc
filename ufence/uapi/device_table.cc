#include "ufence/uapi/device_table.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <string>

#include "ufence/io/random.h"
#include "ufence/io/socket.h"

namespace ufence::uapi {

namespace {

// Of so many devices at a time, and of one of them so many messages; then the others have their
// turn.
constexpr std::size_t events_max = 64;
constexpr std::size_t messages_max = 8;
// More messages than the queue of a device has room for, by default.
constexpr std::size_t queue_max = 512;

}  // namespace

result<detail::socket_address> abstract_address(std::string_view name) noexcept {
  detail::socket_address address;
  constexpr std::size_t head = offsetof(sockaddr_un, sun_path) + 1;
  if (name.size() > sizeof address.name - head) return failure(ENAMETOOLONG);
  address.name.sun_family = AF_UNIX;
  std::copy_n(name.data(), name.size(), reinterpret_cast<char*>(&address.name) + head);
  address.size = static_cast<socklen_t>(head + name.size());
  return address;
}

std::error_code device_table::begin() {
  connections_.reserve(events_max * messages_max);
  events_.reset(::epoll_create1(EPOLL_CLOEXEC));
  return events_ ? std::error_code() : errno_code(errno);
}

result<unique_fd> device_table::publish(std::unique_ptr<device> what, const client_ref& owner) {
  result<socket_pair> ends = make_socket_pair();
  if (!ends) return std::unexpected(ends.error());
  unique_fd& theirs = ends->first;
  unique_fd& ours = ends->second;
  const result<std::uint64_t> cookie = socket_cookie(theirs.get());
  if (!cookie) return std::unexpected(cookie.error());
  // Nobody can take the name before: it is random.
  std::array<std::uint64_t, 2> number;
  if (!detail::fill_random(number.data(), sizeof number)) return failure(errno);
  std::string name(device_prefix);
  name += static_cast<char>(what->kind());
  name += '/';
  for (const std::uint64_t part : number) {
    std::array<char, 16> digits;
    const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), part, 16).ptr;
    name.append(digits.data(), end);
  }
  const result<detail::socket_address> address = abstract_address(name);
  if (!address) return std::unexpected(address.error());
  if (::bind(ours.get(), address->get(), address->size) != 0) return failure(errno);
  // A program that reads from it finds the end at once, instead of waiting for ever. But a node is
  // one that events may come to, though none do.
  const bool is_node =
      what->kind() == device_kind::drm_card || what->kind() == device_kind::drm_render;
  if (!is_node) ::shutdown(ours.get(), SHUT_WR);
  keep_filters_out(ours.get());
  epoll_event e{.events = EPOLLIN | EPOLLET, .data = {.u64 = *cookie}};
  if (::epoll_ctl(events_.get(), EPOLL_CTL_ADD, ours.get(), &e) != 0) return failure(errno);
  devices_.emplace(
      *cookie,
      entry{.end = std::move(ours), .what = std::move(what), .of_maker = charge(owner, 1)});
  return std::move(theirs);
}

device* device_table::find(int descriptor) const noexcept {
  const result<std::uint64_t> cookie = socket_cookie(descriptor);
  if (!cookie) return nullptr;
  const auto at = devices_.find(*cookie);
  return at == devices_.end() ? nullptr : at->second.what.get();
}

namespace {

// A holder may send anything. A new pair of sockets has no names; what this process gave
// out has one at one end.
bool is_connection(int fd) noexcept {
  const auto option = [fd](int which) {
    int value = -1;
    socklen_t size = sizeof value;
    return ::getsockopt(fd, SOL_SOCKET, which, &value, &size) == 0 ? value : -1;
  };
  detail::socket_address own;
  own.size = sizeof own.name;
  detail::socket_address peer;
  return option(SO_DOMAIN) == AF_UNIX && option(SO_TYPE) == SOCK_SEQPACKET &&
         ::getsockname(fd, reinterpret_cast<sockaddr*>(&own.name), &own.size) == 0 &&
         own.size == sizeof(sa_family_t) && find_peer(fd, peer) && peer.size == sizeof(sa_family_t);
}

// `connections` has room. @return  whether there may be more of them
bool take_connections(int end, std::vector<unique_fd>& connections) noexcept {
  for (std::size_t i = 0; i < messages_max; ++i) {
    std::byte byte;
    result<message> got = receive_message(end, {&byte, 1}, false, 1);
    if (!got && got.error() != errno_code(ECONNRESET)) return false;
    if (!got) continue;
    // An empty message looks like the end.
    if (got->size == 0 && got->fd_count == 0 && !has_unread(end)) return false;
    if (got->fd_count == 1 && is_connection(got->fds[0].get())) {
      connections.push_back(std::move(got->fds[0]));
    }
  }
  return true;
}

}  // namespace

bool device_table::look() noexcept {
  connections_.clear();
  std::array<epoll_event, events_max> events;
  const int n = ::epoll_wait(events_.get(), events.data(), events.size(), 0);
  for (int i = 0; i < n; ++i) {
    const epoll_event& e = events[static_cast<std::size_t>(i)];
    const auto at = devices_.find(e.data.u64);
    if (at == devices_.end()) continue;
    const int end = at->second.end.get();
    // A call that was sent before it was closed is answered.
    const bool may_be_more = take_connections(end, connections_);
    if (!may_be_more && (e.events & (EPOLLHUP | EPOLLERR)) != 0) {
      devices_.erase(at);
    } else if (may_be_more) {
      epoll_event again{.events = EPOLLIN | EPOLLET, .data = {.u64 = e.data.u64}};
      ::epoll_ctl(events_.get(), EPOLL_CTL_MOD, end, &again);
    }
  }
  return n > 0;
}

std::size_t device_table::looks_for_all() const noexcept {
  return (devices_.size() / events_max + 1) + queue_max / messages_max;
}

std::int64_t device_table::next_time_ns() const noexcept {
  std::int64_t at = no_deadline;
  for (const auto& [cookie, e] : devices_) at = std::min(at, e.what->next_time_ns());
  return at;
}

void device_table::on_time(std::int64_t now) noexcept {
  for (const auto& [cookie, e] : devices_) e.what->on_time(now);
}

}  // namespace ufence::uapi
