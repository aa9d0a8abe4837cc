// What a run did, as one JSON object and for people.
#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace ufence::tool {

struct run_report {
  std::uint64_t files = 0, bytes = 0;
  double seconds = 0;
  std::uint64_t skipped = 0, errors = 0;
  std::uint64_t resubmitted = 0;
  std::uint64_t fences_issued = 0, fences_awaited = 0;
  std::uint64_t fences_held_at_exit = 0, fences_outliving_issuer = 0;
  std::uint64_t retired_by_settlement = 0, retired_by_last_op = 0;
  std::uint64_t module_loads = 0, module_unloads = 0;
  std::uint64_t unloads_unmapped = 0, unloads_deferred = 0, unloads_pinned = 0;
  double unload_us_p50 = 0, unload_us_p99 = 0;
  std::uint64_t readers_started = 0, readers_killed = 0, readers_lost = 0;
};

/// The value that a fraction of them does not exceed; 0 of nothing. Nearest rank.
[[nodiscard]] double percentile_us(std::span<const std::int64_t> sorted_ns, double fraction);

/// One object on one line, without a newline. The members are named as those of run_report.
[[nodiscard]] std::string to_json(const run_report& r);
/// A few lines, without a newline at the end.
[[nodiscard]] std::string to_text(const run_report& r);

}  // namespace ufence::tool
