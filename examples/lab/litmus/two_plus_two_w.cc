// Litmus test: two stores each, the first ones last.
#include <atomic>
#include <cassert>
#include <thread>
constexpr auto relaxed = std::memory_order_relaxed, acquire = std::memory_order_acquire,
               release = std::memory_order_release, seq_cst = std::memory_order_seq_cst;
std::atomic<int> x{0}, y{0};
int a = -1, b = -1, c = -1, d = -1;
int main() {
  std::thread t0([] {
    x.store(1, relaxed);
    y.store(2, relaxed);
  });
  std::thread t1([] {
    y.store(1, relaxed);
    x.store(2, relaxed);
  });
  t0.join();
  t1.join();
  assert(!(x.load() == 1 && y.load() == 1));
}
