// Nobody releases it.
#include <cassert>
#include <chrono>
#include <semaphore>
#include <thread>
std::counting_semaphore<2> semaphore(0);
int main() {
  std::thread t([] { assert(!semaphore.try_acquire_for(std::chrono::milliseconds(1))); });
  t.join();
}
