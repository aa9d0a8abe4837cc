#include "ufence/uapi/preload/call_descriptors.h"

#include <pthread.h>

#include <cstddef>
#include <cstdint>

#include "ufence/uapi/preload/system.h"

namespace ufence::uapi {
namespace {

// A bit for each number. Higher ones are not noted: a program that has so many raised its limit.
constexpr int numbers_max = 65536;
constexpr int word_bits = 64;

// Held for a few system calls, with all signals held off.
pthread_mutex_t no_fork = PTHREAD_MUTEX_INITIALIZER;
constinit std::uint64_t noted[numbers_max / word_bits] = {};  // no_fork
constinit sigset_t signals_before_fork{};                     // no_fork

bool has_bit(int fd) noexcept { return fd >= 0 && fd < numbers_max; }

void hold_off(sigset_t& before) noexcept {
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  pthread_mutex_lock(&no_fork);
}
void go_on(const sigset_t before) noexcept {
  pthread_mutex_unlock(&no_fork);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

void before_fork() noexcept {
  sigset_t before;
  hold_off(before);
  signals_before_fork = before;
}
void after_fork_in_parent() noexcept { go_on(signals_before_fork); }
void after_fork_in_child() noexcept {
  for (std::size_t i = 0; i < numbers_max / word_bits; ++i) {
    for (std::uint64_t bits = noted[i]; bits != 0; bits &= bits - 1) {
      system::close(static_cast<int>(i) * word_bits + __builtin_ctzll(bits));
    }
    noted[i] = 0;
  }
  go_on(signals_before_fork);
}

[[gnu::constructor]] void register_handlers() noexcept {
  ::pthread_atfork(&before_fork, &after_fork_in_parent, &after_fork_in_child);
}

}  // namespace

opening::opening() noexcept { hold_off(before_); }
opening::~opening() { go_on(before_); }

void opening::note(int fd) noexcept {
  if (has_bit(fd)) noted[fd / word_bits] |= std::uint64_t{1} << (fd % word_bits);
}
void opening::forget(int fd) noexcept {
  if (has_bit(fd)) noted[fd / word_bits] &= ~(std::uint64_t{1} << (fd % word_bits));
}

int open_noted_socket(int type) noexcept {
  opening now;
  const int fd = system::socket(type);
  if (fd >= 0) now.note(fd);
  return fd;
}

bool open_noted_pair(int (&ends)[2]) noexcept {
  opening now;
  if (::syscall(SYS_socketpair, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) return false;
  for (const int fd : ends) now.note(fd);
  return true;
}

void close_noted(int fd) noexcept {
  opening now;
  now.forget(fd);
  system::close(fd);
}

}  // namespace ufence::uapi
