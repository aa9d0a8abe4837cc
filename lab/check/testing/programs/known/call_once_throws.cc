// A call that throws was not made: the next one is.
#include <cassert>
#include <mutex>
#include <thread>
std::once_flag once;
int tries = 0;
void call() {
  try {
    std::call_once(once, [] {
      if (++tries == 1) throw 1;
    });
  } catch (int) {
  }
}
int main() {
  std::thread t(call);
  call();
  t.join();
  assert(tries == 2);
}
