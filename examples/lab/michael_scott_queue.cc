// Michael's and Scott's queue. Nodes are not freed while threads run.
#include <atomic>
#include <cassert>
#include <thread>

#ifdef WEAKER
constexpr auto publish = std::memory_order_relaxed;
#else
constexpr auto publish = std::memory_order_release;
#endif

struct node {
  int value = 0;
  std::atomic<node*> next{nullptr};
};
node nodes[3];  // the first one is a dummy
std::atomic<node*> head{&nodes[0]};
std::atomic<node*> tail{&nodes[0]};

void put(node* n, int value) {
  n->value = value;
  for (;;) {
    node* last = tail.load(std::memory_order_acquire);
    node* next = last->next.load(std::memory_order_acquire);
    if (next != nullptr) {
      tail.compare_exchange_strong(last, next, std::memory_order_release,
                                   std::memory_order_relaxed);
    } else if (last->next.compare_exchange_strong(next, n, publish, std::memory_order_relaxed)) {
      tail.compare_exchange_strong(last, n, publish, std::memory_order_relaxed);
      return;
    }
  }
}
bool get(int& value) {
  for (;;) {
    node* first = head.load(std::memory_order_acquire);
    node* const next = first->next.load(std::memory_order_acquire);
    if (next == nullptr) return false;
    value = next->value;
    if (head.compare_exchange_strong(first, next, std::memory_order_acq_rel,
                                     std::memory_order_relaxed)) {
      return true;
    }
  }
}

int main() {
  std::thread producer([] { put(&nodes[1], 1); });
  std::thread other([] { put(&nodes[2], 2); });
  int value = 0;
  int sum = get(value) ? value : 0;
  producer.join();
  other.join();
  while (get(value)) sum += value;
  assert(sum == 3);
}
