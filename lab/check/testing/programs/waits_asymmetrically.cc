// Dekker's entry, where one side has no barrier of its own but the other's membarrier().
#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <thread>

std::atomic<int> fast{0}, slow{0};
int inside = 0;

int main() {
  if (syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0) != 0) return 1;
  std::thread other([] {
    fast.store(1, std::memory_order_relaxed);
    std::atomic_signal_fence(std::memory_order_seq_cst);
    if (slow.load(std::memory_order_relaxed) == 0) inside = 1;
  });
  slow.store(1, std::memory_order_relaxed);
#ifndef FORGETS
  syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0);
#endif
  if (fast.load(std::memory_order_relaxed) == 0) inside = 2;
  other.join();
}
