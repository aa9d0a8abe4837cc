#include <atomic>
#include <thread>
std::atomic<int> turn{0};
int main() {
  std::thread other([] {
    while (turn.load() != 2) std::this_thread::yield();
  });
  turn.store(1);
  other.join();
}
