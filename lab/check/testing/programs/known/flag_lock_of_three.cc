// Two wait at the same time, and say nowhere that they do.
#include <atomic>
#include <cassert>
#include <thread>
std::atomic_flag lock = ATOMIC_FLAG_INIT;
int count = 0;
void add() {
  while (lock.test_and_set(std::memory_order_acquire)) {
  }
  ++count;
  lock.clear(std::memory_order_release);
}
int main() {
  std::thread a(add), b(add);
  add();
  a.join();
  b.join();
  assert(count == 3);
}
