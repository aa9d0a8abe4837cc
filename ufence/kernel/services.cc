// The kernel's services that the headers need: spinlocks, RCU, the clock, text.
#include <algorithm>
#include <array>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "ufence/base/clock.h"
#include "ufence/base/futex.h"
#include "ufence/base/system_thread.h"
#include "ufence/base/tls.h"
#include "ufence/fence/reference_count.h"
#include "ufence/fence/thread_state.h"
#include "ufence/kernel/kernel_fence.h"
#include "ufence/kernel/linux/rcupdate.h"
#include "ufence/kernel/linux/seq_file.h"
#include "ufence/kernel/linux/spinlock.h"
#include "ufence/kernel/linux/wait.h"
#include "ufence/rcu/rcu.h"

namespace ufence::spin {
namespace {

// The word: 0 free; 1 held; 2 held, and there may be sleepers.
bool try_acquire(spinlock_t& lock) noexcept {
  std::uint32_t seen = 0;
  // [KERNEL.6] acquire: what the last holder wrote; pairs with [KERNEL.8]
  if (!as_atomic(lock.word).compare_exchange(seen, 1, mo::acquire, mo::relaxed)) return false;
  ++thread_state::mine().spinlocks_held;
  return true;
}

void acquire_slow(spinlock_t& lock) noexcept {
  atomic<std::uint32_t>& word = as_atomic(lock.word);
  for (int spins = 0; spins < spin_limit(); ++spins) {
    // relaxed: only a hint
    if (word.load(mo::relaxed) == 0 && try_acquire(lock)) return;
    spin_pause();
  }
  // [KERNEL.7] acquire: as [KERNEL.6]; pairs with [KERNEL.8]
  while (word.exchange(2, mo::acquire) != 0) futex_wait(word, 2, no_deadline);
  ++thread_state::mine().spinlocks_held;
}

}  // namespace

void acquire(spinlock_t& lock) noexcept {
  if (!try_acquire(lock)) acquire_slow(lock);
}

void release(spinlock_t& lock) noexcept {
  atomic<std::uint32_t>& word = as_atomic(lock.word);
  // [KERNEL.8] release: what the holder wrote; pairs with [KERNEL.6], [KERNEL.7]
  if (word.exchange(0, mo::release) == 2) futex_wake_all(word);
  --thread_state::mine().spinlocks_held;
}

}  // namespace ufence::spin

void spin_lock(spinlock_t* lock) { ufence::spin::acquire(*lock); }

int spin_trylock(spinlock_t* lock) { return ufence::spin::try_acquire(*lock); }

void spin_unlock(spinlock_t* lock) {
  ufence::spin::release(*lock);
  ufence::thread_state::mine().run_queue();
}

void ufence_refcount_saturate(refcount_t* r, int before) {
  ufence::detail::saturate(reinterpret_cast<ufence::atomic<std::uint32_t>&>(r->refs.counter),
                           static_cast<std::uint32_t>(before),
                           {.text = "a refcount_t has lost references: it never ends"});
}

void rcu_read_lock() { ufence::rcu::detail::read_lock(); }
void rcu_read_unlock() { ufence::rcu::detail::read_unlock(); }
void synchronize_rcu() { ufence::rcu::synchronize(); }
void rcu_barrier() { ufence::rcu::flush_deferred(); }

namespace {

// The library's deferred frees have the kernel's layout.
using deferred = ufence::rcu::deferred;
static_assert(offsetof(rcu_head, func) == offsetof(deferred, free));

deferred& deferred_in(rcu_head& head) noexcept { return reinterpret_cast<deferred&>(head); }

// The head has room for a function, not for an offset beside it: a function for each offset.
constexpr size_t offsets = 4096 / 8;

template <size_t Offset>
void free_around(deferred* node) noexcept {
  std::free(reinterpret_cast<char*>(node) - Offset);
}

template <size_t... I>
constexpr std::array<void (*)(deferred*) noexcept, offsets> make_free_around(
    std::index_sequence<I...>) noexcept {
  return {&free_around<I * 8>...};
}

constexpr std::array free_around_at = make_free_around(std::make_index_sequence<offsets>());

}  // namespace

// Both ask for what was deferred before to be freed: a program may make what it gives them in any way.
void call_rcu(rcu_head* head, void (*func)(rcu_head*)) {
  ufence::rcu::reclaim();
  ufence::rcu::defer(deferred_in(*head), reinterpret_cast<void (*)(deferred*) noexcept>(func));
  ufence::rcu::ensure_run();  // the program may wait for it
}

