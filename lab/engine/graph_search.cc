#include "lab/engine/graph_search.h"

#include <algorithm>
#include <utility>

namespace ufence::lab {

std::size_t graph_search::open_count() const noexcept {
  std::size_t count = open_.size();
  for (const level& l : levels_) count += l.open.size();
  return count;
}

// Each alternative leads to graphs that no other one leads to.
void graph_search::keep_share(std::size_t share, std::size_t shares) {
  std::size_t n = 0;
  const auto is_others = [&](const alternative&) { return n++ % shares != share; };
  std::erase_if(open_, is_others);
  for (level& l : levels_) std::erase_if(l.open, is_others);
}

bool graph_search::next(ending& how) {
  if (began_) {
    while (open_.empty()) {
      if (levels_.empty()) return false;
      machine_.events() = std::move(levels_.back().before);
      open_ = std::move(levels_.back().open);
      levels_.pop_back();
    }
    alternative next = std::move(open_.back());
    open_.pop_back();
    take(std::move(next));
  }
  began_ = true;
  how = run();
  return true;
}

void graph_search::take(alternative next) {
  graph& g = machine_.events();
  changed_ = next.id;
  is_revisit_ = next.what == alternative::kind::revisit;
  if (next.what == alternative::kind::revisit) {
    levels_.push_back({std::move(g), std::move(open_)});
    g = std::move(*next.revisited);
    open_.clear();
    return;
  }
  g.truncate(next.id + std::size_t{1});
  switch (next.what) {
    case alternative::kind::source:
      g[next.id].source = next.store;
      g[next.id].fails = next.value != 0;
      break;
    case alternative::kind::place:
      g.displace(next.id);
      g.place(next.id, next.store);
      break;
    default: g[next.id].value = next.value; break;
  }
}

ending graph_search::run() {
  for (;;) {
    again_ = false;
    const ending how = try_run();
    if (!again_) return how;
  }
}

ending graph_search::try_run() {
  std::ranges::fill(standing_, standing::free);
  undone_.clear();
  pruned_ = false;
  machine_.begin_execution();
  if (!repeat()) return gave_up();
  if (!looked_first()) return gave_up();
  return extend();
}

// Where a thread reads something for the first time in a graph that is repeated: the load that goes
// another way, and the load of the read-modify-write that the changed one reads (try_taken()).
bool graph_search::looked_first() {
  const graph& g = machine_.events();
  if (changed_ == initial || g[changed_].kind != event_kind::load) return true;
  const event_id source = g[changed_].source;
  for (const event_id last : {changed_, is_revisit_ ? source : initial}) {
    if (last == initial || (last == source && !g[last].is_rmw)) continue;
    const unsigned t = g[last].thread;
    if (g.thread(t).back() != last || standing_[t] != standing::free) continue;
    if (!pass_fences(t) || !looked(t)) return false;
  }
  return true;
}

ending graph_search::gave_up() {
  if (machine_.found()) return ending::failed;
  if (!pruned_ && !again_) was_cut_ = true;  // one that was too long
  return ending::pruned;
}

bool graph_search::is_consistent() {
  graph& g = machine_.events();
  return !g.must_check_sc(std::memory_order_seq_cst) || g.is_sc_consistent();
}

// --- What is known ---

bool graph_search::can_repeat(unsigned t) const {
  const graph& g = machine_.events();
  const operation* op = machine_.pending(t);
  if (op == nullptr || standing_[t] != standing::free) return false;
  if (machine_.position(t) >= g.thread(t).size()) return false;
  const event& e = g[g.thread(t)[machine_.position(t)]];
  if (e.kind == event_kind::load) return e.source == initial || machine_.was_enacted(e.source);
  if (op->what == action::join) return machine_.has_ended(static_cast<unsigned>(op->operand));
  return true;
}

bool graph_search::repeat() {
  graph& g = machine_.events();
  for (bool progress = true; progress;) {
    progress = false;
    for (unsigned t = 0; t < machine_.thread_count(); ++t) {
      while (can_repeat(t)) {
        progress = true;
        if (!repeat_event(t)) return false;
      }
    }
  }
  for (unsigned t = 0; t < max_threads; ++t) {
    const std::size_t done = t < machine_.thread_count() ? machine_.position(t) : 0;
    if (done == g.thread(t).size()) continue;
    machine_.fail({failure::not_repeatable, "an execution could not be repeated"});
    return false;
  }
  return true;
}

bool graph_search::repeat_event(unsigned t) {
  graph& g = machine_.events();
  const operation& op = *machine_.pending(t);
  const event_id id = g.thread(t)[machine_.position(t)];
  if (!machine_.match(t, id)) return false;
  if (g[id].kind != event_kind::load) {
    if (g[id].kind == event_kind::store && g[id].value != op.operand) {
      machine_.fail({failure::not_repeatable, "a store wrote another value than before"});
      return false;
    }
    if (!machine_.enact(id)) return false;
    if (id == changed_ && !is_consistent()) return give_up();
    return go_on(t);
  }
  std::uint64_t written = 0;
  const bool writes = machine_.writes(t, g[id].source, written) && !g[id].fails;
  const bool is_suited = suits(t, machine_.value_of(g[id].location, g[id].source), writes);
  // Not the newest store, and nothing can change that any more.
  if (!is_suited && id == changed_ && (!is_revisit_ || g[id].fails)) return give_up();
  // The graph is of before it was known that this load leads nowhere: what others read of the store
  // behind it stood there without it.
  if (!is_suited && g[id].index + 1U < g.thread(t).size()) return give_up();
  if (!machine_.enact(id)) return false;
  if (id == changed_ && !is_consistent()) return give_up();
  if (!is_suited) {
    standing_[t] = standing::waits;
    return true;
  }
  if (!writes) return go_on(t);
  if (!g[id].is_rmw) {
    standing_[t] = standing::stores;
    return true;
  }
  const event_id store = g.thread(t)[g[id].index + 1U];
  if (g[store].value != written) {
    machine_.fail({failure::not_repeatable, "a store wrote another value than before"});
    return false;
  }
  return machine_.enact(store) && go_on(t);
}

// --- What is new ---

ending graph_search::extend() {
  for (;;) {
    const unsigned t = next_thread();
    if (t == max_threads) return finish();
    if (!extend_thread(t)) return gave_up();
  }
}

// A store that belongs to a load goes first; then the first thread that goes on. One that goes
// round waits for the others, and one that what is there does not suit for all of them.
unsigned graph_search::next_thread() {
  unsigned going_round = max_threads;
  unsigned waiting = max_threads;
  for (unsigned t = 0; t < machine_.thread_count(); ++t) {
    if (standing_[t] == standing::stores) return t;
  }
  for (unsigned t = 0; t < machine_.thread_count(); ++t) {
    const operation* op = machine_.pending(t);
    if (op == nullptr || standing_[t] != standing::free) continue;
    if (op->what == action::join && !machine_.has_ended(static_cast<unsigned>(op->operand))) {
      continue;
    }
    if (!op->reads()) return t;
    if (!newest_suits(t)) {
      if (waiting == max_threads) waiting = t;
    } else if (machine_.goes_round(t)) {
      if (going_round == max_threads) going_round = t;
    } else {
      return t;
    }
  }
  return going_round != max_threads ? going_round : waiting;
}

bool graph_search::extend_thread(unsigned t) {
  const graph& g = machine_.events();
  if (standing_[t] == standing::stores) {
    standing_[t] = standing::free;
    open_before_ = open_.size();
    std::uint64_t written = 0;
    return machine_.writes(t, g[g.thread(t).back()].source, written) && add_rmw_store(t, written);
  }
  const operation& op = *machine_.pending(t);
  if (op.reads()) return add_load(t);
  if (op.what == action::store) return add_store(t);
  return add_other(t);
}

// To the next operation of the thread; a pause is none, but only says that the thread goes round.
bool graph_search::go_on(unsigned t) {
  if (machine_.has_ended(t)) return true;
  for (std::size_t pauses = 0; machine_.go_on(t); ++pauses) {
    if (machine_.pending(t) == nullptr || machine_.pending(t)->what != action::pause) return true;
    if (pauses < machine_.events_max) continue;
    machine_.fail(
        {failure::livelock, machine_.name_of(t) + " pauses for ever, and looks at nothing"});
    return false;
  }
  return false;
}

// Behind a load they belong to the same step.
bool graph_search::pass_fences(unsigned t) {
  while (machine_.pending(t) != nullptr && machine_.pending(t)->what == action::fence) {
    if (!add_other(t)) return false;
  }
  return true;
}

bool graph_search::suits(unsigned t, std::uint64_t value, bool writes) const {
  const operation& op = *machine_.pending(t);
  if (!op.accepts(value)) return false;
  const bool success = writes && op.what == action::compare;
  const finding* known = known_of(machine_.history_with(t, value, success));
  return known == nullptr || known->what == finding::kind::goes_on;
}

// The facts about a load that reads this now. The thread runs until its next operation at once, so
// that the plain data which it will read then is what stands there now.
const graph_search::finding* graph_search::known_of(std::uint64_t history) const {
  const auto known = known_.find(history);
  if (known == known_.end()) return nullptr;
  for (const finding& f : known->second) {
    if (machine::would_repeat(f.then)) return &f;
  }
  return nullptr;
}

bool graph_search::newest_suits(unsigned t) {
  const location_id at = machine_.locate(t);
  const event_id newest = machine_.events().last_store(at);
  std::uint64_t written = 0;
  const bool writes = machine_.writes(t, newest, written);
  return suits(t, machine_.value_of(at, newest), writes);
}

bool graph_search::add_load(unsigned t) {
  graph& g = machine_.events();
  const operation& op = *machine_.pending(t);
  const location_id at = machine_.locate(t);
  const event_id newest = g.last_store(at);
  constexpr std::size_t looks_max = 20;  // at one place, in a loop that is not known to repeat
  const bool is_cut = machine_.looks_here(t) >= looks_max;
  open_before_ = open_.size();
  std::vector<std::pair<event_id, bool>> options;  // the store, and whether it fails all the same
  bool suits_newest = true;
  for (event_id s = is_cut ? newest : g.floor(at, machine_.before(t));; s = g.next_store(at, s)) {
    std::uint64_t written = 0;
    const std::uint64_t value = machine_.value_of(at, s);
    const bool writes = machine_.writes(t, s, written);
    const bool fits = suits(t, value, writes);
    if (writes && op.what == action::compare && op.is_weak && !is_cut && suits(t, value, false)) {
      options.emplace_back(s, true);
    }
    if (fits && writes && g.is_taken(at, s)) {
      try_taken(t, s, written);
    } else if (fits || s == newest) {
      options.emplace_back(s, false);
    }
    if (s == newest) {
      suits_newest = fits;
      break;
    }
  }
  if (is_cut && g.floor(at, machine_.before(t)) != newest) was_cut_ = true;
  const event_id load = machine_.add_load(t, newest);
  options.pop_back();
  for (const auto& [s, fails] : options) {
    open_.push_back({alternative::kind::source, load, s, fails ? 1U : 0U, nullptr});
  }
  std::uint64_t written = 0;
  const bool writes = machine_.writes(t, newest, written);
  if (!machine_.enact(load)) return false;
  if (!is_consistent()) return give_up();
  if (!suits_newest) {
    standing_[t] = standing::waits;
    return true;
  }
  if (writes) return add_rmw_store(t, written);
  return go_on(t) && pass_fences(t) && looked(t);
}

bool graph_search::add_rmw_store(unsigned t, std::uint64_t value) {
  graph& g = machine_.events();
  const event_id store = machine_.add_store(t, value, true);
  g.place(store, g[g.previous(store)].source);
  if (!machine_.enact(store)) return false;
  add_revisits(store);
  if (!is_consistent()) return give_up();
  return go_on(t) && pass_fences(t) && looked(t);
}

bool graph_search::add_store(unsigned t) {
  graph& g = machine_.events();
  const location_id at = machine_.locate(t);
  const event_id newest = g.last_store(at);
  std::vector<event_id> others;
  for (event_id s = g.floor(at, machine_.before(t)); s != newest; s = g.next_store(at, s)) {
    if (!g.is_taken(at, s)) others.push_back(s);
  }
  const event_id store = machine_.add_store(t, machine_.pending(t)->operand, false);
  g.place(store, newest);
  for (const event_id s : others) {
    open_.push_back({alternative::kind::place, store, s, 0, nullptr});
  }
  if (!machine_.enact(store)) return false;
  add_revisits(store);
  if (!is_consistent()) return give_up();
  return go_on(t);
}

bool graph_search::add_other(unsigned t) {
  const operation& op = *machine_.pending(t);
  const bool is_choice = op.what == action::choice;
  const std::uint64_t choices = is_choice ? op.operand : 1;
  const event_id id = machine_.add_other(t, is_choice ? 0 : op.operand);
  for (std::uint64_t v = 1; v < choices; ++v) {
    open_.push_back({alternative::kind::choice, id, initial, v, nullptr});
  }
  return machine_.enact(id) && go_on(t);
}

// --- Loops ---

// The thread has looked, and is at its next operation. False: the execution does not go on, as the
// load leads nowhere, or something went wrong.
bool graph_search::looked(unsigned t) {
  if (machine_.pending(t) == nullptr || machine_.turn(t).empty()) return true;
  const event_id load = machine_.turn(t).back().load;
  const graph& g = machine_.events();
  const bool is_alternative = load == changed_ && (!is_revisit_ || g[load].fails);
  std::vector<finding>& known = known_[machine_.history_of_load(t)];
  const std::uint64_t read = machine_.plain_since_load(t).sum;
  auto of_load = std::ranges::find(known, read, [](const finding& f) { return f.then.sum; });
  const bool was_known = of_load != known.end();
  if (!was_known) {
    finding found = find_out(t);
    if (machine_.found()) return false;
    found.then = machine_.plain_since_load(t);
    of_load = known.insert(known.end(), std::move(found));
  }
  if (of_load->what == finding::kind::goes_on) return true;
  if (is_alternative) return give_up();
  // It was known, and yet the load was not held back: the thread has written what it has then read.
  // Then the search follows it, since beginning anew would come here again for ever.
  if (was_known) return true;
  // The changed load reads what this one's read-modify-write has written (try_taken()).
  if (is_revisit_ && load != changed_ && g[load].is_rmw && g[changed_].source == load + 1) {
    return give_up();
  }
  return take_back(load);
}

// As if it had been known before.
bool graph_search::take_back(event_id load) {
  graph& g = machine_.events();
  // All that follows it in its thread was added last.
  const std::size_t after = g.thread(g[load].thread).size() - 1U - g[load].index;
  g.truncate(load == changed_ ? g.size() - after : load);
  while (open_.size() > open_before_) open_.pop_back();
  again_ = true;
  return false;
}

graph_search::finding graph_search::find_out(unsigned t) {
  // Others may race with what it does only in such a turn, or in a retry.
  if (!machine_.repeats_plain_accesses(t)) return {finding::kind::goes_on};
  const std::vector<look> turn = machine_.turn(t);
  const graph& g = machine_.events();
  const event_id load = turn.back().load;
  const std::uint64_t state = machine_.stack_state(t);
  for (auto l = turn.rbegin(); l != turn.rend(); ++l) {
    const std::size_t begin = g[l->load].index;
    if (l->state == state && leads_where(t, g.shortened(t, begin))) {
      return {finding::kind::turn, begin};
    }
    if (machine_.found()) return {finding::kind::goes_on};
  }
  if (!skip_retries_ || g[load].is_rmw) return {finding::kind::goes_on};
  const std::source_location next = machine_.pending(t)->where;
  for (std::size_t i = turn.size() - 1; i-- > 0;) {
    const std::source_location then = g[turn[i + 1].load].where;
    if (then.line() != next.line() || then.column() != next.column()) continue;
    if (!may_replace(turn[i], load)) continue;
    event_id source = g[load].source;
    graph shorter = g.shortened(t, g[turn[i].load].index + 1U, &source);
    shorter[shorter.thread(t).back()].source = source;
    if (leads_where(t, std::move(shorter))) return {finding::kind::retry};
    if (machine_.found()) break;
  }
  return {finding::kind::goes_on};
}

// The earlier load is of the same location and orders no more than the later one does.
bool graph_search::may_replace(const look& earlier, event_id load) const {
  const graph& g = machine_.events();
  const event& a = g[earlier.load];
  const event& b = g[load];
  if (a.location != b.location || a.is_rmw || a.fails || b.fails) return false;
  return (!acquires(a.order) || acquires(b.order)) && (!is_sc(a.order) || is_sc(b.order));
}

// Whether the thread is in the same state after the shorter execution. What was found out is that
// the machine is back in this one.
bool graph_search::leads_where(unsigned t, graph shorter) {
  graph& g = machine_.events();
  const graph whole = std::exchange(g, std::move(shorter));
  const event_id changed = std::exchange(changed_, initial);
  const bool is_possible = run_again(t, short_state_);
  g = whole;
  const bool is_back = run_again(t, long_state_);
  changed_ = changed;
  return is_possible && is_back && short_state_ == long_state_;
}

bool graph_search::run_again(unsigned t, std::vector<char>& state) {
  std::ranges::fill(standing_, standing::free);
  machine_.begin_execution();
  if (!repeat() || standing_[t] != standing::free) return false;
  machine_.save_state(t, state);
  return true;
}

// --- Loads that were there before ---

// The store of a read-modify-write whose source another one has taken: only a graph without that
// other one can have it.
void graph_search::try_taken(unsigned t, event_id source, std::uint64_t written) {
  graph& g = machine_.events();
  const std::size_t size = g.size();
  const event_id load = machine_.add_load(t, source);
  vector_clock before = machine_.before(t);
  vector_clock causes = machine_.causes(t);
  vector_clock message = machine_.released(t);
  ++before[t];
  ++causes[t];
  g[load].value = machine_.value_of(g[load].location, source);
  if (source != initial) {
    causes.join(g[source].causes);
    if (acquires(g[load].order)) before.join(g[source].message);
  }
  g[load].before = before;
  g[load].causes = causes;
  if (is_consistent()) {
    const event_id store = machine_.add_store(t, written, true);
    g.place(store, source);
    ++before[t];
    ++causes[t];
    if (releases(g[store].order)) message = before;
    if (source != initial) message.join(g[source].message);
    g[store].before = before;
    g[store].causes = causes;
    g[store].message = message;
    add_revisits(store);
  }
  g.truncate(size);
}

void graph_search::add_revisits(event_id store) {
  const graph& g = machine_.events();
  const vector_clock& causes = g[store].causes;
  event_id kept = initial;  // the oldest event so far that must not be taken away
  event_id checked = store;
  for (event_id load = g[store].previous_access; load != initial; load = g[load].previous_access) {
    // Ids fall along the chain: what is between was looked at for this load and for all older ones.
    for (event_id e = checked; e-- > load && kept == initial;) {
      if (!g.is_before(e, causes) && !g.is_maximal(e, causes)) kept = e;
    }
    checked = load;
    if (kept != initial) return;
    if (g[load].kind == event_kind::load && !g.is_before(load, causes)) add_revisit(load, store);
  }
}

void graph_search::add_revisit(event_id load, event_id store) {
  const graph& g = machine_.events();
  const location_id at = g[store].location;
  const graph base = g.restricted(load, store);
  const vector_clock& before_load = base[base.previous(load)].before;
  const vector_clock& before_store = base[base.previous(store)].before;
  const std::uint16_t oldest = base.rank_of(base.floor(at, before_load));
  const auto add = [&](event_id behind) {
    if (base.is_taken(at, behind)) return;
    auto revisited = std::make_unique<graph>(base);
    revisited->place(store, behind);
    // The load may read the store only if nothing newer happens before it.
    if (base.rank_of(behind) < oldest) return;
    if (base[load].is_weak && base[load].expected == base[store].value) {
      auto failing = std::make_unique<graph>(*revisited);
      (*failing)[load].fails = true;
      open_.push_back({alternative::kind::revisit, load, initial, 0, std::move(failing)});
    }
    open_.push_back({alternative::kind::revisit, load, initial, 0, std::move(revisited)});
  };
  if (base[store].is_rmw) {
    add(base[base.previous(store)].source);
    return;
  }
  for (event_id s = base.floor(at, before_store);; s = base.next_store(at, s)) {
    add(s);
    if (s == base.last_store(at)) break;
  }
}

// --- The end ---

// The thread whose load does not suit it would find the same again for ever.
bool graph_search::has_come_to_rest(unsigned t) const {
  const graph& g = machine_.events();
  const auto is_newest = [&](event_id load) {
    const event_id last = g.last_store(g[load].location);
    return g[load].source == last || (g[load].is_rmw && last == load + 1);
  };
  const event_id load = g.thread(t).back();
  if (machine_.pending(t)->waits != waiting::no) return is_newest(load);
  const finding* found = known_of(machine_.history_of_load(t));
  if (found == nullptr || found->what != finding::kind::turn) return false;
  for (std::size_t i = found->begin; i < g.thread(t).size(); ++i) {
    const event_id e = g.thread(t)[i];
    // A weak compare-exchange does not fail for no reason for ever.
    if (g[e].kind == event_kind::load && (!is_newest(e) || g[e].fails)) return false;
  }
  return true;
}

ending graph_search::finish() {
  const graph& g = machine_.events();
  bool all_ended = true;
  bool is_final = true;  // nobody would go on by looking again
  unsigned spinning = 0;
  for (unsigned t = 0; t < machine_.thread_count(); ++t) {
    if (machine_.pending(t) == nullptr) continue;
    all_ended = false;
    if (standing_[t] != standing::waits) continue;
    undone_.push_back(g.thread(t).back());
    if (machine_.pending(t)->waits == waiting::no) spinning |= 1U << t;
    is_final = is_final && has_come_to_rest(t);
  }
  if (all_ended) {
    machine_.check_end();
  } else if (is_final) {
    machine_.fail(describe_deadlock(machine_, spinning));
  }
  if (machine_.found()) return ending::failed;
  return all_ended ? ending::complete : ending::blocked;
}

}  // namespace ufence::lab
