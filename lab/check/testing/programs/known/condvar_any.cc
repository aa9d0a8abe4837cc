// std::condition_variable_any over a lock for readers.
#include <condition_variable>
#include <mutex>
#include <shared_mutex>
#include <thread>
std::shared_mutex m;
std::condition_variable_any c;
bool ready = false;
int main() {
  std::thread t([] {
    {
      std::lock_guard g(m);
      ready = true;
    }
    c.notify_one();
  });
  std::shared_lock l(m);
  c.wait(l, [] { return ready; });
  l.unlock();
  t.join();
}
