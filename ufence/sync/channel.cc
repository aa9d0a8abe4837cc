#include "ufence/sync/channel.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <ctime>
#include <new>

#include "ufence/sync/parcel_wire.h"
#include "ufence/sync/sync_file.h"

namespace ufence {

using namespace detail;

namespace {

// Descriptors of a message, and room for one more than may come: then it was too many.
struct control_buffer {
  static constexpr std::size_t fds_max = channel::items_limit + 1;
  alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(fds_max * sizeof(int)) +
                                             CMSG_SPACE(sizeof(::ucred))> bytes{};
};

/// Waits for an event of a descriptor. False: not by the deadline.
bool wait_for_event(int fd, short events, std::int64_t deadline_ns) noexcept {
  for (;;) {
    const std::int64_t left = deadline_ns == no_deadline ? no_deadline : deadline_ns - now_ns();
    if (left <= 0) return false;
    const timespec limit{.tv_sec = left / 1'000'000'000, .tv_nsec = left % 1'000'000'000};
    pollfd p{.fd = fd, .events = events, .revents = 0};
    const int n = ::ppoll(&p, 1, deadline_ns == no_deadline ? nullptr : &limit, nullptr);
    if (n > 0) return true;
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

std::error_code send_message(int socket, std::span<const std::byte> bytes, std::span<const int> fds,
                             std::int64_t deadline_ns) noexcept {
  iovec data{.iov_base = const_cast<std::byte*>(bytes.data()), .iov_len = bytes.size()};
  msghdr m{};
  m.msg_iov = &data;
  m.msg_iovlen = 1;
  control_buffer control;
  if (!fds.empty()) {
    m.msg_control = control.bytes.data();
    m.msg_controllen = CMSG_SPACE(fds.size_bytes());
    cmsghdr* c = CMSG_FIRSTHDR(&m);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(fds.size_bytes());
    std::memcpy(CMSG_DATA(c), fds.data(), fds.size_bytes());
  }
  for (;;) {
    if (::sendmsg(socket, &m, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0) return {};
    const int failed = errno;
    if (failed == EINTR) continue;
    if (failed == ECONNRESET || failed == ENOTCONN) return errno_code(EPIPE);
    if (failed != EAGAIN) return errno_code(failed);
    if (!wait_for_event(socket, POLLOUT, deadline_ns)) return errno_code(ETIME);
  }
}

// --- Receiving ---

struct arrived {
  std::size_t size = 0;
  bool is_cut = false;
  bool has_sender = false;
  ::ucred sender{};
  std::size_t fd_count = 0;
  std::array<unique_fd, control_buffer::fds_max> fds;
};

void take_control(msghdr& m, arrived& into) noexcept {
  for (cmsghdr* c = CMSG_FIRSTHDR(&m); c != nullptr; c = CMSG_NXTHDR(&m, c)) {
    if (c->cmsg_level != SOL_SOCKET) continue;
    if (c->cmsg_type == SCM_CREDENTIALS && c->cmsg_len == CMSG_LEN(sizeof into.sender)) {
      std::memcpy(&into.sender, CMSG_DATA(c), sizeof into.sender);
      into.has_sender = true;
    }
    if (c->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
      into.fds[into.fd_count++].reset(fd);
    }
  }
}

// The next message, which stays where it is. Always with a sender; without one it is the end.
std::error_code peek_message(int socket, std::span<std::byte> room, std::size_t fds_max,
                             arrived& into) noexcept {
  iovec data{.iov_base = room.data(), .iov_len = room.size()};
  for (;;) {
    control_buffer control;
    msghdr m{};
    m.msg_iov = &data;
    m.msg_iovlen = 1;
    m.msg_control = control.bytes.data();
    m.msg_controllen = CMSG_SPACE(sizeof(::ucred)) + CMSG_LEN((fds_max + 1) * sizeof(int));
    const ssize_t size =
        ::recvmsg(socket, &m, MSG_PEEK | MSG_DONTWAIT | MSG_TRUNC | MSG_CMSG_CLOEXEC);
    // The other end closed without reading all of ours: told once, before what it had sent.
    if (size < 0 && (errno == EINTR || errno == ECONNRESET)) continue;
    if (size < 0) return errno_code(errno);
    take_control(m, into);
    into.size = static_cast<std::size_t>(size);
    into.is_cut = (m.msg_flags & MSG_TRUNC) != 0;
    if (!into.has_sender && size == 0) return errno_code(EPIPE);
    // Descriptors were lost though there was room: this process has none left.
    if ((m.msg_flags & MSG_CTRUNC) != 0 && into.fd_count <= fds_max) return errno_code(EMFILE);
    return {};
  }
}

void drop_message(int socket) noexcept {
  // Without room for them, its descriptors are closed.
  static_cast<void>(::recv(socket, nullptr, 0, MSG_DONTWAIT | MSG_TRUNC));
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

// What is the receiver's lack, not the sender's fault: the parcel may be asked for again.
bool is_ours(const std::error_code& failed) noexcept {
  constexpr std::array lacks = {EMFILE, ENFILE, ENOMEM, EAGAIN};
  return std::ranges::find(lacks, failed.value()) != lacks.end();
}

result<parcel> unpack_all(const parcel_view& view, const arrived& from) {
  parcel made;
  made.tag = view.tag();
  made.sender = from.sender;
  made.bytes.assign(view.bytes().begin(), view.bytes().end());
  std::size_t used = 0;
  for (std::size_t i = 0; i < view.items(); ++i) {
    const parcel_item item = view.item(i);
    const unique_fd none;
    result<channel_item> got = unpack(item, has_descriptor(item.kind) ? from.fds[used++] : none);
    if (!got) return is_ours(got.error()) ? std::unexpected(got.error()) : failure(EPROTO);
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

std::error_code channel::send(const parcel& what, std::int64_t deadline_ns) noexcept try {
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
  return send_message(socket_.get(), message, fds, deadline_ns);
} catch (const std::bad_alloc&) {
  return errno_code(ENOMEM);
}

result<parcel> channel::receive(std::int64_t deadline_ns) noexcept try {
  std::vector<std::byte> room(parcel_size(options_.items_max, options_.bytes_max));
  for (;;) {
    arrived from;
    const std::error_code failed = peek_message(socket_.get(), room, options_.items_max, from);
    if (failed == errno_code(EAGAIN)) {
      if (!wait_for_event(socket_.get(), POLLIN, deadline_ns)) return failure(ETIME);
      continue;
    }
    if (failed) return std::unexpected(failed);
    const bool is_strange =
        !from.has_sender || (options_.same_user && from.sender.uid != ::geteuid());
    const result<parcel_view> view =
        from.is_cut ? failure(EPROTO)
                    : parcel_view::parse(std::span(room).first(from.size), from.fd_count,
                                         options_.items_max, options_.bytes_max);
    if (is_strange || !view) {
      drop_message(socket_.get());
      return failure(is_strange ? EACCES : EPROTO);
    }
    result<parcel> made = unpack_all(*view, from);
    if (made || !is_ours(made.error())) drop_message(socket_.get());
    return made;
  }
} catch (const std::bad_alloc&) {
  return failure(ENOMEM);
}

}  // namespace ufence
