// The price of recording an event.
#include <fcntl.h>

#include <ctime>

#include "bench/benchmarks.h"
#include "ufence/base/fd.h"
#include "ufence/fence/timeline.h"
#include "ufence/trace/record.h"

namespace ufence::bench {

// A timeline without fences: moving its value is a CAS and a load, and one event.
void recorded_event(session& s) {
  result<timeline_issuer> issuer =
      timeline_issuer::create({.driver_name = "bench", .timeline_name = "line"});
  require(issuer.has_value(), "no memory for a timeline");
  std::uint64_t seqno = 0;
  const auto ours = [&](std::uint64_t n) {
    const std::uint64_t dropped = record_dropped();
    require(!record_start(unique_fd(::open("/dev/null", O_WRONLY | O_CLOEXEC))), "it records");
    issuer->signal_up_to(++seqno);  // tells of the thread and of the timeline
    stopwatch watch;
    watch.begin();
    for (std::uint64_t i = 0; i < n; ++i) issuer->signal_up_to(++seqno);
    const batch_time time = watch.stop();
    require(!record_stop(), "it was recording");
    require(record_dropped() == dropped, "each event found room");
    return time;
  };
  const auto clock = [](std::uint64_t n) {
    return time_calls(n, [] {
      timespec now{};
      ::clock_gettime(CLOCK_MONOTONIC, &now);
      keep(&now);
    });
  };
  s.compare({.name = "recorded_event",
             .what = "signal_up_to() of a timeline without fences, while it is recorded: one event",
             .baseline = "clock_gettime(CLOCK_MONOTONIC)",
             .target = 2},
            s.how_much().scaled(10'000), ours, clock);
}

}  // namespace ufence::bench
