#include "lab/engine/graph_search.h"

#include <algorithm>
#include <utility>

namespace ufence::lab {

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
  if (next.what == alternative::kind::revisit) {
    levels_.push_back({std::move(g), std::move(open_)});
    g = std::move(*next.revisited);
    open_.clear();
    return;
  }
  g.truncate(next.id + std::size_t{1});
  switch (next.what) {
    case alternative::kind::source: g[next.id].source = next.store; break;
    case alternative::kind::place:
      g.displace(next.id);
      g.place(next.id, next.store);
      break;
    default: g[next.id].value = next.value; break;
  }
}

ending graph_search::run() {
  std::ranges::fill(standing_, standing::free);
  undone_.clear();
  pruned_ = false;
  machine_.begin_execution();
  if (!repeat()) return pruned_ ? ending::pruned : ending::failed;
  return extend();
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
  if (op.what == action::pause) {
    machine_.end_turn(t);
    return go_on(t);
  }
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
  const bool writes = machine_.writes(t, g[id].source, written);
  const bool collapsed = collapses(t);
  if (!machine_.enact(id)) return false;
  if (id == changed_ && !is_consistent()) return give_up();
  if (!suits(t, g[id].value, collapsed)) {
    standing_[t] = collapsed ? standing::retries : standing::waits;
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
    bool went_on = false;
    // A store that belongs to a load goes first.
    for (unsigned t = 0; t < machine_.thread_count() && !went_on; ++t) {
      if (standing_[t] != standing::stores) continue;
      went_on = true;
      const graph& g = machine_.events();
      const event_id load = g.thread(t).back();
      std::uint64_t written = 0;
      standing_[t] = standing::free;
      if (!machine_.writes(t, g[load].source, written) || !add_rmw_store(t, written))
        return pruned_ ? ending::pruned : ending::failed;
    }
    for (unsigned t = 0; t < machine_.thread_count() && !went_on; ++t) {
      const operation* op = machine_.pending(t);
      if (op == nullptr || standing_[t] != standing::free) continue;
      if (op->what == action::join && !machine_.has_ended(static_cast<unsigned>(op->operand))) {
        continue;
      }
      went_on = true;
      if (!extend_thread(t)) return pruned_ ? ending::pruned : ending::failed;
    }
    if (!went_on) return finish();
  }
}

bool graph_search::extend_thread(unsigned t) {
  const operation& op = *machine_.pending(t);
  if (op.reads()) return add_load(t);
  if (op.what == action::store) return add_store(t);
  if (op.what == action::pause) return add_pause(t);
  return add_other(t);
}

// A compare-exchange of a retry loop that fails leads to a turn that begins where an earlier load
// of the same turn could have read the newer value at once: that execution is visited, with fewer
// events, and so stands for this one. (Not if the earlier load acquires and the failing one does
// not.)
bool graph_search::collapses(unsigned t) const {
  const operation& op = *machine_.pending(t);
  if (op.what != action::compare || !op.is_weak || !machine_.is_retry_loop(op.where)) return false;
  const graph& g = machine_.events();
  const location_id at = machine_.locate(t);
  const std::vector<event_id>& turn = machine_.turn(t);
  for (auto load = turn.rbegin(); load != turn.rend(); ++load) {
    const event& e = g[*load];
    if (e.location != at) continue;
    return e.value == op.expected && (!acquires(e.order) || acquires(op.failure_order));
  }
  return false;
}

bool graph_search::suits(unsigned t, std::uint64_t value, bool collapsed) const {
  const operation& op = *machine_.pending(t);
  return collapsed ? value == op.expected : op.accepts(value);
}

// Something newer was there before it: it is not what the thread finds in the end, and no new store
// will be read instead (graph::is_maximal).
bool graph_search::is_out_of_date(event_id load) const {
  const graph& g = machine_.events();
  const event& e = g[load];
  for (event_id s = g.next_store(e.location, e.source); s != initial; s = g[s].next_store) {
    if (s < load) return true;
  }
  return false;
}

bool graph_search::add_load(unsigned t) {
  graph& g = machine_.events();
  const location_id at = machine_.locate(t);
  const bool collapsed = collapses(t);
  const event_id newest = g.last_store(at);
  std::vector<event_id> options;
  for (event_id s = g.floor(at, machine_.before(t));; s = g.next_store(at, s)) {
    std::uint64_t written = 0;
    const bool fits = suits(t, machine_.value_of(at, s), collapsed);
    if (fits && machine_.writes(t, s, written) && g.is_taken(at, s)) {
      try_taken(t, s, written);
    } else if (fits || s == newest) {
      options.push_back(s);
    }
    if (s == newest) break;
  }
  // A retry that nothing can help any more: another execution stands for this one.
  if (collapsed && !suits(t, machine_.value_of(at, newest), true) &&
      std::ranges::any_of(machine_.turn(t), [&](event_id l) { return is_out_of_date(l); })) {
    options.pop_back();
    if (options.empty()) return give_up();
  }
  const event_id load = machine_.add_load(t, options.back());
  options.pop_back();
  for (const event_id s : options) {
    open_.push_back({alternative::kind::source, load, s, 0, nullptr});
  }
  if (!machine_.enact(load)) return false;
  if (!is_consistent()) return give_up();
  if (!suits(t, g[load].value, collapsed)) {
    standing_[t] = collapsed ? standing::retries : standing::waits;
    return true;
  }
  std::uint64_t written = 0;
  if (machine_.writes(t, g[load].source, written)) return add_rmw_store(t, written);
  return go_on(t);
}

bool graph_search::add_rmw_store(unsigned t, std::uint64_t value) {
  graph& g = machine_.events();
  const event_id store = machine_.add_store(t, value, true);
  g.place(store, g[g.previous(store)].source);
  if (!machine_.enact(store)) return false;
  add_revisits(store);
  if (!is_consistent()) return give_up();
  return go_on(t);
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

// A turn without effect would only repeat itself until one of its loads reads something newer, and
// that execution is visited with the newer store read at once: the thread stays here.
bool graph_search::add_pause(unsigned t) {
  const std::vector<event_id>& turn = machine_.turn(t);
  if (!machine_.turn_is_pure(t) || turn.empty()) {
    machine_.end_turn(t);
    return go_on(t);
  }
  if (std::ranges::any_of(turn, [&](event_id l) { return is_out_of_date(l); })) return give_up();
  standing_[t] = standing::spins;
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

ending graph_search::finish() {
  const graph& g = machine_.events();
  bool all_ended = true;
  bool is_final = true;  // nobody would go on by looking again
  const auto is_newest = [&](event_id load) {
    return g[load].source == g.last_store(g[load].location);
  };
  for (unsigned t = 0; t < machine_.thread_count(); ++t) {
    if (machine_.pending(t) == nullptr) continue;
    all_ended = false;
    switch (standing_[t]) {
      case standing::waits:
        undone_.push_back(g.thread(t).back());
        is_final = is_final && is_newest(g.thread(t).back());
        break;
      case standing::spins:
        is_final = is_final && std::ranges::all_of(machine_.turn(t), is_newest);
        break;
      case standing::retries: is_final = false; break;
      default: break;
    }
  }
  if (all_ended) {
    machine_.check_end();
  } else if (is_final) {
    machine_.fail(describe_deadlock(machine_));
  }
  if (machine_.found()) return ending::failed;
  return all_ended ? ending::complete : ending::blocked;
}

}  // namespace ufence::lab
