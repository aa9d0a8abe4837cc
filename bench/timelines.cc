// Completing many fences that nobody observes.
#include <cstddef>
#include <string_view>
#include <vector>

#include "bench/benchmarks.h"
#include "ufence/fence/timeline.h"

namespace ufence::bench {
namespace {

// Completed one by one before a batch, so that few calls find code and timeline in the caches, as
// many do.
constexpr std::uint64_t warm_up_fences = 100;

// One call completes `fences_each` fences of a timeline; each batch makes `calls` of them. All of
// their fences exist before and are still referenced after.
void signal_up_to(session& s, std::string_view name, std::uint64_t fences_each,
                  std::uint64_t calls) {
  std::vector<fence_ref> held;
  held.reserve(static_cast<std::size_t>(warm_up_fences + fences_each * calls));
  const auto ours = [&](std::uint64_t n) {
    held.clear();
    result<timeline_issuer> issuer =
        timeline_issuer::create({.driver_name = "bench", .timeline_name = "line"});
    require(issuer.has_value(), "no memory for a timeline");
    for (std::uint64_t i = 0; i < warm_up_fences + fences_each * n; ++i) {
      result<fence_ref> f = issuer->emit();
      require(f.has_value(), "no memory for a fence");
      held.push_back(*std::move(f));
    }
    std::uint64_t seqno = 0;
    stopwatch watch;
    while (seqno < warm_up_fences) issuer->signal_up_to(++seqno);
    watch.begin();
    for (std::uint64_t i = 0; i < n; ++i) issuer->signal_up_to(seqno += fences_each);
    const batch_time time = watch.stop();
    require(held.back()->is_signaled(), "the last fence is signaled");
    return time;
  };
  s.compare({.name = name,
             .what = "signal_up_to() over so many fences that nobody observes",
             .baseline = "1 uncontended locked instruction",
             .target = 2},
            calls, ours, locked_instructions(1), 31);
}

}  // namespace

void signal_up_to_1(session& s) {
  signal_up_to(s, "signal_up_to_1", 1, s.how_much().scaled(10'000));
}
void signal_up_to_1000(session& s) {
  signal_up_to(s, "signal_up_to_1000", 1000, s.how_much().scaled(1'000));
}
// Few calls: each needs 64 MB of fences.
void signal_up_to_1000000(session& s) {
  signal_up_to(s, "signal_up_to_1000000", 1'000'000, s.how_much().quick ? 1 : 8);
}

}  // namespace ufence::bench
