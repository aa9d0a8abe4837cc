// ww_mutex.h and mutex.h.
#include <cerrno>
#include <memory>
#include <new>

#include "ufence/base/futex.h"
#include "ufence/container/ww_mutex.h"
#include "ufence/fence/signalling.h"
#include "ufence/kernel/kernel_fence.h"
#include "ufence/kernel/linux/ww_mutex.h"

using ufence::as_atomic;
using ufence::ww_context;
namespace mo = ufence::mo;

namespace {

static_assert(sizeof(ufence::ww_mutex) <= sizeof(ww_mutex) &&
              alignof(ufence::ww_mutex) <= alignof(ww_mutex));
static_assert(sizeof(ww_context) <= sizeof(ww_acquire_ctx));

ufence::ww_mutex& of(ww_mutex& lock) noexcept {
  return *std::launder(reinterpret_cast<ufence::ww_mutex*>(&lock));
}

ww_context* of(ww_acquire_ctx* context) noexcept {
  return context == nullptr ? nullptr
                            : std::launder(reinterpret_cast<ww_context*>(context->ufence_context));
}

int lock_it(ww_mutex& lock, ww_acquire_ctx* context, bool is_interruptible) noexcept {
  ufence::detail::check_not_signalling("a thread locks a ww_mutex on the signalling path");
  return -of(lock).lock(of(context), is_interruptible).value();
}

}  // namespace

void ww_acquire_init(ww_acquire_ctx* ctx, const ww_class*) {
  ::new (static_cast<void*>(ctx->ufence_context)) ww_context;
}
void ww_acquire_fini(ww_acquire_ctx* ctx) { std::destroy_at(of(ctx)); }

void ww_mutex_init(ww_mutex* lock, const ww_class*) {
  ::new (static_cast<void*>(lock)) ufence::ww_mutex;
}
void ww_mutex_destroy(ww_mutex* lock) { std::destroy_at(&of(*lock)); }

int ww_mutex_lock(ww_mutex* lock, ww_acquire_ctx* ctx) { return lock_it(*lock, ctx, false); }
int ww_mutex_lock_interruptible(ww_mutex* lock, ww_acquire_ctx* ctx) {
  return lock_it(*lock, ctx, true);
}
void ww_mutex_lock_slow(ww_mutex* lock, ww_acquire_ctx* ctx) {
  static_cast<void>(lock_it(*lock, ctx, false));  // a context that holds nothing is not wounded
}
int ww_mutex_lock_slow_interruptible(ww_mutex* lock, ww_acquire_ctx* ctx) {
  return lock_it(*lock, ctx, true);
}
int ww_mutex_trylock(ww_mutex* lock, ww_acquire_ctx* ctx) { return of(*lock).try_lock(of(ctx)); }
void ww_mutex_unlock(ww_mutex* lock) { of(*lock).unlock(); }
bool ww_mutex_is_locked(ww_mutex* lock) { return of(*lock).was_locked(); }
ww_acquire_ctx* ufence_ww_mutex_ctx(ww_mutex* lock) {
  return reinterpret_cast<ww_acquire_ctx*>(of(*lock).locking_context());
}

// --- Mutexes ---

namespace {

// The word: 0 free; 1 held; 2 held, and there may be sleepers.
bool try_acquire(mutex& lock) noexcept {
  std::uint32_t seen = 0;
  // [KERNEL.12] acquire: what the last holder wrote; pairs with [KERNEL.14]
  return as_atomic(lock.ufence_word).compare_exchange(seen, 1, mo::acquire, mo::relaxed);
}

int acquire(mutex& lock, bool is_interruptible) noexcept {
  ufence::atomic<std::uint32_t>& word = as_atomic(lock.ufence_word);
  for (int spins = 0; spins < ufence::spin_limit(); ++spins) {
    if (try_acquire(lock)) return 0;
    ufence::spin_pause();
  }
  // [KERNEL.13] acquire: as [KERNEL.12]; pairs with [KERNEL.14]
  while (word.exchange(2, mo::acquire) != 0) {
    if (!is_interruptible) {
      ufence::futex_wait(word, 2, ufence::no_deadline);
    } else if (ufence::futex_wait_interruptible(word, 2, ufence::no_deadline) == -EINTR) {
      return -EINTR;
    }
  }
  return 0;
}

}  // namespace

void mutex_lock(mutex* lock) {
  if (!try_acquire(*lock)) static_cast<void>(acquire(*lock, false));
}
int mutex_lock_interruptible(mutex* lock) {
  return try_acquire(*lock) ? 0 : acquire(*lock, true);
}
int mutex_trylock(mutex* lock) { return try_acquire(*lock); }
void mutex_unlock(mutex* lock) {
  ufence::atomic<std::uint32_t>& word = as_atomic(lock->ufence_word);
  // [KERNEL.14] release: what the holder wrote; pairs with [KERNEL.12], [KERNEL.13]
  if (word.exchange(0, mo::release) == 2) ufence::futex_wake_all(word);
}
