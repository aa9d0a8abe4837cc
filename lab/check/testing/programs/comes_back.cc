// A freed address comes back: a stack that takes its top by a compare-exchange alone.
#include <atomic>
#include <cassert>
#include <cstdlib>
#include <thread>
struct node {
  std::atomic<node*> next{nullptr};
};
std::atomic<node*> top{nullptr};
node kept[2];
node* pop() {
  node* n = top.load();
  while (n != nullptr && !top.compare_exchange_strong(n, n->next.load())) {
  }
  return n;
}
void push(node* n) {
  n->next = top.load();
  top = n;
}
int main() {
  push(&kept[1]);
  push(&kept[0]);
  node* taken[4] = {};
  std::thread other([&] { taken[0] = pop(); });
  taken[1] = pop();
  taken[2] = pop();
  if (taken[1] != nullptr) push(taken[1]);
  other.join();
  taken[3] = pop();
  // kept[1] was taken: it is on the stack no more.
  for (int i = 0; i < 4; ++i) {
    for (int j = 0; j < i; ++j) {
      if (i == 3 && j == 1) continue;  // that one was pushed again
      assert(taken[i] == nullptr || taken[i] != taken[j] || taken[i] == &kept[0]);
    }
  }
}
