#include "lab/check/runtime/locks.h"

#include <semaphore.h>

#include <bit>
#include <cerrno>
#include <cstring>

#include "lab/check/runtime/runtime.h"

namespace ufence::lab::check {
namespace {

using held_lock = thread_data::held_lock;

held_lock* find_held(const void* at) noexcept {
  for (held_lock& h : mine().held) {
    if (h.at == at && h.count != 0) return &h;
  }
  return nullptr;
}

void hold(const void* at, bool shared, std::source_location where) {
  for (held_lock& h : mine().held) {
    if (h.count != 0) continue;
    h = {at, 1, shared};
    return;
  }
  fail_at(failure::not_explorable, "holds more than 16 locks", where);
}

// False: it was taken more often than that.
bool let_go(const void* at, std::source_location where) {
  held_lock* const h = find_held(at);
  if (h == nullptr) fail_at(failure::misuse, "unlocks what it does not hold", where);
  if (--h->count != 0) return false;
  *h = {};
  return true;
}

// As in glibc's layout, where static initializers put it.
int kind_of(const pthread_mutex_t* lock) noexcept {
  constexpr int kinds = 3;
  return lock->__data.__kind & kinds;
}

constexpr condition is_free{.mask = ~std::uint64_t{0}, .wanted = 0, .equal = true};

void take(const void* lock, std::int64_t deadline_ns, std::source_location where) {
  static_cast<void>(modify({.at = lock,
                            .waits = waiting::lock,
                            .until = is_free,
                            .may_expire = deadline_ns != no_deadline},
                           modification::exchange, 1, std::memory_order_acquire, where));
}
// One that fails orders nothing.
bool try_exchange(const void* lock, std::uint64_t& seen, std::uint64_t then,
                  std::source_location where) {
  return compare_exchange({.at = lock}, seen, then, where, std::memory_order_relaxed);
}
bool try_take(const void* lock, std::source_location where) {
  std::uint64_t seen = 0;
  return try_exchange(lock, seen, 1, where);
}

// What waits for a condition, or sleeps on a word: a bit for each thread, below a count of wakes.
constexpr unsigned count_shift = 8;
constexpr std::uint64_t sleepers = (std::uint64_t{1} << count_shift) - 1;
static_assert(max_threads <= count_shift);

std::uint64_t my_bit() noexcept { return std::uint64_t{1} << (in_model() ? m().current() : 0); }

void sleep(waiting_access queue, std::int64_t deadline_ns, std::source_location where) {
  queue.waits = waiting::sleep;
  queue.may_expire = deadline_ns != no_deadline;
  queue.until = {.mask = my_bit(), .wanted = 0, .equal = true};
  static_cast<void>(load(queue, std::memory_order_acquire, where));
}

// Takes one of these sleepers' bits, any of them.
std::uint64_t without_one(std::uint64_t state, std::source_location where) {
  std::uint64_t asleep = state & sleepers;
  const auto count = static_cast<unsigned>(std::popcount(asleep));
  for (std::uint64_t skip = count > 1 ? choose(count, where) : 0; skip != 0; --skip) {
    asleep &= asleep - 1;
  }
  return state & ~(asleep & (~asleep + 1));
}

// The state of a condition or a barrier is not in the object: a thread that is let go does not look
// at that again, since it may be destroyed by then. That it is there is looked at before the wait.
waiting_access queue_of(const void* object, std::source_location where) {
  constexpr unsigned bytes = 8;
  static_cast<void>(load({.at = object, .bytes = bytes}, std::memory_order_relaxed, where));
  return {.at = object, .bytes = bytes, .is_queue = true};
}

[[noreturn]] void destroys(const char* what, std::source_location where) {
  fail_at(failure::misuse, std::string("destroys ") + what, where);
}

}  // namespace

void make_object(void* object, std::size_t bytes, std::source_location where) {
  write(object, bytes, where);
  std::memset(object, 0, bytes);
}

void destroy_lock(const void* lock, const char* name, std::source_location where) {
  unsigned word = 0;
  write(lock, sizeof word, where);
  std::memcpy(&word, lock, sizeof word);
  if (word != 0) destroys((std::string(name) + " that is locked").c_str(), where);
}

// --- Mutexes ---

namespace {
void lock_mutex(pthread_mutex_t* lock, std::int64_t deadline_ns, std::source_location where) {
  if (held_lock* const h = find_held(lock);
      h != nullptr && kind_of(lock) == PTHREAD_MUTEX_RECURSIVE) {
    ++h->count;
    return;
  }
  take(lock, deadline_ns, where);
  hold(lock, false, where);
}
}  // namespace

void lock_mutex(pthread_mutex_t* lock, std::source_location where) {
  lock_mutex(lock, no_deadline, where);
}

bool lock_mutex_until(pthread_mutex_t* lock, std::int64_t deadline_ns, std::source_location where) {
  if (end_of_wait(deadline_ns, false, where) == wait_end::by_deadline)
    return try_mutex(lock, where);
  lock_mutex(lock, deadline_ns, where);
  return true;
}

bool try_mutex(pthread_mutex_t* lock, std::source_location where) {
  if (held_lock* const h = find_held(lock);
      h != nullptr && kind_of(lock) == PTHREAD_MUTEX_RECURSIVE) {
    ++h->count;
    return true;
  }
  if (!try_take(lock, where)) return false;
  hold(lock, false, where);
  return true;
}

void unlock_mutex(pthread_mutex_t* lock, std::source_location where) {
  if (let_go(lock, where)) store({.at = lock}, 0, where);
}

// --- Condition variables ---

bool wait_condition(pthread_cond_t* condition, pthread_mutex_t* lock, std::int64_t deadline_ns,
                    std::source_location where) {
  const waiting_access queue = queue_of(condition, where);
  // One that ends by itself takes no notification from others, so those need not know of it.
  const wait_end how = choose_end(deadline_ns, true, where);
  if (how == wait_end::as_it_should) {
    static_cast<void>(
        modify(queue, modification::bit_or, my_bit(), std::memory_order_acq_rel, where));
  }
  unlock_mutex(lock, where);
  if (how == wait_end::as_it_should) sleep(queue, deadline_ns, where);
  if (how == wait_end::by_deadline) m().pass_time(deadline_ns);
  lock_mutex(lock, where);
  return how != wait_end::by_deadline;
}

void destroy_condition(pthread_cond_t* condition, std::source_location where) {
  const std::uint64_t state = load(queue_of(condition, where), std::memory_order_acquire, where);
  if ((state & sleepers) != 0) destroys("a condition that a thread waits for", where);
  write(condition, sizeof state, where);
}

void notify_condition(pthread_cond_t* condition, bool all, std::source_location where) {
  const waiting_access queue = queue_of(condition, where);
  std::uint64_t seen = load(queue, std::memory_order_acquire, where);
  while ((seen & sleepers) != 0) {
    const std::uint64_t then = all ? seen & ~sleepers : without_one(seen, where);
    if (compare_exchange(queue, seen, then, where)) return;
  }
}

}  // namespace ufence::lab::check

