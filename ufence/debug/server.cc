// The thread that looks, and serves those who ask.
#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <memory>
#include <new>
#include <string_view>
#include <utility>

#include "ufence/base/clock.h"
#include "ufence/base/fd.h"
#include "ufence/base/fork.h"
#include "ufence/base/lock.h"
#include "ufence/base/system_thread.h"
#include "ufence/debug/debug.h"
#include "ufence/debug/gather.h"
#include "ufence/debug/sightings.h"
#include "ufence/debug/socket_folder.h"
#include "ufence/trace/record.h"

namespace ufence {
namespace debug {
namespace {

// How long somebody who has connected may keep the thread waiting.
constexpr timeval patience{.tv_sec = 5, .tv_usec = 0};

// One line: `look`, `look all`, or `record`. Empty: nothing, or something else came.
std::string read_request(int connection) {
  std::string line;
  std::array<char, 64> part;
  while (line.size() < 256 && !line.ends_with('\n')) {
    const ssize_t size = ::recv(connection, part.data(), part.size(), 0);
    if (size <= 0) return {};
    line.append(part.data(), static_cast<std::size_t>(size));
  }
  if (!line.ends_with('\n')) return {};
  line.pop_back();
  return line;
}

void send_all(int connection, std::string_view text) noexcept {
  while (!text.empty()) {
    const ssize_t size = ::send(connection, text.data(), text.size(), MSG_NOSIGNAL);
    if (size <= 0) return;  // gone, or too slow
    text.remove_prefix(static_cast<std::size_t>(size));
  }
}

// Ends a connection for the other side, also where a child of fork() has a copy of the descriptor.
class ending {
 public:
  explicit ending(int connection) noexcept : connection_(connection) {}
  ~ending() { ::shutdown(connection_, SHUT_RDWR); }
  ending(const ending&) = delete;
  ending& operator=(const ending&) = delete;

 private:
  const int connection_;
};

// The thread's own data; alive while it runs.
class server {
 public:
  server(listening_socket socket, unique_fd stop) noexcept
      : socket_(std::move(socket)), stop_(std::move(stop)) {}

  void run() noexcept {
    system_thread::name_this("ufence-debug");
    while (!is_told_to_stop(wait_ns())) {
      look_if_due();
      serve();
    }
    ::unlink(socket_.path.c_str());
  }
  [[nodiscard]] const std::string& path() const noexcept { return socket_.path; }
  void tell_to_stop() const noexcept {
    const std::uint64_t one = 1;
    static_cast<void>(::write(stop_.get(), &one, sizeof one));
  }
  /// The parent's thread may have been at it: nothing else of it may be touched.
  void close_in_child() const noexcept {
    ::close(socket_.socket.get());
    ::close(stop_.get());
  }
  system_thread thread;

 private:
  static constexpr std::int64_t look_every_ns = 1'000'000'000;
  // Of its time a processor may spend so much on looking: one part of these.
  static constexpr std::int64_t part_of_time = 50;

  [[nodiscard]] std::int64_t wait_ns() const noexcept {
    return std::max<std::int64_t>(look_at_ns_ - now_ns(), 0);
  }

  [[nodiscard]] bool is_told_to_stop(std::int64_t wait_ns) noexcept {
    std::array<pollfd, 2> both{{{.fd = stop_.get(), .events = POLLIN, .revents = 0},
                                {.fd = socket_.socket.get(), .events = POLLIN, .revents = 0}}};
    static_cast<void>(::poll(both.data(), both.size(), static_cast<int>(wait_ns / 1'000'000 + 1)));
    return both[0].revents != 0;
  }

  void look_if_due() noexcept try {
    if (now_ns() < look_at_ns_) return;
    snapshot seen = gather();
    sightings_.update(seen);
    look_at_ns_ = now_ns() + std::max(look_every_ns, part_of_time * seen.duration_ns);
  } catch (const std::exception&) {
    look_at_ns_ = now_ns() + look_every_ns;  // no memory: later perhaps
  }

