// C++'s, with a deadline.
#include <cassert>
#include <chrono>
#include <mutex>
#include <shared_mutex>
#include <thread>
std::shared_timed_mutex m;
int x = 0, y = 0;
int main() {
  std::thread t([] {
    std::unique_lock g(m);
    ++x;
    ++y;
  });
  {
    std::shared_lock g(m, std::chrono::milliseconds(3));
    if (g) assert(x == y);
  }
  t.join();
}
