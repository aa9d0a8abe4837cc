#include "ufence/sync/channel.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <new>

#include "ufence/io/side_work.h"
#include "ufence/io/socket.h"
#include "ufence/sync/parcel_wire.h"
#include "ufence/sync/sync_file.h"

namespace ufence {

using namespace detail;

namespace {

/// Waits for an event of a descriptor. False: not by the deadline.
std::error_code wait_for_event(int fd, short events, std::int64_t deadline_ns) noexcept {
  for (;;) {
    const std::int64_t left = deadline_ns == no_deadline ? no_deadline : deadline_ns - now_ns();
    if (left <= 0) return errno_code(ETIME);
    const timespec limit{.tv_sec = left / 1'000'000'000, .tv_nsec = left % 1'000'000'000};
    pollfd p{.fd = fd, .events = events, .revents = 0};
    const int n = ::ppoll(&p, 1, deadline_ns == no_deadline ? nullptr : &limit, nullptr);
    if (n > 0) return {};
    if (n < 0 && errno != EINTR) return errno_code(errno);
  }
}

// --- Sending ---

struct packed {
  parcel_item item;
  unique_fd fd;  // none: an empty syncobj
};

result<packed> pack_fence(const fence_ref& f, parcel_kind kind, std::uint64_t point) noexcept {
  result<unique_fd> file = sync_file_create(f);
  if (!file) return std::unexpected(file.error());
  return packed{.item = {.kind = kind, .point = point}, .fd = std::move(*file)};
}

result<packed> pack_syncobj(const syncobj& object) noexcept {
  const result<fence_ref> f = object.current();
  if (!f) return std::unexpected(f.error());
  if (!*f) return packed{.item = {.kind = parcel_kind::empty_syncobj}, .fd = {}};
  const bool is_timeline = fence_chain::from(**f) != nullptr;
  return pack_fence(*f, parcel_kind::syncobj, is_timeline ? (*f)->seqno() : 0);
}

result<packed> pack(const channel_item& item) noexcept {
  const int kinds = (item.fence ? 1 : 0) + (item.object ? 1 : 0) + (item.timeline ? 1 : 0);
  if (kinds != 1) return failure(EINVAL);
  if (item.fence) return pack_fence(item.fence, parcel_kind::fence, 0);
  if (item.object) return pack_syncobj(*item.object);
  result<unique_fd> page = item.timeline->export_fd(item.access);
  if (!page) return std::unexpected(page.error());
  return packed{.item = {.kind = parcel_kind::timeline}, .fd = std::move(*page)};
}

template <class T>
void append(std::vector<std::byte>& to, const T& value) {
  const auto* first = reinterpret_cast<const std::byte*>(&value);
  to.insert(to.end(), first, first + sizeof value);
}

// Sends the message when there is room for it.
std::error_code send_by(int socket, std::span<const std::byte> bytes, std::span<const int> fds,
                        std::int64_t deadline_ns) noexcept {
  for (;;) {
    const std::error_code failed = send_message(socket, bytes, fds);
    const int why = failed.value();
    if (why == ECONNRESET || why == ENOTCONN) return errno_code(EPIPE);
    if (why != EAGAIN) return failed;
    if (const std::error_code late = wait_for_event(socket, POLLOUT, deadline_ns)) return late;
  }
}

// --- Receiving ---

// A message that was looked at. Its descriptors are duplicates of those in the message, until that
// is taken from the socket: then they may be the last ones.
struct letter {
  arrival head;
  std::array<unique_fd, channel::items_limit + 1> fds;
  bool may_block = false;  // they are, and their sender chose what closing them takes

