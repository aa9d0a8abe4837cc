#include <atomic>
#include <thread>
std::atomic<int*> kept{nullptr};
int main() {
  kept = new int(1);  // stays where static data leads to it: no leak
  std::thread other([] { kept.exchange(new int(2)); });
  other.join();
}
