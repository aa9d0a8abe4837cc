// A result that a promise hands over; with RACES one that the future does not wait for.
#include <cassert>
#include <future>
#include <thread>

int main() {
  int extra = 0;
  std::promise<int> promise;
  std::future<int> future = promise.get_future();
  std::thread thread([&] {
    extra = 2;
    promise.set_value(1);
#ifdef RACES
    extra = 3;
#endif
  });
  assert(future.get() == 1);
  assert(extra == 2);
  thread.join();
}
