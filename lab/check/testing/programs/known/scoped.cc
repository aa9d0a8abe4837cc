// Two locks taken together, in either order: their tries have no end.
#include <mutex>
#include <thread>
std::mutex a, b;
int n = 0;
int main() {
  std::thread t([] {
    std::scoped_lock g(a, b);
    ++n;
  });
  {
    std::scoped_lock g(b, a);
    ++n;
  }
  t.join();
  return n == 2 ? 0 : 1;
}
