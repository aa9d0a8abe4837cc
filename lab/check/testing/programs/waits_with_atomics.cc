// libstdc++ looks for waiting threads by a seq_cst load: a weaker store before it may be late, and
// then the memory model allows that nobody is woken.
#include <atomic>
#include <cassert>
#include <thread>
std::atomic<int> flag{0};
int data = 0;
int main() {
  std::thread other([] {
    data = 1;
#ifdef WEAKER
    flag.store(1, std::memory_order_release);
#else
    flag.store(1);
#endif
#ifndef FORGETS
    flag.notify_one();
#endif
  });
  flag.wait(0, std::memory_order_acquire);
  assert(data == 1);
  other.join();
}
