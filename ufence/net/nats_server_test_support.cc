#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <optional>
#include <stdexcept>
#include <string_view>
#include <utility>

#include "ufence/fence/testing/support.h"
#include "ufence/net/testing/nats_server.h"

extern char** environ;

namespace ufence::testing {
namespace {

sockaddr_in loopback(int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

// A socket, connected to or bound to a port on loopback; -1.
int open_socket(int port, bool listens) {
  const int s = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const sockaddr_in address = loopback(port);
  const auto* const to = reinterpret_cast<const sockaddr*>(&address);
  const int failed = listens ? ::bind(s, to, sizeof address) : ::connect(s, to, sizeof address);
  if (failed != 0 || (listens && ::listen(s, 64) != 0)) {
    ::close(s);
    return -1;
  }
  return s;
}

int port_of(int s) {
  sockaddr_in address{};
  socklen_t size = sizeof address;
  ::getsockname(s, reinterpret_cast<sockaddr*>(&address), &size);
  return ntohs(address.sin_port);
}

}  // namespace

std::string nats_server_program() {
  for (const char* path :
       {"/usr/sbin/nats-server", "/usr/bin/nats-server", "/usr/local/bin/nats-server"}) {
    if (::access(path, X_OK) == 0) return path;
  }
  return "";
}

int free_port() {
  const int s = open_socket(0, true);
  const int port = port_of(s);
  ::close(s);
  return port;
}

// --- Children ---

child_process::child_process(const std::vector<std::string>& arguments, bool has_pipes) {
  std::array<int, 2> in{-1, -1}, out{-1, -1};
  if (has_pipes && (::pipe2(in.data(), O_CLOEXEC) != 0 || ::pipe2(out.data(), O_CLOEXEC) != 0)) {
    throw std::runtime_error("no pipe");
  }
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  if (has_pipes) {
    posix_spawn_file_actions_adddup2(&actions, in[0], 0);
    posix_spawn_file_actions_adddup2(&actions, out[1], 1);
  } else {
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  }
  std::vector<char*> argv;
  for (const std::string& one : arguments) argv.push_back(const_cast<char*>(one.c_str()));
  argv.push_back(nullptr);
  const int failed = ::posix_spawn(&pid_, argv[0], &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (has_pipes) {
    ::close(in[0]);
    ::close(out[1]);
    to_ = in[1];
    from_ = out[0];
  }
  if (failed != 0) throw std::runtime_error("no process");
}

child_process::child_process(child_process&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)),
      to_(std::exchange(other.to_, -1)),
      from_(std::exchange(other.from_, -1)),
      read_(std::move(other.read_)) {}

child_process& child_process::operator=(child_process&& other) noexcept {
  kill_and_wait();
  pid_ = std::exchange(other.pid_, -1);
  to_ = std::exchange(other.to_, -1);
  from_ = std::exchange(other.from_, -1);
  read_ = std::move(other.read_);
  return *this;
}

child_process::~child_process() { kill_and_wait(); }

void child_process::signal(int number) const { ::kill(pid_, number); }

void child_process::kill_and_wait() {
  if (pid_ > 0) {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  pid_ = -1;
  if (to_ >= 0) ::close(std::exchange(to_, -1));
  if (from_ >= 0) ::close(std::exchange(from_, -1));
}

void child_process::send(const std::string& line) const {
  const std::string whole = line + '\n';
  if (::write(to_, whole.data(), whole.size()) != static_cast<ssize_t>(whole.size())) {
    throw std::runtime_error("the child does not read");
  }
}

std::string child_process::read_line() {
  std::size_t end = 0;
  while ((end = read_.find('\n')) == std::string::npos) {
    std::array<char, 256> some{};
    const ssize_t n = ::read(from_, some.data(), some.size());
    if (n <= 0) return std::exchange(read_, "");
    read_.append(some.data(), static_cast<std::size_t>(n));
  }
  std::string line = read_.substr(0, end);
  read_.erase(0, end + 1);
  return line;
}

// --- The server ---

nats_server::nats_server(const std::string& extra) : port_(free_port()) {
  std::string path = (std::filesystem::temp_directory_path() / "ufence-nats-XXXXXX").string();
  if (::mkdtemp(path.data()) == nullptr) throw std::runtime_error("no folder");
  folder_ = path;
  std::ofstream config(folder_ + "/nats.conf");
  config << "host: 127.0.0.1\nport: " << port_ << "\njetstream { store_dir: \"" << folder_
         << "/store\" }\n"
         << extra << '\n';
  config.close();
  start();
}

nats_server::~nats_server() {
  process_.kill_and_wait();
  std::error_code failed;
  std::filesystem::remove_all(folder_, failed);
}

void nats_server::start() {
  process_ =
      child_process({nats_server_program(), "-c", folder_ + "/nats.conf", "-l", folder_ + "/log"});
  const bool is_there = eventually([this] {
    const int s = open_socket(port_, false);
    if (s >= 0) ::close(s);
    return s >= 0;
  });
  if (!is_there) throw std::runtime_error("nats-server does not listen");
}

void nats_server::wipe() {
  kill();
  std::filesystem::remove_all(folder_ + "/store");
}

// --- The proxy ---

std::string message_disorder::take(std::string_view bytes) {
  raw_.append(bytes);
  std::string out;
  for (std::size_t end = 0; (end = raw_.find("\r\n")) != std::string::npos;) {
    std::size_t size = end + 2;
    const std::string_view line = std::string_view(raw_).substr(0, end);
    // MSG, HMSG, PUB, HPUB: the last word is the size of what follows.
    const bool is_message = line.starts_with("MSG ") || line.starts_with("HMSG ") ||
                            line.starts_with("PUB ") || line.starts_with("HPUB ");
    if (is_message) size += std::stoul(std::string(line.substr(line.rfind(' ') + 1))) + 2;
    if (raw_.size() < size) break;
    if (is_message) {
      take_message(raw_.substr(0, size), out);
    } else {
      out.append(raw_, 0, size);
    }
    raw_.erase(0, size);
  }
  return out;
}

void message_disorder::take_message(std::string message, std::string& out) {
  constexpr std::size_t held_max = 16;
  const auto what = random_() % 4;
  if (what == 0 && held_.size() < held_max) {
    held_.push_back(std::move(message));
    return;
  }
  out += message;
  if (what == 1 && held_.size() < held_max) held_.push_back(std::move(message));
  if (held_.empty() || random_() % 2 == 0) return;
  std::swap(held_[random_() % held_.size()], held_.back());
  out += held_.back();
  held_.pop_back();
  ++count_;
}

std::string message_disorder::let_go() {
  std::string out;
  std::ranges::shuffle(held_, random_);
  for (const std::string& one : held_) out += one;
  held_.clear();
  return out;
}

namespace {

// One direction of a connection.
struct stream {
  int from, to;
  std::optional<message_disorder> disorder;

  // Passes on what is there, or, if nothing is, what was held back; false: one end is closed.
  bool pass(bool is_readable) {
    std::array<char, 4096> bytes{};
    ssize_t n = 0;
    if (is_readable) {
      n = ::recv(from, bytes.data(), bytes.size(), MSG_DONTWAIT);
      if (n < 0) return true;
      if (n == 0) return false;
    }
    const std::string_view came(bytes.data(), static_cast<std::size_t>(n));
    if (!disorder) return came.empty() || send_all(came);
    return send_all(is_readable ? disorder->take(came) : disorder->let_go());
  }
  [[nodiscard]] bool send_all(std::string_view what) const {
    return what.empty() ||
           ::send(to, what.data(), what.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(what.size());
  }
};

struct connection {
  stream to_server, to_client;
  connection(int client, int server, std::uint64_t seed)
      : to_server{client, server, {}}, to_client{server, client, {}} {
    if (seed == 0) return;
    to_server.disorder.emplace(seed);
    to_client.disorder.emplace(seed + 1);
  }
  void close() const {
    ::close(to_server.from);
    ::close(to_server.to);
  }
};

std::uint64_t count_of(const stream& one) { return one.disorder ? one.disorder->count() : 0; }

}  // namespace

proxy::proxy(int to_port, std::uint64_t disorder_seed)
    : to_port_(to_port), disorder_seed_(disorder_seed), listener_(open_socket(0, true)) {
  port_ = port_of(listener_);
  thread_ = std::thread([this] { run(); });
}

proxy::~proxy() {
  is_over_ = true;
  thread_.join();
  ::close(listener_);
}

void proxy::set(std::atomic<bool>& what, bool holds) {
  what = holds;
  // What is being passed on has been by the second of them.
  const std::uint64_t seen = rounds_;
  while (rounds_ < seen + 2) std::this_thread::yield();
}

void proxy::run() {
  std::vector<connection> all;
  for (; !is_over_; ++rounds_) {
    const bool holds_to_server = holds_to_server_, holds_to_client = holds_to_client_;
    std::vector<pollfd> fds{{listener_, POLLIN, 0}};
    for (const connection& one : all) {
      fds.push_back({one.to_server.from, static_cast<short>(holds_to_server ? 0 : POLLIN), 0});
      fds.push_back({one.to_client.from, static_cast<short>(holds_to_client ? 0 : POLLIN), 0});
    }
    ::poll(fds.data(), fds.size(), 5);
    if ((fds[0].revents & POLLIN) != 0) {
      const int client = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
      const int server = open_socket(to_port_, false);
      if (server >= 0) {
        all.emplace_back(client, server, disorder_seed_);
        continue;
      }
      ::close(client);
    }
    for (std::size_t i = all.size(); i-- > 0;) {
      connection& one = all[i];
      const auto is_readable = [&](std::size_t at) { return (fds[at].revents & POLLIN) != 0; };
      const bool is_open = (holds_to_server || one.to_server.pass(is_readable(1 + 2 * i))) &&
                           (holds_to_client || one.to_client.pass(is_readable(2 + 2 * i)));
      disorder_to_server_ = count_of(one.to_server);
      disorder_to_client_ = count_of(one.to_client);
      if (is_open) continue;
      one.close();
      all.erase(all.begin() + static_cast<std::ptrdiff_t>(i));
    }
  }
  for (const connection& one : all) one.close();
}

}  // namespace ufence::testing
