#include <fmt/format.h>

#include <cstdio>
#include <ctime>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tools/net/commands.h"
#include "tools/net/link_arguments.h"
#include "ufence/net/host_link.h"

namespace ufence::tool {
namespace {

struct status_options {
  link_arguments server;
  double listen_s = 1.5;
  bool json = false;
};

double seconds_since(std::int64_t real_time_ns) {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec) -
         1e-9 * static_cast<double>(real_time_ns);
}

// Its owner has sent two signs of life meanwhile, if it lives.
bool was_long_enough(const status_options& o, const known_timeline& one) {
  return o.listen_s * 1e9 * 3 >= static_cast<double>(one.lease_ns);
}

std::string state_of(const status_options& o, const known_timeline& one) {
  if (one.error != 0) return "failed: " + errno_code(-one.error).message();
  if (one.has_beat) return "alive";
  return was_long_enough(o, one) ? "silent" : "not heard yet";
}

nlohmann::ordered_json json_alive(const status_options& o, const known_timeline& one) {
  if (!one.has_beat && !was_long_enough(o, one)) return {};
  return one.has_beat;
}

nlohmann::ordered_json json_lag(const known_timeline& one) {
  return one.lag_ns ? nlohmann::ordered_json(1e-9 * static_cast<double>(*one.lag_ns))
                    : nlohmann::ordered_json();
}

std::string lag_of(const known_timeline& one) {
  return one.lag_ns ? fmt::format("{:.1f} ms", 1e-6 * static_cast<double>(*one.lag_ns)) : "-";
}

void print_json(const status_options& o, const std::vector<known_timeline>& all) {
  nlohmann::ordered_json out{{"namespace", o.server.link.namespace_},
                             {"server", o.server.link.servers.front()}};
  out["timelines"] = nlohmann::ordered_json::array();
  for (const known_timeline& one : all) {
    out["timelines"].push_back({{"name", one.origin.timeline},
                                {"host", one.origin.host},
                                {"process", one.origin.process},
                                {"driver", one.origin.driver},
                                {"point", one.at.to_string()},
                                {"value", one.at.point},
                                {"error", one.error},
                                {"alive", json_alive(o, one)},
                                {"lease_s", 1e-9 * static_cast<double>(one.lease_ns)},
                                {"signaled_s_ago", seconds_since(one.origin.owner_time_ns)},
                                {"lag_s", json_lag(one)}});
  }
  fmt::print("{}\n", out.dump(2));
}

void print_table(const status_options& o, const std::vector<known_timeline>& all) {
  fmt::print("{:<18} {:<12} {:>7} {:>12} {:>10} {:>8} {}\n", "TIMELINE", "HOST", "PROCESS", "VALUE",
             "SIGNALED", "LAG", "STATE");
  for (const known_timeline& one : all) {
    fmt::print("{:<18} {:<12} {:>7} {:>12} {:>8.1f} s {:>8} {}\n", one.origin.timeline,
               one.origin.host, one.origin.process, one.at.point,
               seconds_since(one.origin.owner_time_ns), lag_of(one), state_of(o, one));
  }
}

int status(const status_options& o) {
  const host_link_options options = o.server.options();
  auto link = host_link::connect(options);
  if (!link) {
    static_cast<void>(std::fprintf(stderr, "ufence: %s: %s\n", options.servers.front().c_str(),
                                   link.error().message().c_str()));
    return 1;
  }
  const auto all = link->look_around(static_cast<std::int64_t>(o.listen_s * 1e9));
  if (!all) {
    static_cast<void>(std::fprintf(stderr, "ufence: namespace %s: %s\n", options.namespace_.c_str(),
                                   all.error().message().c_str()));
    return 1;
  }
  if (o.json) {
    print_json(o, *all);
  } else {
    print_table(o, *all);
  }
  return std::fflush(stdout) == 0 ? 0 : 1;
}

}  // namespace

void add_status_command(CLI::App& app, command& chosen) {
  CLI::App* const sub = app.add_subcommand(
      "status",
      "Shows the timelines of a namespace: whose they are, and how far they have come\n"
      "For each its value, how long ago it was signaled, by how much this host is behind the owner "
      "(the lag of the last value that came while it listened, none where none came), and whether "
      "the owner was heard. Times are by the clocks of both hosts.");
  auto options = std::make_shared<status_options>();
  add_link_options(*sub, options->server);
  sub->add_option("--namespace", options->server.link.namespace_, "The namespace")
      ->capture_default_str();
  sub->add_option("--listen", options->listen_s,
                  "Seconds that it listens for owners and values; a third of a lease tells whether "
                  "an owner lives")
      ->capture_default_str()
      ->check(CLI::Range(0.0, 60.0));
  sub->add_flag("--json", options->json, "Prints JSON");
  sub->callback([options, &chosen] { chosen = [options] { return status(*options); }; });
}

}  // namespace ufence::tool
