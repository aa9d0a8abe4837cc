// An atomic object that was never made.
#include <atomic>
#include <thread>
struct s {
  std::atomic<int>* p;
};
int main() {
  alignas(8) char room[8];
  auto* a = reinterpret_cast<std::atomic<int>*>(room);
  int r = 0;
  std::thread t([&] { r = a->load(); });
  t.join();
  return r == 77;
}
