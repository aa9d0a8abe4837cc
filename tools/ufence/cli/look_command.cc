// `ufence ls` and `ufence why`: what a process has, and why it does not go on.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "tools/ufence/cli/commands.h"
#include "tools/ufence/hash/sum_line.h"
#include "tools/ufence/look/compare.h"
#include "tools/ufence/look/merge.h"
#include "tools/ufence/look/process_look.h"
#include "ufence/debug/snapshot.h"

namespace ufence::tool {
namespace {

struct look_options {
  std::vector<std::string> processes;  // of `ls`
  std::string process;                 // of `why`
  std::string fence;
  std::string since;  // a dump
  std::size_t depth = 64;
  bool json = false;
  bool all = false;
  bool down = false;
  bool from_outside = false;
};

debug::tree_options trees_of(const look_options& options) {
  return {.from_root = !options.down, .depth_max = options.depth};
}

// The snapshot, or nothing after a line on stderr.
std::optional<debug::snapshot> look(const std::string& process, bool all, const look_options& options) {
  auto found = look_into({.at = process, .all = all, .from_outside = options.from_outside});
  if (auto* const seen = std::get_if<debug::snapshot>(&found)) {
    if (seen->torn != 0) {
      static_cast<void>(std::fprintf(stderr, "ufence: %s: %llu things changed each time they were read: what is told "
                                             "of them may be torn\n",
                                     process.c_str(), static_cast<unsigned long long>(seen->torn)));
    }
    return std::move(*seen);
  }
  static_cast<void>(std::fprintf(stderr, "ufence: %s: %s\n", process.c_str(),
                                 std::get<std::string>(found).c_str()));
  return {};
}

std::string seconds(std::int64_t ns) { return fmt::format("{:.1f} s", static_cast<double>(ns) * 1e-9); }

// Names are bytes of the program that chose them.
std::string clean(const std::string& text) { return printable(text); }

std::string clean_lines(const std::string& text) {
  std::string lines;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    lines += "  " + printable(std::string_view(text).substr(begin, end - begin)) + "\n";
    begin = end + 1;
  }
  return lines;
}

void print_timeline(const debug::timeline_info& t) {
  fmt::print("  {} \"{}\" of \"{}\": value {}, newest {}", t.context, clean(t.name), clean(t.driver),
             t.completed, t.emitted);
  if (t.has_device_word) fmt::print(", the device has written {}", t.device_seqno);
  if (t.is_closed) fmt::print(", closed");
  if (t.pending != 0) {
    fmt::print(", {} pending, the oldest {}", t.pending, t.oldest_pending);
    if (t.age_ns > 0) fmt::print(" for {} or longer", seconds(t.age_ns));
  }
  if (!t.made_by.module.empty()) fmt::print(", made by {}", clean(t.made_by.module));
  if (!t.made_by.build_id.empty()) fmt::print(" (build {})", t.made_by.build_id);
  fmt::print("\n");
}

void print_list(const debug::snapshot& s) {
  const auto count = [&s](debug::node_kind kind) {
    return std::ranges::count(s.nodes, kind, &debug::node::kind);
  };
  fmt::print("process {} {}: {} timelines, {} fences alive, {} pending, {} threads sleep\n", s.process,
             clean(s.program), s.timelines.size(), s.fences_alive, s.fences_pending,
             std::ranges::count_if(s.nodes, debug::sleeps));
  if (!s.timelines.empty()) fmt::print("timelines\n");
  for (const debug::timeline_info& t : s.timelines) print_timeline(t);
  constexpr std::pair<debug::node_kind, const char*> parts[] = {
      {debug::node_kind::thread, "threads that sleep, or hold what others wait for"},
      {debug::node_kind::fence, "fences"},
      {debug::node_kind::process, "other processes"}};
  for (const auto& [kind, title] : parts) {
    if (count(kind) == 0) continue;
    fmt::print("{}\n", title);
    for (std::uint32_t n = 0; n < s.nodes.size(); ++n) {
      if (s.nodes[n].kind != kind) continue;
      fmt::print("  {}\n", clean(line_about(s, n)));
      for (const std::string& c : s.nodes[n].callbacks) fmt::print("    callback: {}\n", clean(c));
    }
  }
  if (s.nodes_left_out != 0) fmt::print("{} more are not told\n", s.nodes_left_out);
}

int list_changes(const look_options& options) {
  if (options.processes.size() != 1) throw std::runtime_error("--since takes one process");
  const auto before = look(options.since, false, options);
  const auto after = look(options.processes.front(), options.all, options);
  if (!before || !after) return 1;
  if (before->process != after->process) {
    throw std::runtime_error(fmt::format("{} is of process {}, not of {}", options.since, before->process, after->process));
  }
  fmt::print("process {} {}, {} after the dump\n{}", after->process, clean(after->program),
             seconds(after->time_ns - before->time_ns), changes_between(*before, *after));
  return 0;
}

int list_processes(const look_options& options) {
  if (!options.since.empty()) return list_changes(options);
  int status = 0;
  std::string all_json;
  std::vector<std::string> processes = options.processes;
  if (processes.empty()) {
    for (const std::int64_t id : processes_with_socket()) processes.push_back(std::to_string(id));
  }
  for (const std::string& process : processes) {
    const std::optional<debug::snapshot> seen = look(process, options.all, options);
    if (!seen) {
      status = 1;
    } else if (options.json) {
      all_json += (all_json.empty() ? "" : ",\n") + to_json(*seen);
    } else {
      print_list(*seen);
    }
  }
  if (options.json) fmt::print("[{}]\n", all_json);
  return status;
}

// "5:8": the node with this context and seqno.
std::optional<std::uint32_t> find_fence(const debug::snapshot& s, const std::string& name) {
  const std::size_t colon = name.find(':');
  std::uint64_t context = 0, seqno = 0;
  const char* const end = name.data() + name.size();
  if (colon == std::string::npos ||
      std::from_chars(name.data(), name.data() + colon, context).ptr != name.data() + colon ||
      std::from_chars(name.data() + colon + 1, end, seqno).ptr != end) {
    throw std::runtime_error("a fence is CONTEXT:SEQNO, not " + name);
  }
  for (std::uint32_t n = 0; n < s.nodes.size(); ++n) {
    const debug::node& f = s.nodes[n];
    if (f.kind == debug::node_kind::fence && f.context == context && f.seqno == seqno) return n;
  }
  return {};
}

// The processes that have to signal something here, and what they in turn wait for.
void add_other_processes(debug::snapshot& seen, const look_options& options) {
  constexpr std::size_t processes_max = 256;
  std::set<std::int64_t> known{seen.process};
  for (std::size_t n = 0; n < seen.nodes.size() && known.size() < processes_max; ++n) {
    const debug::node& other = seen.nodes[n];
    if (other.kind != debug::node_kind::process || other.why != debug::cause::exporter_runs) continue;
    if (!known.insert(other.id).second) continue;
    if (const auto there = look(std::to_string(other.id), false, options)) merge(seen, *there);
  }
}

int explain_process(const look_options& options) {
  const bool has_fence = !options.fence.empty();
  std::optional<debug::snapshot> seen = look(options.process, has_fence, options);
  if (!seen) return 1;
  const auto own = seen->nodes.size();
  // The facts that a core or a dump tells of other processes are old.
  const bool is_live = options.process.find_first_not_of("0123456789") == std::string::npos;
  if (is_live) add_other_processes(*seen, options);
  std::vector<std::uint32_t> starts;
  if (has_fence) {
    const auto found = find_fence(*seen, options.fence);
    if (!found) {
      static_cast<void>(std::fprintf(stderr, "ufence: there is no fence %s that is pending\n",
                                     options.fence.c_str()));
      return 1;
    }
    starts = {*found};
  } else {
    starts = waiters_in(*seen);
    std::erase_if(starts, [own](std::uint32_t n) { return n >= own; });
  }
  if (options.json) {
    fmt::print("{}\n", to_json(*seen));
    return 0;
  }
  if (starts.empty()) fmt::print("nobody waits for a fence\n");
  for (const std::uint32_t start : starts) {
    fmt::print("why: {}\n{}", clean(line_about(*seen, start)),
               clean_lines(explain(*seen, start, trees_of(options))));
  }
  return 0;
}

void add_common(CLI::App& app, look_options& options) {
  app.add_flag("--outside", options.from_outside, "Read the memory of the process, also where it has a debug socket");
  app.add_flag("--json", options.json, "Print JSON");
}

constexpr const char* how_it_gets_in =
    "A process that has a debug socket (UFENCE_DEBUG=1) is asked. The memory of others is read, without stopping "
    "them: that takes the right to trace them. Of a core file, times are no older than the newest one in it.";

}  // namespace

