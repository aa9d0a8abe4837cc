#include "lab/engine/machine.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#include "lab/engine/mode.h"
#include "lab/engine/text.h"

namespace ufence::lab {
namespace {

event_kind kind_of(action what) noexcept {
  switch (what) {
    case action::begin: return event_kind::begin;
    case action::load:
    case action::modify:
    case action::compare: return event_kind::load;
    case action::store: return event_kind::store;
    case action::fence: return event_kind::fence;
    case action::choice: return event_kind::choice;
    case action::spawn: return event_kind::spawn;
    case action::join: return event_kind::join;
    case action::end:
    case action::pause: break;
  }
  return event_kind::end;
}

}  // namespace

machine::machine(std::function<void()> body) : body_(std::move(body)) {
  mode::running = this;
  image_.save();
  first_image_ = image_;
}

machine::~machine() {
  first_image_.restore();
  mode::running = nullptr;
}

// --- The course of an execution ---

// Every execution begins in the same state: the process's writable data is put back (image_), the
// model's heap and what the lab noted about addresses are emptied. The graph stays: a search that
// repeats a prefix has its events there already, and enacted_ says which of them have happened in
// this execution.
void machine::begin_execution() {
  image_.restore();
  memory_.begin_execution();
  places_.next_execution();
  if (is_raw) bytes_.next_execution();
  names_.clear();
  order_.clear();
  log_.clear();
  outcome_.clear();
  problem_ = {};
  enacted_.assign(graph_.size(), 0);
  thread_count_ = 0;
  for (model_thread& t : threads_) {
    t.pending = nullptr;
    t.ended = t.started = false;
    t.position = 0;
  }
  make_thread(
      0, [](void* self) { static_cast<machine*>(self)->body_(); }, this);
  threads_[0].name = "main";
  threads_[0].local = prelude_local_;
}

// The thread's first operation, `begin`, is pending from the start, so that a search decides when
// it runs.
void machine::make_thread(unsigned number, void (*run)(void*), void* argument) {
  model_thread& t = threads_[number];
  t.owner = this;
  t.name = "";
  t.run = run;
  t.argument = argument;
  t.first = operation{};
  t.pending = &t.first;
  t.position = 0;
  t.started_threads = 0;
  t.before = t.causes = t.unacquired = t.released = vector_clock{};
  t.turn.clear();
  t.pauses = 0;
  t.history = t.history_of_load = number;
  t.plain.clear();
  t.accessed.clear();
  t.accessed_before.clear();
  t.state = 0;
  t.local = {};
  t.times.clear();
  t.ended = t.started = false;
  memory_.clear_stack(number);
  t.stack.set_stack(memory_.stack(number), memory::stack_bytes);
  thread_count_ = std::max(thread_count_, number + 1);
}

void machine::run_thread(void* thread) {
  auto* t = static_cast<model_thread*>(thread);
  t->run(t->argument);
  operation last;
  last.what = action::end;
  t->owner->perform(last);
}

// Lets a thread run from its pending operation, whose result is in place, to its next one. The code
// of the scenario runs on the thread's own stack, and comes back here by perform().
bool machine::go_on(unsigned number) {
  model_thread& t = threads_[number];
  if (t.pending->what == action::pause) ++t.pauses;
  t.pending = nullptr;
  t.state = 0;
  current_ = number;
  if (!t.started) {
    t.started = true;
    t.stack.start(run_thread, &t);
  }
  mode::now = mode::model;
  t.stack.resume();
  mode::now = mode::outside;
  memory_.set_stack_pointer(number, t.stack.stack_pointer());
  return !problem_;
}

// Called by the scenario's code for each operation on an atomic. It returns when the search lets
// this thread go on, with the result in `op`.
void machine::perform(operation& op) {
  mode::now = mode::outside;
  model_thread& t = threads_[current_];
  if (!weakenings.empty()) weaken(op);
  t.pending = &op;
  t.stack.suspend();
}

void machine::fail(problem p) {
  if (!problem_) problem_ = std::move(p);
}

void machine::fail_here(failure kind, std::string text) {
  fail({kind, std::move(text)});
  for (;;) threads_[current_].stack.suspend();  // nobody lets it go on
}

void machine::check_end() {
  if (!problem_ && !allow_leaks)
    fail(memory_.find_leak(may_keep ? process_image::added() : std::span<const std::span<char>>{}));
}

// The running thread has done something that others may see, or that changes what it does itself.
// So it is in no loop that only looks: what it read before is no reason to take its next read for a
// repetition.
void machine::effect() noexcept {
  model_thread& t = threads_[current_];
  t.turn.clear();
  t.pauses = 0;
  t.accessed.clear();
  t.accessed_before.clear();
}

// --- Loops ---

void plain_accesses::add(const void* at, std::size_t bytes, bool writes) {
  const access a{at, bytes, writes};
  if (std::ranges::find(all_, a) != all_.end()) return;
  if (all_.size() == most) {
    is_complete_ = false;
  } else {
    all_.push_back(a);
  }
}

void plain_accesses::add(const plain_accesses& others) {
  for (const access& a : others.all_) add(a.at, a.bytes, a.writes);
  is_complete_ = is_complete_ && others.is_complete_;
}

bool plain_accesses::cover(const plain_accesses& others) const noexcept {
  return others.is_complete_ && std::ranges::all_of(others.all_, [this](const access& a) {
           return std::ranges::find(all_, a) != all_.end();
         });
}

namespace {

std::uint64_t mixed(std::uint64_t sum, std::uint64_t with) noexcept {
  sum = (sum ^ with) * 0xD6E8FEB86659FD93U;
  sum ^= sum >> 32;
  return sum * 0xD6E8FEB86659FD93U ^ sum >> 29;
}

std::uint64_t mixed_bytes(std::uint64_t sum, const void* from, std::size_t bytes) noexcept {
  const auto* at = static_cast<const char*>(from);
  // Stacks: several sums, since each step of one waits for the step before.
  std::array<std::uint64_t, 4> sums{1, 2, 3, 4};
  if (bytes >= 2 * sizeof sums) {
    for (; bytes >= sizeof sums; bytes -= sizeof sums) {
      for (std::uint64_t& s : sums) {
        std::uint64_t word = 0;
        std::memcpy(&word, at, sizeof word);
        s = std::rotr((s ^ word) * 0xD6E8FEB86659FD93U, 29);
        at += sizeof word;
      }
    }
    for (const std::uint64_t s : sums) sum = mixed(sum, s);
  }
  for (; bytes != 0; bytes -= std::min(bytes, sizeof sum)) {
    std::uint64_t word = 0;
    std::memcpy(&word, at, std::min(bytes, sizeof word));
    sum = mixed(sum, word);
    at += sizeof word;
  }
  return sum;
}

std::uint64_t mixed_read(std::uint64_t sum, const void* from, std::size_t bytes) noexcept {
  return mixed_bytes(mixed(sum, reinterpret_cast<std::uintptr_t>(from)), from, bytes);
}

bool is_same_place(const std::source_location& a, const std::source_location& b) noexcept {
  return a.line() == b.line() && a.column() == b.column() && a.file_name() == b.file_name();
}

}  // namespace

std::uint64_t machine::history_with(unsigned number, std::uint64_t value,
                                    bool success) const noexcept {
  return mixed(mixed(threads_[number].history, value), success ? 1 : 0);
}

// Would a thread that read these places find the same bytes there now?
bool machine::would_repeat(const plain_reads& reads) noexcept {
  std::uint64_t sum = 0;
  for (const auto& [at, bytes] : reads.places) sum = mixed_read(sum, at, bytes);
  return sum == reads.sum;
}

// Stands for the live part of a thread's stack. Two looks from equal stacks that read the same
// values are the same turn of a loop. It is computed once between two operations; 0 says that it is
// not known.
std::uint64_t machine::stack_state(unsigned number) noexcept {
  model_thread& t = threads_[number];
  if (t.state == 0) {
    const auto* live = static_cast<const char*>(t.stack.stack_pointer());
    const char* top = memory_.stack(number) + memory::stack_bytes;
    t.state = mixed_bytes(1, live, static_cast<std::size_t>(top - live)) | 1;
  }
  return t.state;
}

std::size_t machine::looks_here(unsigned number) const noexcept {
  const model_thread& t = threads_[number];
  return static_cast<std::size_t>(std::ranges::count_if(t.turn, [&](const look& l) {
    return is_same_place(graph_[l.load].where, t.pending->where);
  }));
}

void machine::save_state(unsigned number, std::vector<char>& all) const {
  all.clear();
  process_image::append_to(all);
  memory_.append_to(all);
  for (unsigned t = 0; t < thread_count_; ++t) {
    const auto* live = static_cast<const char*>(threads_[t].stack.stack_pointer());
    const char* top = memory_.stack(t) + memory::stack_bytes;
    if (threads_[t].started && (t == number || !threads_[t].ended))
      all.insert(all.end(), live, top);
  }
}

void machine::weaken(operation& op) {
  const std::string_view file = op.where.file_name();
  for (const weakening& w : weakenings) {
    if (op.where.line() < w.first_line || op.where.line() > w.last_line ||
        !file.ends_with(w.file)) {
      continue;
    }
    weakening_used_ = true;
    op.order = w.to;
    if (op.what == action::compare && !acquires(w.to)) op.failure_order = std::memory_order_relaxed;
  }
}

// --- Locations ---

// An address is another location in each life of what lies there: when an object is made in memory
// that had one before, or when plain bytes were written over an atomic, the graph has to know
// nothing of the old stores.
location_id machine::identify(place_note& note, std::uintptr_t at) {
  if (note.life == note.ids.size()) {
    note.ids.push_back(static_cast<location_id>(addresses_.size()));
    addresses_.push_back(at);
    first_values_.push_back(0);
  }
  return note.ids[note.life];
}

// The location of a thread's pending operation. Its first value is what the memory holds when an
// execution first comes there: stores that went through the graph are not in the memory.
location_id machine::locate(unsigned number) {
  const operation& op = *threads_[number].pending;
  bool is_new = false;
  place_note& note = places_.at(op.at, is_new);
  const location_id id = identify(note, op.at);
  if (is_new || note.is_fresh) {
    note.is_fresh = false;
    std::uint64_t value = 0;
    if (!op.is_abstract) std::memcpy(&value, reinterpret_cast<const void*>(op.at), op.bytes);
    first_values_[id] = value;
  }
  return id;
}

bool machine::was_woken(unsigned number) {
  return std::ranges::any_of(threads_[number].pending->places, [this](const sleeping_place& p) {
    bool is_new = false;
    const location_id id = identify(places_.at(p.at, is_new), p.at);
    return p.until.holds(value_of(id, graph_.last_store(id)));
  });
}

// An atomic is made. Each thread that used the object that was there before has to be ordered
// before this; each thread that uses the new one has to be ordered after it, which enact() looks at
// by made_by and made_at.
void machine::construct(const void* at, unsigned bytes, std::uint64_t value,
                        std::source_location where) {
  const actor who = acting(where);
  effect();
  if (problem p = memory_.touch(who, at, bytes)) fail_here(p.kind, std::move(p.text));
  bool is_new = false;
  const auto address = reinterpret_cast<std::uintptr_t>(at);
  place_note& note = places_.at(address, is_new);
  if (!is_new) {
    const location_id old = identify(note, address);
    for (event_id a = graph_.last_access(old); a != initial; a = graph_[a].previous_access) {
      if (graph_.is_before(a, who.before)) continue;
      fail_here(failure::data_race, thread_name(who.thread) + " at " + place_name(where) +
                                        " makes an object where " + thread_name(graph_[a].thread) +
                                        " at " + place_name(graph_[a].where) +
                                        " uses one, and nothing orders the two");
    }
    ++note.life;
  }
  note.made_by = static_cast<std::uint8_t>(who.thread);
  note.made_at = who.now();
  first_values_[identify(note, address)] = value;
}

bool machine::writes(unsigned t, event_id source, std::uint64_t& written) {
  const operation& op = *threads_[t].pending;
  return op.reads() && op.writes(value_of(locate(t), source), written);
}

// --- Events ---

event_id machine::add_load(unsigned number, event_id source, bool fails) {
  const operation& op = *threads_[number].pending;
  event e;
  e.kind = event_kind::load;
  e.thread = static_cast<std::uint8_t>(number);
  e.where = op.where;
  e.location = locate(number);
  e.source = source;
  e.is_weak = op.what == action::compare && op.is_weak;
  e.fails = fails;
  e.expected = op.expected;
  const bool is_refused =
      op.what == action::compare && (fails || value_of(e.location, source) != op.expected);
  e.order = is_refused ? op.failure_order : op.order;
  return graph_.add(e);
}

event_id machine::add_store(unsigned number, std::uint64_t value, bool is_rmw) {
  const operation& op = *threads_[number].pending;
  event e;
  e.kind = event_kind::store;
  e.thread = static_cast<std::uint8_t>(number);
  e.where = op.where;
  e.location = locate(number);
  e.value = value;
  e.order = op.order;
  e.is_rmw = is_rmw;
  const event_id id = graph_.add(e);
  if (is_rmw) graph_[graph_.previous(id)].is_rmw = true;
  return id;
}

event_id machine::add_other(unsigned number, std::uint64_t value) {
  const operation& op = *threads_[number].pending;
  event e;
  e.kind = kind_of(op.what);
  e.thread = static_cast<std::uint8_t>(number);
  e.where = op.where;
  e.value = value;
  e.order = op.what == action::fence ? op.order : std::memory_order_relaxed;
  return graph_.add(e);
}

// A prefix of the graph is repeated: the thread's pending operation has to be the one that the
// event is of.
bool machine::match(unsigned number, event_id id) {
  const operation& op = *threads_[number].pending;
  event& e = graph_[id];
  const bool is_access = e.kind == event_kind::load || e.kind == event_kind::store;
  if (kind_of(op.what) != e.kind || op.what == action::pause ||
      (is_access && locate(number) != e.location)) {
    fail({failure::not_repeatable, thread_name(number) + " did another thing at " +
                                       place_name(e.where) + " before than at " +
                                       place_name(op.where) +
                                       " now: the scenario depends on what the lab does not see"});
    return false;
  }
  e.where = op.where;
  if (e.kind == event_kind::load) {
    const bool is_refused =
        op.what == action::compare && (e.fails || value_of(e.location, e.source) != op.expected);
    e.order = is_refused ? op.failure_order : op.order;
  }
  return true;
}

// An event of the graph happens: it is checked against races and misuse, its thread's clocks move,
// and the pending operation gets its result. `before` is what happens before the thread's next
// event (for races), `causes` is what it depends on through any read (for the search). False: the
// execution ends here.
bool machine::enact(event_id id) {
  if (enacted_.size() <= id) enacted_.resize(graph_.size(), 0);
  enacted_[id] = 1;
  order_.push_back(id);
  event& e = graph_[id];
  model_thread& t = threads_[e.thread];
  current_ = e.thread;
  if (recording_) log_.push_back({e.thread, id, {}, e.where});
  if (order_.size() > events_max) {
    // Threads that only look might go on if others went first: no failure, but no end either.
    std::size_t looks = 0;
    for (unsigned n = 0; n < thread_count_; ++n) looks += threads_[n].turn.size();
    if (!gives_up_long_ones && looks < events_max / 4) {  // a look may be two events, and a fence
      fail({is_raw ? failure::not_explorable : failure::livelock,
            "more than " + std::to_string(events_max) + " events in one execution"});
    }
    return false;
  }
  ++t.position;
  operation& op = *t.pending;
  if (e.location != no_location && !op.is_abstract) {
    const place_note* note = places_.look(op.at);
    const actor who{e.thread, t.before, e.where};
    problem p = touch_pending(e, op);
    if (!p && note != nullptr && !who.follows(note->made_by, note->made_at)) {
      p = {failure::data_race,
           thread_name(e.thread) + " at " + place_name(e.where) +
               " uses an object without being ordered after its construction by " +
               thread_name(note->made_by)};
    }
    if (p) {
      name_problem(p, reinterpret_cast<const void*>(op.at));
      fail(std::move(p));
      return false;
    }
  }
  ++t.before[e.thread];
  ++t.causes[e.thread];
  switch (e.kind) {
    case event_kind::load: enact_load(e, t); break;
    case event_kind::store:
      if (!e.is_rmw || graph_[graph_.previous(id)].value != e.value) effect();
      break;
    case event_kind::fence: enact_fence(e, t); break;
    case event_kind::spawn: enact_spawn(e, t); break;
    case event_kind::join:
      t.before.join(threads_[op.operand].before);
      t.causes.join(threads_[op.operand].causes);
      t.history = mixed(t.history, threads_[op.operand].history);
      effect();
      break;
    case event_kind::choice:
      op.value = e.value;
      t.history = mixed(t.history, e.value);
      effect();
      break;
    case event_kind::end:
      t.ended = true;
      t.pending = nullptr;
      memory_.set_stack_pointer(e.thread, memory_.stack(e.thread) + memory::stack_bytes);
      break;
    case event_kind::begin: break;
  }
  e.before = t.before;
  e.causes = t.causes;
  if (e.kind == event_kind::store) {
    e.message = releases(e.order) ? t.before : t.released;
    if (e.is_rmw) {
      const event_id source = graph_[graph_.previous(id)].source;
      if (source != initial) e.message.join(graph_[source].message);
    }
  }
  return !problem_;
}

problem machine::touch_pending(const event& e, const operation& op) {
  const actor who{e.thread, threads_[e.thread].before, e.where};
  problem p = memory_.touch_atomic(who, reinterpret_cast<const void*>(op.at), op.bytes);
  if (p || !is_raw) return p;
  if (e.kind == event_kind::load && e.source == initial) {
    p = look_whether_written(who, reinterpret_cast<const void*>(op.at), op.bytes, true);
    if (p) return p;
  }
  return bytes_.access(who, op.at, op.bytes, e.kind == event_kind::store);
}

// The message of a store is what a thread that acquires it gets to know. A relaxed read keeps it in
// `unacquired`, for an acquire fence that may follow.
void machine::enact_load(event& e, model_thread& t) {
  operation& op = *t.pending;
  t.turn.push_back({static_cast<event_id>(&e - &graph_[0]), stack_state(e.thread)});
  e.value = op.value = value_of(e.location, e.source);
  op.success = op.what == action::compare && e.value == op.expected && !e.fails;
  t.history = t.history_of_load = history_with(e.thread, e.value, op.success);
  t.plain.clear();
  t.accessed_before.add(t.accessed);
  t.accessed.clear();
  if (e.source != initial) {
    const event& from = graph_[e.source];
    t.causes.join(from.causes);
    t.unacquired.join(from.message);
    if (acquires(e.order)) t.before.join(from.message);
  }
}

void machine::enact_fence(const event& e, model_thread& t) {
  if (acquires(e.order)) t.before.join(t.unacquired);
  if (releases(e.order)) t.released = t.before;
}

void machine::enact_spawn(event& e, model_thread& t) {
  effect();
  const unsigned child = next_child(e.thread);
  ++t.started_threads;
  if (child >= max_threads) {
    fail({is_raw ? failure::not_explorable : failure::misuse,
          "more than " + std::to_string(max_threads) + " threads"});
    return;
  }
  operation& op = *t.pending;
  e.value = op.value = child;
  make_thread(child, op.run, op.argument);
  // Not what its parent has learned from now on: both may do the same things, at other positions.
  threads_[child].history = mixed(~t.history, child);
  t.history = mixed(t.history, child);
  threads_[child].before = t.before;
  threads_[child].causes = t.causes;
}

// --- What does not go through the graph ---

void machine::plain_read(const void* at, std::size_t bytes, std::source_location where) {
  if (recording_) log_note("reads plain data " + describe(at), where);
  check(memory_.read(acting(where), at, bytes), at);
  model_thread& t = threads_[current_];
  t.history = mixed_bytes(t.history, at, bytes);
  t.plain.places.emplace_back(at, bytes);
  t.plain.sum = mixed_read(t.plain.sum, at, bytes);
  t.accessed.add(at, bytes, false);
}

void machine::plain_write(const void* at, std::size_t bytes, std::source_location where) {
  if (recording_) log_note("writes plain data " + describe(at), where);
  check(memory_.write(acting(where), at, bytes), at);
  threads_[current_].accessed.add(at, bytes, true);
}

// The n-th child of a thread has the same number in all executions, whatever others start
// meanwhile.
unsigned machine::next_child(unsigned t) {
  const auto unused = static_cast<unsigned>(numbers_.size() + 1);
  return numbers_.try_emplace({t, threads_[t].started_threads}, unused).first->second;
}

void machine::number_next_thread(unsigned parent, unsigned number) {
  numbers_[{parent, threads_[parent].started_threads}] = number;
}

// --- Any bytes ---

// A unit that is accessed plainly: the memory gets its value. Its stores must be ordered before a
// plain read, all its accesses before a plain write, behind which the object begins another life.
// The part of a repeated execution's graph that did not happen yet is looked at when it
// happens.
problem machine::settle_unit(const actor& who, const byte_notes::unit& u, bool writes) {
  bool is_new = false;
  place_note& note = places_.at(u.begin, is_new);
  const location_id at = identify(note, u.begin);
  event_id last = initial;
  for (event_id a = graph_.last_access(at); a != initial; a = graph_[a].previous_access) {
    const event& e = graph_[a];
    if (!was_enacted(a) || (!writes && e.kind != event_kind::store)) continue;
    if (!graph_.is_before(a, who.before)) {
      return {failure::data_race, thread_name(who.thread) + " at " + place_name(who.where) +
                                      (writes ? " writes what " : " reads what ") +
                                      thread_name(e.thread) + " at " + place_name(e.where) +
                                      " atomically " +
                                      (e.kind == event_kind::store ? "writes" : "reads") +
                                      ", and nothing orders the two"};
    }
    if (e.kind == event_kind::store && (last == initial || e.rank > graph_[last].rank)) last = a;
  }
  if (last != initial) {
    std::memcpy(reinterpret_cast<void*>(u.begin), &graph_[last].value, u.bytes);
  }
  if (writes) {
    bytes_.dissolve(u);
    ++note.life;
    note.is_fresh = true;
    identify(note, u.begin);
  }
  return {};
}

problem machine::settle_units(const actor& who, std::uintptr_t at, std::size_t bytes, bool writes) {
  for (std::uintptr_t a = at; a < at + bytes;) {
    const byte_notes::unit u = bytes_.first_unit(a, at + bytes);
    if (u.bytes == 0) break;
    if (problem p = settle_unit(who, u, writes)) return p;
    a = u.begin + u.bytes;
  }
  return {};
}

problem machine::look_whether_written(const actor& who, const void* at, std::size_t bytes,
                                      bool is_atomic) {
  const auto address = reinterpret_cast<std::uintptr_t>(at);
  // Functions of libraries write to memory without telling; what they wrote is seen all the same.
  const bool is_unwritten = memory_.is_unwritten_local(at, bytes) ||
                            (memory_.is_as_allocated(at, bytes) &&
                             (is_atomic ? bytes_.is_plainly_untouched(address, bytes)
                                        : bytes_.is_untouched(address, bytes)));
  if (!is_unwritten) return {};
  if (!is_atomic && may_read_unwritten && may_read_unwritten(who.where)) return {};
  return {failure::uninitialised, thread_name(who.thread) + " at " + place_name(who.where) +
                                      " reads what nobody has written"};
}

void machine::raw_read(const void* at, std::size_t bytes, bool may_be_unwritten,
                       std::source_location where) {
  if (recording_) log_note("reads plain data " + describe(at), where);
  const actor who = acting(where);
  const auto address = reinterpret_cast<std::uintptr_t>(at);
  check(memory_.touch(who, at, bytes), at);
  check(settle_units(who, address, bytes, false), at);
  if (!may_be_unwritten) check(look_whether_written(who, at, bytes, false), at);
  check(bytes_.read(who, address, bytes), at);
  threads_[current_].accessed.add(at, bytes, false);
  threads_[current_].history = mixed_bytes(threads_[current_].history, at, bytes);
}

void machine::raw_write(const void* at, std::size_t bytes, std::source_location where) {
  if (recording_) log_note("writes plain data " + describe(at), where);
  const actor who = acting(where);
  const auto address = reinterpret_cast<std::uintptr_t>(at);
  check(memory_.touch(who, at, bytes), at);
  check(settle_units(who, address, bytes, true), at);
  check(bytes_.write(who, address, bytes), at);
  threads_[current_].accessed.add(at, bytes, true);
}

void* machine::freed_block(std::size_t bytes) noexcept {
  return memory_.freed_block(current_, bytes);
}

void* machine::allocate_again(void* freed, std::size_t bytes, std::source_location where) {
  effect();
  const actor who = acting(where);
  const auto address = reinterpret_cast<std::uintptr_t>(freed);
  const std::size_t old_bytes = memory_.bytes_of(freed);
  check(settle_units(who, address, old_bytes, true), freed);
  bytes_.forget(address, old_bytes);
  memory_.allocate_again(who, freed, bytes);
  if (recording_) {
    log_note("allocates " + std::to_string(bytes) + " bytes again at " + value_name(address),
             where);
  }
  return freed;
}

void* machine::allocate(std::size_t bytes, std::size_t alignment, bool pages, bool in_prelude,
                        std::source_location where) {
  effect();
  const actor who = acting(where);
  void* at = pages ? memory_.allocate_pages(who, bytes)
                   : memory_.allocate(who, bytes, alignment, in_prelude);
  if (at == nullptr && !in_prelude) {
    fail_here(is_raw ? failure::not_explorable : failure::misuse, "a scenario allocates too much");
  }
  if (recording_) {
    log_note("allocates " + std::to_string(bytes) + " bytes at " +
                 value_name(reinterpret_cast<std::uintptr_t>(at)),
             where);
  }
  return at;
}

void machine::free(void* block, bool in_prelude, std::source_location where) {
  if (recording_) log_note("frees " + describe(block), where);
  effect();
  problem p = memory_.free(acting(where), block);
  if (!in_prelude) check(std::move(p), block);
}

void machine::poison(const void* at, std::size_t bytes, bool on, std::source_location where) {
  if (recording_) {
    log_note((on ? "gives back " : "takes ") + describe(at), where);
  }
  effect();
  problem p =
      on ? memory_.poison(acting(where), at, bytes) : memory_.unpoison(acting(where), at, bytes);
  if (p) fail_here(p.kind, std::move(p.text));
}

std::vector<std::uintptr_t> machine::atomics_in(const void* pages, std::size_t bytes) {
  effect();
  constexpr std::size_t word = 4;
  std::vector<std::uintptr_t> found;
  const auto begin = reinterpret_cast<std::uintptr_t>(pages);
  for (std::uintptr_t at = begin; at != begin + bytes; at += word) {
    if (places_.look(at) != nullptr && !memory_.is_poisoned(reinterpret_cast<const void*>(at)))
      found.push_back(at);
  }
  return found;
}

void* machine::thread_local_data(const void* key, std::size_t bytes, void (*make)(void*)) {
  for (local_data& d : threads_[current_].local) {
    if (d.key == key) return d.at;
    if (d.key != nullptr) continue;
    d.key = key;
    d.at = memory_.allocate(acting({}), bytes, 64, true);
    if (d.at == nullptr) break;
    make(d.at);
    return d.at;
  }
  fail_here(failure::misuse, "too much thread-local data");
}

std::int64_t machine::now_ns() noexcept {
  constexpr std::int64_t first_ns = 1'000'000;
  const actor who = acting({});
  std::int64_t now = first_ns;
  for (unsigned t = 0; t < thread_count_; ++t) {
    for (const passed_time& p : threads_[t].times) {
      if (who.follows(t, p.at)) now = std::max(now, p.to_ns);
    }
  }
  threads_[current_].history = mixed(threads_[current_].history, static_cast<std::uint64_t>(now));
  return now;
}

void machine::pass_time(std::int64_t to_ns) {
  mode::outside_scope outside;
  threads_[current_].times.push_back({acting({}).now(), to_ns});
}

void machine::run_prelude(const std::function<void()>& prelude) {
  current_ = 0;
  make_thread(0, nullptr, nullptr);
  mode::now = mode::prelude;
  prelude();
  mode::now = mode::outside;
  prelude_local_ = threads_[0].local;
  memory_.keep_prelude();
  image_.save();
}

// --- Names ---

void machine::name_memory(const void* at, std::size_t bytes, const char* name) {
  names_.push_back({reinterpret_cast<std::uintptr_t>(at), bytes, name});
}

std::string machine::memory_name(std::uintptr_t at) const {
  for (const named_range& n : names_) {
    if (at < n.begin || at >= n.begin + n.bytes) continue;
    return at == n.begin ? n.name : n.name + "+" + std::to_string(at - n.begin);
  }
  if (static_name) {
    if (std::string name = static_name(at); !name.empty()) return name;
    return memory_.block_name(at);
  }
  return {};
}

std::string machine::describe(const void* at) const {
  const auto address = reinterpret_cast<std::uintptr_t>(at);
  const std::string name = memory_name(address);
  return name.empty() ? value_name(address) : name;
}

std::string machine::location_name(location_id id) const {
  const std::uintptr_t at = addresses_[id];
  const std::string name = memory_name(at);
  return name.empty() ? "@" + value_name(at & 0xFFFFFFF) : name;
}

void machine::name_problem(problem& p, const void* at) const {
  const std::string name = memory_name(reinterpret_cast<std::uintptr_t>(at));
  if (!name.empty()) p.text = name + ": " + p.text;
}

void machine::check(problem p, const void* at) {
  if (!p) return;
  name_problem(p, at);
  fail_here(p.kind, std::move(p.text));
}

void machine::remark(const char* text, std::source_location where) {
  if (recording_) log_note(text, where);
}

std::string machine::name_of(unsigned t) const {
  const char* name = threads_[t].name;
  return name[0] == '\0' ? thread_name(t) : thread_name(t) + " " + name;
}

void machine::log_note(std::string text, std::source_location where) {
  log_.push_back({current_, initial, std::move(text), where});
}

}  // namespace ufence::lab
