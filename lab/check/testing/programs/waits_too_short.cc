// A wait that ends by its deadline, or for no reason before it.
#include <cassert>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>
std::mutex lock;
std::condition_variable changed;
bool is_ready = false;
int main() {
  std::thread t([] {
    std::lock_guard l(lock);
    is_ready = true;
    changed.notify_one();
  });
  bool is_seen = true;
  {
    std::unique_lock l(lock);
#ifdef EARLY
    if (!is_ready && changed.wait_for(l, std::chrono::seconds(1)) == std::cv_status::no_timeout) {
      is_seen = is_ready;
    }
#else
    is_seen = changed.wait_for(l, std::chrono::seconds(1), [] { return is_ready; });
#endif
  }
  t.join();
  assert(is_seen);
}
