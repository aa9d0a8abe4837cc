// Runs the threads of a scenario, one at a time, and keeps the graph of what they did. Which thread
// goes next, what a load reads and where a store stands is decided by a search (linear.h,
// graph_search.h).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "lab/engine/address_table.h"
#include "lab/engine/byte_notes.h"
#include "lab/engine/failure.h"
#include "lab/engine/fiber.h"
#include "lab/engine/graph.h"
#include "lab/engine/memory.h"
#include "lab/engine/operation.h"
#include "lab/engine/process_image.h"

namespace ufence::lab {

/// An order that is replaced by a weaker one, to see that something notices.
struct weakening {
  std::string file;  // how the path ends
  unsigned first_line = 0;
  unsigned last_line = 0;
  std::memory_order to = std::memory_order_relaxed;
};

/// A load that a thread did, and the state that it was in before.
struct look {
  event_id load;
  std::uint64_t state;  // as stack_state()
};

/// The plain data that a thread has read, in order, with the values.
struct plain_reads {
  std::vector<std::pair<const void*, std::size_t>> places;
  std::uint64_t sum = 0;  // stands for the places and the bytes
  void clear() noexcept {
    places.clear();
    sum = 0;
  }
};

/// Accesses of plain data.
class plain_accesses {
 public:
  void clear() noexcept {
    all_.clear();
    is_complete_ = true;
  }
  void add(const void* at, std::size_t bytes, bool writes);
  void add(const plain_accesses& others);
  /// Each of the others is one of these. False if there were too many to tell.
  [[nodiscard]] bool cover(const plain_accesses& others) const noexcept;

 private:
  struct access {
    const void* at;
    std::size_t bytes;
    bool writes;
    bool operator==(const access&) const noexcept = default;
  };
  static constexpr std::size_t most = 256;
  std::vector<access> all_;
  bool is_complete_ = true;
};

/// A point in a trace that is not an event of the memory model.
struct log_entry {
  unsigned thread = 0;
  event_id id = initial;  // or:
  std::string note;
  std::source_location where;
};

/// Threads: one. At most one machine at a time is being used.
class machine {
 public:
  explicit machine(std::function<void()> body);
  ~machine();
  machine(const machine&) = delete;
  machine& operator=(const machine&) = delete;

  /// Runs `prelude` once, outside of any execution; what it leaves is there when each execution
  /// begins.
  void run_prelude(const std::function<void()>& prelude);

  // --- For searches ---

  /// A new execution: the main thread waits to begin. The graph stays: it is what will be repeated.
  void begin_execution();
  [[nodiscard]] graph& events() noexcept { return graph_; }
  [[nodiscard]] const graph& events() const noexcept { return graph_; }

  [[nodiscard]] unsigned thread_count() const noexcept { return thread_count_; }
  /// The operation that the thread waits to do; nullptr once it has ended.
  [[nodiscard]] const operation* pending(unsigned t) const noexcept { return threads_[t].pending; }
  [[nodiscard]] bool has_ended(unsigned t) const noexcept { return threads_[t].ended; }
  /// How many events it has done in this execution.
  [[nodiscard]] std::size_t position(unsigned t) const noexcept { return threads_[t].position; }
  [[nodiscard]] const vector_clock& before(unsigned t) const noexcept { return threads_[t].before; }
  [[nodiscard]] const vector_clock& causes(unsigned t) const noexcept { return threads_[t].causes; }
  [[nodiscard]] const vector_clock& released(unsigned t) const noexcept {
    return threads_[t].released;
  }
  /// How many threads it has started in this execution, and the number of the next one.
  [[nodiscard]] unsigned started_threads(unsigned t) const noexcept {
    return threads_[t].started_threads;
  }
  [[nodiscard]] unsigned next_child(unsigned t);
  [[nodiscard]] bool was_enacted(event_id id) const noexcept {
    return id < enacted_.size() && enacted_[id];
  }

  /// Where the pending access goes to.
  [[nodiscard]] location_id locate(unsigned t);
  [[nodiscard]] std::uint64_t value_of(location_id at, event_id store) const noexcept {
    return store == initial ? first_values_[at] : graph_[store].value;
  }
  /// Whether the pending operation writes if it reads this store; then also what.
  [[nodiscard]] bool writes(unsigned t, event_id source, std::uint64_t& written);

  /// Adds the pending operation's event (of an RMW: the load) to the graph.
  /// @param fails  a weak compare-exchange, though what it reads is expected
  event_id add_load(unsigned t, event_id source, bool fails = false);
  /// Adds its store, not placed yet.
  event_id add_store(unsigned t, std::uint64_t value, bool is_rmw);
  event_id add_other(unsigned t, std::uint64_t value);
  /// The pending operation repeats an event of an earlier execution. False: it is another one.
  bool match(unsigned t, event_id id);
  /// An event of the graph happens now: clocks, values, checks. False: a failure.
  bool enact(event_id id);
  /// Lets the thread go on after its pending operation was enacted, to its next one. False: a
  /// failure.
  bool go_on(unsigned t);