using namespace ufence::lab::check;
using ufence::lab::condition;
using ufence::lab::failure;
using ufence::lab::modification;
using ufence::lab::waiting;

// --- POSIX: mutexes, spinlocks ---

UFENCE_LAB_EXPORT int UFENCE_LAB_CALL(pthread_mutex_init)(pthread_mutex_t* lock,
                                                          const pthread_mutexattr_t* with) {
  make_object(lock, sizeof *lock, UFENCE_LAB_HERE);
  int kind = PTHREAD_MUTEX_NORMAL;
  if (with != nullptr) static_cast<void>(pthread_mutexattr_gettype(with, &kind));
  lock->__data.__kind = kind;
  return 0;
}
UFENCE_LAB_EXPORT int UFENCE_LAB_CALL(pthread_mutex_destroy)(pthread_mutex_t* lock) {
  destroy_lock(lock, "a mutex", UFENCE_LAB_HERE);
  return 0;
}
UFENCE_LAB_EXPORT int UFENCE_LAB_CALL(pthread_mutexattr_init)(pthread_mutexattr_t* a) {
  return pthread_mutexattr_init(a);
}
UFENCE_LAB_EXPORT int UFENCE_LAB_CALL(pthread_mutexattr_destroy)(pthread_mutexattr_t*) { return 0; }
UFENCE_LAB_EXPORT int UFENCE_LAB_CALL(pthread_mutexattr_settype)(pthread_mutexattr_t* a, int kind) {
  return pthread_mutexattr_settype(a, kind);
}
UFENCE_LAB_EXPORT int UFENCE_LAB_CALL(pthread_mutex_lock)(pthread_mutex_t* lock) {
  const std::source_location where = UFENCE_LAB_HERE;
  if (kind_of(lock) == PTHREAD_MUTEX_ERRORCHECK && find_held(lock) != nullptr) return EDEADLK;
  lock_mutex(lock, where);
  return 0;
}
UFENCE_LAB_EXPORT int UFENCE_LAB_CALL(pthread_mutex_trylock)(pthread_mutex_t* lock) {
  return try_mutex(lock, UFENCE_LAB_HERE) ? 0 : EBUSY;
}
UFENCE_LAB_EXPORT int UFENCE_LAB_CALL(pthread_mutex_unlock)(pthread_mutex_t* lock) {
  const std::source_location where = UFENCE_LAB_HERE;
  if (kind_of(lock) == PTHREAD_MUTEX_ERRORCHECK && find_held(lock) == nullptr) return EPERM;
  unlock_mutex(lock, where);
  return 0;
}
namespace {
int lock_until(pthread_mutex_t* lock, const timespec* until, std::source_location where) {
  if (kind_of(lock) == PTHREAD_MUTEX_ERRORCHECK && find_held(lock) != nullptr) return EDEADLK;
  return lock_mutex_until(lock, deadline_of(until, where), where) ? 0 : ETIMEDOUT;
}
}  // namespace

