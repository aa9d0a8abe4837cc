#include "lab/engine/shares.h"

#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <system_error>
#include <vector>

namespace ufence::lab {
namespace {

struct worker {
  pid_t process;
  int pipe;
  std::string told;
};

void write_all(int fd, const std::string& text) {
  for (std::size_t at = 0; at < text.size();) {
    const ssize_t n = ::write(fd, text.data() + at, text.size() - at);
    if (n < 0 && errno != EINTR) ::_exit(1);
    if (n > 0) at += static_cast<std::size_t>(n);
  }
}

worker start(unsigned share, const std::function<std::string(unsigned)>& work) {
  std::array<int, 2> ends{};
  if (::pipe(ends.data()) != 0) throw std::system_error(errno, std::generic_category(), "pipe");
  const pid_t process = fork_worker();
  if (process < 0) throw std::system_error(errno, std::generic_category(), "fork");
  if (process == 0) {
    ::close(ends[0]);
    write_all(ends[1], work(share));
    ::_exit(0);
  }
  ::close(ends[1]);
  return {process, ends[0], {}};
}

int wait_for(const worker& w) {
  ::close(w.pipe);
  int status = 0;
  while (::waitpid(w.process, &status, 0) < 0 && errno == EINTR) {
  }
  return status;
}

// Reads what is there of all; the place of one that has told everything, or `workers.size()`.
std::size_t read_some(std::vector<worker>& workers) {
  std::vector<pollfd> ready;
  for (const worker& w : workers) ready.push_back({w.pipe, POLLIN, 0});
  if (::poll(ready.data(), ready.size(), -1) < 0) return workers.size();
  for (std::size_t i = 0; i < workers.size(); ++i) {
    if (ready[i].revents == 0) continue;
    std::array<char, 4096> buffer{};
    const ssize_t n = ::read(workers[i].pipe, buffer.data(), buffer.size());
    if (n > 0) workers[i].told.append(buffer.data(), static_cast<std::size_t>(n));
    if (n == 0) return i;
  }
  return workers.size();
}

}  // namespace

pid_t fork_worker() {
  static_cast<void>(std::fflush(nullptr));
  const pid_t parent = ::getpid();
  const pid_t process = ::fork();
  if (process != 0) return process;
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(1);
  return 0;
}

bool in_processes(unsigned shares, unsigned jobs, const std::function<std::string(unsigned)>& work,
                  const std::function<bool(const std::string&)>& told) {
  std::vector<worker> workers;
  unsigned next = 0;
  while (next < shares || !workers.empty()) {
    while (workers.size() < jobs && next < shares) workers.push_back(start(next++, work));
    const std::size_t i = read_some(workers);
    if (i == workers.size()) continue;
    const worker done = std::move(workers[i]);
    workers.erase(workers.begin() + static_cast<std::ptrdiff_t>(i));
    const int status = wait_for(done);
    const bool goes_on = !WIFSIGNALED(status) && WEXITSTATUS(status) == 0 && told(done.told);
    if (goes_on) continue;
    for (const worker& w : workers) {
      ::kill(w.process, SIGKILL);
      wait_for(w);
    }
    if (WIFSIGNALED(status)) static_cast<void>(std::raise(WTERMSIG(status)));
    return false;
  }
  return true;
}

}  // namespace ufence::lab
