// Children of fork() that a test drives, and ends at any moment.
#pragma once

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <utility>

#include "ufence/base/fd.h"
#include "ufence/fence/testing/support.h"

namespace ufence::testing {

/// One end of a pipe for words and descriptors between a test and its child. Blocks.
class test_pipe {
 public:
  explicit test_pipe(unique_fd socket) : socket_(std::move(socket)) {}

  /// False: the other end is gone.
  bool send(std::uint64_t word, int fd = -1) const {
    iovec bytes{.iov_base = &word, .iov_len = sizeof word};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
    msghdr m{};
    m.msg_iov = &bytes;
    m.msg_iovlen = 1;
    if (fd >= 0) {
      m.msg_control = control.data();
      m.msg_controllen = control.size();
      cmsghdr* c = CMSG_FIRSTHDR(&m);
      c->cmsg_level = SOL_SOCKET;
      c->cmsg_type = SCM_RIGHTS;
      c->cmsg_len = CMSG_LEN(sizeof(int));
      std::memcpy(CMSG_DATA(c), &fd, sizeof fd);
    }
    return ::sendmsg(socket_.get(), &m, MSG_NOSIGNAL) == sizeof word;
  }
  struct letter {
    bool is_there = false;
    std::uint64_t word = 0;
    unique_fd fd;
  };
  [[nodiscard]] letter receive() const {
    letter l;
    iovec bytes{.iov_base = &l.word, .iov_len = sizeof l.word};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
    msghdr m{};
    m.msg_iov = &bytes;
    m.msg_iovlen = 1;
    m.msg_control = control.data();
    m.msg_controllen = control.size();
    l.is_there = ::recvmsg(socket_.get(), &m, MSG_CMSG_CLOEXEC) == sizeof l.word;
    if (const cmsghdr* c = CMSG_FIRSTHDR(&m); l.is_there && c != nullptr) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(c), sizeof fd);
      l.fd.reset(fd);
    }
    return l;
  }
  [[nodiscard]] int get() const { return socket_.get(); }

 private:
  unique_fd socket_;
};

/// Waits until the library's threads have ended. For who forks again and again children that start
/// such threads: ThreadSanitizer wants one thread at a fork().
inline void until_alone() {
  EXPECT_TRUE(eventually([] {
    for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
      std::string name;
      std::ifstream(task.path() / "comm") >> name;
      if (name.starts_with("ufence-")) return false;
    }
    return true;
  }));
}

/// A child that runs `body(const test_pipe&)`, which returns 0 or the line of what did not hold.
class child_process {
 public:
  template <class Body>
  explicit child_process(Body body) {
    std::array<int, 2> ends{};
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()), 0);
    unique_fd here(ends[0]);
    unique_fd there(ends[1]);
    std::fflush(nullptr);
    pid_ = ::fork();
    if (pid_ == 0) {
      here.reset();
      ::alarm(250);
      const int line = body(test_pipe(std::move(there)));
      if (line != 0) std::fprintf(stderr, "child: line %d does not hold\n", line);
      std::fflush(stderr);
      ::_exit(line == 0 ? 0 : (line & 0xff) != 0 ? line & 0xff : 1);
    }
    pipe_ = std::make_unique<test_pipe>(std::move(here));
  }
  ~child_process() {
    if (pid_ > 0) kill();
  }
  child_process(const child_process&) = delete;
  child_process& operator=(const child_process&) = delete;

  [[nodiscard]] const test_pipe& pipe() const { return *pipe_; }
  [[nodiscard]] pid_t pid() const { return pid_; }

  /// Kills it, and waits until it is gone.
  void kill() {
    ::kill(pid_, SIGKILL);
    static_cast<void>(end());
  }
  /// Waits for its end: 0; the line; minus the signal that ended it.
  int end() {
    int status = 0;
    while (::waitpid(pid_, &status, 0) < 0) {
      if (errno != EINTR) return -1001;
    }
    pid_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }

 private:
  pid_t pid_ = -1;
  std::unique_ptr<test_pipe> pipe_;
};

}  // namespace ufence::testing
