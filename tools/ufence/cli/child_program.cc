#include "tools/ufence/cli/child_program.h"

#include <fmt/format.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>

#include "tools/command_line/command_line.h"
#include "ufence/base/atomic.h"

namespace ufence::tool {
namespace {

constexpr int cannot_start = 126;
constexpr int not_found = 127;
constexpr int killed_by = 128;  // and the signal's number

// In the child: what may fail is said there, since nobody else can.
[[noreturn]] void become(const std::vector<std::string>& program) {
  std::vector<char*> arguments;
  for (const std::string& word : program) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  ignore_children_as_parent();
  ::execvp(arguments[0], arguments.data());
  const int failed = errno;
  fmt::print(stderr, "ufence: {}: {}\n", program[0], errno_code(failed).message());
  static_cast<void>(std::fflush(stderr));
  ::_exit(failed == ENOENT ? not_found : cannot_start);
}

// A signal handler has nothing but globals; relaxed in all uses: a number that stands for itself.
atomic<pid_t> running_program{0};

extern "C" void pass_on(int number) {
  const int saved_errno = errno;
  const pid_t program = running_program.load(mo::relaxed);
  if (program > 0) ::kill(program, number);
  errno = saved_errno;
}

// The terminal's signals reach the program as well: it decides what they mean. Others are passed
// on.
void leave_signals_to(pid_t program) {
  running_program.store(program, mo::relaxed);
  struct sigaction action {};
  sigemptyset(&action.sa_mask);
  action.sa_flags = SA_RESTART;
  action.sa_handler = SIG_IGN;
  for (const int number : {SIGINT, SIGQUIT}) ::sigaction(number, &action, nullptr);
  action.sa_handler = &pass_on;
  for (const int number : {SIGTERM, SIGHUP}) ::sigaction(number, &action, nullptr);
}

void take_signals_back() {
  running_program.store(0, mo::relaxed);
  for (const int number : {SIGINT, SIGQUIT, SIGTERM, SIGHUP}) ::signal(number, SIG_DFL);
}

}  // namespace

result<pid_t> fork_in_place() {
  static_cast<void>(std::fflush(nullptr));
  // A signal that comes before they are left to the program waits until then.
  sigset_t passed_on;
  sigset_t before;
  sigemptyset(&passed_on);
  for (const int number : {SIGINT, SIGQUIT, SIGTERM, SIGHUP}) sigaddset(&passed_on, number);
  ::pthread_sigmask(SIG_BLOCK, &passed_on, &before);
  const pid_t child = ::fork();
  const int failed = errno;
  if (child > 0) leave_signals_to(child);
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (child < 0) return failure(failed);
  return child;
}

result<pid_t> start_program(const std::vector<std::string>& program,
                            const std::function<void()>& prepare) {
  const result<pid_t> child = fork_in_place();
  if (child && *child == 0) {
    prepare();
    become(program);
  }
  return child;
}

int status_of(pid_t program) {
  int status = 0;
  while (::waitpid(program, &status, 0) < 0) {
    if (errno != EINTR) return 1;
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : killed_by + WTERMSIG(status);
}

void adopt_orphans() { ::prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); }

void wait_for_all(pid_t program, const std::function<void(int)>& on_end) {
  for (;;) {
    siginfo_t who{};
    if (::waitid(P_ALL, 0, &who, WEXITED | WNOWAIT) != 0) {
      if (errno == EINTR) continue;
      return;
    }
    // Its number is another process's once it has been waited for.
    if (who.si_pid == program) take_signals_back();
    const int status = status_of(who.si_pid);
    if (who.si_pid == program) on_end(status);
  }
}

}  // namespace ufence::tool
