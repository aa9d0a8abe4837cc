#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <map>
#include <stdexcept>
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

proxy::proxy(int to_port) : to_port_(to_port), listener_(open_socket(0, true)) {
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
  struct pair {
    int client, server;
  };
  std::vector<pair> pairs;
  // Passes on what is there; false: one end is closed.
  const auto pass = [](int from, int to) {
    std::array<char, 4096> bytes{};
    const ssize_t n = ::recv(from, bytes.data(), bytes.size(), MSG_DONTWAIT);
    if (n < 0) return true;
    return n > 0 && ::send(to, bytes.data(), static_cast<std::size_t>(n), MSG_NOSIGNAL) == n;
  };
  for (; !is_over_; ++rounds_) {
    std::vector<pollfd> all{{listener_, POLLIN, 0}};
    for (const pair& one : pairs) {
      all.push_back({one.client, static_cast<short>(holds_to_server_ ? 0 : POLLIN), 0});
      all.push_back({one.server, static_cast<short>(holds_to_client_ ? 0 : POLLIN), 0});
    }
    ::poll(all.data(), all.size(), 5);
    if ((all[0].revents & POLLIN) != 0) {
      const int client = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
      const int server = open_socket(to_port_, false);
      if (server >= 0) {
        pairs.push_back({client, server});
        continue;
      }
      ::close(client);
    }
    for (std::size_t i = pairs.size(); i-- > 0;) {
      const pair one = pairs[i];
      const bool is_open =
          ((all[1 + 2 * i].revents & POLLIN) == 0 || pass(one.client, one.server)) &&
          ((all[2 + 2 * i].revents & POLLIN) == 0 || pass(one.server, one.client));
      if (is_open) continue;
      ::close(one.client);
      ::close(one.server);
      pairs.erase(pairs.begin() + static_cast<std::ptrdiff_t>(i));
    }
  }
  for (const pair& one : pairs) {
    ::close(one.client);
    ::close(one.server);
  }
}

}  // namespace ufence::testing
