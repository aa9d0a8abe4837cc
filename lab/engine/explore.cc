#include "lab/engine/explore.h"

#include <ctime>
#include <ostream>
#include <sstream>
#include <utility>

#include "lab/engine/base_doubles.h"
#include "lab/engine/choosers.h"
#include "lab/engine/graph_search.h"
#include "lab/engine/linear.h"
#include "lab/engine/shares.h"
#include "lab/engine/trace.h"

namespace ufence::lab {
namespace {

// Of the processor: what an exploration finds in its time shall not depend on what else runs.
double now_seconds() {
  timespec now{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

class exploration {
 public:
  exploration(const std::function<void()>& body, const settings& with)
      : machine_(body), with_(with), began_(now_seconds()) {
    machine_.events_max = with.events_max;
    machine_.allow_leaks = with.allow_leaks;
    machine_.explore_timeouts = with.explore_timeouts;
    machine_.ignore_deadlines = with.ignore_deadlines;
    machine_.is_raw = machine_.may_keep = with.is_program;
    machine_.static_name = with.static_name;
    machine_.may_read_unwritten = with.may_read_unwritten;
    machine_.has_futex_waitv = with.has_futex_waitv;
    machine_.weakenings = with.weakenings;
    if (with.prelude) machine_.run_prelude(with.prelude);
  }

  report run() {
    if (!with_.replay.empty()) {
      replay(with_.replay);
    } else {
      search_all();
      if (!result_.found) result_.trace.clear();
    }
    result_.seconds = now_seconds() - began_;
    result_.weakening_was_used = machine_.weakening_was_used();
    return std::move(result_);
  }

 private:
  void search_all() {
    // Some random executions often show the failure.
    constexpr std::uint64_t scouting_executions = 300;
    if (with_.how != search::random && with_.skip_retries) {
      random(scouting_executions, 0);
      if (result_.found) return;
    }
    if (with_.how == search::automatic || with_.how == search::exhaustive) {
      exhaustive();
      if (result_.found || result_.complete || with_.how == search::exhaustive) return;
    }
    if (with_.how == search::automatic || with_.how == search::bounded) {
      bounded();
      if (result_.found || result_.complete || with_.how == search::bounded) return;
    }
    random(with_.random_executions, with_.seconds);
  }

  void begin(search how) {
    const auto outcomes = std::move(result_.outcomes);
    result_ = report{};
    if (how != search::exhaustive) result_.outcomes = outcomes;
    result_.how = how;
    phase_began_ = now_seconds();
  }
  bool is_time_over(double seconds) {
    constexpr std::uint64_t look_every = 64;
    const std::uint64_t n = result_.executions + result_.blocked + result_.pruned;
    if (n >= with_.executions_max) return true;
    if (with_.progress && n % look_every == 0) with_.progress(n);
    return seconds > 0 && n % look_every == 0 && now_seconds() - phase_began_ > seconds;
  }
  // False: a failure was found.
  bool count(ending how) {
    switch (how) {
      case ending::complete:
        ++result_.executions;
        if (!machine_.outcome().empty()) ++result_.outcomes[machine_.outcome()];
        return true;
      case ending::blocked: ++result_.blocked; return true;
      case ending::pruned: ++result_.pruned; return true;
      case ending::failed: break;
    }
    ++result_.executions;
    show(machine_.found());
    return false;
  }

  void exhaustive() {
    begin(search::exhaustive);
    machine_.gives_up_long_ones = with_.is_program && with_.how == search::automatic;
    graph_search search(machine_, with_.skip_retries);
    ending how{};
    while (search.next(how)) {
      if (how == ending::failed) result_.trace = trace_of(machine_, search.undone());
      if (!count(how)) return;
      if (is_time_over(with_.seconds)) return;
      if (with_.jobs > 1 && is_long(search)) return share_out(search);
    }
    result_.complete = !search.was_cut();
  }
  [[nodiscard]] bool is_long(const graph_search& search) const {
    constexpr std::uint64_t short_ones = 512;
    return result_.executions + result_.blocked + result_.pruned >= short_ones &&
           search.open_count() >= 4UL * with_.jobs;
  }
  // The rest is visited by several processes. More parts than those: they are not equally
  // large.
  void share_out(graph_search& search) {
    const unsigned shares = 16 * with_.jobs;
    const double seconds = with_.seconds - (now_seconds() - phase_began_);
    double used = 0;
    std::string trace;
    bool was_cut = false;
    const auto work = [&](unsigned share) {
      phase_began_ = now_seconds();
      report& r = result_;
      r.executions = r.blocked = r.pruned = 0;
      r.outcomes.clear();
      search.keep_share(share, shares);
      return visit_share(search, seconds);
    };
    const auto told = [&](const std::string& text) {
      used += add_share(text, trace, was_cut);
      if (with_.progress) with_.progress(result_.executions + result_.blocked + result_.pruned);
      return trace.empty() && (with_.seconds == 0 || used < seconds * with_.jobs);
    };
    const bool all = in_processes(shares, with_.jobs, work, told);
    if (!trace.empty()) {
      const report counted = std::exchange(result_, report{});
      replay(trace);
      result_.how = counted.how;
      result_.executions = counted.executions;
      return;
    }
    result_.complete = all && !was_cut;
  }
  // In a process of its own: as text, what came out.
  std::string visit_share(graph_search& search, double seconds) {
    ending how{};
    bool is_whole = true;
    result_.trace.clear();
    std::string trace = "-";
    while (is_whole && search.next(how)) {
      if (how == ending::failed) {
        trace = trace_of(machine_, search.undone());
        ++result_.executions;
        break;
      }
      static_cast<void>(count(how));
      is_whole = !is_time_over(with_.seconds == 0 ? 0 : seconds);
    }
    std::ostringstream text;
    text << result_.executions << ' ' << result_.blocked << ' ' << result_.pruned << ' '
         << now_seconds() - phase_began_ << ' ' << (is_whole && !search.was_cut()) << ' ' << trace
         << ' ' << result_.outcomes.size();
    for (const auto& [values, times] : result_.outcomes) {
      text << ' ' << times << ' ' << values.size();
      for (const std::int64_t v : values) text << ' ' << v;
    }
    return text.str();
  }
  // Returns the processor time that it took.
  double add_share(const std::string& text, std::string& trace, bool& was_cut) {
    std::istringstream in(text);
    std::uint64_t executions = 0, blocked = 0, pruned = 0;
    double seconds = 0;
    bool is_whole = false;
    std::string found;
    std::size_t outcomes = 0;
    in >> executions >> blocked >> pruned >> seconds >> is_whole >> found >> outcomes;
    result_.executions += executions;
    result_.blocked += blocked;
    result_.pruned += pruned;
    was_cut = was_cut || !is_whole;
    if (found != "-") trace = found;
    while (outcomes-- > 0) {
      std::uint64_t times = 0;
      std::size_t count = 0;
      in >> times >> count;
      std::vector<std::int64_t> values(count);
      for (std::int64_t& v : values) in >> v;
      result_.outcomes[values] += times;
    }
    return seconds;
  }
  void bounded() {
    begin(search::bounded);
    machine_.gives_up_long_ones = false;
    bounded_chooser choose(with_.preemptions, with_.old_reads);
    while (choose.next_execution()) {
      if (!count(run_linear(machine_, choose, &result_.trace))) return;
      if (is_time_over(with_.seconds)) return;
    }
    result_.complete = true;
  }
  void random(std::uint64_t executions, double seconds) {
    begin(search::random);
    random_chooser choose(with_.seed);
    for (std::uint64_t i = 0; i < executions; ++i) {
      choose.next_execution();
      if (!count(run_linear(machine_, choose, &result_.trace))) return;
      if (is_time_over(seconds)) return;
    }
    result_.complete = true;
  }

  void replay(const std::string& trace) {
    begin(search::replay);
    machine_.record_log(true);
    replay_chooser choose(trace);
    const ending how = run_linear(machine_, choose);
    machine_.record_log(false);
    ++result_.executions;
    result_.complete = true;
    result_.trace = trace;
    result_.steps = steps_of(machine_);
    result_.interleaving = interleaving_of(result_.steps);
    if (how == ending::failed) {
      result_.found = machine_.found();
    } else if (choose.gives_up()) {
      result_.found = {failure::not_repeatable, "the trace does not fit the scenario"};
    }
  }

  // Repeats the failure that was found, to write down how it happened.
  void show(const problem& found_now) {
    const problem found = found_now;
    report shown = std::exchange(result_, report{});
    replay(shown.trace);
    shown.steps = std::move(result_.steps);
    shown.interleaving = std::move(result_.interleaving);
    shown.found = found;
    if (result_.found.kind != found.kind) {
      shown.found.text += " (not repeated by its trace: " + result_.found.text + ")";
    }
    result_ = std::move(shown);
  }

  machine machine_;
  const settings& with_;
  report result_;
  double began_;
  double phase_began_ = 0;
};

}  // namespace

std::string_view to_string(search how) noexcept {
  switch (how) {
    case search::automatic: return "automatic";
    case search::exhaustive: return "exhaustive";
    case search::bounded: return "bounded";
    case search::random: return "random";
    case search::replay: return "replay";
  }
  return "?";
}

std::ostream& operator<<(std::ostream& to, const report& r) {
  to << to_string(r.how) << (r.complete ? "" : ", not finished") << ": " << r.executions
     << " executions, " << r.blocked << " blocked, " << r.pruned << " pruned, " << r.seconds
     << " s";
  if (!r.found) return to << "; nothing found";
  return to << "\n"
            << to_string(r.found.kind) << ": " << r.found.text << "\ntrace " << r.trace << "\n"
            << r.interleaving;
}

report explore(const std::function<void()>& body, const settings& with) {
  use_lab_memory();
  exploration e(body, with);
  return e.run();
}

}  // namespace ufence::lab
