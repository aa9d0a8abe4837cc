#include "tools/ufence/cli/interrupt.h"

#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdint>

#include "ufence/base/atomic.h"

namespace ufence::tool {
namespace {

constexpr std::array noted_signals{SIGINT, SIGTERM, SIGHUP};

// A signal handler has nothing but globals. The number is relaxed in all uses: it is one word that
// stands for itself, and the wake-up goes through the kernel.
atomic<int> noted_signal{0};
atomic<int> wake_descriptor{-1};

extern "C" void note_signal(int number) {
  const int saved_errno = errno;
  noted_signal.store(number, mo::relaxed);
  const std::uint64_t one = 1;
  // [RUN.1] acquire: the descriptor is open; pairs with [RUN.2]
  const int fd = wake_descriptor.load(mo::acquire);
  if (fd >= 0 && ::write(fd, &one, sizeof one) < 0) {
    // Full: the run is awake anyway.
  }
  errno = saved_errno;
}

void set_action(int number, void (*handler)(int), int flags) {
  struct sigaction action {};
  action.sa_handler = handler;
  action.sa_flags = flags;
  sigemptyset(&action.sa_mask);
  ::sigaction(number, &action, nullptr);
}

}  // namespace

interrupt_watch::interrupt_watch(int wake_fd) {
  noted_signal.store(0, mo::relaxed);
  // [RUN.2] release: the descriptor was opened before; pairs with [RUN.1]
  wake_descriptor.store(wake_fd, mo::release);
  for (const int number : noted_signals) {
    // nohup and background jobs of simple shells ignore some of them: that stays so.
    struct sigaction old {};
    if (::sigaction(number, nullptr, &old) == 0 && old.sa_handler == SIG_IGN) continue;
    set_action(number, note_signal, static_cast<int>(SA_RESETHAND));
  }
  set_action(SIGPIPE, SIG_IGN, 0);
}

interrupt_watch::~interrupt_watch() {
  for (const int number : noted_signals) {
    struct sigaction old {};
    if (::sigaction(number, nullptr, &old) == 0 && old.sa_handler == note_signal) {
      set_action(number, SIG_DFL, 0);
    }
  }
  set_action(SIGPIPE, SIG_DFL, 0);
  wake_descriptor.store(-1, mo::relaxed);
}

int interrupt_watch::signal_number() { return noted_signal.load(mo::relaxed); }

}  // namespace ufence::tool
