// A loop that looks until the clock says that it is late.
#include <atomic>
#include <cassert>
#include <chrono>
#include <thread>
std::atomic<int> flag = 0;
int main() {
  std::thread t([] { flag = 1; });
  const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(10);
  while (flag == 0 && std::chrono::steady_clock::now() < end) std::this_thread::yield();
  const int seen = flag;
  t.join();
#ifdef ASSUMES
  assert(seen == 1);
#else
  assert(seen <= 1);
#endif
}
