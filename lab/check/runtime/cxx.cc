// The functions that libstdc++ and the C++ ABI have behind their headers, by the names in object
// files.
#include <linux/futex.h>

#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>

#include "lab/check/runtime/locks.h"
#include "lab/check/runtime/runtime.h"

using namespace ufence::lab::check;
using ufence::lab::condition;
using ufence::lab::failure;
using ufence::lab::waiting;

// --- std::thread: its only member is the handle, which 0 makes empty ---

namespace {

void* run_state(void* state) {
  // Its destructor is the program's, and gives the memory back to the scenario.
  auto* const s = static_cast<std::thread::_State*>(state);
  s->_M_run();
  delete s;
  return nullptr;
}

}  // namespace

UFENCE_LAB_EXPORT void UFENCE_LAB_CALL(
    _ZNSt6thread15_M_start_threadESt10unique_ptrINS_6_StateESt14default_deleteIS1_EEPFvvE)(
    std::uintptr_t* handle, void** state, void (*)()) {
  const std::source_location where = UFENCE_LAB_HERE;
  void* const moved = *state;
  *state = nullptr;
  const unsigned thread = start_thread(&run_state, moved, where);
  write(handle, sizeof *handle, where);
  *handle = thread + 1;
}
UFENCE_LAB_EXPORT void UFENCE_LAB_CALL(_ZNSt6thread4joinEv)(std::uintptr_t* handle) {
  const std::source_location where = UFENCE_LAB_HERE;
  read(handle, sizeof *handle, where);
  if (*handle == 0) fail_at(failure::misuse, "joins what is no thread", where);
  join_thread(static_cast<unsigned>(*handle - 1), where);
  write(handle, sizeof *handle, where);
  *handle = 0;
}
UFENCE_LAB_EXPORT void UFENCE_LAB_CALL(_ZNSt6thread6detachEv)(std::uintptr_t* handle) {
  const std::source_location where = UFENCE_LAB_HERE;
  read(handle, sizeof *handle, where);
  if (*handle == 0) fail_at(failure::misuse, "detaches what is no thread", where);
  data_of(static_cast<unsigned>(*handle - 1)).is_detached = true;
  write(handle, sizeof *handle, where);
  *handle = 0;
}
UFENCE_LAB_EXPORT unsigned UFENCE_LAB_CALL(_ZNSt6thread20hardware_concurrencyEv)() { return 2; }

// --- std::condition_variable ---

namespace {
pthread_cond_t* native(void* c) noexcept { return static_cast<pthread_cond_t*>(c); }
}  // namespace

UFENCE_LAB_EXPORT void UFENCE_LAB_CALL(_ZNSt18condition_variableC1Ev)(void* c) {
  make_object(c, sizeof(pthread_cond_t), UFENCE_LAB_HERE);
}
UFENCE_LAB_EXPORT void UFENCE_LAB_CALL(_ZNSt18condition_variableD1Ev)(void* c) {
  destroy_condition(native(c), UFENCE_LAB_HERE);
}
UFENCE_LAB_EXPORT void UFENCE_LAB_CALL(_ZNSt18condition_variable10notify_oneEv)(void* c) {
  notify_condition(native(c), false, UFENCE_LAB_HERE);
}
UFENCE_LAB_EXPORT void UFENCE_LAB_CALL(_ZNSt18condition_variable10notify_allEv)(void* c) {
  notify_condition(native(c), true, UFENCE_LAB_HERE);
}
UFENCE_LAB_EXPORT void UFENCE_LAB_CALL(_ZNSt18condition_variable4waitERSt11unique_lockISt5mutexE)(
    void* c, std::unique_lock<std::mutex>* lock) {
  static_cast<void>(
      wait_condition(native(c), lock->mutex()->native_handle(), no_deadline, UFENCE_LAB_HERE));
}

// --- std::future: a word that says whether the result is there ---

namespace {

// False: not by then.
bool wait_for_result(const unsigned* word, unsigned value, bool has_deadline, std::int64_t seconds,
                     std::int64_t ns, std::source_location where) {
  const timespec until{.tv_sec = seconds, .tv_nsec = ns};
  return futex(word, FUTEX_WAIT_BITSET, value, has_deadline ? &until : nullptr, where) !=
         -ETIMEDOUT;
}

}  // namespace

#define UFENCE_LAB_WAIT_FOR_RESULT(name)                                                      \
  UFENCE_LAB_EXPORT bool name(void*, const unsigned* word, unsigned value, bool has_deadline, \
                              std::int64_t seconds, std::int64_t ns) {                        \
    return wait_for_result(word, value, has_deadline, seconds, ns, UFENCE_LAB_HERE);          \
  }
