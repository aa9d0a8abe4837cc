#include "ufence/uapi/server.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <new>
#include <optional>
#include <string_view>

#include "ufence/io/side_work.h"
#include "ufence/io/socket.h"

namespace ufence::uapi {
namespace {

// Without an owner the broker stays so long after the last use.
constexpr std::int64_t linger_ns = 1'000'000'000;
// Changes of which nobody tells are looked for this often: buffers and sync files that are still open, a
// full table of descriptors.
constexpr std::int64_t look_again_ns = 50'000'000;

// Tags in events_; numbers of connections are below.
constexpr std::uint64_t tag_listener = ~std::uint64_t{0};
constexpr std::uint64_t tag_devices = tag_listener - 1;
constexpr std::uint64_t tag_owner = tag_listener - 2;

// Of a call that waits: its connection and its event.
constexpr std::size_t wait_descriptors = 2;

bool epoll_add(int epoll, int fd, std::uint32_t events, std::uint64_t tag) noexcept {
  epoll_event e{.events = events, .data = {.u64 = tag}};
  return ::epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e) == 0;
}

// A descriptor for each device and each open sync file: as many as there may be.
// @return  how many there are
std::size_t raise_descriptor_limit() noexcept {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return 0;
  const rlimit most{.rlim_cur = limit.rlim_max, .rlim_max = limit.rlim_max};
  return ::setrlimit(RLIMIT_NOFILE, &most) == 0 ? most.rlim_cur : limit.rlim_cur;
}

// Is there a call, or the end of the connection, that only waits for its turn?
bool says_something(int connection) noexcept {
  pollfd readable{.fd = connection, .events = POLLIN, .revents = 0};
  return ::poll(&readable, 1, 0) != 0;
}

// Of the process that connected.
ucred credentials_of(int connection) noexcept {
  ucred caller{.pid = 0, .uid = ~uid_t{0}, .gid = ~gid_t{0}};
  socklen_t size = sizeof caller;
  static_cast<void>(::getsockopt(connection, SOL_SOCKET, SO_PEERCRED, &caller, &size));
  return caller;
}

bool is_stranger(const ucred& caller) noexcept {
  return caller.uid != ::geteuid() && caller.uid != 0;
}

// Descriptors that a call came with are closed where nobody waits; a device's is a socket of this process.
class received_with {
 public:
  explicit received_with(call& c) noexcept : call_(c) {}
  ~received_with() {
    if (call_.about == nullptr) close_received(std::move(call_.subject));
    close_received(std::move(call_.other));
  }
  received_with(const received_with&) = delete;
  received_with& operator=(const received_with&) = delete;

 private:
  call& call_;
};

}  // namespace

// --- The loop ---

server::server(unique_fd listener, int owner_pidfd, uapi_driver driver) noexcept
    : listener_(std::move(listener)),
      owner_(owner_pidfd),
      dispatcher_(driver) {}

std::error_code server::begin() {
  silent_limit_ = std::min(silent_max, raise_descriptor_limit() / 4);
  // The process that bound it may have let it block.
  const int flags = ::fcntl(listener_.get(), F_GETFL);
  if (flags < 0 || ::fcntl(listener_.get(), F_SETFL, flags | O_NONBLOCK) != 0) {
    return errno_code(errno);
  }
  events_.reset(::epoll_create1(EPOLL_CLOEXEC));
  if (!events_) return errno_code(errno);
  if (const std::error_code e = dispatcher_.devices().begin()) return e;
  if (!epoll_add(events_.get(), dispatcher_.devices().events(), EPOLLIN, tag_devices) ||
      !epoll_add(events_.get(), listener_.get(), EPOLLIN, tag_listener) ||
      (owner_ >= 0 && !epoll_add(events_.get(), owner_, EPOLLIN | EPOLLONESHOT, tag_owner))) {
    return errno_code(errno);
  }
  last_use_ns_ = now_ns();
  return {};
}

