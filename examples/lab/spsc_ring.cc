// A ring for one producer and one consumer.
#include <atomic>
#include <cassert>
#include <thread>

#ifdef WEAKER
constexpr auto publish = std::memory_order_relaxed;
#else
constexpr auto publish = std::memory_order_release;
#endif

constexpr unsigned size = 2;
int slots[size];
std::atomic<unsigned> head{0};  // the consumer's
std::atomic<unsigned> tail{0};  // the producer's

bool put(int value) {
  const unsigned at = tail.load(std::memory_order_relaxed);
  if (at - head.load(std::memory_order_acquire) == size) return false;
  slots[at % size] = value;
  tail.store(at + 1, publish);
  return true;
}
bool get(int& value) {
  const unsigned at = head.load(std::memory_order_relaxed);
  if (at == tail.load(std::memory_order_acquire)) return false;
  value = slots[at % size];
  head.store(at + 1, std::memory_order_release);
  return true;
}

int main() {
  std::thread producer([] {
    for (int i = 1; i <= 3; ++i) {
      while (!put(i)) std::this_thread::yield();
    }
  });
  for (int i = 1; i <= 3; ++i) {
    int value = 0;
    while (!get(value)) std::this_thread::yield();
    assert(value == i);
  }
  producer.join();
}
