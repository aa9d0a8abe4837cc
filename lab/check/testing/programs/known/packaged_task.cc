#include <cassert>
#include <future>
#include <thread>
#include <utility>

int main() {
  std::packaged_task<int(int)> task([](int a) { return a + 1; });
  std::future<int> result = task.get_future();
  std::thread thread(std::move(task), 4);
  assert(result.get() == 5);
  thread.join();
}
