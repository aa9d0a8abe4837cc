// Threads of the explored program, by the calls of POSIX and of C11; once, keys.
#include <pthread.h>
#include <threads.h>

#include <cerrno>

#include "lab/check/runtime/locks.h"
#include "lab/check/runtime/runtime.h"

using namespace ufence::lab::check;
using ufence::lab::condition;
using ufence::lab::failure;
using ufence::lab::modification;
using ufence::lab::waiting;

namespace {

// 0 is no thread.
pthread_t handle_of(unsigned thread) noexcept { return thread + 1; }
unsigned thread_of(pthread_t handle, std::source_location where) {
  if (handle == 0 || handle > ufence::lab::max_threads) {
    fail_at(failure::misuse, "uses what is no thread", where);
  }
  return static_cast<unsigned>(handle - 1);
}

unsigned self() noexcept { return in_model() ? m().current() : 0; }

// A call that is made once: 0 not yet, or it threw an exception; 1 runs; more: done.
template <class Function>
void run_once(const void* flag, Function run, std::source_location where) {
  struct running {
    const void* flag;
    std::source_location where;
    std::uint64_t then;
    ~running() { store({.at = flag}, then, where); }
  };
  constexpr std::uint64_t runs = 1, done = 2;
  constexpr condition does_not_run{.mask = UINT32_MAX, .wanted = runs, .equal = false};
  std::uint64_t seen = load({.at = flag}, std::memory_order_acquire, where);
  if (seen < done) {
    seen = modify({.at = flag, .waits = waiting::lock, .until = does_not_run}, modification::bit_or,
                  runs, std::memory_order_acquire, where);
  }
  if (seen >= done) return;
  running now{flag, where, 0};
  run();
  now.then = done;
}

struct key_table {
  void (*destroy[thread_data::keys_max])(void*);
  bool is_used[thread_data::keys_max];
};
constinit key_table keys{};

void make_key(unsigned* to, void (*destroy)(void*), std::source_location where) {
  write(to, sizeof *to, where);
  for (unsigned k = 0; k < thread_data::keys_max; ++k) {
    if (keys.is_used[k]) continue;
    keys.is_used[k] = true;
    keys.destroy[k] = destroy;
    for (unsigned t = 0; t < ufence::lab::max_threads; ++t) data_of(t).key_values[k] = nullptr;
    *to = k;
    return;
  }
  fail_at(failure::not_explorable, "makes more than 16 keys", where);
}

unsigned checked_key(unsigned key, std::source_location where) {
  if (key >= thread_data::keys_max || !keys.is_used[key]) {
    fail_at(failure::misuse, "uses a key that there is not", where);
  }
  return key;
}

// A destructor may give a key of its thread a value once more.
void destroy_key_values() {
  constexpr unsigned rounds_max = 4;  // PTHREAD_DESTRUCTOR_ITERATIONS
  bool is_more = true;
  for (unsigned round = 0; is_more && round < rounds_max; ++round) {
    is_more = false;
    for (unsigned k = 0; k < thread_data::keys_max; ++k) {
      void* const value = mine().key_values[k];
      if (!keys.is_used[k] || keys.destroy[k] == nullptr || value == nullptr) continue;
      mine().key_values[k] = nullptr;
      keys.destroy[k](value);
      is_more = true;
    }
  }
}

// As if its function had returned that. Objects on its stack are not destroyed.
[[noreturn]] void leave_thread(void* result, std::source_location where) {
  if (!in_model()) fail_at(failure::not_explorable, "ends its thread", where);
  mine().result = result;
  end_thread();
  mine().depth = 0;
  ufence::lab::operation last;
  last.what = ufence::lab::action::end;
  last.where = where;
  for (;;) m().perform(last);  // nobody lets it go on
}

}  // namespace

void ufence::lab::check::end_thread() {
  destroy_thread_objects();
  destroy_key_values();
}

void ufence::lab::check::destroy_thread_objects() {
  thread_data& d = mine();
  while (d.end_count != 0) {
    const thread_data::at_end last = d.ends[--d.end_count];
    d.ends[d.end_count] = {};
    last.run(last.argument);
  }
}

// --- POSIX ---

