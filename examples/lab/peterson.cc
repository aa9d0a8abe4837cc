// Peterson's way to keep two threads apart, with loads and stores alone.
#include <atomic>
#include <cassert>
#include <thread>

#ifdef WEAKER
constexpr auto store_order = std::memory_order_release;
constexpr auto load_order = std::memory_order_acquire;
#else
constexpr auto store_order = std::memory_order_seq_cst;
constexpr auto load_order = std::memory_order_seq_cst;
#endif

std::atomic<bool> wants[2];
std::atomic<int> yields{0};
int inside = 0;

void work(int self) {
  wants[self].store(true, store_order);
  yields.store(self, store_order);
  while (wants[1 - self].load(load_order) && yields.load(load_order) == self) {
    std::this_thread::yield();
  }
  ++inside;
  wants[self].store(false, std::memory_order_release);
}

int main() {
  std::thread other([] { work(1); });
  work(0);
  other.join();
  assert(inside == 2);
}
