// Two threads with deadlines.
#include <chrono>
#include <mutex>
#include <thread>
std::timed_mutex m;
int x = 0;
int main() {
  std::thread t([] {
    std::unique_lock g(m, std::chrono::milliseconds(3));
    if (g) ++x;
  });
  if (m.try_lock_for(std::chrono::seconds(1))) {
    ++x;
    m.unlock();
  }
  t.join();
}