  void serve() noexcept try {
    unique_fd connection(::accept4(socket_.socket.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!connection || !is_of_same_user(connection.get())) return;
    for (const int option : {SO_RCVTIMEO, SO_SNDTIMEO}) {
      ::setsockopt(connection.get(), SOL_SOCKET, option, &patience, sizeof patience);
    }
    const std::string request = read_request(connection.get());
    if (request == "record") {  // refused where something is recorded already: it is closed
      static_cast<void>(record_start(std::move(connection)));
      return;
    }
    const ending end_of(connection.get());
    if (request != "look" && request != "look all") return;
    snapshot seen = gather({.all_fences = request == "look all"});
    sightings_.update(seen);
    send_all(connection.get(), to_json(seen));
  } catch (const std::exception&) {
    // No memory: the connection is closed without an answer, and the client says so.
  }

  const listening_socket socket_;
  const unique_fd stop_;
  sightings sightings_;
  std::int64_t look_at_ns_ = 0;
};

// The server of this process. Held while it is started and stopped.
constinit mutex server_lock{lock_rank::host};
constinit server* running UFENCE_GUARDED_BY(server_lock) = nullptr;

void* run_server(void* self) noexcept {
  static_cast<server*>(self)->run();
  return nullptr;
}

// A child has the descriptors, and must not keep its parent's socket alive; the memory stays.
const fork_part at_fork(lock_rank::host,
                        {.before = [] noexcept { server_lock.lock_for_fork(); },
                         .in_parent = [] noexcept { server_lock.unlock_after_fork(); },
                         .in_child =
                             []() UFENCE_NO_TSA noexcept {
                               if (running != nullptr) running->close_in_child();
                               running = nullptr;
                               server_lock.unlock_after_fork();
                             }});

std::error_code start_server() UFENCE_REQUIRES(server_lock) {
  result<listening_socket> socket = listen_in_folder();
  if (!socket) return socket.error();
  unique_fd stop(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!stop) return errno_code(errno);
  auto made = std::make_unique<server>(*std::move(socket), std::move(stop));
  if (const int failed = made->thread.start(&run_server, made.get())) {
    ::unlink(made->path().c_str());
    return errno_code(failed);
  }
  running = made.release();
  return {};
}

// As the environment asks; at the end of the process nothing of the socket stays.
struct environment {
  environment() noexcept {
    const char* const wanted = ::secure_getenv("UFENCE_DEBUG");
    if (wanted == nullptr || std::string_view(wanted) != "1") return;
    if (const std::error_code failed = debug_listen()) {
      static_cast<void>(std::fprintf(stderr, "ufence: no debug socket (UFENCE_DEBUG=1): %s\n",
                                     std::strerror(failed.value())));
    }
  }
  ~environment() UFENCE_NO_TSA {
    if (running != nullptr) ::unlink(running->path().c_str());
  }
};
const environment at_load;

}  // namespace
}  // namespace debug

std::error_code debug_listen() noexcept try {
  const scoped_lock guard(debug::server_lock);
  return debug::running != nullptr ? std::error_code() : debug::start_server();
} catch (const std::bad_alloc&) {
  return errno_code(ENOMEM);
}

void debug_close() noexcept {
  const scoped_lock guard(debug::server_lock);
  debug::server* const ended = std::exchange(debug::running, nullptr);
  if (ended == nullptr) return;
  ended->tell_to_stop();
  while (!ended->thread.join(no_deadline)) {
  }
  delete ended;
}

std::string debug_socket() {
  const scoped_lock guard(debug::server_lock);
  return debug::running != nullptr ? debug::running->path() : std::string();
}

debug::snapshot debug_snapshot(bool all_fences) {
  return debug::gather({.all_fences = all_fences});
}

}  // namespace ufence
