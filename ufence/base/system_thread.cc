#include "ufence/base/system_thread.h"

#include <sched.h>
#include <signal.h>

#include <algorithm>
#include <ctime>

#include "ufence/base/clock.h"

namespace ufence {
namespace {

class blocked_signals {
 public:
  blocked_signals() noexcept {
    sigset_t all;
    sigfillset(&all);
    for (const int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS, SIGPROF}) {
      sigdelset(&all, fault);
    }
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~blocked_signals() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  blocked_signals(const blocked_signals&) = delete;
  blocked_signals& operator=(const blocked_signals&) = delete;

 private:
  sigset_t before_;
};

}  // namespace

int system_thread::start(void* (*function)(void*), void* argument) noexcept {
  const blocked_signals none;
  return pthread_create(&id_, nullptr, function, argument);
}

void system_thread::name_this(const char* name) noexcept {
  pthread_setname_np(pthread_self(), name);
}

void system_thread::yield() noexcept { sched_yield(); }

bool system_thread::try_join() noexcept { return pthread_tryjoin_np(id_, nullptr) == 0; }

bool system_thread::join(std::int64_t deadline_ns) noexcept {
  if (deadline_ns == no_deadline) return pthread_join(id_, nullptr) == 0;
  // This call knows the wall clock only.
  timespec until{};
  clock_gettime(CLOCK_REALTIME, &until);
  constexpr std::int64_t second = 1'000'000'000;
  constexpr std::int64_t exit_ns = 10'000'000;
  const std::int64_t left = std::max(deadline_ns - now_ns(), exit_ns) + until.tv_nsec;
  until.tv_sec += left / second;
  until.tv_nsec = left % second;
  return pthread_timedjoin_np(id_, nullptr, &until) == 0;
}

void system_thread::detach() const noexcept { pthread_detach(id_); }

}  // namespace ufence
