// A result that is waited for by the clock.
#include <cassert>
#include <chrono>
#include <future>

int main() {
  std::future<int> result = std::async(std::launch::async, [] { return 5; });
  if (result.wait_for(std::chrono::milliseconds(3)) == std::future_status::ready) {
    assert(result.get() == 5);
  }
}
