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
// A thread that waits (a lock, a futex, a condition, a pause after a turn without effect) stays at
// the load that did not suit it; the store that suits it is found as above.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "lab/engine/linear.h"
#include "lab/engine/machine.h"

namespace ufence::lab {

class graph_search {
 public:
  explicit graph_search(machine& m) : machine_(m) { m.events().clear(); }

  /// Runs the next execution. False: all were visited.
  bool next(ending& how);
  /// After a failure: loads that only show what a thread waits for.
  [[nodiscard]] const std::vector<event_id>& undone() const noexcept { return undone_; }

 private:
  // Something to be tried later.
  struct alternative {
    enum class kind : std::uint8_t { source, place, choice, revisit } what;
    event_id id;                       // the event that goes another way
    event_id store;                    // source, place: what to read, what to stand behind
    std::uint64_t value;               // choice
    std::unique_ptr<graph> revisited;  // revisit: the whole graph
  };
  struct level {
    graph before;
    std::vector<alternative> open;
  };
  enum class standing : std::uint8_t {
    free,     // its pending operation has no event yet
    waits,    // its load is in the graph and does not suit it
    retries,  // the same, of a retry loop: stands for executions that are visited otherwise
    spins,    // pauses
    stores,   // its load is in the graph, the store that belongs to it is not
  };

  void take(alternative next);
  ending run();
  bool repeat();
  bool repeat_event(unsigned t);
  bool can_repeat(unsigned t) const;
  ending extend();
  bool extend_thread(unsigned t);
  bool add_load(unsigned t);
  bool add_rmw_store(unsigned t, std::uint64_t value);
  bool add_store(unsigned t);
  bool add_other(unsigned t);
  bool add_pause(unsigned t);
  bool after_load(unsigned t, event_id load);
  bool go_on(unsigned t) { return machine_.has_ended(t) || machine_.go_on(t); }
  bool give_up() noexcept {
    pruned_ = true;
    return false;
  }

  [[nodiscard]] bool collapses(unsigned t) const;
  [[nodiscard]] bool suits(unsigned t, std::uint64_t value, bool collapsed) const;
  [[nodiscard]] bool is_out_of_date(event_id load) const;
  [[nodiscard]] bool is_consistent();
  void try_taken(unsigned t, event_id source, std::uint64_t written);
  void add_revisits(event_id store);
  void add_revisit(event_id load, event_id store);
  ending finish();

  machine& machine_;
  std::vector<level> levels_;
  std::vector<alternative> open_;
  standing standing_[max_threads]{};
  std::vector<event_id> undone_;
  event_id changed_ = initial;  // the event that goes another way in this execution
  bool began_ = false;
  bool pruned_ = false;
};

}  // namespace ufence::lab