void add_look_commands(CLI::App& app, command& chosen) {
  auto options = std::make_shared<look_options>();
  CLI::App* const ls = app.add_subcommand(
      "ls", std::string("Lists what processes have of fences: timelines, threads that sleep, fences waited for\n") +
                how_it_gets_in);
  ls->add_option("processes", options->processes,
                 "Process numbers, core files, or what --json has printed; without, all of this user that have a debug socket")
      ->type_name("PID|CORE|DUMP...");
  ls->add_option("--since", options->since,
                 "Tell what of it is still there, has gone and is new since a dump: what --json has printed")
      ->type_name("DUMP");
  ls->add_flag("--all", options->all, "Also pending fences that nobody waits for");
  add_common(*ls, *options);
  ls->callback([options, &chosen] { chosen = [options] { return list_processes(*options); }; });

  auto why_options = std::make_shared<look_options>();
  CLI::App* const why = app.add_subcommand(
      "why", std::string("Tells why a process does not go on\n"
                         "Of each thread that sleeps for a fence, or of one fence, it tells what everything hangs "
                         "on, and who waits for that. ") +
                 how_it_gets_in);
  why->add_option("process", why_options->process, "Process number, a core file, or what --json has printed")
      ->type_name("PID|CORE|DUMP")
      ->required();
  why->add_option("fence", why_options->fence, "A fence")->type_name("CONTEXT:SEQNO");
  why->add_flag("--down", why_options->down, "From the waiter down to the root, not root first");
  why->add_flag("--up", [](std::int64_t) {}, "Root first, which is the default")->excludes("--down");
  why->add_option("--depth", why_options->depth, "How deep a tree is told")->type_name("N")->capture_default_str();
  add_common(*why, *why_options);
  why->callback(
      [why_options, &chosen] { chosen = [why_options] { return explain_process(*why_options); }; });
}

}  // namespace ufence::tool
