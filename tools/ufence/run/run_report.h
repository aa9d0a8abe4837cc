// The report of a run, as one JSON object and for people.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace ufence::tool {

/// The share that one of the clients got.
struct client_report {
  std::string priority;  // as it was named
  std::uint64_t files = 0, bytes = 0;
  double share = 0;  // of the time of `cpu`, while all clients had work; 0: it had no time
  double file_us_p50 = 0, file_us_p99 = 0;  // from the begin of a file to its sum
};

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
  std::uint64_t timeouts = 0, resets = 0;  // late jobs, and modules that were replaced for them
  std::vector<client_report> clients = {};
};

/// The value that a fraction of them does not exceed; 0 of nothing. Nearest rank.
[[nodiscard]] double percentile_us(std::span<const std::int64_t> sorted_ns, double fraction);

/// One object on one line, without a newline. The members are named as those of run_report.
[[nodiscard]] std::string to_json(const run_report& r);
/// A few lines, without a newline at the end.
[[nodiscard]] std::string to_text(const run_report& r);

}  // namespace ufence::tool
