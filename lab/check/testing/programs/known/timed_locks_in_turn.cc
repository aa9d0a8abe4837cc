// Two locks, taken in both orders: a thread that does not get the second one gives up.
#include <chrono>
#include <mutex>
#include <thread>
std::timed_mutex one, other;
void use(std::timed_mutex& first, std::timed_mutex& second) {
  std::lock_guard held(first);
  if (second.try_lock_for(std::chrono::milliseconds(1))) second.unlock();
}
int main() {
  std::thread t([] { use(one, other); });
  use(other, one);
  t.join();
}
