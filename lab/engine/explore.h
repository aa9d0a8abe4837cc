// Explores a scenario: finds an execution that goes wrong, or says how thoroughly it found none.
#pragma once

#include <cstdint>
#include <functional>
#include <iosfwd>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "lab/engine/failure.h"
#include "lab/engine/machine.h"
#include "lab/engine/step.h"

namespace ufence::lab {

enum class search : std::uint8_t {
  automatic,   // exhaustive; if that does not finish in time: bounded, then random
  exhaustive,  // each execution graph once
  bounded,     // few preemptions, few reads of old stores
  random,      // seeded
  replay,      // one trace
};
[[nodiscard]] std::string_view to_string(search how) noexcept;

struct settings {
  search how = search::automatic;
  /// Processor time, for each of exhaustive, bounded and random. 0: no limit (random: the number
  /// alone counts).
  double seconds = 20;
  std::uint64_t executions_max = UINT64_MAX;
  /// Processes that take part in the exhaustive search, once it is seen to be long.
  unsigned jobs = 1;
  /// Told now and then how many executions there were.
  std::function<void(std::uint64_t)> progress;
  std::uint64_t random_executions = 20'000;
  std::uint64_t seed = 1;
  unsigned preemptions = 2;
  unsigned old_reads = 2;
  std::size_t events_max = 4000;  // in one execution: more is a livelock
  bool allow_leaks = false;
  bool explore_timeouts = false;  // sleeps with a deadline may end by it
  /// No deadline ends a sleep: one that only a look from time to time would end is a lost wakeup.
  bool ignore_deadlines = false;
  /// The scenario is a program that accesses its memory in any way (machine::raw_read()), and whose
  /// static data may keep what was allocated.
  bool is_program = false;
  std::function<std::string(std::uintptr_t)> static_name;  // of an address of its static data
  /// Code that copies what nobody has written, and does not look at it: no failure.
  std::function<bool(const std::source_location&)> may_read_unwritten;
  bool has_futex_waitv = false;  // threads may sleep on several words; else they are told -ENOSYS
  /// Take a failed retry for the turn that it leads to, where the state is the same
  /// (graph_search.h), and begin with some random executions, which often find a failure sooner.
  bool skip_retries = true;
  std::string replay;  // a trace
  /// Runs once, in front of all executions, on one thread; what it leaves is there in each.
  std::function<void()> prelude;
  std::vector<weakening> weakenings;
};

struct report {
  problem found;
  search how = search::automatic;  // what found it, or what the counts are of
  bool complete = false;           // the search visited all that it is for
  std::uint64_t executions = 0;    // that ended
  std::uint64_t blocked = 0;       // that wait for what another execution has
  std::uint64_t pruned = 0;        // begun, and given up as equal to another one
  double seconds = 0;
  std::string trace;         // for settings::replay
  std::vector<step> steps;   // of the failure
  std::string interleaving;  // the same, a line each
  std::map<std::vector<std::int64_t>, std::uint64_t> outcomes;
  bool weakening_was_used = false;

  [[nodiscard]] bool is_safe() const noexcept { return !found; }
  [[nodiscard]] bool is_exhaustive() const noexcept {
    return complete && how == search::exhaustive;
  }
};
std::ostream& operator<<(std::ostream& to, const report& r);

/// Explores what `body` does, as the main thread of the scenario.
/// Threads: one exploration at a time. Blocks: until done.
[[nodiscard]] report explore(const std::function<void()>& body, const settings& with = {});

}  // namespace ufence::lab