UFENCE_LAB_EXPORT int UFENCE_LAB_CALL(pthread_mutex_timedlock)(pthread_mutex_t* lock,
                                                               const timespec* until) {
  return lock_until(lock, until, UFENCE_LAB_HERE);
}
UFENCE_LAB_EXPORT int UFENCE_LAB_CALL(pthread_mutex_clocklock)(pthread_mutex_t* lock, clockid_t,
                                                               const timespec* until) {
  return lock_until(lock, until, UFENCE_LAB_HERE);
}

namespace {
const void* word_of(pthread_spinlock_t* lock) noexcept { return const_cast<int*>(lock); }
}  // namespace

UFENCE_LAB_EXPORT int UFENCE_LAB_CALL(pthread_spin_init)(pthread_spinlock_t* lock, int) {
  make_object(const_cast<int*>(lock), sizeof *lock, UFENCE_LAB_HERE);
  return 0;
}
UFENCE_LAB_EXPORT int UFENCE_LAB_CALL(pthread_spin_destroy)(pthread_spinlock_t* lock) {
  destroy_lock(word_of(lock), "a spinlock", UFENCE_LAB_HERE);
  return 0;
}
UFENCE_LAB_EXPORT int UFENCE_LAB_CALL(pthread_spin_lock)(pthread_spinlock_t* lock) {
  const std::source_location where = UFENCE_LAB_HERE;
  take(word_of(lock), no_deadline, where);
  hold(word_of(lock), false, where);
  return 0;
}
UFENCE_LAB_EXPORT int UFENCE_LAB_CALL(pthread_spin_trylock)(pthread_spinlock_t* lock) {
  const std::source_location where = UFENCE_LAB_HERE;
  if (!try_take(word_of(lock), where)) return EBUSY;
  hold(word_of(lock), false, where);
  return 0;
}
UFENCE_LAB_EXPORT int UFENCE_LAB_CALL(pthread_spin_unlock)(pthread_spinlock_t* lock) {
  const std::source_location where = UFENCE_LAB_HERE;
  if (let_go(word_of(lock), where)) store({.at = word_of(lock)}, 0, where);
  return 0;
}

