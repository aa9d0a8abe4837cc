#include "ufence/uapi/preload/start_broker.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <string_view>

#include "ufence/uapi/preload/call_descriptors.h"
#include "ufence/uapi/preload/system.h"
#include "ufence/uapi/protocol.h"

namespace ufence::uapi {
namespace {

constexpr int listener_number = 3;
constexpr int backlog = 4096;
constexpr int cannot_start = 1;
constexpr int is_limited = 2;

// Where the broker's program is, from when the library was loaded: a program may change its working
// directory. Empty: not found.
constinit char program[PATH_MAX] = {};

[[gnu::constructor]] void find_program() noexcept {
  Dl_info self;
  char path[PATH_MAX];
  if (::dladdr(reinterpret_cast<const void*>(&start_broker), &self) == 0 ||
      ::realpath(self.dli_fname, path) == nullptr) {
    return;
  }
  const std::string_view whole(path);
  const std::string_view from_library = "/" UFENCE_PROGRAM_FROM_LIBRARY;
  const std::size_t folder = whole.rfind('/');
  if (folder == whole.npos || folder + from_library.size() >= sizeof program) return;
  std::memcpy(program, path, folder);
  std::memcpy(program + folder, from_library.data(), from_library.size());
}

// --- In a copy of the process: no more than system calls ---

// A limit that can't be lifted would be the limit of everybody who uses the broker.
// @return  false: the broker can't live with it
bool lift(int which, rlim_t enough) noexcept {
  rlimit limit{};
  if (::syscall(SYS_prlimit64, 0, which, nullptr, &limit) != 0) return true;
  const rlimit none{.rlim_cur = RLIM_INFINITY, .rlim_max = RLIM_INFINITY};
  if (::syscall(SYS_prlimit64, 0, which, &none, nullptr) == 0) return true;
  const rlimit most{.rlim_cur = limit.rlim_max, .rlim_max = limit.rlim_max};
  ::syscall(SYS_prlimit64, 0, which, &most, nullptr);
  return limit.rlim_max >= enough;
}

// The usual size: without a limit mappings would lie elsewhere. Of the first thread and all others.
bool reset_stack() noexcept {
  constexpr rlim_t usual = 8 * 1024 * 1024;
  constexpr rlim_t least = 256 * 1024;
  rlimit limit{};
  if (::syscall(SYS_prlimit64, 0, RLIMIT_STACK, nullptr, &limit) != 0) return true;
  limit.rlim_cur = limit.rlim_max < usual ? limit.rlim_max : usual;
  ::syscall(SYS_prlimit64, 0, RLIMIT_STACK, &limit, nullptr);
  return limit.rlim_max >= least;
}

// RLIM_INFINITY is above all numbers.
bool lift_limits() noexcept {
  constexpr rlim_t descriptors = 256;  // RLIMIT_NOFILE has no infinity; half of what is usual
  bool is_enough = lift(RLIMIT_NOFILE, descriptors);
  for (const int which : {RLIMIT_CPU, RLIMIT_FSIZE, RLIMIT_AS, RLIMIT_DATA}) {
    is_enough = lift(which, RLIM_INFINITY) && is_enough;
  }
  static_cast<void>(lift(RLIMIT_NPROC, 0));  // without side threads it does their work itself
  return reset_stack() && is_enough;
}

void reset_signals() noexcept {
  struct {
    void (*handler)(int) = SIG_DFL;
    unsigned long flags = 0;
    void* restorer = nullptr;
    unsigned long mask = 0;
  } action;
  for (int number = 1; number < NSIG; ++number) {
    ::syscall(SYS_rt_sigaction, number, &action, nullptr, sizeof action.mask);
  }
  // The terminal's end is not the broker's.
  action.handler = SIG_IGN;
  ::syscall(SYS_rt_sigaction, SIGHUP, &action, nullptr, sizeof action.mask);
  const unsigned long no_signals = 0;
  ::syscall(SYS_rt_sigprocmask, SIG_SETMASK, &no_signals, nullptr, sizeof no_signals);
}

// As far as the system allows it.
void reset_scheduling() noexcept {
  const sched_param ordinary{};
  ::syscall(SYS_sched_setscheduler, 0, SCHED_OTHER, &ordinary);
  ::syscall(SYS_setpriority, PRIO_PROCESS, 0, 0);
  constexpr int of_process = 1;
  constexpr int by_nice = 0;
  ::syscall(SYS_ioprio_set, of_process, 0, by_nice);
  // Or its waits would end as late as the program's may. 0 would be that again.
  constexpr unsigned long usual_slack_ns = 50'000;
  ::syscall(SYS_prctl, PR_SET_TIMERSLACK, usual_slack_ns, 0, 0, 0);
  ::syscall(SYS_personality, 0);
  unsigned long all[128];
  std::memset(all, 0xFF, sizeof all);
  ::syscall(SYS_sched_setaffinity, 0, sizeof all, all);
  const long score = ::syscall(SYS_openat, AT_FDCWD, "/proc/self/oom_score_adj", O_WRONLY);
  if (score >= 0) {
    ::syscall(SYS_write, score, "0", 1UL);
    system::close(static_cast<int>(score));
  }
}

[[noreturn]] void end_with(int status) noexcept {
  ::syscall(SYS_exit_group, status);
  __builtin_unreachable();
}

[[noreturn]] void become_broker(int listener) noexcept {
  static constexpr std::size_t environment_max = 1024;
  const char* environment[environment_max + 1];
  std::size_t n = 0;
  for (char** e = environ; e != nullptr && *e != nullptr && n < environment_max; ++e) {
    if (!std::string_view(*e).starts_with("LD_PRELOAD=")) environment[n++] = *e;
  }
  environment[n] = nullptr;
  const char* const arguments[] = {program, "uapi", "--serve", "3", nullptr};
  static_assert(listener_number == 3);

  // Not a session: that would be a scheduling group, which gets half of a processor, however many
  // programs of this session wait for it.
  ::syscall(SYS_setpgid, 0, 0);
  reset_signals();
  reset_scheduling();
  ::syscall(SYS_umask, 022);
  // By this process, so that those who connect can see who it is.
  if (::syscall(SYS_listen, listener, backlog) != 0) end_with(cannot_start);
  // Out of the way of the numbers below.
  const int kept = system::fcntl(listener, F_DUPFD, listener_number + 1);
  const long null = ::syscall(SYS_openat, AT_FDCWD, "/dev/null", O_RDWR);
  for (int fd = 0; fd < listener_number; ++fd) {
    if (null != fd) ::syscall(SYS_dup3, null, fd, 0);
  }
  ::syscall(SYS_dup3, kept, listener_number, 0);
  ::syscall(SYS_close_range, listener_number + 1, ~0U, 0);
  ::syscall(SYS_chdir, "/");
  ::syscall(SYS_execve, program, arguments, environment);
  end_with(127);
}

// A copy without fork handlers whose end gives no signal; its child becomes the broker, and goes on
// alone once it has listened.
// @return  errno, or 0
int spawn(int listener) noexcept {
  const long child = ::syscall(SYS_clone, 0UL, nullptr, nullptr, nullptr, nullptr);
  if (child < 0) return ENODEV;
  if (child == 0) {
    if (!lift_limits()) end_with(is_limited);
    const long broker = ::syscall(SYS_clone, static_cast<unsigned long>(CLONE_VFORK | SIGCHLD),
                                  nullptr, nullptr, nullptr, nullptr);
    if (broker == 0) become_broker(listener);
    end_with(broker < 0 ? cannot_start : 0);
  }
  int status = 0;
  while (::syscall(SYS_wait4, child, &status, static_cast<unsigned>(__WCLONE), nullptr) < 0) {
    if (errno != EINTR) return ENODEV;
  }
  if (!WIFEXITED(status)) return ENODEV;
  return WEXITSTATUS(status) == 0 ? 0 : WEXITSTATUS(status) == is_limited ? EPERM : ENODEV;
}

}  // namespace

bool start_broker(const broker_address& name) noexcept {
  if (program[0] == '\0') {
    errno = ENODEV;
    return false;
  }
  const int listener = open_noted_socket(SOCK_SEQPACKET | SOCK_CLOEXEC);
  if (listener < 0) return false;
  int failed = 0;
  if (::syscall(SYS_bind, listener, &name.name, name.size) != 0) {
    failed = errno;
  } else if (::syscall(SYS_faccessat, AT_FDCWD, program, X_OK) != 0) {
    failed = ENODEV;
  } else {
    failed = spawn(listener);
  }
  close_noted(listener);
  errno = failed;
  return failed == 0;
}

}  // namespace ufence::uapi
