#include "tools/ufence/run/run_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <nlohmann/json.hpp>

#include "tools/ufence/cli/units.h"

namespace ufence::tool {

double percentile_us(std::span<const std::int64_t> sorted_ns, double fraction) {
  if (sorted_ns.empty()) return 0;
  const double rank = std::ceil(fraction * static_cast<double>(sorted_ns.size()));
  const auto index = static_cast<std::size_t>(std::max(rank, 1.0)) - 1;
  return static_cast<double>(sorted_ns[std::min(index, sorted_ns.size() - 1)]) / 1e3;
}

std::string to_json(const run_report& r) {
  nlohmann::ordered_json clients = nlohmann::ordered_json::array();
  for (const client_report& c : r.clients) {
    clients.push_back({{"priority", c.priority},
                       {"files", c.files},
                       {"bytes", c.bytes},
                       {"share", c.share},
                       {"file_us_p50", c.file_us_p50},
                       {"file_us_p99", c.file_us_p99}});
  }
  const nlohmann::ordered_json object{
      {"files", r.files},
      {"bytes", r.bytes},
      {"seconds", r.seconds},
      {"skipped", r.skipped},
      {"errors", r.errors},
      {"resubmitted", r.resubmitted},
      {"fences_issued", r.fences_issued},
      {"fences_awaited", r.fences_awaited},
      {"fences_held_at_exit", r.fences_held_at_exit},
      {"fences_outliving_issuer", r.fences_outliving_issuer},
      {"retired_by_settlement", r.retired_by_settlement},
      {"retired_by_last_op", r.retired_by_last_op},
      {"module_loads", r.module_loads},
      {"module_unloads", r.module_unloads},
      {"unloads_unmapped", r.unloads_unmapped},
      {"unloads_deferred", r.unloads_deferred},
      {"unloads_pinned", r.unloads_pinned},
      {"unload_us_p50", r.unload_us_p50},
      {"unload_us_p99", r.unload_us_p99},
      {"readers_started", r.readers_started},
      {"readers_killed", r.readers_killed},
      {"readers_lost", r.readers_lost},
      {"timeouts", r.timeouts},
      {"resets", r.resets},
      {"clients", clients},
  };
  return object.dump();
}

std::string to_text(const run_report& r) {
  const auto bytes = static_cast<double>(r.bytes);
  std::string text = fmt::format("{} files, {} in {} ({}/s)", grouped(r.files), byte_size(bytes),
                                 duration(r.seconds), byte_size(bytes / std::max(r.seconds, 1e-9)));
  text += fmt::format("; {} skipped, {} errors\n", grouped(r.skipped), grouped(r.errors));
  text +=
      fmt::format("{} fences, {} of them awaited; {} held to the end, {} outlived their module\n",
                  grouped(r.fences_issued), grouped(r.fences_awaited),
                  grouped(r.fences_held_at_exit), grouped(r.fences_outliving_issuer));
  text +=
      fmt::format("{} module loads, {} unloads ({} unmapped, {} deferred, {} pinned)",
                  grouped(r.module_loads), grouped(r.module_unloads), grouped(r.unloads_unmapped),
                  grouped(r.unloads_deferred), grouped(r.unloads_pinned));
  text +=
      fmt::format(", median {:.0f} us, 99 % within {:.0f} us", r.unload_us_p50, r.unload_us_p99);
  if (r.readers_started != 0) {
    text +=
        fmt::format("\n{} reader processes, {} of them killed, {} lost", grouped(r.readers_started),
                    grouped(r.readers_killed), grouped(r.readers_lost));
  }
  if (r.resubmitted != 0) {
    text +=
        fmt::format("\n{} jobs cut off by an unload{}, and submitted again", grouped(r.resubmitted),
                    r.readers_started != 0 ? " or the end of a reader" : "");
  }
  if (r.timeouts != 0) {
    text += fmt::format("\n{} late jobs, {} modules replaced for them", grouped(r.timeouts),
                        grouped(r.resets));
  }
  for (std::size_t i = 0; r.clients.size() > 1 && i < r.clients.size(); ++i) {
    const client_report& c = r.clients[i];
    text += fmt::format(
        "\nclient {} ({}): {} files, {}, {:.1f} % of `cpu` while all had work; a file took {:.0f} "
        "us, "
        "99 % within {:.0f} us",
        i + 1, c.priority, grouped(c.files), byte_size(static_cast<double>(c.bytes)), 100 * c.share,
        c.file_us_p50, c.file_us_p99);
  }
  return text;
}

}  // namespace ufence::tool
