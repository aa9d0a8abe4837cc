#include "ufence/rcu/rcu.h"

#define URCU_API_MAP
#include <urcu/urcu-bp.h>

#include "ufence/base/check.h"
#include "ufence/base/clock.h"
#include "ufence/base/fork.h"
#include "ufence/base/futex.h"
#include "ufence/base/futex_until.h"
#include "ufence/base/lock_rank.h"
#include "ufence/base/own_thread.h"
#include "ufence/base/system_thread.h"
#include "ufence/base/tls.h"

#ifdef UFENCE_RCU_IS_WATCHED
extern "C" void __tsan_acquire(void* address);
extern "C" void __tsan_release(void* address);
#endif

namespace ufence::rcu {
namespace {

// The two edges of a grace period, told to the race detector: what a reader did in its section is
// before the return of a synchronize() that waited for it, and what was done before synchronize()
// began is before every section that it did not wait for.
[[maybe_unused]] char sections_ended;
[[maybe_unused]] char grace_period_began;

void edge_from([[maybe_unused]] char& edge) noexcept {
#ifdef UFENCE_RCU_IS_WATCHED
  __tsan_release(&edge);
#endif
}
void edge_to([[maybe_unused]] char& edge) noexcept {
#ifdef UFENCE_RCU_IS_WATCHED
  __tsan_acquire(&edge);
#endif
}

// The frees that wait: pushed one by one, taken all at once. The amount is a hint: it may be off by threads that are in the
// middle of a push or a taking, and by those that pushed at the same time.
struct pile {
  atomic<deferred*> top{nullptr};
  atomic<std::size_t> amount{0};
};
constinit pile calls;   // of functions that may do anything; in nodes
constinit pile memory;  // of functions that give memory back; in bytes

// Deferred frees wait for a batch of this size, so that a grace period is shared by many. Memory that
// waits is still in the processor's cache when it is used again.
constexpr std::size_t batch_calls = 128;
constexpr std::size_t batch_bytes = std::size_t{64} * 1024;
// So much memory, which readers have kept makers from freeing, is worth the thread.
constexpr std::size_t many_bytes = 16 * batch_bytes;

// How many calls have to wait for a maker to let the thread that frees them run, if it is ready to: on a
// processor that both share it would else come last, and memory be cold when it is used again. It doubles
// each time, so that a reader that stays long costs makers nothing. And how many bytes for a maker to look
// whether they can be freed: with a reader in the way, a batch more each time. Hints, as the amounts.
constexpr std::size_t first_yield = 2 * batch_calls;
constinit atomic<std::size_t> yield_at{first_yield};
constinit atomic<std::size_t> look_at{batch_bytes};

// Batches that were taken and are not freed yet, so that flush_deferred() can wait for them.
constinit atomic<std::uint32_t> batches_in_flight{0};

// Batches that this thread is freeing: a child of fork() has no others.
struct own_batches_tag;
using own_batches = per_thread<own_batches_tag, std::uint32_t>;

void end_batch() noexcept {
  // [RCU.3] release: the frees are done; pairs with [RCU.4]
  batches_in_flight.fetch_sub(1, mo::release);
  futex_wake_all(batches_in_flight);
}

// How often a maker gave a batch back that it could not free.
constinit atomic<std::uint32_t> given_back{0};

// A batch counts as in flight before it is taken, so that who finds nothing pending finds it there.
deferred* take_pending(pile& from) noexcept {
  deferred* none = nullptr;
  // A write, since the kernel's rcu_barrier() is ordered after relaxed looks that led to it.
  // [RCU.8] acquire: the batch in flight, of the thread that took what was pending; pairs with [RCU.6]
  if (from.top.compare_exchange(none, nullptr, mo::acquire, mo::relaxed)) return nullptr;
  // relaxed: before the exchange
  batches_in_flight.fetch_add(1, mo::relaxed);
  // relaxed: a hint
  from.amount.store(0, mo::relaxed);
  // [RCU.6] acq_rel: the nodes; the batch in flight, for the thread that takes next; pairs with [RCU.6],
  // [RCU.7], [RCU.8]
  deferred* batch = from.top.exchange(nullptr, mo::acq_rel);
  if (batch == nullptr) end_batch();
  return batch;
}

void push(pile& to, deferred& first, deferred& last, std::size_t amount) noexcept {
  // relaxed: the CAS orders
  deferred* top = to.top.load(mo::relaxed);
  do {
    last.next = top;
    // [RCU.7] release: the nodes; pairs with [RCU.6]
  } while (!to.top.compare_exchange_weak(top, &first, mo::release, mo::relaxed));
  // relaxed, both: a hint
  to.amount.store(to.amount.load(mo::relaxed) + amount, mo::relaxed);
}

// After a grace period.
void free_batch(deferred* batch) noexcept {
  if (batch == nullptr) return;
  ++own_batches::get();
  while (batch != nullptr) {
    deferred* next = batch->next;
    batch->free(batch);
    batch = next;
  }
  --own_batches::get();
  end_batch();
}

// False: nothing is pending.
bool free_pending() noexcept {
  deferred* called = take_pending(calls);
  deferred* given = take_pending(memory);
  if (called == nullptr && given == nullptr) return false;
  // relaxed, both: hints
  yield_at.store(first_yield, mo::relaxed);
  look_at.store(batch_bytes, mo::relaxed);
  synchronize();
  free_batch(given);
  free_batch(called);
  return true;
}

// --- A maker frees ---

void give_back(deferred& batch, std::size_t bytes) noexcept {
  deferred* last = &batch;
  while (last->next != nullptr) last = last->next;
  push(memory, batch, *last, bytes);
  // [RCU.9] release: a thread that finds this count finds the batch pending; pairs with [RCU.10]
  given_back.fetch_add(1, mo::release);
  end_batch();
}

// False: there may be a reader.
bool free_memory(std::size_t bytes) noexcept {
  if (!detail::seem_quiet()) return false;
  deferred* batch = take_pending(memory);
  if (batch == nullptr) return true;
  edge_from(grace_period_began);
  if (!detail::have_passed()) {
    give_back(*batch, bytes);
    return false;
  }
  edge_to(sections_ended);
  free_batch(batch);
  return true;
}

// The thread that waits for grace periods on behalf of all others, and frees. reclaim() moves the
// word from `absent` (and starts the thread) or from `idle` (and wakes it) to `working`; the thread
// itself from `working` to `idle` before it sleeps, and from `idle` to `working` or `absent` when
// it has slept for `idle_ns`. A child of fork() does not have the thread: there it is `absent`
// again.
//
// All other accesses are relaxed: the word only elects who works, the piles hand over the nodes. So
// reclaim() may find `working` just before the thread sleeps; what it leaves is freed when the
// thread has slept. Before the thread ends it looks once more, for what ensure_run() left to it.
enum reclaimer_phase : std::uint32_t { absent, idle, working };
constinit atomic<std::uint32_t> reclaimer{absent};
constexpr std::int64_t idle_ns = 20'000'000;

bool move_reclaimer(std::uint32_t from, std::uint32_t to) noexcept {
  // relaxed, both: see reclaimer
  return reclaimer.compare_exchange(from, to, mo::relaxed, mo::relaxed);
}

bool has_batch() noexcept {
  // relaxed, both: hints
  return calls.amount.load(mo::relaxed) >= batch_calls ||
         memory.amount.load(mo::relaxed) >= many_bytes;
}

void* free_until_idle(void*) noexcept {
  system_thread::name_this("ufence-reclaim");
  for (;;) {
    while (free_pending() && has_batch()) {
    }
    move_reclaimer(working, idle);
    if (futex_wait(reclaimer, idle, deadline_after(idle_ns)) != -ETIME) continue;
    std::uint32_t phase = idle;
    // [RCU.12] acquire: what is pending of those who found the thread here; pairs with [RCU.11]
    if (!reclaimer.compare_exchange(phase, absent, mo::acquire, mo::relaxed)) continue;
    // relaxed, both: before the exchange, or its owner finds no thread
    if (calls.top.load(mo::relaxed) == nullptr && memory.top.load(mo::relaxed) == nullptr) return nullptr;
    if (!move_reclaimer(absent, working)) return nullptr;  // another one was started
  }
}

// A child of fork() has one thread: it must not inherit liburcu's locks or ours in the taken state.
// `before` waits for the grace period that liburcu is in.
const fork_part at_fork({.before = [] noexcept { urcu_bp_before_fork(); },
                         .in_parent = [] noexcept { urcu_bp_after_fork_parent(); },
                         .in_child =
                             [] noexcept {
                               urcu_bp_after_fork_child();
                               // relaxed, both: one thread
                               reclaimer.store(absent, mo::relaxed);
                               batches_in_flight.store(own_batches::get(), mo::relaxed);
                             }});

}  // namespace

namespace detail {

void called_read_lock() noexcept {
  know_this_thread();
  urcu_bp_read_lock();
  edge_to(grace_period_began);
}
void called_read_unlock() noexcept {
  edge_from(sections_ended);
  urcu_bp_read_unlock();
}

}  // namespace detail

bool is_reading() noexcept { return urcu_bp_read_ongoing() != 0; }

void synchronize() noexcept {
  rank_check_none();
  UFENCE_DEBUG_CHECK(!urcu_bp_read_ongoing() && "synchronize() inside a read section");
  edge_from(grace_period_began);
  urcu_bp_synchronize_rcu();
  edge_to(sections_ended);
}

void defer(deferred& node, void (*free)(deferred*) noexcept) noexcept {
  node.free = free;
  push(calls, node, node, 1);
}

void defer_memory(deferred& node, std::size_t bytes, void (*free)(deferred*) noexcept) noexcept {
  node.free = free;
  push(memory, node, node, bytes);
}

namespace {

// There is a batch for the thread that frees.
void have_it_freed() noexcept {
  // relaxed: see reclaimer
  const std::uint32_t phase = reclaimer.load(mo::relaxed);
  if (phase == working) {
    // relaxed, all: hints
    const std::size_t now = calls.amount.load(mo::relaxed);
    if (now < yield_at.load(mo::relaxed)) return;
    yield_at.store(2 * now, mo::relaxed);
    system_thread::yield();
    return;
  }
  if (!move_reclaimer(phase, working)) return;
  if (phase == idle) {
    futex_wake_all(reclaimer);
  } else if (ufence::detail::start_own_thread(&free_until_idle, nullptr) != 0) {
    // There is no thread to be had: the next batch asks again.
    // relaxed, all: hints; see reclaimer
    calls.amount.store(0, mo::relaxed);
    memory.amount.store(0, mo::relaxed);
    reclaimer.store(absent, mo::relaxed);
  }
}

}  // namespace

void reclaim() noexcept {
  // relaxed, all: hints
  const std::size_t bytes = memory.amount.load(mo::relaxed);
  if (bytes >= batch_bytes && bytes >= look_at.load(mo::relaxed)) {
    look_at.store(free_memory(bytes) ? batch_bytes : bytes + batch_bytes, mo::relaxed);
  }
  if (has_batch()) have_it_freed();
}

void ensure_run() noexcept {
  // A write, so that it is before or after that of the thread that ends.
  // [RCU.11] release: what this thread deferred; pairs with [RCU.12]
  if (reclaimer.fetch_or(0, mo::release) == absent) have_it_freed();
}

void flush_deferred() noexcept {
  std::uint32_t seen = 0;
  do {
    // [RCU.10] acquire: what was given back before is pending; pairs with [RCU.9]
    seen = given_back.load(mo::acquire);
    free_pending();
    static_cast<void>(
        futex_wait_until(batches_in_flight, no_deadline, [](std::uint32_t& in_flight) noexcept {
          // [RCU.4] acquire: the frees of other threads' batches are done, or they were given back;
          // pairs with [RCU.3]
          in_flight = batches_in_flight.load(mo::acquire);
          return in_flight == 0;
        }));
    // relaxed: ordered by the end of the batch
  } while (given_back.load(mo::relaxed) != seen);
}

}  // namespace ufence::rcu
