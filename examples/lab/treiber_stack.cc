// A Treiber stack. Each thread pushes a node; one pops what there is.
#include <atomic>
#include <cassert>
#include <thread>

#ifdef WEAKER
constexpr auto publish = std::memory_order_relaxed;
#else
constexpr auto publish = std::memory_order_release;
#endif

struct node {
  int value;
  node* next;
};
std::atomic<node*> top{nullptr};

void push(int value) {
  node* n = new node{value, top.load(std::memory_order_relaxed)};
  while (!top.compare_exchange_weak(n->next, n, publish, std::memory_order_relaxed)) {
  }
}

int main() {
  std::thread first([] { push(1); });
  std::thread second([] { push(2); });
  // All at once: nobody else takes nodes, so that none comes back.
  int sum = 0;
  for (int turn = 0; turn < 2; ++turn) {
    if (turn == 1) {
      first.join();
      second.join();
    }
    for (node* n = top.exchange(nullptr, std::memory_order_acquire); n != nullptr;) {
      node* const next = n->next;
      sum += n->value;
      delete n;
      n = next;
    }
  }
  assert(sum == 3);
}
