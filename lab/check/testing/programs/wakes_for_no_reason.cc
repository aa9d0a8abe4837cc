#include <cassert>
#include <condition_variable>
#include <mutex>
#include <thread>
std::mutex lock;
std::condition_variable ready;
bool is_ready = false;
int main() {
  std::thread other([] {
    std::lock_guard guard(lock);
    is_ready = true;
    ready.notify_one();
  });
  {
    std::unique_lock guard(lock);
    if (!is_ready) ready.wait(guard);  // not a loop
    assert(is_ready);
  }
  other.join();
}