  // A thread's steps are decided by what it has learned: the values that it read. Whether it goes
  // round in a loop is seen from its state, which is its stack and the memory that it alone writes.

  /// Stands for all that the thread had learned once its last load had read its value.
  [[nodiscard]] std::uint64_t history_of_load(unsigned t) const noexcept {
    return threads_[t].history_of_load;
  }
  /// The plain data that the thread has read since its last load.
  [[nodiscard]] const plain_reads& plain_since_load(unsigned t) const noexcept {
    return threads_[t].plain;
  }
  /// What the thread has accessed of plain data since its last load, it had accessed before, and
  /// has had no effect since then: what races with the one races with the other.
  [[nodiscard]] bool repeats_plain_accesses(unsigned t) const noexcept {
    return threads_[t].accessed_before.cover(threads_[t].accessed);
  }
  /// Whether the thread would read the same of plain data now.
  [[nodiscard]] static bool would_repeat(const plain_reads& reads) noexcept;
  /// The same once its pending operation has read this.
  [[nodiscard]] std::uint64_t history_with(unsigned t, std::uint64_t value,
                                           bool success) const noexcept;
  /// Stands for the stack, with the registers, of a thread at its pending operation.
  [[nodiscard]] std::uint64_t stack_state(unsigned t) noexcept;
  /// The loads since the thread's last effect; a read-modify-write that changed nothing is none.
  [[nodiscard]] const std::vector<look>& turn(unsigned t) const noexcept {
    return threads_[t].turn;
  }
  /// The thread told since its last effect that it waits, or looked very often.
  [[nodiscard]] bool goes_round(unsigned t) const noexcept {
    constexpr std::size_t often = 40;
    return threads_[t].pauses != 0 || threads_[t].turn.size() >= often;
  }
  /// How often the turn of the thread has a load at the place of the pending operation.
  [[nodiscard]] std::size_t looks_here(unsigned t) const noexcept;
  /// All memory of the scenario; of that thread's stack what is live. Equal for two executions: the
  /// thread goes on the same way in both.
  void save_state(unsigned t, std::vector<char>& all) const;

  [[nodiscard]] const problem& found() const noexcept { return problem_; }
  void fail(problem p);
  /// Whether some word that the pending operation sleeps on was woken.
  [[nodiscard]] bool was_woken(unsigned t);
  /// All threads have ended: what must hold then.
  void check_end();
  /// The events of this execution in the order in which they happened.
  [[nodiscard]] const std::vector<event_id>& order() const noexcept { return order_; }
  [[nodiscard]] const std::vector<std::int64_t>& outcome() const noexcept { return outcome_; }

  void record_log(bool on) noexcept { recording_ = on; }
  [[nodiscard]] const std::vector<log_entry>& log() const noexcept { return log_; }
  [[nodiscard]] std::string location_name(location_id at) const;
  [[nodiscard]] std::string name_of(unsigned t) const;

  std::size_t events_max = 4000;
  bool gives_up_long_ones = false;  // an execution that is too long: without a failure
  bool allow_leaks = false;
  bool explore_timeouts = false;
  bool ignore_deadlines = false;
  bool has_futex_waitv = false;
  /// The scenario accesses its memory in any way, by raw_read() and raw_write() too.
  bool is_raw = false;
  /// Memory that static data keeps, directly or not, is not lost.
  bool may_keep = false;
  std::function<std::string(std::uintptr_t)> static_name;  // of an address; empty: it has none
  /// Code that copies what nobody has written, and does not look at it: no failure.
  std::function<bool(const std::source_location&)> may_read_unwritten;
  std::vector<weakening> weakenings;
  [[nodiscard]] bool weakening_was_used() const noexcept { return weakening_used_; }

  // --- For the doubles, on the fiber of the thread that runs ---

  void perform(operation& op);
  void construct(const void* at, unsigned bytes, std::uint64_t value, std::source_location where);
  void plain_read(const void* at, std::size_t bytes, std::source_location where);
  void plain_write(const void* at, std::size_t bytes, std::source_location where);
  // Plain accesses of a scenario with is_raw, before they are done: of any bytes, whole objects,
  // parts of them, atomic ones. `may_be_unwritten`: padding may be among them.
  void raw_read(const void* at, std::size_t bytes, bool may_be_unwritten,
                std::source_location where);
  void raw_write(const void* at, std::size_t bytes, std::source_location where);
  /// A freed block of this thread of about that size, to be given out again, or nullptr.
  [[nodiscard]] void* freed_block(std::size_t bytes) noexcept;
  void* allocate_again(void* freed, std::size_t bytes, std::source_location where);
  [[nodiscard]] std::size_t block_bytes(const void* at) noexcept { return memory_.bytes_of(at); }
  void* allocate(std::size_t bytes, std::size_t alignment, bool pages, bool in_prelude,
                 std::source_location where);
  void free(void* block, bool in_prelude, std::source_location where);
  void poison(const void* at, std::size_t bytes, bool on, std::source_location where);
  /// The words of pages that this execution has used as atomic objects, without poisoned ones.
  [[nodiscard]] std::vector<std::uintptr_t> atomics_in(const void* pages, std::size_t bytes);
  [[nodiscard]] bool owns(const void* at) const noexcept { return memory_.owns(at); }
  [[nodiscard]] bool is_below_a_stack(const void* at) const noexcept {
    return memory_.is_below_a_stack(at);
  }
  [[nodiscard]] void* thread_local_data(const void* key, std::size_t bytes, void (*make)(void*));
  /// No earlier than what threads have seen of it that this one is ordered after.
  [[nodiscard]] std::int64_t now_ns() noexcept;
  void pass_time(std::int64_t to_ns);
  [[noreturn]] void fail_here(failure kind, std::string text);
  void observe(std::vector<std::int64_t> values) { outcome_ = std::move(values); }
  void remark(const char* text, std::source_location where);
  void name_memory(const void* at, std::size_t bytes, const char* name);
  /// The next thread that `parent` starts gets this number.
  void number_next_thread(unsigned parent, unsigned number);
  void name_thread(unsigned t, const char* name) { threads_[t].name = name; }
  [[nodiscard]] unsigned current() const noexcept { return current_; }

