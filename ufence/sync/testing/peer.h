// What the tests of this layer with several processes share.
#pragma once

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <functional>
#include <utility>

#include "ufence/container/unwrap.h"
#include "ufence/io/socket.h"
#include "ufence/sync/sync_test_support.h"

namespace ufence::testing {

/// Another process with a line to this one. Its body returns 0, or the line of what did not hold.
class peer {
 public:
  using body = std::function<int(int line)>;

  explicit peer(const body& what) {
    socket_pair ends = make_socket_pair().value();
    std::fflush(nullptr);
    pid_ = ::fork();
    if (pid_ == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      ::alarm(60);
      ends.first.reset();
      const int line = what(ends.second.get());
      if (line != 0) std::fprintf(stderr, "peer: line %d does not hold\n", line);
      ::_exit(line == 0 ? 0 : 1);
    }
    line_ = std::move(ends.first);
  }
  ~peer() {
    if (pid_ > 0) kill();
  }
  peer(const peer&) = delete;
  peer& operator=(const peer&) = delete;

  [[nodiscard]] int line() const { return line_.get(); }
  [[nodiscard]] pid_t pid() const { return pid_; }
  void kill() {
    ::kill(pid_, SIGKILL);
    static_cast<void>(join());
  }
  /// 0 if its body returned 0.
  int join() {
    int status = 0;
    while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
    }
    pid_ = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }

 private:
  pid_t pid_ = 0;
  unique_fd line_;
};

/// One byte, with a descriptor or without; waits for it with a bound.
inline void tell(int line, char what, int fd = -1) {
  const std::byte byte{static_cast<unsigned char>(what)};
  if (fd >= 0) {
    static_cast<void>(send_message(line, {&byte, 1}, {{fd}}));
  } else {
    static_cast<void>(send_message(line, {&byte, 1}));
  }
}
struct heard {
  char what = 0;  // 0: nothing came
  unique_fd fd;
};
inline heard hear(int line) {
  if (!becomes_readable(line)) return {};
  std::byte byte{};
  result<message> got = receive_message(line, {&byte, 1}, false, 1);
  if (!got || got->size != 1) return {};
  return {static_cast<char>(byte), std::move(got->fds[0])};
}

/// An exporter of one fence: sends its sync file, then does what it is told: 's' signals, 'e' fails
/// it with -EIO, anything else ends it.
inline int export_one(int line) {
  timeline_issuer timeline = make_timeline({.driver_name = "far", .timeline_name = "away"});
  const fence_ref f = timeline.emit().value();
  {
    const unique_fd file = sync_file_create(f, "from afar").value();
    tell(line, 'f', file.get());
  }
  for (;;) {
    switch (hear(line).what) {
      case 's': timeline.signal_up_to(1); break;
      case 'e': timeline.signal(*f, -EIO); break;
      default: return 0;
    }
    tell(line, 'd');
  }
}

/// The same of a fence with two leaves, for which the label has no room: signaling it sends a
/// record.
inline int export_two(int line) {
  std::array<new_fence, 2> both = {make_fence(), make_fence()};
  {
    const fence_ref all = merge(std::array{both[0].fence, both[1].fence}).value();
    const unique_fd file = sync_file_create(all, "two").value();
    tell(line, 'f', file.get());
  }
  while (hear(line).what == 'e') {
    both[0].signal.signal(-EIO);
    both[1].signal.signal();
    tell(line, 'd');
  }
  return 0;
}

}  // namespace ufence::testing
