// One object, accessed plainly and atomically in turn.
#include <atomic>
#include <cassert>
#include <thread>
int word = 0;
int main() {
  word = 1;
  std::thread t([] { std::atomic_ref(word).fetch_add(1); });
  std::atomic_ref(word).fetch_add(1);
  t.join();
  assert(word == 3);
  word = 5;
  assert(std::atomic_ref(word).load() == 5);
}
