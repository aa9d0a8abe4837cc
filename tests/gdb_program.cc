// What gdb_test.py prints: it stops where the objects below are as it knows them.
#include <csignal>

#include "ufence/container/chain.h"
#include "ufence/fence/fence.h"
#include "ufence/fence/timeline.h"

using namespace ufence;

int main() {
  timeline_issuer line =
      timeline_issuer::create({.driver_name = "gpu", .timeline_name = "queue"}).value();
  const fence_ref first = line.emit().value();
  const fence_ref second = line.emit().value();
  line.signal_up_to(1);
  second->enable_signaling();
  new_fence alone = fence::create(700, 8).value();
  new_fence failed = fence::create(700, 9).value();
  failed.signal.signal(-5);
  fence_ref chain = fence_chain::create(fence_ref(), second, 5).value();
  chain = fence_chain::create(chain, alone.fence, 6).value();
  auto& node = static_cast<fence_chain&>(*chain);
  fence& plain = *alone.fence;
  std::raise(SIGTRAP);
  alone.signal.signal();
  return plain.is_signaled() && node.seqno() == 6 && first->is_signaled() ? 0 : 1;
}
