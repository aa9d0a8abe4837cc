// A fence that is waited for, and outlives its issuer.
#include <cstdio>
#include <thread>
#include <utility>

#include "ufence/fence/timeline.h"

int main() {
  auto queue = ufence::timeline_issuer::create({.driver_name = "demo", .timeline_name = "q"}).value();
  const ufence::fence_ref done = queue.emit().value();
  std::thread device([queue = std::move(queue)]() mutable { queue.signal_up_to(1); });
  const std::error_code failed = done->wait_result();
  device.join();  // the issuer is gone, its fence is not
  std::printf("%s, status %d\n", done->describe().c_str(), done->status());
  return failed ? 1 : 0;
}
