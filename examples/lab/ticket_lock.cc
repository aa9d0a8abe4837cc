// A ticket lock.
#include <atomic>
#include <cassert>
#include <thread>

#ifdef WEAKER
constexpr auto hand_over = std::memory_order_relaxed;
#else
constexpr auto hand_over = std::memory_order_release;
#endif

std::atomic<unsigned> next_ticket{0}, serving{0};
int inside = 0;

void work() {
  const unsigned mine = next_ticket.fetch_add(1, std::memory_order_relaxed);
  while (serving.load(std::memory_order_acquire) != mine) std::this_thread::yield();
  ++inside;
  serving.store(mine + 1, hand_over);
}

int main() {
  std::thread first(work), second(work);
  work();
  first.join();
  second.join();
  assert(inside == 3);
}
