#include "ufence/base/process_barrier.h"

#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "ufence/base/clock.h"

namespace ufence {

using detail::membarrier_is;

namespace {

bool ask(int command) noexcept { return ::syscall(SYS_membarrier, command, 0, 0) == 0; }

// A child of fork() inherits the registration; should a kernel not do so, it is made up for here.
bool is_granted() noexcept {
  return ask(MEMBARRIER_CMD_PRIVATE_EXPEDITED) ||
         (ask(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) && ask(MEMBARRIER_CMD_PRIVATE_EXPEDITED));
}

// Stores leave a store buffer within a microsecond, and when their thread is descheduled.
void wait_for_store_buffers() noexcept {
  constexpr std::int64_t very_long_ns = 1'000'000;
  const std::int64_t end_ns = now_ns() + very_long_ns;
  while (now_ns() < end_ns) spin_pause();
}

}  // namespace

namespace detail {

constinit atomic<membarrier_is> membarrier{membarrier_is::refused};
constinit atomic<std::uint32_t> barrier_word{0};

namespace {
struct at_load {
  at_load() noexcept {
    // relaxed: no other thread of the library's yet
    if (ask(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED)) {
      membarrier.store(membarrier_is::granted, mo::relaxed);
    }
  }
};
const at_load registers;
}  // namespace

}  // namespace detail

void process_barrier([[maybe_unused]] mo::order order) noexcept {
  // relaxed, as below: what it says is about this thread's own calls, and the wait
  const membarrier_is now = detail::membarrier.load(mo::relaxed);
  if (now == membarrier_is::granted && is_granted()) return;
  if (now != membarrier_is::refused) {
    detail::membarrier.store(membarrier_is::being_lost, mo::relaxed);
    wait_for_store_buffers();
    detail::membarrier.store(membarrier_is::refused, mo::relaxed);
  }
  detail::barrier_word.fetch_add(1, mo::acq_rel);
}

}  // namespace ufence
