// Left-right: a writer changes the copy that nobody reads, leads the readers there, and waits for
// those that still read the other one before it changes that too.
#include <atomic>
#include <cassert>
#include <thread>

#ifdef WEAKER
constexpr auto leave_order = std::memory_order_relaxed;
#else
constexpr auto leave_order = std::memory_order_release;
#endif

int copies[2] = {0, 0};
std::atomic<int> which{0};
std::atomic<int> readers{0};

void write(int value) {
  const int used = which.load(std::memory_order_relaxed);
  copies[1 - used] = value;
  which.store(1 - used, std::memory_order_seq_cst);
  while (readers.load(std::memory_order_seq_cst) != 0) std::this_thread::yield();
  copies[used] = value;
}

int read() {
  readers.fetch_add(1, std::memory_order_seq_cst);
  const int value = copies[which.load(std::memory_order_seq_cst)];
  readers.fetch_sub(1, leave_order);
  return value;
}

int main() {
  std::thread writer([] { write(1); });
  const int seen = read();
  assert(seen == 0 || seen == 1);
  writer.join();
  assert(read() == 1);
}
