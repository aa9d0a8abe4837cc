// Mellor-Crummey's and Scott's lock: each waiting thread spins on its own node.
#include <atomic>
#include <cassert>
#include <thread>

#ifdef WEAKER
constexpr auto hand_over = std::memory_order_relaxed;
#else
constexpr auto hand_over = std::memory_order_release;
#endif

struct waiter {
  std::atomic<waiter*> next{nullptr};
  std::atomic<bool> waits{false};
};
std::atomic<waiter*> last{nullptr};
int inside = 0;

void work(waiter* self) {
  waiter* const before = last.exchange(self, std::memory_order_acq_rel);
  if (before != nullptr) {
    self->waits.store(true, std::memory_order_relaxed);
    before->next.store(self, std::memory_order_release);
    while (self->waits.load(std::memory_order_acquire)) std::this_thread::yield();
  }
  ++inside;
  waiter* next = self->next.load(std::memory_order_acquire);
  if (next == nullptr) {
    waiter* expected = self;
    if (last.compare_exchange_strong(expected, nullptr, std::memory_order_release,
                                     std::memory_order_relaxed)) {
      return;
    }
    while ((next = self->next.load(std::memory_order_acquire)) == nullptr) {
      std::this_thread::yield();
    }
  }
  next->waits.store(false, hand_over);
}

int main() {
  static waiter nodes[2];
  std::thread other([] { work(&nodes[1]); });
  work(&nodes[0]);
  other.join();
  assert(inside == 2);
}
