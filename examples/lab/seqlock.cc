// A sequence lock: readers look again if a writer was there.
#include <atomic>
#include <cassert>
#include <thread>

#ifdef WEAKER
constexpr auto after_data = std::memory_order_relaxed;
#else
constexpr auto after_data = std::memory_order_release;
#endif

std::atomic<unsigned> sequence{0};
std::atomic<int> first{0}, second{0};

void write(int value) {
  const unsigned s = sequence.load(std::memory_order_relaxed);
  sequence.store(s + 1, std::memory_order_relaxed);
  std::atomic_thread_fence(std::memory_order_release);
  first.store(value, std::memory_order_relaxed);
  second.store(value, std::memory_order_relaxed);
  sequence.store(s + 2, after_data);
}

int main() {
  std::thread writer([] { write(1); });
  for (;;) {
    const unsigned before = sequence.load(std::memory_order_acquire);
    const int a = first.load(std::memory_order_relaxed);
    const int b = second.load(std::memory_order_relaxed);
    std::atomic_thread_fence(std::memory_order_acquire);
    if (before % 2 == 0 && sequence.load(std::memory_order_relaxed) == before) {
      assert(a == b);
      assert(a == static_cast<int>(before / 2));
      break;
    }
    std::this_thread::yield();
  }
  writer.join();
}