 private:
  struct local_data {
    const void* key = nullptr;
    void* at = nullptr;
  };
  struct passed_time {
    std::uint16_t at = 0;  // of the thread's own clock
    std::int64_t to_ns = 0;
  };
  struct model_thread {
    fiber stack;
    machine* owner = nullptr;
    const char* name = "";
    void (*run)(void*) = nullptr;
    void* argument = nullptr;
    operation* pending = nullptr;
    operation first;  // begin
    std::size_t position = 0;
    unsigned started_threads = 0;
    vector_clock before;
    vector_clock causes;
    vector_clock unacquired;  // what relaxed loads read, for a later acquire fence
    vector_clock released;    // at the last release fence
    std::vector<look> turn;
    std::size_t pauses = 0;  // since the last effect
    std::uint64_t history = 0;
    std::uint64_t history_of_load = 0;
    plain_reads plain;               // since the last load
    plain_accesses accessed;         // since the last load
    plain_accesses accessed_before;  // since the last effect, up to the last load
    std::uint64_t state = 0;         // of the stack; 0: not known
    std::array<local_data, 16> local{};
    std::vector<passed_time> times;
    bool ended = false;
    bool started = false;
  };
  struct place_note {
    std::vector<location_id> ids;  // of each life of the address
    std::size_t life = 0;
    std::uint16_t made_at = 0;
    std::uint8_t made_by = 0;
    bool is_fresh = false;  // its first value is what the memory has
    void renew() noexcept {
      life = 0;
      is_fresh = false;
      made_at = 0;
      made_by = 0;
    }
  };
  struct named_range {
    std::uintptr_t begin;
    std::size_t bytes;
    std::string name;
  };
  static void run_thread(void* thread);
  void make_thread(unsigned t, void (*run)(void*), void* argument);
  [[nodiscard]] actor acting(std::source_location where) const noexcept {
    return {current_, threads_[current_].before, where};
  }
  location_id identify(place_note& note, std::uintptr_t at);
  void enact_load(event& e, model_thread& t);
  void enact_fence(const event& e, model_thread& t);
  void enact_spawn(event& e, model_thread& t);
  void effect() noexcept;
  [[nodiscard]] problem touch_pending(const event& e, const operation& op);
  [[nodiscard]] problem look_whether_written(const actor& who, const void* at, std::size_t bytes,
                                             bool is_atomic);
  [[nodiscard]] problem settle_units(const actor& who, std::uintptr_t at, std::size_t bytes,
                                     bool writes);
  [[nodiscard]] problem settle_unit(const actor& who, const byte_notes::unit& u, bool writes);
  void weaken(operation& op);
  [[nodiscard]] std::string memory_name(std::uintptr_t at) const;  // empty: it has none
  [[nodiscard]] std::string describe(const void* at) const;
  void name_problem(problem& p, const void* at) const;
  void check(problem p, const void* at);
  void log_note(std::string text, std::source_location where);

  std::function<void()> body_;
  graph graph_;
  memory memory_;
  process_image first_image_;  // before the prelude
  process_image image_;
  std::array<model_thread, max_threads> threads_;
  std::array<local_data, 16> prelude_local_{};
  unsigned thread_count_ = 0;
  unsigned current_ = 0;
  std::vector<char> enacted_;
  std::vector<event_id> order_;
  address_table<place_note> places_;
  byte_notes bytes_;
  // The same thread has the same number in each execution: by parent, and which of its threads.
  std::map<std::pair<unsigned, unsigned>, unsigned> numbers_;
  std::vector<std::uintptr_t> addresses_;    // by location
  std::vector<std::uint64_t> first_values_;  // by location, in this execution
  std::vector<named_range> names_;
  std::vector<log_entry> log_;
  std::vector<std::int64_t> outcome_;
  problem problem_;
  bool recording_ = false;
  bool weakening_used_ = false;
};

}  // namespace ufence::lab
