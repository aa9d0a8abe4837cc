// One execution as a graph: the events of each thread in program order, for each load the store
// that it reads from, for each location the order in which stores modify it; and what the C++
// memory model says about such a graph.
//
// The model is C++20's in the form of RC11 (Lahav et al., PLDI 2017), with C++20's release
// sequences (a store followed by read-modify-writes, no later stores of the same thread):
//   coherence   happens-before never contradicts an order of stores, reads or both on one location
//   atomicity   a read-modify-write stands directly behind the store that it reads from
//   SC          the partial SC order (psc) has no cycle; weaker than the standard's text only where
//   SC
//               and other accesses of one location are mixed
//   no cycle of program order and reads-from: load buffering, which the standard allows, is out of
//   scope
// Events are only ever added behind what their thread did before, so each condition is looked at
// when an event is added.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <source_location>
#include <vector>

namespace ufence::lab {

/// The main thread of a scenario and the threads that it starts.
inline constexpr unsigned max_threads = 6;

/// How much of each thread is before something: clock[t] events of thread t.
struct vector_clock {
  std::array<std::uint16_t, 8> at{};  // 8: joined in one instruction

  void join(const vector_clock& other) noexcept {
    for (std::size_t i = 0; i < at.size(); ++i) at[i] = at[i] < other.at[i] ? other.at[i] : at[i];
  }
  std::uint16_t& operator[](std::size_t thread) noexcept { return at[thread]; }
  std::uint16_t operator[](std::size_t thread) const noexcept { return at[thread]; }
  bool operator==(const vector_clock&) const noexcept = default;
};

/// An event's number: its position in the graph, that is the order in which events were added.
using event_id = std::uint16_t;
/// Instead of an event: the initial value of a location.
inline constexpr event_id initial = 0xFFFF;
inline constexpr std::size_t max_events = 20000;

using location_id = std::uint32_t;
inline constexpr location_id no_location = UINT32_MAX;

enum class event_kind : std::uint8_t { begin, end, spawn, join, load, store, fence, choice };

struct event {
  std::uint64_t value = 0;  // load: what was read; store: written; choice: taken; spawn, join: who
  std::source_location where;
  vector_clock before;   // what happens-before it, itself included
  vector_clock causes;   // the same over program order and all reads-from edges
  vector_clock message;  // store: what a reader that acquires learns
  location_id location = no_location;
  event_id source = initial;           // load: the store that it reads from
  event_id next_store = initial;       // store: the next one in modification order
  event_id previous_access = initial;  // the access of this location that was added before
  std::uint16_t rank = 0;   // store: position in modification order; the initial value has 0
  std::uint16_t index = 0;  // in its thread
  std::uint8_t thread = 0;
  event_kind kind = event_kind::begin;
  std::memory_order order = std::memory_order_relaxed;
  bool is_rmw = false;         // half of a read-modify-write: a load, and the store that follows it
  bool is_weak = false;        // load of a weak compare-exchange, which may fail for no reason
  bool fails = false;          // it does so here, though it reads what is expected
  std::uint64_t expected = 0;  // load of a compare-exchange
};

[[nodiscard]] constexpr bool acquires(std::memory_order order) noexcept {
  return order == std::memory_order_acquire || order == std::memory_order_acq_rel ||
         order == std::memory_order_seq_cst;
}
[[nodiscard]] constexpr bool releases(std::memory_order order) noexcept {
  return order == std::memory_order_release || order == std::memory_order_acq_rel ||
         order == std::memory_order_seq_cst;
}
[[nodiscard]] constexpr bool is_sc(std::memory_order order) noexcept {
  return order == std::memory_order_seq_cst;
}

/// Stores are linked in modification order, accesses of a location in the order of their addition.
/// Threads: one.
class graph {
 public:
  [[nodiscard]] std::size_t size() const noexcept { return events_.size(); }
  event& operator[](event_id id) noexcept { return events_[id]; }
  const event& operator[](event_id id) const noexcept { return events_[id]; }
  [[nodiscard]] const std::vector<event_id>& thread(unsigned t) const noexcept {
    return threads_[t];
  }
  [[nodiscard]] bool has_sc_fences() const noexcept { return sc_fences_ != 0; }