UFENCE_LAB_EXPORT int UFENCE_LAB_CALL(pthread_attr_init)(pthread_attr_t* a) {
  write(a, sizeof *a, UFENCE_LAB_HERE);
  return pthread_attr_init(a);
}
UFENCE_LAB_EXPORT int UFENCE_LAB_CALL(pthread_attr_destroy)(pthread_attr_t* a) {
  return pthread_attr_destroy(a);
}
UFENCE_LAB_EXPORT int UFENCE_LAB_CALL(pthread_attr_setdetachstate)(pthread_attr_t* a, int state) {
  return pthread_attr_setdetachstate(a, state);
}
UFENCE_LAB_EXPORT int UFENCE_LAB_CALL(pthread_attr_setstacksize)(pthread_attr_t* a,
                                                                 std::size_t bytes) {
  return pthread_attr_setstacksize(a, bytes);
}
UFENCE_LAB_EXPORT int UFENCE_LAB_CALL(pthread_create)(pthread_t* to, const pthread_attr_t* with,
                                                      void* (*run)(void*), void* argument) {
  const std::source_location where = UFENCE_LAB_HERE;
  write(to, sizeof *to, where);
  const unsigned thread = start_thread(run, argument, where);
  *to = handle_of(thread);
  int state = PTHREAD_CREATE_JOINABLE;
  if (with != nullptr) static_cast<void>(pthread_attr_getdetachstate(with, &state));
  if (state == PTHREAD_CREATE_DETACHED) data_of(thread).is_detached = true;
  return 0;
}
UFENCE_LAB_EXPORT void UFENCE_LAB_CALL(pthread_exit)(void* result) {
  leave_thread(result, UFENCE_LAB_HERE);
}
UFENCE_LAB_EXPORT int UFENCE_LAB_CALL(pthread_join)(pthread_t thread, void** result) {
  const std::source_location where = UFENCE_LAB_HERE;
  const unsigned number = thread_of(thread, where);
  join_thread(number, where);
  if (result != nullptr) {
    write(static_cast<void*>(result), sizeof *result, where);
    *result = data_of(number).result;
  }
  return 0;
}
UFENCE_LAB_EXPORT int UFENCE_LAB_CALL(pthread_detach)(pthread_t thread) {
  data_of(thread_of(thread, UFENCE_LAB_HERE)).is_detached = true;
  return 0;
}
UFENCE_LAB_EXPORT pthread_t UFENCE_LAB_CALL(pthread_self)() { return handle_of(self()); }
UFENCE_LAB_EXPORT int UFENCE_LAB_CALL(pthread_equal)(pthread_t a, pthread_t b) { return a == b; }
UFENCE_LAB_EXPORT int UFENCE_LAB_CALL(pthread_once)(pthread_once_t* flag, void (*run)()) {
  run_once(flag, run, UFENCE_LAB_HERE);
  return 0;
}
UFENCE_LAB_EXPORT int UFENCE_LAB_CALL(pthread_key_create)(pthread_key_t* to,
                                                          void (*destroy)(void*)) {
  make_key(to, destroy, UFENCE_LAB_HERE);
  return 0;
}
UFENCE_LAB_EXPORT int UFENCE_LAB_CALL(pthread_key_delete)(pthread_key_t key) {
  keys.is_used[checked_key(key, UFENCE_LAB_HERE)] = false;
  return 0;
}
UFENCE_LAB_EXPORT void* UFENCE_LAB_CALL(pthread_getspecific)(pthread_key_t key) {
  return mine().key_values[checked_key(key, UFENCE_LAB_HERE)];
}
UFENCE_LAB_EXPORT int UFENCE_LAB_CALL(pthread_setspecific)(pthread_key_t key, const void* value) {
  mine().key_values[checked_key(key, UFENCE_LAB_HERE)] = const_cast<void*>(value);
  return 0;
}

// --- C11 ---

UFENCE_LAB_EXPORT int UFENCE_LAB_CALL(thrd_create)(thrd_t* to, thrd_start_t run, void* argument) {
  const std::source_location where = UFENCE_LAB_HERE;
  write(to, sizeof *to, where);
  if (const unsigned child = next_thread(); child < ufence::lab::max_threads) {
    data_of(child).run_c11 = run;
  }
  const auto run_it = [](void* a) {
    return reinterpret_cast<void*>(static_cast<std::intptr_t>(mine().run_c11(a)));
  };
  *to = handle_of(start_thread(run_it, argument, where));
  return thrd_success;
}
UFENCE_LAB_EXPORT int UFENCE_LAB_CALL(thrd_join)(thrd_t thread, int* result) {
  const std::source_location where = UFENCE_LAB_HERE;
  const unsigned number = thread_of(thread, where);
  join_thread(number, where);
  if (result != nullptr) {
    write(result, sizeof *result, where);
    *result = static_cast<int>(reinterpret_cast<std::intptr_t>(data_of(number).result));
  }
  return thrd_success;
}
UFENCE_LAB_EXPORT void UFENCE_LAB_CALL(thrd_exit)(int result) {
  leave_thread(reinterpret_cast<void*>(static_cast<std::intptr_t>(result)), UFENCE_LAB_HERE);
}
UFENCE_LAB_EXPORT int UFENCE_LAB_CALL(thrd_detach)(thrd_t thread) {
  data_of(thread_of(thread, UFENCE_LAB_HERE)).is_detached = true;
  return thrd_success;
}
UFENCE_LAB_EXPORT thrd_t UFENCE_LAB_CALL(thrd_current)() { return handle_of(self()); }
UFENCE_LAB_EXPORT int UFENCE_LAB_CALL(thrd_equal)(thrd_t a, thrd_t b) { return a == b; }
UFENCE_LAB_EXPORT void UFENCE_LAB_CALL(thrd_yield)() { ufence::lab::hooks::pause(UFENCE_LAB_HERE); }
UFENCE_LAB_EXPORT void UFENCE_LAB_CALL(call_once)(once_flag* flag, void (*run)()) {
  run_once(flag, run, UFENCE_LAB_HERE);
}
UFENCE_LAB_EXPORT int UFENCE_LAB_CALL(tss_create)(tss_t* to, tss_dtor_t destroy) {
  make_key(to, destroy, UFENCE_LAB_HERE);
  return thrd_success;
}
UFENCE_LAB_EXPORT void UFENCE_LAB_CALL(tss_delete)(tss_t key) {
  keys.is_used[checked_key(key, UFENCE_LAB_HERE)] = false;
}
UFENCE_LAB_EXPORT void* UFENCE_LAB_CALL(tss_get)(tss_t key) {
  return mine().key_values[checked_key(key, UFENCE_LAB_HERE)];
}
UFENCE_LAB_EXPORT int UFENCE_LAB_CALL(tss_set)(tss_t key, void* value) {
  mine().key_values[checked_key(key, UFENCE_LAB_HERE)] = value;
  return thrd_success;
}

