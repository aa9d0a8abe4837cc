// C++'s barrier.
#include <barrier>
#include <cassert>
#include <thread>
int v[2];
int main() {
  std::barrier b{2};
  std::thread t([&] {
    v[0] = 1;
    b.arrive_and_wait();
    assert(v[1] == 1);
  });
  v[1] = 1;
  b.arrive_and_wait();
  assert(v[0] == 1);
  t.join();
}
