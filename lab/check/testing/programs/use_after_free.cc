#include <atomic>
#include <thread>
std::atomic<int*> box{nullptr};
int main() {
  int* const mine = new int(1);
  std::thread other([] {
    if (int* const p = box.load(std::memory_order_acquire)) *p = 2;
  });
  box.store(mine, std::memory_order_release);
  delete mine;
  other.join();
}