namespace {
// glibc's C11 objects are its POSIX ones under other names.
pthread_mutex_t* mutex_of(mtx_t* lock) noexcept { return reinterpret_cast<pthread_mutex_t*>(lock); }
pthread_cond_t* condition_of(cnd_t* c) noexcept { return reinterpret_cast<pthread_cond_t*>(c); }
static_assert(sizeof(mtx_t) == sizeof(pthread_mutex_t) && sizeof(cnd_t) == sizeof(pthread_cond_t));
}  // namespace

UFENCE_LAB_EXPORT int UFENCE_LAB_CALL(mtx_init)(mtx_t* lock, int kind) {
  make_object(lock, sizeof *lock, UFENCE_LAB_HERE);
  mutex_of(lock)->__data.__kind =
      (kind & mtx_recursive) != 0 ? PTHREAD_MUTEX_RECURSIVE : PTHREAD_MUTEX_NORMAL;
  return thrd_success;
}
UFENCE_LAB_EXPORT void UFENCE_LAB_CALL(mtx_destroy)(mtx_t* lock) {
  destroy_lock(lock, "a mutex", UFENCE_LAB_HERE);
}
UFENCE_LAB_EXPORT int UFENCE_LAB_CALL(mtx_lock)(mtx_t* lock) {
  lock_mutex(mutex_of(lock), UFENCE_LAB_HERE);
  return thrd_success;
}
UFENCE_LAB_EXPORT int UFENCE_LAB_CALL(mtx_trylock)(mtx_t* lock) {
  return try_mutex(mutex_of(lock), UFENCE_LAB_HERE) ? thrd_success : thrd_busy;
}
UFENCE_LAB_EXPORT int UFENCE_LAB_CALL(mtx_timedlock)(mtx_t* lock, const timespec* until) {
  const std::source_location where = UFENCE_LAB_HERE;
  return lock_mutex_until(mutex_of(lock), deadline_of(until, where), where) ? thrd_success
                                                                            : thrd_timedout;
}
UFENCE_LAB_EXPORT int UFENCE_LAB_CALL(mtx_unlock)(mtx_t* lock) {
  unlock_mutex(mutex_of(lock), UFENCE_LAB_HERE);
  return thrd_success;
}
UFENCE_LAB_EXPORT int UFENCE_LAB_CALL(cnd_init)(cnd_t* c) {
  make_object(c, sizeof *c, UFENCE_LAB_HERE);
  return thrd_success;
}
UFENCE_LAB_EXPORT void UFENCE_LAB_CALL(cnd_destroy)(cnd_t* c) {
  destroy_condition(condition_of(c), UFENCE_LAB_HERE);
}
UFENCE_LAB_EXPORT int UFENCE_LAB_CALL(cnd_wait)(cnd_t* c, mtx_t* lock) {
  static_cast<void>(wait_condition(condition_of(c), mutex_of(lock), no_deadline, UFENCE_LAB_HERE));
  return thrd_success;
}
UFENCE_LAB_EXPORT int UFENCE_LAB_CALL(cnd_timedwait)(cnd_t* c, mtx_t* lock, const timespec* until) {
  const std::source_location where = UFENCE_LAB_HERE;
  return wait_condition(condition_of(c), mutex_of(lock), deadline_of(until, where), where)
             ? thrd_success
             : thrd_timedout;
}
UFENCE_LAB_EXPORT int UFENCE_LAB_CALL(cnd_signal)(cnd_t* c) {
  notify_condition(condition_of(c), false, UFENCE_LAB_HERE);
  return thrd_success;
}
UFENCE_LAB_EXPORT int UFENCE_LAB_CALL(cnd_broadcast)(cnd_t* c) {
  notify_condition(condition_of(c), true, UFENCE_LAB_HERE);
  return thrd_success;
}
