#include "ufence/uapi/preload/start_broker.h"

#include <dlfcn.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>

#include <string_view>

#include "ufence/uapi/preload/call_descriptors.h"
#include "ufence/uapi/preload/system.h"
#include "ufence/uapi/protocol.h"

namespace ufence::uapi {
namespace {

// What the library knows of its surroundings, from when it was loaded: a program may change its
// environment and its working directory.
struct surroundings {
  broker_address broker;
  char program[PATH_MAX] = {};  // empty: not found
};
constinit surroundings known;

constexpr int listener_number = 3;
constexpr int backlog = 128;

void put(sockaddr_un& name, socklen_t& size, std::string_view text) noexcept {
  for (const char c : text) {
    if (size == sizeof name) return;
    reinterpret_cast<char*>(&name)[size++] = c;
  }
}

void find_broker(broker_address& broker) noexcept {
  broker.name.sun_family = AF_UNIX;
  socklen_t size = offsetof(sockaddr_un, sun_path);
  put(broker.name, size, {"", 1});
  const char* const named = ::getenv(broker_variable);
  if (named != nullptr && *named != '\0') {
    put(broker.name, size, named);
  } else {
    put(broker.name, size, "ufence-uapi-broker/");
    for (unsigned long id = ::geteuid(); id != 0; id /= 10) {
      const char digit = static_cast<char>('0' + id % 10);
      put(broker.name, size, {&digit, 1});
    }
  }
  broker.size = size;
}

void find_program(char (&program)[PATH_MAX]) noexcept {
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

const surroundings& what_is_known() noexcept {
  if (known.broker.size == 0) {
    find_program(known.program);
    find_broker(known.broker);
  }
  return known;
}

[[gnu::constructor]] void look_around() noexcept { what_is_known(); }

// In a copy of the process: no more than system calls.
[[noreturn]] void become_broker(int listener, const char* program) noexcept {
  static constexpr std::size_t environment_max = 1024;
  const char* environment[environment_max + 1];
  std::size_t n = 0;
  for (char** e = environ; e != nullptr && *e != nullptr && n < environment_max; ++e) {
    if (!std::string_view(*e).starts_with("LD_PRELOAD=")) environment[n++] = *e;
  }
  environment[n] = nullptr;
  const char* const arguments[] = {program, "uapi", "--serve", "3", nullptr};
  static_assert(listener_number == 3);

  ::syscall(SYS_setsid);
  const unsigned long no_signals = 0;
  ::syscall(SYS_rt_sigprocmask, SIG_SETMASK, &no_signals, nullptr, sizeof no_signals);
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
  ::syscall(SYS_exit_group, 127);
  __builtin_unreachable();
}

// A copy without fork handlers whose end gives no signal; its child becomes the broker.
bool spawn(int listener, const char* program) noexcept {
  const long child = ::syscall(SYS_clone, 0UL, nullptr, nullptr, nullptr, nullptr);
  if (child < 0) return false;
  if (child == 0) {
    const long broker = ::syscall(SYS_clone, static_cast<unsigned long>(SIGCHLD), nullptr, nullptr,
                                  nullptr, nullptr);
    if (broker == 0) become_broker(listener, program);
    ::syscall(SYS_exit_group, broker < 0 ? 1 : 0);
    __builtin_unreachable();
  }
  int status = 0;
  while (::syscall(SYS_wait4, child, &status, static_cast<unsigned>(__WCLONE), nullptr) < 0) {
    if (errno != EINTR) return false;
  }
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

}  // namespace

const broker_address& address_of_broker() noexcept { return what_is_known().broker; }

bool start_broker() noexcept {
  const surroundings& here = what_is_known();
  if (here.program[0] == '\0') {
    errno = ENODEV;
    return false;
  }
  const int listener = open_noted_socket(SOCK_SEQPACKET | SOCK_CLOEXEC);
  if (listener < 0) return false;
  int failed = 0;
  if (::syscall(SYS_bind, listener, &here.broker.name, here.broker.size) != 0) {
    failed = errno;
  } else if (::syscall(SYS_access, here.program, X_OK) != 0) {
    failed = ENODEV;
  } else if (::syscall(SYS_listen, listener, backlog) != 0) {
    failed = errno;
  } else if (!spawn(listener, here.program)) {
    failed = ENODEV;
  }
  close_noted(listener);
  errno = failed;
  return failed == 0;
}

}  // namespace ufence::uapi