// --- POSIX: locks for readers and writers ---

namespace {

constexpr std::uint64_t writer_bit = std::uint64_t{1} << 31;

void lock_shared(pthread_rwlock_t* lock, std::int64_t deadline_ns, std::source_location where) {
  static_cast<void>(modify({.at = lock,
                            .waits = waiting::lock,
                            .until = {.mask = writer_bit, .wanted = 0, .equal = true},
                            .may_expire = deadline_ns != no_deadline},
                           modification::add, 1, std::memory_order_acquire, where));
  hold(lock, true, where);
}
void lock_alone(pthread_rwlock_t* lock, std::int64_t deadline_ns, std::source_location where) {
  static_cast<void>(modify({.at = lock,
                            .waits = waiting::lock,
                            .until = is_free,
                            .may_expire = deadline_ns != no_deadline},
                           modification::exchange, writer_bit, std::memory_order_acquire, where));
  hold(lock, false, where);
}

bool try_shared(pthread_rwlock_t* lock, std::source_location where) {
  std::uint64_t seen = load({.at = lock}, std::memory_order_relaxed, where);
  while ((seen & writer_bit) == 0) {
    if (!try_exchange(lock, seen, seen + 1, where)) continue;
    hold(lock, true, where);
    return true;
  }
  return false;
}
bool try_alone(pthread_rwlock_t* lock, std::source_location where) {
  std::uint64_t seen = 0;
  if (!try_exchange(lock, seen, writer_bit, where)) return false;
  hold(lock, false, where);
  return true;
}

int lock_shared_until(pthread_rwlock_t* lock, const timespec* until, std::source_location where) {
  const std::int64_t deadline_ns = deadline_of(until, where);
  if (end_of_wait(deadline_ns, false, where) == wait_end::by_deadline) {
    return try_shared(lock, where) ? 0 : ETIMEDOUT;
  }
  lock_shared(lock, deadline_ns, where);
  return 0;
}
int lock_alone_until(pthread_rwlock_t* lock, const timespec* until, std::source_location where) {
  const std::int64_t deadline_ns = deadline_of(until, where);
  if (end_of_wait(deadline_ns, false, where) == wait_end::by_deadline) {
    return try_alone(lock, where) ? 0 : ETIMEDOUT;
  }
  lock_alone(lock, deadline_ns, where);
  return 0;
}

}  // namespace

