// A callback runs when the fence is signaled; one that is not wanted any more is removed by its
// scope.
#include <cstdio>
#include <utility>

#include "ufence/fence/timeline.h"

int main() {
  auto issuer = ufence::timeline_issuer::create({.driver_name = "demo", .timeline_name = "jobs"});
  if (!issuer) return 1;
  auto made = issuer->create_unordered();
  if (!made) return 1;
  auto [fence, signaler] = std::move(*made);

  int calls = 0;
  ufence::callback_registration report([&calls](ufence::fence& f) {
    ++calls;
    std::printf("called for %s\n", f.describe().c_str());
  });
  if (report.add(fence)) return 1;
  {
    ufence::callback_registration unwanted([&calls](ufence::fence&) { calls += 100; });
    if (unwanted.add(fence)) return 1;
  }  // removed: on return it neither runs nor ever will

  // Decide under a lock of your own; callbacks run when `later` goes, after the lock was dropped.
  {
    ufence::settlement later;
    signaler.decide(-5, later);
    std::printf("decided with status %d, %d calls so far\n", fence->status(), calls);
  }
  std::printf("%d call\n", calls);

  // Too late: an answer, no call.
  report.remove();
  const std::error_code late = report.add(fence);
  std::printf("added late: %s\n", late.message().c_str());
  return calls == 1 && late == ufence::errno_code(ENOENT) ? 0 : 1;
}
