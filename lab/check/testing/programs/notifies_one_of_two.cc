#include <condition_variable>
#include <mutex>
#include <thread>
std::mutex lock;
std::condition_variable ready;
bool is_ready = false;
void wait() {
  std::unique_lock guard(lock);
  while (!is_ready) ready.wait(guard);
}
int main() {
  std::thread first(wait), second(wait);
  {
    std::lock_guard guard(lock);
    is_ready = true;
  }
#ifdef ALL
  ready.notify_all();
#else
  ready.notify_one();
#endif
  first.join();
  second.join();
}
