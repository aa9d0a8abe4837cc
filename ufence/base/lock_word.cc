#include "ufence/base/lock_word.h"

#include "ufence/base/clock.h"
#include "ufence/base/fork.h"
#include "ufence/base/futex.h"

namespace ufence {
namespace {

constexpr std::uint32_t held = 1;
constexpr std::uint32_t contended = 2;
constexpr std::uint32_t one_generation = 4;

std::uint32_t mine() noexcept { return fork_generation() * one_generation | held; }

bool is_free(std::uint32_t seen) noexcept {
  return seen == 0 || seen / one_generation != mine() / one_generation;
}

}  // namespace

void lock_word::lock() noexcept {
  std::uint32_t seen = 0;
  // acquire: what the last holder wrote; pairs with the release of unlock()
  if (!word_.compare_exchange(seen, mine(), mo::acquire, mo::relaxed)) lock_contended(seen);
}

void lock_word::unlock() noexcept {
  // release: what was written under the lock; pairs with both acquires here
  if ((word_.exchange(0, mo::release) & contended) != 0) futex_wake_all(word_);
}

void lock_word::lock_contended(std::uint32_t seen) noexcept {
  for (int spins = 0; spins < spin_limit() && !is_free(seen) && (seen & contended) == 0; ++spins) {
    spin_pause();
    // relaxed: a hint
    seen = word_.load(mo::relaxed);
  }
  for (;;) {
    if (is_free(seen)) {
      // Other threads may sleep on the word, or have been woken with this one: unlock() wakes them.
      // acquire: as in lock()
      if (word_.compare_exchange(seen, mine() | contended, mo::acquire, mo::relaxed)) return;
      continue;
    }
    // relaxed, both: no data goes with the mark
    if ((seen & contended) == 0 &&
        !word_.compare_exchange(seen, seen | contended, mo::relaxed, mo::relaxed)) {
      continue;
    }
    futex_wait(word_, mine() | contended, no_deadline);
    // relaxed: the exchange above orders
    seen = word_.load(mo::relaxed);
  }
}

}  // namespace ufence
