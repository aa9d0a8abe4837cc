// C++'s semaphores.
#include <cassert>
#include <semaphore>
#include <thread>
std::counting_semaphore<3> s{0};
std::binary_semaphore b{0};
int x = 0;
int main() {
  std::thread t([] {
    x = 1;
    s.release();
    b.acquire();
  });
  s.acquire();
  assert(x == 1);
  b.release();
  t.join();
}
