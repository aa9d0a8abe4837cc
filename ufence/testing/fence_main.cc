// main() of the tests of the fence layer and all above it: fences may leak as well.
#include "ufence/fence/slab.h"
#include "ufence/rcu/rcu.h"
#include "ufence/testing/leak_check.h"

int main(int argc, char** argv) {
  ufence::testing::probe_list probes = ufence::testing::process_probes();
  // Reservation objects drop references after a grace period.
  probes.push_back(ufence::testing::count_probe("fences alive", [] {
    ufence::rcu::flush_deferred();
    return ufence::live_fences();
  }));
  return ufence::testing::run_all_tests(argc, argv, std::move(probes));
}