std::error_code server::run() {
  if (const std::error_code e = begin()) return e;
  buffer_.resize(sizeof(request_header) + argument_size_max + data_size_max);
  std::array<epoll_event, 64> events;
  while (is_needed()) {
    const int n = ::epoll_wait(events_.get(), events.data(), events.size(), timeout_ms());
    if (n < 0 && errno != EINTR) return errno_code(errno);
    const std::span<const epoll_event> come(events.data(),
                                            static_cast<std::size_t>(std::max(n, 0)));
    // A descriptor that was closed before one of these calls was sent is among these events, if all fit.
    const bool may_be_closed =
        come.size() == events.size() ||
        std::ranges::any_of(come, [](const epoll_event& e) { return e.data.u64 == tag_devices; });
    if (may_be_closed) static_cast<void>(try_to([this] { end_closed_devices(); }));
    for (const epoll_event& e : come) {
      const std::uint64_t tag = e.data.u64;
      if (tag == tag_devices) continue;
      if (tag == tag_listener) {
        static_cast<void>(try_to([this] { accept_all(); }));
      } else if (tag == tag_owner) {
        owner_is_gone_ = true;
      } else {
        handle_connection(tag);
      }
    }
    on_time();
  }
  return {};
}

// For want of memory one call fails, or one connection is dropped; the broker goes on.
template <class F>
bool server::try_to(const F& f) noexcept {
  try {
    f();
    return true;
  } catch (const std::bad_alloc&) {
    return false;
  }
}

void server::handle_connection(std::uint64_t number) noexcept {
  if (try_to([&] { on_connection(number); })) return;
  if (const auto at = connections_.find(number); at != connections_.end()) drop(at);
}

bool server::is_needed() {
  // Whatever others keep open, it ends with its owner.
  if (owner_ >= 0) return !owner_is_gone_;
  const bool is_called = std::ranges::any_of(connections_, [](const auto& c) {
    return c.second.waiting || (c.second.is_silent() && !c.second.is_strangers);
  });
  if (is_called || !dispatcher_.devices().empty()) return true;
  dispatcher_.buffers().sweep();
  return !dispatcher_.buffers().empty() || now_ns() < last_use_ns_ + linger_ns;
}

