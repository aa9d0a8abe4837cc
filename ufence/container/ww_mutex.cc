#include "ufence/container/ww_mutex.h"

#include "ufence/base/check.h"
#include "ufence/base/clock.h"
#include "ufence/base/futex.h"
#include "ufence/fence/live.h"

namespace ufence {
namespace {

// word_: 0 free; else the owner, and whether somebody waits.
constexpr std::uintptr_t waiters_bit = 1;
constexpr std::uintptr_t anonymous = 2;  // held without a context: the owner is a place on a stack
static_assert(alignof(ww_context) > (waiters_bit | anonymous));

// A context's events_, and the word of a waiter without one.
constexpr std::uint32_t wounded = 1;
constexpr std::uint32_t granted = 2;

// Ages of contexts, in this process.
constinit atomic<std::uint64_t> next_stamp{1};

// Tells which thread it is, to those who look; a number of the thread would have to be loaded.
std::uintptr_t own_stack() noexcept {
  const char here = 0;
  return reinterpret_cast<std::uintptr_t>(&here) & ~(waiters_bit | anonymous);
}

std::uintptr_t word_of(ww_context* context) noexcept {
  if (context != nullptr) return reinterpret_cast<std::uintptr_t>(context);
  return own_stack() | anonymous;
}
ww_context* context_of(std::uintptr_t word) noexcept {
  return (word & anonymous) != 0 ? nullptr : reinterpret_cast<ww_context*>(word & ~waiters_bit);
}

}  // namespace

detail::lock_layout detail::lock_layout::get() noexcept {
  return {.flags = waiters_bit | anonymous};
}

ww_context::ww_context() noexcept
    // relaxed: a number, each once
    : stamp_(next_stamp.fetch_add(1, mo::relaxed)) {}

ww_context::~ww_context() { UFENCE_DEBUG_CHECK(held_ == 0 && "the context holds a mutex"); }

bool ww_context::is_wounded() const noexcept {
  // relaxed: it carries no data. A wound from before the context gave everything back is over.
  return held_ != 0 && (events_.load(mo::relaxed) & wounded) != 0;
}

ww_mutex::~ww_mutex() { UFENCE_DEBUG_CHECK(!was_locked() && "the mutex is held"); }

// --- Locking ---

bool ww_mutex::take_free(std::uintptr_t mine) noexcept {
  std::uintptr_t free = 0;
  // [WW.2] acq_rel: see what the last owner did, show the context; pairs with [WW.1], [WW.5],
  // [WW.6]
  return word_.compare_exchange(free, mine, mo::acq_rel, mo::relaxed);
}

bool ww_mutex::try_lock(ww_context* context) noexcept {
  if (context != nullptr && context->held_ == 0) {
    // relaxed: a context that holds nothing is nobody's to wound; shown by the CAS
    context->events_.store(0, mo::relaxed);
  }
  if (!take_free(word_of(context))) return false;
  if (context != nullptr) ++context->held_;
  return true;
}

std::error_code ww_mutex::lock(ww_context* context, bool is_interruptible) noexcept {
  if (context != nullptr) {
    if (locking_context() == context) return errno_code(EALREADY);
    if (context->is_wounded()) return errno_code(EDEADLK);
  }
  if (try_lock(context)) return {};
  return lock_contended(context, is_interruptible);
}

void ww_mutex::lock_slow(ww_context& context) noexcept {
  UFENCE_DEBUG_CHECK(context.held_ == 0 && "unlock all before lock_slow()");
  // A context that holds nothing is not wounded.
  [[maybe_unused]] const std::error_code failed = lock(&context);
  UFENCE_DEBUG_CHECK(!failed);
}

// Returns what the word was: 0, and the mutex is the caller's, or its owner, and WAITERS is set.
std::uintptr_t ww_mutex::take_or_mark(std::uintptr_t mine) noexcept {
  // relaxed: the CAS orders, and the thread that set WAITERS did it under this lock
  std::uintptr_t seen = word_.load(mo::relaxed);
  while ((seen & waiters_bit) == 0) {
    const std::uintptr_t wanted = seen == 0 ? mine : seen | waiters_bit;
    // [WW.5] acquire: see what the last owner did, or the stamp of this one. The waiters' lock
    // shows the context to threads that look at it; pairs with [WW.1], [WW.2], [WW.6]
    if (word_.compare_exchange_weak(seen, wanted, mo::acquire, mo::relaxed)) return seen;
  }
  return seen;
}

// Older contexts before younger ones; without a context the order of arrival.
void ww_mutex::enqueue(waiter& w) noexcept {
  waiter** at = &waiters_;
  while (*at != nullptr && (w.context == nullptr || (*at)->context == nullptr ||
                            (*at)->context->stamp_ < w.context->stamp_)) {
    at = &(*at)->next;
  }
  w.next = *at;
  *at = &w;
}

void ww_mutex::dequeue(waiter& w) noexcept {
  waiter** at = &waiters_;
  while (*at != &w) at = &(*at)->next;
  *at = w.next;
}

std::error_code ww_mutex::lock_contended(ww_context* context, bool is_interruptible) noexcept {
  atomic<std::uint32_t> own{0};
  waiter w{
      .next = nullptr,
      .context = context,
      .word = word_of(context),
      .events = context != nullptr ? &context->events_ : &own};
  {
    const scoped_lock hold(waiters_lock_);
    const std::uintptr_t seen = take_or_mark(w.word);
    if (seen == 0) {
      if (context != nullptr) ++context->held_;
      return {};
    }
    enqueue(w);
    ww_context* owner = context_of(seen);
    if (context != nullptr && owner != nullptr && context->stamp_ < owner->stamp_) {
      // It may sleep at another mutex. It can't go before this lock is dropped.
      // relaxed: it carries no data
      if ((owner->events_.fetch_or(wounded, mo::relaxed) & wounded) == 0) {
        futex_wake_all(owner->events_);
      }
    }
  }
  const std::error_code failed = sleep(w, is_interruptible);
  if (!failed && context != nullptr) ++context->held_;
  return failed;
}

// False: the mutex was given to it meanwhile.
bool ww_mutex::give_up(waiter& w) noexcept {
  const scoped_lock hold(waiters_lock_);
  // relaxed: it is set under this lock
  if ((w.events->load(mo::relaxed) & granted) != 0) return false;
  dequeue(w);
  return true;
}

std::error_code ww_mutex::sleep(waiter& w, bool is_interruptible) noexcept {
  rank_check_none();
  const detail::sleeping_thread listed(word_);
  for (;;) {
    // [WW.4] acquire: see what the last owner did; pairs with [WW.3]
    const std::uint32_t seen = w.events->load(mo::acquire);
    if ((seen & granted) != 0) break;
    if ((seen & wounded) != 0 && give_up(w)) return errno_code(EDEADLK);
    if (is_interruptible) {
      const int how = futex_wait_interruptible(*w.events, seen, no_deadline);
      if (how == -EINTR && give_up(w)) return errno_code(EINTR);
    } else {
      futex_wait(*w.events, seen, no_deadline);
    }
  }
  // relaxed: nobody else grants or looks
  w.events->fetch_and(~granted, mo::relaxed);
  return {};
}

// --- Unlocking ---

void ww_mutex::unlock() noexcept {
  UFENCE_DEBUG_CHECK(was_locked() && "unlock() of a mutex that is free");
  // relaxed: it is the caller's, and others add WAITERS only
  std::uintptr_t mine = word_.load(mo::relaxed) & ~waiters_bit;
  if ((mine & anonymous) == 0) [[likely]] --context_of(mine)->held_;
  // [WW.1] release: what its owner did; pairs with [WW.2], [WW.5]
  if (word_.compare_exchange(mine, 0, mo::release, mo::relaxed)) return;

  atomic<std::uint32_t>* sleeps_on = nullptr;
  {
    const scoped_lock hold(waiters_lock_);
    waiter* next = waiters_;
    std::uintptr_t owner = 0;
    if (next != nullptr) {
      waiters_ = next->next;
      owner = next->word | (waiters_ != nullptr ? waiters_bit : 0);
    }
    // [WW.6] release: as [WW.1]; pairs with [WW.2], [WW.5]
    word_.store(owner, mo::release);
    if (next == nullptr) return;
    sleeps_on = next->events;
    // [WW.3] release: what its owner did; pairs with [WW.4]
    sleeps_on->fetch_or(granted, mo::release);
  }
  futex_wake_all(*sleeps_on);  // an address: the waiter may be gone
}

bool ww_mutex::was_locked() const noexcept {
  // relaxed: an answer that may be stale
  return word_.load(mo::relaxed) != 0;
}

std::size_t ww_mutex::count_waiters_for_test() noexcept {
  const scoped_lock hold(waiters_lock_);
  std::size_t n = 0;
  for (const waiter* w = waiters_; w != nullptr; w = w->next) ++n;
  return n;
}

ww_context* ww_mutex::locking_context() const noexcept {
  // relaxed: only the caller's own thread makes it the caller's
  return context_of(word_.load(mo::relaxed));
}

}  // namespace ufence
