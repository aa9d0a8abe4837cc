// A barrier that one thread pays for all: membarrier(2).
//
// Two threads that each store something and then look at what the other one stored may both miss the
// other's store, unless each has a full barrier between its store and its look (store buffering). Where
// one side is frequent and the other one rare, the frequent side has a barrier_point() there, which costs
// nothing, and the rare one a process_barrier(), which makes every running thread of the process go
// through a full barrier. Of a point and a barrier one comes first, and the other sees what was done
// before it.
//
// The kernel may refuse membarrier() (a sandbox, before Linux 4.14). Then both are a read-modify-write of
// one word that all threads share: the same promise at the price of that word's cache line. Where a
// running process loses it, the first barrier that is refused turns the points into such, and waits until
// what was stored by the last ones of before must long have left the store buffers of their CPUs.
//
// A model checker's double stands earlier on the include path. It goes by the orders, which name the two
// halves of the hand-over: `release`, what this thread did before is seen by the other side, `acquire`,
// this thread sees what the other side did before. Both are always there, so they are always mo::acq_rel.
#pragma once

#include <cstdint>

#include "ufence/base/atomic.h"

namespace ufence {

namespace detail {
enum class membarrier_is : std::uint8_t { refused, granted, being_lost };
extern atomic<membarrier_is> membarrier;  // set when the library is loaded
extern atomic<std::uint32_t> barrier_word;
}  // namespace detail

/// The frequent side.
/// Blocks, Allocates: never. Context: anywhere.
inline void barrier_point([[maybe_unused]] mo::order order) noexcept {
  // relaxed: it changes before other threads have points, or see process_barrier()
  if (detail::membarrier.load(mo::relaxed) == detail::membarrier_is::granted) [[likely]] {
    asm volatile("" ::: "memory");  // the compiler keeps the order, the barrier is the other side's
  } else {
    detail::barrier_word.fetch_add(1, mo::acq_rel);
  }
}

/// The rare side: some microseconds, in which each CPU that runs a thread of this process is interrupted.
/// Blocks: never. Allocates: never. Context: anywhere.
void process_barrier(mo::order order) noexcept;

}  // namespace ufence
