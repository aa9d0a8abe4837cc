// `ufence top`: what a process has of fences, again and again.
#include <fmt/format.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "tools/ufence/cli/commands.h"
#include "tools/ufence/cli/interrupt.h"
#include "tools/ufence/cli/units.h"
#include "tools/ufence/hash/sum_line.h"
#include "tools/ufence/look/process_look.h"
#include "ufence/base/fd.h"
#include "ufence/debug/snapshot.h"

namespace ufence::tool {
namespace {

struct top_options {
  std::string process;
  double interval_s = 1;
  std::uint64_t count = 0;  // 0: until it is interrupted
  std::size_t rows = 20;
  bool from_outside = false;
};

class top_view {
 public:
  explicit top_view(const top_options& options) : options_(options) {}

  void show(const debug::snapshot& s) {
    const bool is_screen = ::isatty(STDOUT_FILENO) == 1;
    std::string text = is_screen ? "\x1b[H\x1b[2J" : "";
    text += fmt::format("process {} {}: {} timelines, {} fences, {} pending, {} threads sleep\n", s.process,
                        printable(s.program), grouped(s.timelines.size()), grouped(s.fences_alive),
                        grouped(s.fences_pending), std::ranges::count_if(s.nodes, debug::sleeps));
    add_timelines(s, text);
    add_threads(s, text);
    fmt::print("{}\n", text);
    static_cast<void>(std::fflush(stdout));
  }

 private:
  struct row {
    const debug::timeline_info* line;
    std::int64_t age_ns;
    double per_second;
  };
  struct sighting {
    std::uint64_t oldest = 0, completed = 0;
    std::int64_t since_ns = 0;  // `oldest` has been pending since then
    std::int64_t at_ns = 0;
  };

  // The oldest pending ones first, then those that do most.
  void add_timelines(const debug::snapshot& s, std::string& text) {
    std::vector<row> rows;
    std::map<std::uint64_t, sighting> seen;
    for (const debug::timeline_info& t : s.timelines) {
      const auto before = before_.find(t.context);
      sighting now{.oldest = t.oldest_pending,
                   .completed = t.completed,
                   .since_ns = s.time_ns - t.age_ns,
                   .at_ns = s.time_ns};
      double per_second = 0;
      if (before != before_.end()) {
        const sighting& then = before->second;
        if (then.oldest == now.oldest) now.since_ns = std::min(now.since_ns, then.since_ns);
        const auto passed_s = static_cast<double>(now.at_ns - then.at_ns) * 1e-9;
        if (passed_s > 0) per_second = static_cast<double>(now.completed - then.completed) / passed_s;
      }
      rows.push_back({.line = &t,
                      .age_ns = t.pending != 0 ? s.time_ns - now.since_ns : 0,
                      .per_second = per_second});
      seen.emplace(t.context, now);
    }
    before_ = std::move(seen);
    std::ranges::sort(rows, [](const row& a, const row& b) {
      if (a.age_ns != b.age_ns) return a.age_ns > b.age_ns;
      return a.per_second != b.per_second ? a.per_second > b.per_second : a.line->context < b.line->context;
    });
    text += fmt::format("{:>10} {:>10} {:>12} {:>12} {:>8} {:>10}  {}\n", "OLDEST", "DONE/S", "VALUE", "NEWEST",
                        "PENDING", "CONTEXT", "TIMELINE");
    for (std::size_t i = 0; i < std::min(rows.size(), options_.rows); ++i) {
      const debug::timeline_info& t = *rows[i].line;
      const std::string age = t.pending != 0 ? fmt::format("{:.1f} s", static_cast<double>(rows[i].age_ns) * 1e-9)
                                             : "-";
      text += fmt::format("{:>10} {:>10.0f} {:>12} {:>12} {:>8} {:>10}  {} of {}\n", age, rows[i].per_second,
                          t.completed, t.emitted, t.pending, t.context, printable(t.name), printable(t.driver));
    }
    if (rows.size() > options_.rows) text += fmt::format("... {} more\n", grouped(rows.size() - options_.rows));
  }

  // Those that sleep longest first.
  void add_threads(const debug::snapshot& s, std::string& text) const {
    std::vector<std::uint32_t> threads;
    for (std::uint32_t n = 0; n < s.nodes.size(); ++n) {
      if (debug::sleeps(s.nodes[n])) threads.push_back(n);
    }
    std::ranges::sort(threads, [&s](std::uint32_t a, std::uint32_t b) {
      return s.nodes[a].age_ns != s.nodes[b].age_ns ? s.nodes[a].age_ns > s.nodes[b].age_ns : a < b;
    });
    for (std::size_t i = 0; i < std::min(threads.size(), options_.rows); ++i) {
      text += printable(line_about(s, threads[i])) + "\n";
    }
    if (threads.size() > options_.rows) text += fmt::format("... {} more\n", threads.size() - options_.rows);
  }

  const top_options& options_;
  std::map<std::uint64_t, sighting> before_;  // by context
};

int run_top(const top_options& options) {
  const unique_fd wake(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  const interrupt_watch interrupted(wake.get());
  top_view view(options);
  for (std::uint64_t i = 1;; ++i) {
    const auto found = look_into({.at = options.process, .all = false, .from_outside = options.from_outside});
    if (const std::string* const why = std::get_if<std::string>(&found)) {
      static_cast<void>(std::fprintf(stderr, "ufence: %s: %s\n", options.process.c_str(), why->c_str()));
      return i == 1 ? 1 : 0;  // else it has ended
    }
    view.show(std::get<debug::snapshot>(found));
    if (i == options.count) return 0;
    pollfd ended{.fd = wake.get(), .events = POLLIN, .revents = 0};
    if (::poll(&ended, 1, static_cast<int>(options.interval_s * 1000)) != 0) return 0;
  }
}

}  // namespace

void add_top_command(CLI::App& app, command& chosen) {
  auto options = std::make_shared<top_options>();
  CLI::App* const top = app.add_subcommand(
      "top",
      "Shows what a process has of fences, again and again\n"
      "The timelines whose oldest fence has been pending longest, and the threads that sleep longest. How it "
      "gets in: as `ufence why`.");
  top->add_option("process", options->process, "Process number")->type_name("PID")->required();
  constexpr double interval_max = 86'400;
  top->add_option("--interval", options->interval_s, "Between two looks")
      ->type_name("SECONDS")
      ->check(CLI::Range(0.01, interval_max))
      ->capture_default_str();
  top->add_option("--count", options->count, "How many looks; 0: until it is interrupted, or the process ends")
      ->type_name("N")
      ->capture_default_str();
  top->add_option("--rows", options->rows, "How many timelines and threads are shown")
      ->type_name("N")
      ->capture_default_str();
  top->add_flag("--outside", options->from_outside,
                "Read the memory of the process, also where it has a debug socket");
  top->callback([options, &chosen] { chosen = [options] { return run_top(*options); }; });
}

}  // namespace ufence::tool