UFENCE_LAB_WAIT_FOR_RESULT(UFENCE_LAB_CALL(
    _ZNSt28__atomic_futex_unsigned_base19_M_futex_wait_untilEPjjbNSt6chrono8durationIlSt5ratioILl1ELl1EEEENS2_IlS3_ILl1ELl1000000000EEEE))
UFENCE_LAB_WAIT_FOR_RESULT(UFENCE_LAB_CALL(
    _ZNSt28__atomic_futex_unsigned_base26_M_futex_wait_until_steadyEPjjbNSt6chrono8durationIlSt5ratioILl1ELl1EEEENS2_IlS3_ILl1ELl1000000000EEEE))
UFENCE_LAB_EXPORT void UFENCE_LAB_CALL(_ZNSt28__atomic_futex_unsigned_base19_M_futex_notify_allEPj)(
    const unsigned* word) {
  static_cast<void>(futex(word, FUTEX_WAKE, INT32_MAX, nullptr, UFENCE_LAB_HERE));
}

// --- std::chrono ---

UFENCE_LAB_EXPORT std::int64_t UFENCE_LAB_CALL(_ZNSt6chrono3_V212steady_clock3nowEv)() {
  return read_clock(UFENCE_LAB_HERE, __builtin_return_address(0));
}
UFENCE_LAB_EXPORT std::int64_t UFENCE_LAB_CALL(_ZNSt6chrono3_V212system_clock3nowEv)() {
  return read_clock(UFENCE_LAB_HERE, __builtin_return_address(0));
}

// --- Hashes, as of a thread's number ---

UFENCE_LAB_EXPORT std::size_t UFENCE_LAB_CALL(_ZSt11_Hash_bytesPKvmm)(const void* from,
                                                                      std::size_t bytes,
                                                                      std::size_t seed) {
  read(from, bytes, UFENCE_LAB_HERE);
  return std::_Hash_bytes(from, bytes, seed);
}

// --- Static objects of functions: the first byte of the guard says that the object is there ---

namespace {
const char* lock_of(const char* guard) noexcept { return guard + 4; }
}  // namespace

UFENCE_LAB_EXPORT int UFENCE_LAB_CALL(__cxa_guard_acquire)(char* guard) {
  const std::source_location where = UFENCE_LAB_HERE;
  constexpr condition is_free{.mask = UINT32_MAX, .wanted = 0, .equal = true};
  static_cast<void>(modify({.at = lock_of(guard), .waits = waiting::lock, .until = is_free},
                           ufence::lab::modification::exchange, 1, std::memory_order_acquire,
                           where));
  if (load({.at = guard, .bytes = 1}, std::memory_order_acquire, where) == 0) return 1;
  store({.at = lock_of(guard)}, 0, where);
  return 0;
}
UFENCE_LAB_EXPORT void UFENCE_LAB_CALL(__cxa_guard_release)(char* guard) {
  const std::source_location where = UFENCE_LAB_HERE;
  store({.at = guard, .bytes = 1}, 1, where);
  store({.at = lock_of(guard)}, 0, where);
}

// --- The streams, which are there already; a program that uses one is refused ---

UFENCE_LAB_EXPORT void UFENCE_LAB_CALL(_ZNSt8ios_base4InitC1Ev)(void*) {}
UFENCE_LAB_EXPORT void UFENCE_LAB_CALL(_ZNSt8ios_base4InitD1Ev)(void*) {}

// --- Ends ---

UFENCE_LAB_EXPORT int UFENCE_LAB_CALL(__cxa_thread_atexit)(void (*run)(void*), void* argument,
                                                           void*) {
  thread_data& d = mine();
  if (d.end_count == d.ends.size()) {
    fail_at(failure::not_explorable, "has too many thread-local objects", UFENCE_LAB_HERE);
  }
  d.ends[d.end_count++] = {run, argument};
  return 0;
}
UFENCE_LAB_EXPORT void UFENCE_LAB_CALL(_ZSt9terminatev)() {
  fail_at(failure::check_failed, "calls std::terminate()", UFENCE_LAB_HERE);
}
UFENCE_LAB_EXPORT void UFENCE_LAB_CALL(__cxa_pure_virtual)() {
  fail_at(failure::check_failed, "calls a pure virtual function", UFENCE_LAB_HERE);
}

// libstdc++ leaves out the locked instructions of reference counts while it is not set.
extern "C" [[gnu::visibility("default")]] char UFENCE_LAB_CALL(__libc_single_threaded);
char UFENCE_LAB_CALL(__libc_single_threaded) = 0;
