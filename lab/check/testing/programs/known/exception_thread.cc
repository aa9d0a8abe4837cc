// Two threads that throw with a lock held.
#include <cassert>
#include <mutex>
#include <thread>
std::mutex m;
int n = 0;
void work() {
  try {
    std::lock_guard g(m);
    ++n;
    throw 7;
  } catch (int i) {
    std::lock_guard g(m);
    n += i;
  }
}
int main() {
  std::thread t(work);
  work();
  t.join();
  assert(n == 16);
}