int server::timeout_ms() {
  std::int64_t at =
      std::min(dispatcher_.devices().next_time_ns(), dispatcher_.buffers().next_time_ns());
  for (const auto& [number, c] : connections_) {
    if (waits_ == 0) break;
    if (c.waiting) at = std::min(at, c.waiting->deadline_ns());
  }
  const bool may_end = owner_ < 0 && dispatcher_.devices().empty();
  if (listener_rests_ || may_end) at = std::min(at, deadline_after(look_again_ns));
  if (at == no_deadline) return -1;
  const std::int64_t left = at - now_ns();
  return left <= 0 ? 0 : static_cast<int>(std::min<std::int64_t>(left / 1'000'000 + 1, 60'000));
}

void server::on_time() {
  const std::int64_t now = now_ns();
  dispatcher_.devices().on_time(now);
  dispatcher_.buffers().on_time(now);
  for (auto at = connections_.begin(); waits_ != 0 && at != connections_.end();) {
    const auto next = std::next(at);
    if (at->second.waiting && at->second.waiting->deadline_ns() <= now) finish(at, false);
    at = next;
  }
  if (listener_rests_) rest_listener(false);
}

// --- Connections ---

void server::rest_listener(bool rests) noexcept {
  epoll_event e{.events = rests ? 0U : EPOLLIN, .data = {.u64 = tag_listener}};
  if (::epoll_ctl(events_.get(), EPOLL_CTL_MOD, listener_.get(), &e) == 0) listener_rests_ = rests;
}

void server::accept_all() {
  for (int i = 0; i < accepts_max; ++i) {
    unique_fd socket(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!socket) {
      // No descriptor to be had: a client in the queue waits until there is.
      if (errno == EMFILE || errno == ENFILE || errno == ENOMEM) rest_listener(true);
      return;
    }
    adopt(std::move(socket), false);
  }
}

// Connections that came over devices; and devices that were closed.
bool server::look_at_devices() {
  const bool found = dispatcher_.devices().look();
  if (found) last_use_ns_ = now_ns();
  for (unique_fd& socket : dispatcher_.devices().connections()) {
    adopt(std::move(socket), true);
  }
  return found;
}

// Whatever callers have closed before has ended then. What others send meanwhile can't make it
// wait.
void server::end_closed_devices() {
  std::size_t looks = dispatcher_.devices().looks_for_all();
  while (looks-- != 0 && look_at_devices()) {
  }
}

void server::adopt(unique_fd socket, bool is_shared) {
  const std::uint64_t number = next_number_++;
  const ucred caller = credentials_of(socket.get());
  const bool is_strangers = is_stranger(caller);
  make_silence(is_strangers);
  const int fd = socket.get();
  const auto at = connections_
                      .emplace(number, connection{.socket = std::move(socket),
                                                  .caller = caller,
                                                  .is_strangers = is_strangers,
                                                  .is_shared = is_shared,
                                                  .client = nullptr,
                                                  .of_place = {},
                                                  .waiting = nullptr,
                                                  .of_wait = {}})
                      .first;
  ++silent_;
  if (!epoll_add(events_.get(), fd, EPOLLIN, number)) drop(at);
}

// Makes room for one more connection that has not called: the oldest such one has to go, of
// strangers if they have more than is theirs. One whose call is there has only not had its turn: if
// it had to go, as many threads as try at once could keep each other from ever being served.
void server::make_silence(bool of_strangers) noexcept {
  const auto is_strangers = [](const auto& c) {
    return c.second.is_silent() && c.second.is_strangers;
  };
  const bool are_strangers_too_many =
      of_strangers && std::ranges::count_if(connections_, is_strangers) >=
                          static_cast<std::ptrdiff_t>(silent_strangers_max);
  if (!are_strangers_too_many && silent_ < silent_limit_) return;
  const auto may_go = [&](const auto& c) {
    return c.second.is_silent() && (!are_strangers_too_many || c.second.is_strangers) &&
           !says_something(c.second.socket.get());
  };
  const auto oldest = std::ranges::find_if(connections_, may_go);
  if (oldest != connections_.end()) drop(oldest);
}

// Before its event is closed.
void server::forget(const waiting_call& w) noexcept {
  ::epoll_ctl(events_.get(), EPOLL_CTL_DEL, w.event(), nullptr);
}

void server::drop(connections::iterator at) noexcept {
  if (at->second.is_silent()) --silent_;
  if (at->second.waiting) {
    --waits_;
    forget(*at->second.waiting);
  }
  // Descriptors that its caller has sent beside the call may take long to close. Nothing more comes; and what is
  // there can't be told where the caller may change what is peeked at.
  const int socket = at->second.socket.get();
  ::shutdown(socket, SHUT_RD);
  if (at->second.is_shared || has_unread(socket)) {
    detail::close_aside(std::move(at->second.socket));
  }
  connections_.erase(at);
  last_use_ns_ = now_ns();
}

// A request, the end of a connection, or an event that its call waits for.
void server::on_connection(std::uint64_t number) {
  const auto at = connections_.find(number);
  if (at == connections_.end()) return;
  connection& from = at->second;
  if (from.waiting) {
    look_at(at);
    return;
  }
  call c;
  const received_with closes(c);
  if (!receive_call(from, c)) {
    if (errno != EAGAIN) drop(at);
    return;
  }
  reply r;
  try {
    if (from.is_silent()) {
      from.client = dispatcher_.shares_of_clients().client_of(from.caller.pid);
      --silent_;
    }
    r = answer_to(from, c);
    if (r.later) {
      from.of_wait = charge(from.client, wait_descriptors);
      start_waiting(number, from, std::move(r.later));
      return;
    }
  } catch (const std::bad_alloc&) {
    r = failed(ENOMEM);
  }
  end_call(at, r);
}

reply server::answer_to(connection& from, call& c) {
  c.caller = from.client;
  c.pid = from.caller.pid;
  c.is_privileged = from.caller.uid == 0;
  reply r = dispatcher_.handle(c, !from.is_strangers);
  if (r.later && !dispatcher_.shares_of_clients().may_take(*from.client, wait_descriptors)) {
    return failed(ENOMEM);
  }
  return r;
}

bool server::may_keep(connection& c) noexcept {
  if (c.of_place) return true;
  if (c.is_silent() || c.is_strangers || !c.client->may_have(resource::connections, 1))
    return false;
  c.of_place = charge(c.client, 1, resource::connections);
  return true;
}

// A caller that does not wait for the answer has none.
void server::end_call(connections::iterator at, const reply& r) {
  last_use_ns_ = now_ns();
  const int socket = at->second.socket.get();
  const bool keeps = may_keep(at->second);
  const bool is_told = send_reply(socket, r, keeps) || send_reply(socket, failed(ENOMEM), keeps);
  if (!is_told || !keeps) drop(at);
}

void server::look_at(connections::iterator at) {
  // The caller is gone, or speaks out of turn.
  std::byte byte;
  const result<message> more = receive_message(at->second.socket.get(), {&byte, 1});
  if (more || more.error() != errno_code(EAGAIN)) {
    drop(at);
    return;
  }
  if (at->second.waiting->is_ready()) finish(at, true);
}

void server::finish(connections::iterator at, bool in_time) {
  const std::unique_ptr<waiting_call> done = std::move(at->second.waiting);
  --waits_;
  forget(*done);
  reply r;
  try {
    r = done->finish(in_time);
  } catch (const std::bad_alloc&) {
    r = failed(ENOMEM);
  }
  at->second.of_wait = {};
  end_call(at, r);
}

void server::start_waiting(std::uint64_t number, connection& to,
                           std::unique_ptr<waiting_call> later) {
  if (!epoll_add(events_.get(), later->event(), EPOLLIN, number)) throw std::bad_alloc();
  to.waiting = std::move(later);
  ++waits_;
}

bool server::receive_call(connection& from, call& c) noexcept {
  result<message> got = receive_message(from.socket.get(), buffer_, false, 2);
  if (!got) {
    errno = got.error().value();
    return false;
  }
  errno = EPROTO;
  if (got->is_cut) return false;
  const std::optional<request_view> request =
      parse_request(std::span<const std::byte>(buffer_).first(got->size));
  if (!request ||
      got->fd_count != static_cast<std::size_t>(request->has_subject) + request->has_other) {
    return false;
  }
  static_cast<request_view&>(c) = *request;
  std::size_t next = 0;
  if (request->has_subject) c.subject = std::move(got->fds[next++]);
  if (request->has_other) c.other = std::move(got->fds[next++]);
  return true;
}

bool server::send_reply(int socket, const reply& r, bool keeps) noexcept {
  reply_header header;
  header.error = r.error;
  header.keeps = keeps ? 1 : 0;
  if (r.error == 0) {
    header.argument_size = static_cast<std::uint32_t>(r.argument.size());
    header.data_size = static_cast<std::uint32_t>(r.data.size());
    header.descriptor_at = r.descriptor_at;
    header.file_size = r.file_size;
  }
  std::byte* at = buffer_.data();
  const auto put = [&at](const void* from, std::size_t size) {
    if (size != 0) std::memcpy(at, from, size);
    at += size;
  };
  put(&header, sizeof header);
  put(r.argument.data(), header.argument_size);
  put(r.data.data(), header.data_size);
  const int fd = r.descriptor.get();
  const std::size_t fd_count = r.error == 0 && r.descriptor ? 1 : 0;
  return !send_message(socket, {buffer_.data(), static_cast<std::size_t>(at - buffer_.data())},
                       {&fd, fd_count});
}

}  // namespace ufence::uapi