UFENCE_LAB_EXPORT int UFENCE_LAB_CALL(pthread_rwlock_init)(pthread_rwlock_t* lock, const void*) {
  make_object(lock, sizeof *lock, UFENCE_LAB_HERE);
  return 0;
}
UFENCE_LAB_EXPORT int UFENCE_LAB_CALL(pthread_rwlock_destroy)(pthread_rwlock_t* lock) {
  destroy_lock(lock, "a lock for readers and writers", UFENCE_LAB_HERE);
  return 0;
}
UFENCE_LAB_EXPORT int UFENCE_LAB_CALL(pthread_rwlock_rdlock)(pthread_rwlock_t* lock) {
  lock_shared(lock, no_deadline, UFENCE_LAB_HERE);
  return 0;
}
UFENCE_LAB_EXPORT int UFENCE_LAB_CALL(pthread_rwlock_wrlock)(pthread_rwlock_t* lock) {
  lock_alone(lock, no_deadline, UFENCE_LAB_HERE);
  return 0;
}
UFENCE_LAB_EXPORT int UFENCE_LAB_CALL(pthread_rwlock_tryrdlock)(pthread_rwlock_t* lock) {
  return try_shared(lock, UFENCE_LAB_HERE) ? 0 : EBUSY;
}
UFENCE_LAB_EXPORT int UFENCE_LAB_CALL(pthread_rwlock_trywrlock)(pthread_rwlock_t* lock) {
  return try_alone(lock, UFENCE_LAB_HERE) ? 0 : EBUSY;
}
UFENCE_LAB_EXPORT int UFENCE_LAB_CALL(pthread_rwlock_timedrdlock)(pthread_rwlock_t* lock,
                                                                  const timespec* until) {
  return lock_shared_until(lock, until, UFENCE_LAB_HERE);
}
UFENCE_LAB_EXPORT int UFENCE_LAB_CALL(pthread_rwlock_clockrdlock)(pthread_rwlock_t* lock, clockid_t,
                                                                  const timespec* until) {
  return lock_shared_until(lock, until, UFENCE_LAB_HERE);
}
UFENCE_LAB_EXPORT int UFENCE_LAB_CALL(pthread_rwlock_timedwrlock)(pthread_rwlock_t* lock,
                                                                  const timespec* until) {
  return lock_alone_until(lock, until, UFENCE_LAB_HERE);
}
UFENCE_LAB_EXPORT int UFENCE_LAB_CALL(pthread_rwlock_clockwrlock)(pthread_rwlock_t* lock, clockid_t,
                                                                  const timespec* until) {
  return lock_alone_until(lock, until, UFENCE_LAB_HERE);
}
UFENCE_LAB_EXPORT int UFENCE_LAB_CALL(pthread_rwlock_unlock)(pthread_rwlock_t* lock) {
  const std::source_location where = UFENCE_LAB_HERE;
  const held_lock* const h = find_held(lock);
  const bool shared = h != nullptr && h->shared;
  static_cast<void>(let_go(lock, where));
  static_cast<void>(modify({.at = lock}, modification::subtract, shared ? 1 : writer_bit,
                           std::memory_order_release, where));
  return 0;
}

// --- POSIX: condition variables ---

UFENCE_LAB_EXPORT int UFENCE_LAB_CALL(pthread_condattr_init)(pthread_condattr_t* a) {
  make_object(a, sizeof *a, UFENCE_LAB_HERE);
  return 0;
}
UFENCE_LAB_EXPORT int UFENCE_LAB_CALL(pthread_condattr_destroy)(pthread_condattr_t*) { return 0; }
// Clocks of the lab all run the same.
UFENCE_LAB_EXPORT int UFENCE_LAB_CALL(pthread_condattr_setclock)(pthread_condattr_t*, clockid_t) {
  return 0;
}
UFENCE_LAB_EXPORT int UFENCE_LAB_CALL(pthread_cond_init)(pthread_cond_t* c, const void*) {
  make_object(c, sizeof *c, UFENCE_LAB_HERE);
  return 0;
}
UFENCE_LAB_EXPORT int UFENCE_LAB_CALL(pthread_cond_destroy)(pthread_cond_t* c) {
  destroy_condition(c, UFENCE_LAB_HERE);
  return 0;
}
UFENCE_LAB_EXPORT int UFENCE_LAB_CALL(pthread_cond_wait)(pthread_cond_t* c, pthread_mutex_t* lock) {
  static_cast<void>(wait_condition(c, lock, no_deadline, UFENCE_LAB_HERE));
  return 0;
}
UFENCE_LAB_EXPORT int UFENCE_LAB_CALL(pthread_cond_timedwait)(pthread_cond_t* c,
                                                              pthread_mutex_t* lock,
                                                              const timespec* until) {
  const std::source_location where = UFENCE_LAB_HERE;
  return wait_condition(c, lock, deadline_of(until, where), where) ? 0 : ETIMEDOUT;
}
UFENCE_LAB_EXPORT int UFENCE_LAB_CALL(pthread_cond_clockwait)(pthread_cond_t* c,
                                                              pthread_mutex_t* lock, clockid_t,
                                                              const timespec* until) {
  const std::source_location where = UFENCE_LAB_HERE;
  return wait_condition(c, lock, deadline_of(until, where), where) ? 0 : ETIMEDOUT;
}
UFENCE_LAB_EXPORT int UFENCE_LAB_CALL(pthread_cond_signal)(pthread_cond_t* c) {
  notify_condition(c, false, UFENCE_LAB_HERE);
  return 0;
}
UFENCE_LAB_EXPORT int UFENCE_LAB_CALL(pthread_cond_broadcast)(pthread_cond_t* c) {
  notify_condition(c, true, UFENCE_LAB_HERE);
  return 0;
}

