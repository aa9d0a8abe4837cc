// Functions of the C library: memory and text, what ends a program, what it prints (nothing is
// printed: executions are many), time, and system calls.
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <ctime>

#include "lab/check/runtime/locks.h"
#include "lab/check/runtime/runtime.h"

using ufence::lab::failure;
using namespace ufence::lab::check;
namespace hooks = ufence::lab::hooks;

// --- Memory and text ---

namespace {

void* copy(void* to, const void* from, std::size_t bytes, std::source_location where) {
  read_copied(from, bytes, where);
  write(to, bytes, where);
  return std::memmove(to, from, bytes);
}
void* fill(void* to, int value, std::size_t bytes, std::source_location where) {
  write(to, bytes, where);
  return std::memset(to, value, bytes);
}
int compare(const void* a, const void* b, std::size_t bytes, std::source_location where) {
  read(a, bytes, where);
  read(b, bytes, where);
  return std::memcmp(a, b, bytes);
}
std::size_t length(const char* text, std::source_location where) {
  const std::size_t n = std::strlen(text);
  read(text, n + 1, where);
  return n;
}
std::size_t length(const char* text, std::size_t most, std::source_location where) {
  const std::size_t n = strnlen(text, most);
  read(text, n < most ? n + 1 : most, where);
  return n;
}

}  // namespace

UFENCE_LAB_EXPORT void* UFENCE_LAB_CALL(memcpy)(void* to, const void* from, std::size_t bytes) {
  return copy(to, from, bytes, UFENCE_LAB_HERE);
}
UFENCE_LAB_EXPORT void* UFENCE_LAB_CALL(memmove)(void* to, const void* from, std::size_t bytes) {
  return copy(to, from, bytes, UFENCE_LAB_HERE);
}
UFENCE_LAB_EXPORT void* UFENCE_LAB_CALL(memset)(void* to, int value, std::size_t bytes) {
  return fill(to, value, bytes, UFENCE_LAB_HERE);
}
UFENCE_LAB_EXPORT void* __tsan_memcpy(void* to, const void* from, std::size_t bytes) {
  return copy(to, from, bytes, UFENCE_LAB_HERE);
}
UFENCE_LAB_EXPORT void* __tsan_memmove(void* to, const void* from, std::size_t bytes) {
  return copy(to, from, bytes, UFENCE_LAB_HERE);
}
UFENCE_LAB_EXPORT void* __tsan_memset(void* to, int value, std::size_t bytes) {
  return fill(to, value, bytes, UFENCE_LAB_HERE);
}
UFENCE_LAB_EXPORT int UFENCE_LAB_CALL(memcmp)(const void* a, const void* b, std::size_t bytes) {
  return compare(a, b, bytes, UFENCE_LAB_HERE);
}
UFENCE_LAB_EXPORT int UFENCE_LAB_CALL(bcmp)(const void* a, const void* b, std::size_t bytes) {
  return compare(a, b, bytes, UFENCE_LAB_HERE);
}
UFENCE_LAB_EXPORT void* UFENCE_LAB_CALL(memchr)(const void* in, int wanted, std::size_t bytes) {
  void* const at = const_cast<void*>(std::memchr(in, wanted, bytes));
  const auto looked_at =
      static_cast<std::size_t>(static_cast<char*>(at) - static_cast<const char*>(in));
  read(in, at == nullptr ? bytes : looked_at + 1, UFENCE_LAB_HERE);
  return at;
}
UFENCE_LAB_EXPORT std::size_t UFENCE_LAB_CALL(strlen)(const char* text) {
  return length(text, UFENCE_LAB_HERE);
}
UFENCE_LAB_EXPORT std::size_t UFENCE_LAB_CALL(strnlen)(const char* text, std::size_t most) {
  return length(text, most, UFENCE_LAB_HERE);
}
UFENCE_LAB_EXPORT char* UFENCE_LAB_CALL(strchr)(const char* text, int wanted) {
  static_cast<void>(length(text, UFENCE_LAB_HERE));
  return const_cast<char*>(std::strchr(text, wanted));
}
UFENCE_LAB_EXPORT char* UFENCE_LAB_CALL(strrchr)(const char* text, int wanted) {
  static_cast<void>(length(text, UFENCE_LAB_HERE));
  return const_cast<char*>(std::strrchr(text, wanted));
}
UFENCE_LAB_EXPORT int UFENCE_LAB_CALL(strncmp)(const char* a, const char* b, std::size_t most) {
  const std::source_location where = UFENCE_LAB_HERE;
  static_cast<void>(length(a, most, where));
  static_cast<void>(length(b, most, where));
  return std::strncmp(a, b, most);
}
UFENCE_LAB_EXPORT int UFENCE_LAB_CALL(strcmp)(const char* a, const char* b) {
  const std::source_location where = UFENCE_LAB_HERE;
  static_cast<void>(length(a, where));
  static_cast<void>(length(b, where));
  return std::strcmp(a, b);
}
UFENCE_LAB_EXPORT char* UFENCE_LAB_CALL(strcpy)(char* to, const char* from) {
  const std::source_location where = UFENCE_LAB_HERE;
  return static_cast<char*>(copy(to, from, length(from, where) + 1, where));
}
UFENCE_LAB_EXPORT void* UFENCE_LAB_CALL(mempcpy)(void* to, const void* from, std::size_t bytes) {
  return static_cast<char*>(copy(to, from, bytes, UFENCE_LAB_HERE)) + bytes;
}
UFENCE_LAB_EXPORT char* UFENCE_LAB_CALL(stpcpy)(char* to, const char* from) {
  const std::source_location where = UFENCE_LAB_HERE;
  const std::size_t n = length(from, where);
  return static_cast<char*>(copy(to, from, n + 1, where)) + n;
}
UFENCE_LAB_EXPORT char* UFENCE_LAB_CALL(strncpy)(char* to, const char* from, std::size_t bytes) {
  const std::source_location where = UFENCE_LAB_HERE;
  const std::size_t n = length(from, bytes, where);
  static_cast<void>(copy(to, from, n, where));
  static_cast<void>(fill(to + n, 0, bytes - n, where));
  return to;
}
UFENCE_LAB_EXPORT char* UFENCE_LAB_CALL(strcat)(char* to, const char* from) {
  const std::source_location where = UFENCE_LAB_HERE;
  static_cast<void>(copy(to + length(to, where), from, length(from, where) + 1, where));
  return to;
}
UFENCE_LAB_EXPORT char* UFENCE_LAB_CALL(strncat)(char* to, const char* from, std::size_t most) {
  const std::source_location where = UFENCE_LAB_HERE;
  const std::size_t n = length(from, most, where);
  char* const end = to + length(to, where);
  static_cast<void>(copy(end, from, n, where));
  static_cast<void>(fill(end + n, 0, 1, where));
  return to;
}

