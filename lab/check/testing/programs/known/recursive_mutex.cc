// Taken twice by one thread.
#include <cassert>
#include <mutex>
#include <thread>
std::recursive_mutex m;
int x = 0;
void f(int n) {
  std::lock_guard g(m);
  ++x;
  if (n) f(n - 1);
}
int main() {
  std::thread t([] { f(1); });
  f(1);
  t.join();
  assert(x == 4);
}
