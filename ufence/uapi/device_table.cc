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

result<detail::socket_address> abstract_address(std::string_view name) noexcept {
  detail::socket_address address;
  constexpr std::size_t head = offsetof(sockaddr_un, sun_path) + 1;
  if (name.size() > sizeof address.name - head) return failure(ENAMETOOLONG);
  address.name.sun_family = AF_UNIX;
  std::copy_n(name.data(), name.size(), reinterpret_cast<char*>(&address.name) + head);
  address.size = static_cast<socklen_t>(head + name.size());
  return address;
}

std::error_code device_table::begin() noexcept {
  hung_up_.reset(::epoll_create1(EPOLL_CLOEXEC));
  return hung_up_ ? std::error_code() : errno_code(errno);
}

result<unique_fd> device_table::publish(std::unique_ptr<device> what) {
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
  // A program that reads from it finds the end at once, instead of waiting for ever.
  ::shutdown(ours.get(), SHUT_WR);
  // Hang-ups need not be asked for.
  epoll_event e{.events = 0, .data = {.u64 = *cookie}};
  if (::epoll_ctl(hung_up_.get(), EPOLL_CTL_ADD, ours.get(), &e) != 0) return failure(errno);
  devices_.emplace(*cookie, entry{.end = std::move(ours), .what = std::move(what)});
  return std::move(theirs);
}

device* device_table::find(int descriptor) const noexcept {
  const result<std::uint64_t> cookie = socket_cookie(descriptor);
  if (!cookie) return nullptr;
  const auto at = devices_.find(*cookie);
  return at == devices_.end() ? nullptr : at->second.what.get();
}

bool device_table::reap() noexcept {
  std::array<epoll_event, 64> events;
  bool found = false;
  int n = 0;
  do {
    n = ::epoll_wait(hung_up_.get(), events.data(), events.size(), 0);
    for (int i = 0; i < n; ++i) {
      devices_.erase(events[static_cast<std::size_t>(i)].data.u64);
      found = true;
    }
  } while (n == static_cast<int>(events.size()));
  return found;
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
