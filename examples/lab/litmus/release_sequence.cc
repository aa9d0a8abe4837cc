// Litmus test: a read-modify-write goes on with a release.
#include <atomic>
#include <cassert>
#include <thread>
constexpr auto relaxed = std::memory_order_relaxed, acquire = std::memory_order_acquire,
               release = std::memory_order_release, seq_cst = std::memory_order_seq_cst;
std::atomic<int> x{0}, y{0};
int a = -1, b = -1, c = -1, d = -1;
int main() {
  std::thread t0([] {
    y.store(1, relaxed);
    x.store(1, release);
  });
  std::thread t1([] {
    x.fetch_add(1, relaxed);
  });
  std::thread t2([] {
    a = x.load(acquire);
    b = y.load(relaxed);
  });
  t0.join();
  t1.join();
  t2.join();
  assert(!(a == 2 && b == 0 && x.load() == 2));
}