// --- POSIX: barriers, semaphores ---

namespace {

// The round is in the upper half, the count of threads that have arrived in the lower one; behind
// them is how many it takes.
constexpr std::uint64_t one_round = std::uint64_t{1} << 32;

std::uint32_t& size_of(pthread_barrier_t* b) noexcept {
  return *reinterpret_cast<std::uint32_t*>(reinterpret_cast<char*>(b) + 8);
}

constexpr condition is_positive{.mask = UINT32_MAX, .wanted = 0, .equal = false};

}  // namespace

UFENCE_LAB_EXPORT int UFENCE_LAB_CALL(pthread_barrier_init)(pthread_barrier_t* b, const void*,
                                                            unsigned n) {
  make_object(b, 16, UFENCE_LAB_HERE);
  size_of(b) = n;
  return n == 0 ? EINVAL : 0;
}
UFENCE_LAB_EXPORT int UFENCE_LAB_CALL(pthread_barrier_destroy)(pthread_barrier_t* b) {
  const std::source_location where = UFENCE_LAB_HERE;
  const std::uint64_t state = load(queue_of(b, where), std::memory_order_acquire, where);
  if (state % one_round != 0) destroys("a barrier that a thread waits at", where);
  write(b, 16, where);
  return 0;
}
UFENCE_LAB_EXPORT int UFENCE_LAB_CALL(pthread_barrier_wait)(pthread_barrier_t* b) {
  const std::source_location where = UFENCE_LAB_HERE;
  waiting_access state = queue_of(b, where);
  read(&size_of(b), 4, where);
  const std::uint64_t n = size_of(b);
  const std::uint64_t before =
      modify(state, modification::arrive, n, std::memory_order_acq_rel, where);
  if (before % one_round + 1 == n) return PTHREAD_BARRIER_SERIAL_THREAD;
  state.waits = waiting::lock;
  state.until = {.mask = ~(one_round - 1), .wanted = before & ~(one_round - 1), .equal = false};
  static_cast<void>(load(state, std::memory_order_acquire, where));
  return 0;
}

UFENCE_LAB_EXPORT int UFENCE_LAB_CALL(sem_init)(sem_t* s, int, unsigned value) {
  make_object(s, sizeof *s, UFENCE_LAB_HERE);
  std::memcpy(s, &value, sizeof value);
  return 0;
}
UFENCE_LAB_EXPORT int UFENCE_LAB_CALL(sem_destroy)(sem_t* s) {
  write(s, 4, UFENCE_LAB_HERE);
  return 0;
}
namespace {

void wait_for(sem_t* s, std::int64_t deadline_ns, std::source_location where) {
  static_cast<void>(modify({.at = s,
                            .waits = waiting::lock,
                            .until = is_positive,
                            .may_expire = deadline_ns != no_deadline},
                           modification::subtract, 1, std::memory_order_acquire, where));
}
bool try_wait(sem_t* s, std::source_location where) {
  std::uint64_t seen = load({.at = s}, std::memory_order_relaxed, where);
  while (seen != 0) {
    if (try_exchange(s, seen, seen - 1, where)) return true;
  }
  return false;
}
int wait_until(sem_t* s, const timespec* until, std::source_location where) {
  const std::int64_t deadline_ns = deadline_of(until, where);
  if (end_of_wait(deadline_ns, false, where) == wait_end::as_it_should) {
    wait_for(s, deadline_ns, where);
    return 0;
  }
  if (try_wait(s, where)) return 0;
  mine().error = ETIMEDOUT;
  return -1;
}

}  // namespace

