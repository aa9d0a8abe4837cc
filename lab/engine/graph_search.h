// Exhaustive search: visits each execution graph of a scenario once, whatever the number of
// interleavings that lead to it.
//
// This is TruSt (Kokologiannakis, Marmanis, Gladstein, Vafeiadis: "Truly Stateless, Optimal Dynamic
// Partial Order Reduction", POPL 2022). Threads run in a fixed order; a load first reads the newest
// store, its other stores are tried later; a store first stands last, its other places are tried
// later; and a new store may be read by loads that were there before: then what was added after
// such a load, and does not cause the store, is taken away. To visit each graph once this is done
// only if what is taken away is there in its plainest form (graph::is_maximal).
//
// A thread whose load would read what does not suit it (a lock that is held, a sleep that nobody
// ended) goes on once a store suits it: until then all other threads go first. If none comes, the
// load stands in the graph with the newest store, and the thread stays there.
//
// Loops are handled the same way. A load leads nowhere if the thread is then in a state in which it
// would also be had it looked less often: with that state the search goes on elsewhere, from a
// graph with fewer loads, so that fewer stores are forbidden to be read. Whether it is so is found
// out once for all that the thread has learned so far, and is then known of this load and value:
//   a turn    the state is that of before an earlier load of the thread: it has gone round
//   a retry   an earlier load of the same location could have read this value at once
// The states are compared in full, by running both executions (leads_where()); what happened
// between must have no effect on other threads (machine::turn()), and plain data that it accesses
// must have been accessed in the same way before: so a race of the turn is one of what stays. The
// number of turns that a loop counts, or what it keeps of them, makes them different, and then they
// are all explored.
#pragma once

#include <cstdint>
#include <memory>
#include <unordered_map>
#include <vector>

#include "lab/engine/linear.h"
#include "lab/engine/machine.h"

namespace ufence::lab {

class graph_search {
 public:
  /// @param skip_retries  else only turns are taken for one another
  explicit graph_search(machine& m, bool skip_retries = true)
      : machine_(m), skip_retries_(skip_retries) {
    m.events().clear();
  }

  /// Runs the next execution. False: all were visited.
  bool next(ending& how);
  /// How many graphs are known that were not visited yet.
  [[nodiscard]] std::size_t open_count() const noexcept;
  /// Visits, from now on, one of `shares` parts of what is left; all of them together are that.
  void keep_share(std::size_t share, std::size_t shares);
  /// A loop went round so often that it was followed no further: not all was visited.
  [[nodiscard]] bool was_cut() const noexcept { return was_cut_; }
  /// After a failure: loads that only show what a thread waits for.
  [[nodiscard]] const std::vector<event_id>& undone() const noexcept { return undone_; }

 private:
  // Something to be tried later.
  struct alternative {
    enum class kind : std::uint8_t { source, place, choice, revisit } what;
    event_id id;                       // the event that goes another way
    event_id store;                    // source, place: what to read, what to stand behind
    std::uint64_t value;               // choice; source: not 0 if a weak compare-exchange fails
    std::unique_ptr<graph> revisited;  // revisit: the whole graph
  };
  struct level {
    graph before;
    std::vector<alternative> open;
  };
  enum class standing : std::uint8_t {
    free,    // its pending operation has no event yet
    waits,   // its load is in the graph and does not suit it
    stores,  // its load is in the graph, the store that belongs to it is not
  };
  // The facts about a load and the store that it reads, if the thread then reads this of plain data.
  struct finding {
    enum class kind : std::uint8_t { goes_on, turn, retry } what;
    std::size_t begin = 0;  // turn: where in the thread
    plain_reads then{};
  };

  void take(alternative next);
  ending run();
  ending try_run();
  bool repeat();
  bool repeat_event(unsigned t);
  bool can_repeat(unsigned t) const;
  ending extend();
  [[nodiscard]] unsigned next_thread();
  bool extend_thread(unsigned t);
  bool add_load(unsigned t);
  bool add_rmw_store(unsigned t, std::uint64_t value);
  bool add_store(unsigned t);
  bool add_other(unsigned t);
  bool go_on(unsigned t);
  bool pass_fences(unsigned t);
  bool looked_first();
  [[nodiscard]] ending gave_up();
  bool give_up() noexcept {
    pruned_ = true;
    return false;
  }

  bool looked(unsigned t);
  [[nodiscard]] const finding* known_of(std::uint64_t history) const;
  bool take_back(event_id load);
  [[nodiscard]] finding find_out(unsigned t);
  [[nodiscard]] bool may_replace(const look& earlier, event_id load) const;
  [[nodiscard]] bool leads_where(unsigned t, graph shorter);
  [[nodiscard]] bool run_again(unsigned t, std::vector<char>& state);

  [[nodiscard]] bool suits(unsigned t, std::uint64_t value, bool writes) const;
  [[nodiscard]] bool newest_suits(unsigned t);
  [[nodiscard]] bool has_come_to_rest(unsigned t) const;
  [[nodiscard]] bool is_consistent();
  void try_taken(unsigned t, event_id source, std::uint64_t written);
  void add_revisits(event_id store);
  void add_revisit(event_id load, event_id store);
  ending finish();

  machine& machine_;
  const bool skip_retries_;
  std::vector<level> levels_;
  std::vector<alternative> open_;
  standing standing_[max_threads]{};
  std::unordered_map<std::uint64_t, std::vector<finding>> known_;  // by machine::history_of_load()
  std::vector<event_id> undone_;
  event_id changed_ = initial;   // the event that goes another way in this execution
  bool is_revisit_ = false;      // that is a load which reads a store that came later
  std::size_t open_before_ = 0;  // what was open before the last load was added
  bool began_ = false;
  bool pruned_ = false;
  bool again_ = false;  // the execution begins anew: something was found out about it
  bool was_cut_ = false;
  std::vector<char> long_state_;
  std::vector<char> short_state_;
};

}  // namespace ufence::lab
