// What strangers do, for tests: other users, refused system calls, descriptors that block.
#pragma once

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <initializer_list>
#include <utility>
#include <vector>

#include "ufence/base/fd.h"
#include "ufence/io/side_work.h"

namespace ufence::testing {

/// A TCP socket whose last close waits until its peer has read everything: nobody does before
/// let_close().
struct slow_to_close {
  unique_fd descriptor;

  slow_to_close() {
    const unique_fd listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* const to = reinterpret_cast<sockaddr*>(&address);
    EXPECT_EQ(::bind(listener.get(), to, size), 0);
    EXPECT_EQ(::listen(listener.get(), 1), 0);
    EXPECT_EQ(::getsockname(listener.get(), to, &size), 0);
    descriptor.reset(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    EXPECT_EQ(::connect(descriptor.get(), to, size), 0);
    peer_.reset(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
    EXPECT_TRUE(peer_);
    const linger for_long{.l_onoff = 1, .l_linger = 3600};
    EXPECT_EQ(::setsockopt(descriptor.get(), SOL_SOCKET, SO_LINGER, &for_long, sizeof for_long), 0);
    std::array<char, 4096> bytes{};
    while (::send(descriptor.get(), bytes.data(), bytes.size(), MSG_DONTWAIT) > 0) {
    }
  }
  slow_to_close(const slow_to_close&) = delete;
  slow_to_close& operator=(const slow_to_close&) = delete;

  /// Closes ours where nobody waits: it may be the last one by now.
  void give_up() { detail::close_aside(std::move(descriptor)); }
  /// Reads until everybody has closed it.
  void let_close() {
    give_up();
    std::array<char, 65536> bytes;
    while (::recv(peer_.get(), bytes.data(), bytes.size(), 0) > 0) {
    }
    peer_.reset();
  }

 private:
  unique_fd peer_;
};

/// From now on these system calls fail with that errno, in this process. False: not allowed here.
inline bool deny_system_calls(std::initializer_list<long> calls, int with_errno) {
  std::vector<sock_filter> program;
  program.push_back(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)));
  for (const long call : calls) {
    program.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<unsigned>(call), 0, 1));
    program.push_back(
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | static_cast<unsigned>(with_errno)));
  }
  program.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
  const sock_fprog filter{.len = static_cast<unsigned short>(program.size()),
                          .filter = program.data()};
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

/// From now on these system calls alone are there; any other one ends the process. False: not
/// allowed here.
inline bool allow_system_calls_alone(std::initializer_list<long> calls) {
  std::vector<sock_filter> program;
  program.push_back(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)));
  for (const long call : calls) {
    program.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<unsigned>(call), 0, 1));
    program.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
  }
  program.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS));
  const sock_fprog filter{.len = static_cast<unsigned short>(program.size()),
                          .filter = program.data()};
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

/// In a child that may do so: it is another user's from now on. False: not allowed here.
inline bool become_another_user(unsigned user = 65533) {
  return ::setresgid(user, user, user) == 0 && ::setresuid(user, user, user) == 0;
}

}  // namespace ufence::testing
