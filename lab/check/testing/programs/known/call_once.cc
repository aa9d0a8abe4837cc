// std::call_once().
#include <cassert>
#include <mutex>
#include <thread>
std::once_flag o;
int n = 0;
void w() {
  std::call_once(o, [] { ++n; });
  assert(n == 1);
}
int main() {
  std::thread t(w);
  w();
  t.join();
}
