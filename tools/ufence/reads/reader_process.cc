#include "tools/ufence/reads/reader_process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <utility>

#include "tools/ufence/reader/fd_message.h"
#include "tools/ufence/reader/reader_wire.h"
#include "ufence/base/clock.h"
#include "ufence/base/result.h"

namespace ufence::tool {
namespace {

// Its stdin and stdout are nobody's: a program that waits for the run's end of a pipe does not wait for it.
class spawn_actions {
 public:
  explicit spawn_actions(int socket) {
    ::posix_spawn_file_actions_init(&actions_);
    note(::posix_spawn_file_actions_adddup2(&actions_, socket, reader_socket_fd));
    note(::posix_spawn_file_actions_addopen(&actions_, 0, "/dev/null", O_RDONLY, 0));
    note(::posix_spawn_file_actions_adddup2(&actions_, 0, 1));
  }
  ~spawn_actions() { ::posix_spawn_file_actions_destroy(&actions_); }
  spawn_actions(const spawn_actions&) = delete;
  spawn_actions& operator=(const spawn_actions&) = delete;

  [[nodiscard]] int error() const { return error_; }
  [[nodiscard]] const posix_spawn_file_actions_t* get() const { return &actions_; }

 private:
  void note(int error) {
    if (error_ == 0) error_ = error;
  }

  posix_spawn_file_actions_t actions_{};
  int error_ = 0;
};

std::string text_of(int status) {
  if (WIFEXITED(status)) return fmt::format("ended with status {}", WEXITSTATUS(status));
  const int number = WTERMSIG(status);
  if (number == SIGKILL) return {};
  const char* const name = ::sigabbrev_np(number);
  return fmt::format("ended by signal {} ({})", number, name != nullptr ? name : "?");
}

}  // namespace

reader_process::reader_process(reader_process&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)), socket_(std::move(other.socket_)) {}

reader_process& reader_process::operator=(reader_process&& other) noexcept {
  if (this != &other) {
    end();
    pid_ = std::exchange(other.pid_, -1);
    socket_ = std::move(other.socket_);
  }
  return *this;
}

reader_process::~reader_process() { end(); }

std::expected<reader_process, std::string> reader_process::start(const std::string& program) {
  auto sockets = message_sockets();
  if (!sockets) return std::unexpected("no socket: " + sockets.error().message());
  const spawn_actions actions(sockets->second.get());
  // It is recognised by its name in lists of processes.
  std::array<char, 7> name{"ufence"};
  std::array<char, 7> role{"reader"};
  std::array<char*, 3> arguments{name.data(), role.data(), nullptr};
  reader_process made;
  int error = actions.error();
  if (error == 0) {
    error = ::posix_spawn(&made.pid_, program.c_str(), actions.get(), nullptr, arguments.data(),
                          environ);
  }
  if (error != 0) {
    made.pid_ = -1;
    return std::unexpected(fmt::format("{}: {}", program, errno_code(error).message()));
  }
  made.socket_ = std::move(sockets->first);
  return made;
}

void reader_process::kill() {
  if (pid_ > 0) ::kill(pid_, SIGKILL);
}

std::string reader_process::end() {
  if (pid_ <= 0) return {};
  kill();
  return wait();
}

std::string reader_process::finish(std::int64_t deadline_ns) {
  if (pid_ <= 0) return {};
  ::shutdown(socket_.get(), SHUT_WR);
  pollfd closed{.fd = socket_.get(), .events = 0, .revents = 0};  // POLLHUP
  while (::poll(&closed, 1, 100) <= 0) {
    if (now_ns() < deadline_ns) continue;
    kill();
    break;
  }
  const std::string how = wait();
  return how == "ended with status 0" ? "" : how;
}

std::string reader_process::wait() {
  int status = 0;
  while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
  pid_ = -1;
  socket_.reset();
  return text_of(status);
}

}  // namespace ufence::tool