// --- Ends ---

UFENCE_LAB_EXPORT void UFENCE_LAB_CALL(__assert_fail)(const char* condition, const char*, unsigned,
                                                      const char*) {
  std::string text;
  {
    ufence::lab::mode::outside_scope outside;
    text = std::string("finds that this does not hold: ") + condition;
  }
  fail_at(failure::check_failed, text, UFENCE_LAB_HERE);
}
UFENCE_LAB_EXPORT void UFENCE_LAB_CALL(exit)(int status) {
  const std::source_location where = UFENCE_LAB_HERE;
  if (status == 0) fail_at(failure::not_explorable, "calls exit(0): return from main()", where);
  std::string text;
  {
    ufence::lab::mode::outside_scope outside;
    text = "calls exit(" + std::to_string(status) + ")";
  }
  fail_at(failure::check_failed, text, where);
}
UFENCE_LAB_EXPORT void UFENCE_LAB_CALL(abort)() {
  fail_at(failure::check_failed, "calls abort()", UFENCE_LAB_HERE);
}

/// Functions that the program calls and that are in none of these files.
UFENCE_LAB_EXPORT void ufence_lab_unknown(const char* name, const void* from) {
  std::string text;
  {
    ufence::lab::mode::outside_scope outside;
    text = std::string("calls ") + name + ", which the lab does not know";
  }
  fail_at(failure::not_explorable, text, location_of(from));
}

// --- What it prints ---

UFENCE_LAB_EXPORT int UFENCE_LAB_CALL(printf)(const char*, ...) { return 0; }
UFENCE_LAB_EXPORT int UFENCE_LAB_CALL(fprintf)(std::FILE*, const char*, ...) { return 0; }
UFENCE_LAB_EXPORT int UFENCE_LAB_CALL(puts)(const char*) { return 0; }
UFENCE_LAB_EXPORT int UFENCE_LAB_CALL(fputs)(const char*, std::FILE*) { return 0; }
UFENCE_LAB_EXPORT int UFENCE_LAB_CALL(putchar)(int c) { return c; }
UFENCE_LAB_EXPORT int UFENCE_LAB_CALL(fflush)(std::FILE*) { return 0; }
UFENCE_LAB_EXPORT std::size_t UFENCE_LAB_CALL(fwrite)(const void*, std::size_t, std::size_t n,
                                                      std::FILE*) {
  return n;
}

// --- errno, time ---

UFENCE_LAB_EXPORT int* UFENCE_LAB_CALL(__errno_location)() { return &mine().error; }

