#include <atomic>
#include <thread>
struct node {
  int value;
};
std::atomic<node*> box{nullptr};
node the_node{1};
int main() {
  std::thread other([] { box.store(&the_node, std::memory_order_release); });
  volatile int seen = box.load(std::memory_order_acquire)->value;
  other.join();
  return seen - 1;
}
