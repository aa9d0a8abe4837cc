// Signals that a program brings about by what it does.
#include <sys/ucontext.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <vector>

#include "lab/check/runtime/runtime.h"

namespace ufence::lab::check {
namespace {

// Where the thread was. Behind a call through a null pointer: where it came from.
const char* code_of(const void* context) noexcept {
  const mcontext_t& machine = static_cast<const ucontext_t*>(context)->uc_mcontext;
#if defined(__x86_64__)
  const auto at = static_cast<std::uintptr_t>(machine.gregs[REG_RIP]);
  const auto stack = static_cast<std::uintptr_t>(machine.gregs[REG_RSP]);
  constexpr std::uintptr_t first_page = 4096;
  if (at < first_page) return *reinterpret_cast<const char* const*>(stack);
  return reinterpret_cast<const char*>(at) + 1;
#else
  return reinterpret_cast<const char*>(machine.pc) + 1;
#endif
}

// The thread goes on here, and the exploration without it: fail_at() leaves this stack for good.
void tell_of_crash(int number, siginfo_t* info, void* context) {
  if (!in_model()) {
    static_cast<void>(std::signal(number, SIG_DFL));
    return;
  }
  const std::source_location where = location_of(code_of(context));
  if (number == SIGFPE) fail_at(failure::check_failed, "divides by zero", where);
  if (number != SIGSEGV && number != SIGBUS) {
    fail_at(failure::check_failed, "comes to a trap", where);
  }
  if (m().is_below_a_stack(info->si_addr)) {
    fail_at(failure::not_explorable, "needs more than 128 KiB of stack", where);
  }
  fail_at(failure::bad_access, "accesses what is no memory, or none that it may access", where);
}

}  // namespace

void notice_crashes() {
  constexpr std::size_t bytes = std::size_t{64} * 1024;
  stack_t stack{};
  stack.ss_sp = std::malloc(bytes);  // for the life of the process
  stack.ss_size = bytes;
  if (stack.ss_sp == nullptr || ::sigaltstack(&stack, nullptr) != 0) return;
  struct sigaction action {};
  action.sa_sigaction = &tell_of_crash;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
  for (const int number : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP}) {
    static_cast<void>(::sigaction(number, &action, nullptr));
  }
}

}  // namespace ufence::lab::check