UFENCE_LAB_EXPORT int UFENCE_LAB_CALL(sem_wait)(sem_t* s) {
  wait_for(s, no_deadline, UFENCE_LAB_HERE);
  return 0;
}
UFENCE_LAB_EXPORT int UFENCE_LAB_CALL(sem_timedwait)(sem_t* s, const timespec* until) {
  return wait_until(s, until, UFENCE_LAB_HERE);
}
UFENCE_LAB_EXPORT int UFENCE_LAB_CALL(sem_clockwait)(sem_t* s, clockid_t, const timespec* until) {
  return wait_until(s, until, UFENCE_LAB_HERE);
}
UFENCE_LAB_EXPORT int UFENCE_LAB_CALL(sem_trywait)(sem_t* s) {
  if (try_wait(s, UFENCE_LAB_HERE)) return 0;
  mine().error = EAGAIN;
  return -1;
}
UFENCE_LAB_EXPORT int UFENCE_LAB_CALL(sem_post)(sem_t* s) {
  static_cast<void>(
      modify({.at = s}, modification::add, 1, std::memory_order_acq_rel, UFENCE_LAB_HERE));
  return 0;
}
UFENCE_LAB_EXPORT int UFENCE_LAB_CALL(sem_getvalue)(sem_t* s, int* to) {
  const std::source_location where = UFENCE_LAB_HERE;
  write(to, sizeof *to, where);
  *to = static_cast<int>(load({.at = s}, std::memory_order_relaxed, where));
  return 0;
}

// --- System calls: futexes ---

namespace {

// As in the kernel, a sleeper looks at the word and queues in one step with respect to wakes, and
// both calls are full barriers for what their thread did before.
long futex_wait(const void* word, std::uint32_t expected, std::int64_t deadline_ns,
                std::source_location where) {
  const waiting_access queue{.at = word, .bytes = 8, .is_queue = true};
  fence(std::memory_order_seq_cst, where);
  std::uint64_t seen = load(queue, std::memory_order_acquire, where);
  do {
    if (load({.at = word}, std::memory_order_relaxed, where) != expected) return -EAGAIN;
  } while (!compare_exchange(queue, seen, seen | my_bit(), where));
  const wait_end how = end_of_wait(deadline_ns, true, where);
  if (how == wait_end::as_it_should) {
    sleep(queue, deadline_ns, where);
    return 0;
  }
  static_cast<void>(
      modify(queue, modification::bit_and, ~my_bit(), std::memory_order_acq_rel, where));
  return how == wait_end::by_deadline ? -ETIMEDOUT : 0;
}

long futex_wake(const void* word, std::uint64_t count, std::source_location where) {
  const waiting_access queue{.at = word, .bytes = 8, .is_queue = true};
  fence(std::memory_order_seq_cst, where);
  std::uint64_t seen = load(queue, std::memory_order_relaxed, where);
  for (;;) {
    std::uint64_t then = seen;
    long woken = 0;
    while ((then & sleepers) != 0 && static_cast<std::uint64_t>(woken) < count) {
      then = without_one(then, where);
      ++woken;
    }
    if (compare_exchange(queue, seen, then + sleepers + 1, where)) return woken;
  }
}

}  // namespace

long ufence::lab::check::futex(const void* word, int what, std::uint32_t value,
                               const timespec* timeout, std::source_location where) {
  constexpr int flags = 128 | 256;
  constexpr int wait = 0, wake = 1, wait_bits = 9, wake_bits = 10;
  switch (what & ~flags) {
    case wait: {  // how long, not until when
      const std::int64_t ns = deadline_of(timeout, where);
      return ::futex_wait(word, value, ns == no_deadline ? ns : hooks::now_ns() + ns, where);
    }
    case wait_bits: return ::futex_wait(word, value, deadline_of(timeout, where), where);
    case wake:
    case wake_bits: return ::futex_wake(word, value, where);
    default:
      fail_at(failure::not_explorable,
              "calls futex() with operation " + std::to_string(what & ~flags), where);
  }
}
