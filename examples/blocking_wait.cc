// A thread works and signals; another waits for it, with a deadline.
#include <cerrno>
#include <cstdio>
#include <thread>
#include <utility>

#include "ufence/base/clock.h"
#include "ufence/fence/timeline.h"

namespace {

constexpr std::int64_t millisecond_ns = 1'000'000;

int sum_up_to(int n) {
  int sum = 0;
  for (int i = 1; i <= n; ++i) sum += i;
  return sum;
}

}  // namespace

int main() {
  auto issuer = ufence::timeline_issuer::create({.driver_name = "demo", .timeline_name = "jobs"});
  if (!issuer) return 1;
  auto made = issuer->create_unordered();
  if (!made) return 1;
  auto [fence, signaler] = std::move(*made);

  // Nobody has started: the wait ends at its deadline.
  const std::error_code early = fence->wait_result(ufence::deadline_after(millisecond_ns));
  std::printf("before the work: %s\n", early.message().c_str());
  if (early != ufence::errno_code(ETIME)) return 1;

  int result = 0;  // ordered by the fence: written before the signal, read after the wait
  std::thread worker([&result, right = std::move(signaler)]() mutable {
    result = sum_up_to(1000);
    right.signal();
  });
  const std::error_code failed = fence->wait_result();
  std::printf("after the work: %s, the sum is %d\n", fence->describe().c_str(), result);
  worker.join();
  return failed || result != 500500 ? 1 : 0;
}
