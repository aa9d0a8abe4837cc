// Litmus test: two reads of one word go forward.
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
  });
  std::thread t1([] {
    x.store(2, relaxed);
  });
  std::thread t2([] {
    a = x.load(relaxed);
    b = x.load(relaxed);
  });
  std::thread t3([] {
    c = x.load(relaxed);
    d = x.load(relaxed);
  });
  t0.join();
  t1.join();
  t2.join();
  t3.join();
  assert(!(a == 1 && b == 2 && c == 2 && d == 1));
}
