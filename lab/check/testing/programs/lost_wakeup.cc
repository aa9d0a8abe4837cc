#include <condition_variable>
#include <mutex>
#include <thread>
std::mutex lock;
std::condition_variable ready;
bool is_ready = false;
int main() {
  std::thread other([] {
    ready.notify_one();  // before it is so, and not under the lock
    std::lock_guard guard(lock);
    is_ready = true;
  });
  {
    std::unique_lock guard(lock);
    while (!is_ready) ready.wait(guard);
  }
  other.join();
}
