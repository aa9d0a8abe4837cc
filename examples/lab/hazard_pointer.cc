// One hazard pointer: a reader says what it reads, and looks whether that is still current; who
// replaces the object frees the old one only if nobody says so.
#include <atomic>
#include <cassert>
#include <thread>

#ifdef WEAKER
constexpr auto said_before = std::memory_order_release;
#else
constexpr auto said_before = std::memory_order_seq_cst;
#endif

std::atomic<int*> current{nullptr};
std::atomic<int*> hazard{nullptr};

int read() {
  for (;;) {
    int* const p = current.load(std::memory_order_acquire);
    hazard.store(p, said_before);
    if (current.load(std::memory_order_seq_cst) != p) continue;
    const int value = *p;
    hazard.store(nullptr, std::memory_order_release);
    return value;
  }
}

int main() {
  current.store(new int(1), std::memory_order_relaxed);
  std::thread reader([] {
    const int value = read();
    assert(value == 1 || value == 2);
  });
  int* const old = current.exchange(new int(2), std::memory_order_seq_cst);
  while (hazard.load(std::memory_order_seq_cst) == old) std::this_thread::yield();
  delete old;
  reader.join();
  delete current.load(std::memory_order_relaxed);
}