  letter() noexcept = default;
  ~letter() {
    if (!may_block) return;
    for (unique_fd& fd : fds) close_aside(std::move(fd));
  }
  letter(const letter&) = delete;
  letter& operator=(const letter&) = delete;
};

// The next message, which stays where it is, and its sender. -EPIPE: it is the end.
std::error_code look_at_message(int socket, std::span<std::byte> room, std::size_t fds_max,
                                letter& into) noexcept {
  const std::span<unique_fd> fds = std::span(into.fds).first(fds_max + 1);
  // Twice: a process that shares the socket may have turned the sender's name off.
  for (int looks = 0; looks < 2; ++looks) {
    result<arrival> got = receive_message(socket, room, fds, true);
    // The other end closed without reading all of ours: told once, before what it had sent.
    if (!got && got.error() == errno_code(ECONNRESET)) {
      got = receive_message(socket, room, fds, true);
    }
    if (!got) return got.error();
    into.head = *got;
    if (got->sender) break;
    for (std::size_t i = 0; i < got->fd_count; ++i) fds[i].reset();
    into.head.fd_count = 0;
    const int on = 1;
    if (::setsockopt(socket, SOL_SOCKET, SO_PASSCRED, &on, sizeof on) != 0) break;
  }
  if (!into.head.sender && into.head.size == 0) return errno_code(EPIPE);
  // Descriptors were lost though there was room: this process has none left.
  if (into.head.are_fds_cut && into.head.fd_count <= fds_max) return errno_code(EMFILE);
  return {};
}

void take_message(int socket) noexcept {
  static_cast<void>(receive_message(socket, {}, std::span<unique_fd>(), false));
}

result<channel_item> unpack(const parcel_item& item, const unique_fd& fd) noexcept {
  channel_item made;
  if (item.kind == parcel_kind::timeline) {
    result<shared_timeline_ref> line = shared_timeline::import(fd.get());
    if (!line) return std::unexpected(line.error());
    made.access = (*line)->may_signal() ? shared_access::signal : shared_access::wait;
    made.timeline = std::move(*line);
    return made;
  }
  result<fence_ref> f;
  if (has_descriptor(item.kind)) f = sync_file_get_fence(fd.get());
  if (!f) return std::unexpected(f.error());
  if (item.kind == parcel_kind::fence) {
    made.fence = std::move(*f);
    return made;
  }
  result<syncobj_ref> object = syncobj::create();
  if (!object) return std::unexpected(object.error());
  const std::error_code failed = item.point != 0 ? (*object)->add_point(*f, item.point)
                                                 : (*object)->replace_fence(std::move(*f));
  if (failed) return std::unexpected(failed);
  made.object = std::move(*object);
  return made;
}

// Is it the sender's fault, which will not change? Everything else is the receiver's own trouble:
// what it lacks, or what its system refuses to do for it. The parcel may be asked for again then.
bool is_senders(const std::error_code& failed) noexcept {
  return failed == errno_code(EINVAL) || failed == errno_code(EPROTO);
}

result<parcel> unpack_all(const parcel_view& view, const letter& from) {
  parcel made;
  made.tag = view.tag();
  made.sender = *from.head.sender;
  made.bytes.assign(view.bytes().begin(), view.bytes().end());
  std::size_t used = 0;
  for (std::size_t i = 0; i < view.items(); ++i) {
    const parcel_item item = view.item(i);
    const unique_fd none;
    result<channel_item> got = unpack(item, has_descriptor(item.kind) ? from.fds[used++] : none);
    if (!got) return is_senders(got.error()) ? failure(EPROTO) : std::unexpected(got.error());
    made.items.push_back(std::move(*got));
  }
  return made;
}

}  // namespace

result<channel> channel::adopt(unique_fd socket, const channel_options& options) noexcept {
  if (options.items_max > items_limit) return failure(EINVAL);
  int domain = 0;
  int type = 0;
  socklen_t size = sizeof domain;
  ::ucred peer{};
  socklen_t peer_size = sizeof peer;
  if (::getsockopt(socket.get(), SOL_SOCKET, SO_DOMAIN, &domain, &size) != 0 ||
      ::getsockopt(socket.get(), SOL_SOCKET, SO_TYPE, &type, &size) != 0) {
    return failure(errno == EBADF ? EBADF : EINVAL);
  }
  const int on = 1;
  if (domain != AF_UNIX || type != SOCK_SEQPACKET ||
      ::setsockopt(socket.get(), SOL_SOCKET, SO_PASSCRED, &on, sizeof on) != 0 ||
      ::getsockopt(socket.get(), SOL_SOCKET, SO_PEERCRED, &peer, &peer_size) != 0 ||
      peer.uid == static_cast<uid_t>(-1)) {  // not connected
    return failure(EINVAL);
  }
  if (options.same_user && peer.uid != ::geteuid()) return failure(EACCES);
  return channel(std::move(socket), options, peer);
}

result<std::pair<channel, channel>> channel::pair(const channel_options& options) noexcept {
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0) {
    return failure(errno);
  }
  unique_fd first(ends[0]);
  unique_fd second(ends[1]);
  result<channel> a = adopt(std::move(first), options);
  if (!a) return std::unexpected(a.error());
  result<channel> b = adopt(std::move(second), options);
  if (!b) return std::unexpected(b.error());
  return std::pair(std::move(*a), std::move(*b));
}

std::error_code channel::send(const parcel& what, absolute_deadline deadline_ns) noexcept try {
  if (what.items.size() > options_.items_max || what.bytes.size() > options_.bytes_max) {
    return errno_code(EMSGSIZE);
  }
  std::vector<std::byte> message;
  message.reserve(parcel_size(what.items.size(), what.bytes.size()));
  append(message, parcel_head{.items = static_cast<std::uint32_t>(what.items.size()),
                              .bytes = what.bytes.size(),
                              .tag = what.tag});
  std::vector<unique_fd> owned;
  std::vector<int> fds;
  for (const channel_item& item : what.items) {
    result<packed> p = pack(item);
    if (!p) return p.error();
    append(message, p->item);
    if (!p->fd) continue;
    fds.push_back(p->fd.get());
    owned.push_back(std::move(p->fd));
  }
  message.insert(message.end(), what.bytes.begin(), what.bytes.end());
  return send_by(socket_.get(), message, fds, deadline_ns);
} catch (const std::bad_alloc&) {
  return errno_code(ENOMEM);
}

result<parcel> channel::receive(absolute_deadline deadline_ns) noexcept try {
  std::vector<std::byte> room(parcel_size(options_.items_max, options_.bytes_max));
  for (;;) {
    letter from;
    const std::error_code failed = look_at_message(socket_.get(), room, options_.items_max, from);
    if (failed == errno_code(EAGAIN)) {
      const std::error_code late = wait_for_event(socket_.get(), POLLIN, deadline_ns);
      if (late) return std::unexpected(late);
      continue;
    }
    if (failed) return std::unexpected(failed);
    const arrival& head = from.head;
    const bool is_strange = !head.sender || (options_.same_user && head.sender->uid != ::geteuid());
    const result<parcel_view> view =
        head.is_cut ? failure(EPROTO)
                    : parcel_view::parse(std::span(room).first(head.size), head.fd_count,
                                         options_.items_max, options_.bytes_max);
    if (is_strange || !view) {
      from.may_block = true;
      take_message(socket_.get());
      return failure(is_strange ? EACCES : EPROTO);
    }
    result<parcel> made = unpack_all(*view, from);
    from.may_block = made ? head.sender->uid != ::geteuid() : is_senders(made.error());
    if (made || from.may_block) take_message(socket_.get());
    return made;
  }
} catch (const std::bad_alloc&) {
  return failure(ENOMEM);
}

}  // namespace ufence