namespace {

constexpr std::int64_t second_ns = 1'000'000'000;

void sleep_ns(std::int64_t ns, std::source_location where) {
  if (!in_model()) return;
  m().pass_time(hooks::now_ns() + ns);
  hooks::pause(where);
}
std::int64_t ns_of(const timespec* t, std::source_location where) noexcept {
  read(t, sizeof *t, where);
  return t->tv_sec * second_ns + t->tv_nsec;
}

}  // namespace

UFENCE_LAB_EXPORT int UFENCE_LAB_CALL(clock_gettime)(clockid_t, timespec* to) {
  write(to, sizeof *to, UFENCE_LAB_HERE);
  const std::int64_t now = read_clock(UFENCE_LAB_HERE, __builtin_return_address(0));
  *to = {.tv_sec = now / second_ns, .tv_nsec = now % second_ns};
  return 0;
}
UFENCE_LAB_EXPORT int UFENCE_LAB_CALL(timespec_get)(timespec* to, int base) {
  if (base != TIME_UTC) return 0;
  static_cast<void>(UFENCE_LAB_CALL(clock_gettime)(CLOCK_REALTIME, to));
  return base;
}
UFENCE_LAB_EXPORT std::time_t UFENCE_LAB_CALL(time)(std::time_t* to) {
  const std::time_t now = read_clock(UFENCE_LAB_HERE, __builtin_return_address(0)) / second_ns;
  if (to != nullptr) {
    write(to, sizeof *to, UFENCE_LAB_HERE);
    *to = now;
  }
  return now;
}
UFENCE_LAB_EXPORT int UFENCE_LAB_CALL(nanosleep)(const timespec* wanted, timespec*) {
  const std::source_location where = UFENCE_LAB_HERE;
  sleep_ns(ns_of(wanted, where), where);
  return 0;
}
UFENCE_LAB_EXPORT int UFENCE_LAB_CALL(thrd_sleep)(const timespec* wanted, timespec*) {
  const std::source_location where = UFENCE_LAB_HERE;
  sleep_ns(ns_of(wanted, where), where);
  return 0;
}
UFENCE_LAB_EXPORT int UFENCE_LAB_CALL(clock_nanosleep)(clockid_t, int flags, const timespec* wanted,
                                                       timespec*) {
  const std::source_location where = UFENCE_LAB_HERE;
  const std::int64_t ns = ns_of(wanted, where);
  sleep_ns((flags & TIMER_ABSTIME) != 0 ? ns - hooks::now_ns() : ns, where);
  return 0;
}
UFENCE_LAB_EXPORT int UFENCE_LAB_CALL(usleep)(unsigned us) {
  sleep_ns(std::int64_t{us} * 1000, UFENCE_LAB_HERE);
  return 0;
}
UFENCE_LAB_EXPORT unsigned UFENCE_LAB_CALL(sleep)(unsigned seconds) {
  sleep_ns(std::int64_t{seconds} * second_ns, UFENCE_LAB_HERE);
  return 0;
}
UFENCE_LAB_EXPORT int UFENCE_LAB_CALL(sched_yield)() {
  hooks::pause(UFENCE_LAB_HERE);
  return 0;
}

// --- System calls ---

namespace {

void look_at_bits(int what, std::uint32_t bits, std::source_location where) {
  const int operation = what & FUTEX_CMD_MASK;
  const bool has_bits = operation == FUTEX_WAIT_BITSET || operation == FUTEX_WAKE_BITSET;
  if (!has_bits || bits == FUTEX_BITSET_MATCH_ANY) return;
  fail_at(failure::not_explorable, "calls futex() for some of its bits, the lab knows all", where);
}

}  // namespace

UFENCE_LAB_EXPORT long UFENCE_LAB_CALL(syscall)(long number, ...) {
  const std::source_location where = UFENCE_LAB_HERE;
  if (number == SYS_membarrier) {
    std::va_list arguments;
    va_start(arguments, number);
    const int command = va_arg(arguments, int);
    va_end(arguments);
    const long result = membarrier(command, where);
    if (result >= 0) return result;
    mine().error = static_cast<int>(-result);
    return -1;
  }
  if (number != SYS_futex) {
    fail_at(failure::not_explorable,
            "makes system call " + std::to_string(number) + ", which the lab does not know", where);
  }
  std::va_list arguments;
  va_start(arguments, number);
  const void* const word = va_arg(arguments, const void*);
  const int what = va_arg(arguments, int);
  const auto value = va_arg(arguments, std::uint32_t);
  const auto* const timeout = va_arg(arguments, const timespec*);
  static_cast<void>(va_arg(arguments, const void*));
  const auto bits = va_arg(arguments, std::uint32_t);  // where the operation has such
  va_end(arguments);
  look_at_bits(what, bits, where);
  const long result = futex(word, what, value, timeout, where);
  if (result >= 0) return result;
  mine().error = static_cast<int>(-result);
  return -1;
}