  /// Adds an event at the end of its thread; sets its index. A store still has to be place()d.
  event_id add(const event& e);
  /// Puts a store directly behind another one (or the initial value) in modification order.
  void place(event_id store, event_id behind) noexcept;
  /// Takes a store out of modification order, to place() it elsewhere.
  void displace(event_id store) noexcept;
  /// Removes the event that was added last.
  void remove_last() noexcept;
  /// Keeps the first n events.
  void truncate(std::size_t n) noexcept;
  void clear() noexcept { truncate(0); }

  [[nodiscard]] std::uint16_t rank_of(event_id store) const noexcept {
    return store == initial ? std::uint16_t{0} : events_[store].rank;
  }
  [[nodiscard]] event_id next_store(location_id at, event_id store) const noexcept {
    return store == initial ? heads_of(at).first_store : events_[store].next_store;
  }
  [[nodiscard]] event_id last_store(location_id at) const noexcept {
    return heads_of(at).last_store;
  }
  [[nodiscard]] event_id last_access(location_id at) const noexcept {
    return heads_of(at).last_access;
  }
  /// The event of its thread just before; of the store of a read-modify-write: the load.
  [[nodiscard]] event_id previous(event_id e) const noexcept {
    return threads_[events_[e].thread][events_[e].index - 1U];
  }
  /// A read-modify-write reads this store: nothing else may stand behind it or read it for writing.
  [[nodiscard]] bool is_taken(location_id at, event_id store) const noexcept {
    const event_id next = next_store(at, store);
    return next != initial && events_[next].is_rmw && events_[previous(next)].source == store;
  }
  [[nodiscard]] bool is_before(event_id e, const vector_clock& clock) const noexcept {
    return events_[e].index < clock[events_[e].thread];
  }

  /// The oldest store of the location that an access may still read or stand behind, given what
  /// happens-before that access (coherence).
  [[nodiscard]] event_id floor(location_id at, const vector_clock& before) const noexcept;
  /// No cycle in the partial SC order.
  [[nodiscard]] bool is_sc_consistent() const;
  /// Whether is_sc_consistent() can have changed by adding an event of this order.
  [[nodiscard]] bool must_check_sc(std::memory_order order) const noexcept {
    return sc_fences_ != 0 || (is_sc(order) && sc_events_ > 1);
  }

  /// Among what was added not later than `e`, and what causes `last`, `e` is the newest: a load
  /// that reads the last store there, a store that is the last and is not read.
  [[nodiscard]] bool is_maximal(event_id e, const vector_clock& causes_of_last) const noexcept;

  /// The events up to `load`, and `store` with all that causes it; `load` then reads `store`, which
  /// is not placed yet. Both ids are those in the result.
  [[nodiscard]] graph restricted(event_id& load, event_id& store) const;
  /// Without what thread `t` did from its event number n on, which changed nothing: a thread that read from
  /// that reads what stood there before. If `kept` is not null, it is an event, or the store there
  /// before it, and becomes its id in the result.
  [[nodiscard]] graph shortened(unsigned t, std::size_t n, event_id* kept = nullptr) const;

 private:
  struct heads {
    event_id first_store = initial;
    event_id last_store = initial;
    event_id last_access = initial;
  };
  [[nodiscard]] const heads& heads_of(location_id at) const noexcept {
    static constexpr heads untouched;
    return at < heads_.size() ? heads_[at] : untouched;
  }
  void count_sc(const event& e, int change) noexcept;
  void renumber(location_id at, event_id from) noexcept;
  [[nodiscard]] bool is_sc_consistent_without_fences() const;
  /// The only SC events are fences.
  [[nodiscard]] bool is_sc_consistent_among_fences() const;
  [[nodiscard]] bool is_sc_consistent_with_fences() const;

  std::vector<event> events_;
  std::array<std::vector<event_id>, max_threads> threads_;
  std::vector<heads> heads_;  // by location
  int sc_events_ = 0;         // fences too
  int sc_fences_ = 0;
};

}  // namespace ufence::lab
