// The example of the README: a promise of work that is to be done, and its end.
#include <cstdio>

#include "ufence/fence/timeline.h"

int main() {
  auto issuer = ufence::timeline_issuer::create({.driver_name = "demo", .timeline_name = "queue"});
  if (!issuer) return 1;
  const auto fence = issuer->emit();  // the work that ends with seqno 1
  if (!fence) return 1;
  std::printf("%s\n", (*fence)->describe().c_str());
  issuer->signal_up_to(1);  // done; any thread, costs the same for a million fences
  std::printf("%s\n", (*fence)->describe().c_str());
  return (*fence)->wait() ? 1 : 0;
}