void ufence_free_rcu(rcu_head* head, size_t offset) {
  UFENCE_CHECK(offset / 8 < offsets && offset % 8 == 0 &&
               "kfree_rcu() of a head within 4096 bytes");
  ufence::rcu::reclaim();
  // Of the object only the place of the head in it is known.
  ufence::rcu::defer_memory(deferred_in(*head), offset + sizeof(rcu_head), free_around_at[offset / 8]);
}

void wake_up(wait_queue_head* queue) {
  ufence::atomic<std::uint32_t>& wakes = ufence::as_atomic(queue->ufence_wakes);
  // [KERNEL.23] release: what makes a condition true; pairs with [KERNEL.24]
  wakes.fetch_add(1, ufence::mo::release);
  ufence::futex_wake_all(wakes);
}

u32 ufence_wait_begin(const wait_queue_head* queue) {
  // [KERNEL.24] acquire: what makes a condition true; pairs with [KERNEL.23]
  return reinterpret_cast<const ufence::atomic<std::uint32_t>&>(queue->ufence_wakes)
      .load(ufence::mo::acquire);
}

int ufence_wait_end(const wait_queue_head* queue, u32 wakes, bool intr, s64 deadline) {
  const auto& word = reinterpret_cast<const ufence::atomic<std::uint32_t>&>(queue->ufence_wakes);
  if (!intr) return ufence::futex_wait(word, wakes, deadline);
  const int how = ufence::futex_wait_interruptible(word, wakes, deadline);
  return how == -EINTR ? -ERESTARTSYS : how;
}

s64 ufence_wait_deadline(unsigned long timeout) {
  constexpr unsigned long for_ever = MAX_SCHEDULE_TIMEOUT;
  return timeout >= for_ever ? ufence::no_deadline
                             : ufence::deadline_of(static_cast<signed long>(timeout));
}

long ufence_wait_left(int ended, s64 deadline) {
  if (ended != 0) return ended == -ETIME ? 0 : ended;
  if (deadline == ufence::no_deadline) return MAX_SCHEDULE_TIMEOUT;
  const std::int64_t left = (deadline - ufence::now_ns()) / NSEC_PER_MSEC;
  return left < 1 ? 1 : left;
}

// --- Tasks ---

// The state of a thread that waits by itself.
struct task_struct {
  wait_queue_head wakes{};   // those that were meant for it
  u32 wakes_seen = 0;        // when it said how it waits: its thread
  unsigned int state = TASK_RUNNING;  // the same
  bool is_signal_pending = false;     // the same
};

task_struct* ufence_current() {
  struct task_tag;
  return &ufence::per_thread<task_tag, task_struct>::get();
}

void ufence_set_current_state(unsigned int state) {
  task_struct& mine = *ufence_current();
  mine.wakes_seen = ufence_wait_begin(&mine.wakes);
  mine.state = state;
}

long ufence_schedule_timeout(long timeout) {
  task_struct& mine = *ufence_current();
  mine.is_signal_pending = false;
  if (mine.state == TASK_RUNNING) {
    ufence::system_thread::yield();
    return timeout;
  }
  const bool is_interruptible = (mine.state & TASK_INTERRUPTIBLE) != 0;
  const s64 deadline = ufence_wait_deadline(static_cast<unsigned long>(std::max(timeout, 0L)));
  int ended = 0;
  while (ended == 0 && ufence_wait_begin(&mine.wakes) == mine.wakes_seen) {
    ended = ufence_wait_end(&mine.wakes, mine.wakes_seen, is_interruptible, deadline);
  }
  mine.state = TASK_RUNNING;
  mine.is_signal_pending = ended == -ERESTARTSYS;
  // A signal ends the sleep as a wake-up does; the thread that sleeps asks for it.
  return std::min(ufence_wait_left(ended == -ETIME ? ended : 0, deadline), timeout);
}

int ufence_wake_up_process(task_struct* task) {
  wake_up(&task->wakes);
  return 1;
}

int ufence_signal_pending(task_struct* task) { return task->is_signal_pending ? 1 : 0; }

ktime_t ktime_get() { return ufence::now_ns(); }

void seq_printf(seq_file* m, const char* format, ...) {
  if (m->count >= m->size) return;
  const size_t room = m->size - m->count;
  va_list arguments;
  va_start(arguments, format);
  const int length = std::vsnprintf(m->buf + m->count, room, format, arguments);
  va_end(arguments);
  if (length > 0) m->count += std::min(static_cast<size_t>(length), room - 1);
}

void seq_puts(seq_file* m, const char* text) { seq_printf(m, "%s", text); }
void seq_putc(seq_file* m, char c) { seq_printf(m, "%c", c); }
