// Litmus test: message passing without order.
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
    y.store(1, relaxed);
  });
  std::thread t1([] {
    a = y.load(relaxed);
    b = x.load(relaxed);
  });
  t0.join();
  t1.join();
  assert(!(a == 1 && b == 0));
}
