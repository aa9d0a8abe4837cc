// Three threads that write to two words and look: many executions; with RARE one of them is wrong.
#include <atomic>
#include <cassert>
#include <thread>

std::atomic<int> x{0}, y{0};

int look() {
  x.fetch_add(1, std::memory_order_relaxed);
  y.fetch_add(1, std::memory_order_relaxed);
  return x.load(std::memory_order_relaxed) + 10 * y.load(std::memory_order_relaxed);
}

int main() {
  int seen[3];
  std::thread a([&] { seen[0] = look(); });
  std::thread b([&] { seen[1] = look(); });
  seen[2] = look();
  a.join();
  b.join();
  assert(x == 3 && y == 3);
#ifdef RARE
  assert(seen[0] != 11 || seen[1] != 22 || seen[2] != 33);
#endif
}
