// Dekker's lock for two threads: each says that it wants in, and gives way if it is not its turn.
#include <atomic>
#include <cassert>
#include <thread>

#ifdef WEAKER
constexpr auto saying = std::memory_order_release;
#else
constexpr auto saying = std::memory_order_seq_cst;
#endif

std::atomic<bool> wants[2];
std::atomic<int> turn{0};
int inside = 0;

void enter(int me) {
  const int other = 1 - me;
  wants[me].store(true, saying);
  while (wants[other].load(std::memory_order_seq_cst)) {
    if (turn.load(std::memory_order_acquire) == me) continue;
    wants[me].store(false, std::memory_order_release);
    while (turn.load(std::memory_order_acquire) != me) {
    }
    wants[me].store(true, saying);
  }
}

void leave(int me) {
  turn.store(1 - me, std::memory_order_release);
  wants[me].store(false, std::memory_order_release);
}

int main() {
  const auto work = [](int me) {
    enter(me);
    ++inside;
    leave(me);
  };
  std::thread first(work, 0);
  std::thread second(work, 1);
  first.join();
  second.join();
  assert(inside == 2);
}
