#include "lab/engine/linear.h"

#include <algorithm>
#include <bit>

#include "lab/engine/text.h"

namespace ufence::lab {
namespace {

// Whether the SC order allows the pending access with this source (or place).
bool sc_allows(machine& m, unsigned t, event_id source, bool fails) {
  graph& g = m.events();
  const operation& op = *m.pending(t);
  if (!is_sc(op.order) && !is_sc(op.failure_order) && !g.has_sc_fences()) return true;
  const std::size_t size = g.size();
  vector_clock before = m.before(t);
  const auto set_before = [&](event_id id) {
    ++before[t];
    g[id].before = before;
  };
  bool must_check = false;
  if (op.reads()) {
    const event_id load = m.add_load(t, source, fails);
    if (source != initial && acquires(g[load].order)) before.join(g[source].message);
    set_before(load);
    must_check = g.must_check_sc(g[load].order);
  }
  std::uint64_t written = 0;
  if (!op.reads() || (m.writes(t, source, written) && !fails)) {
    const event_id store = m.add_store(t, written, op.reads());
    g.place(store, source);
    set_before(store);
    must_check |= g.must_check_sc(g[store].order);
  }
  const bool allowed = !must_check || g.is_sc_consistent();
  g.truncate(size);
  return allowed;
}

// The thread is where it was before, and would only look again at what it saw since: the newest
// stores. Judged by its stack alone; linear_run::go_round() looks closer.
bool goes_round_in_vain(machine& m, unsigned t) {
  const operation& op = *m.pending(t);
  const std::vector<look>& turn = m.turn(t);
  if (!op.reads() || turn.empty()) return false;
  const graph& g = m.events();
  const std::uint64_t state = m.stack_state(t);
  std::size_t looks = 0;
  for (auto l = turn.rbegin(); l != turn.rend(); ++l, ++looks) {
    const event& e = g[l->load];
    const event_id last = g.last_store(e.location);
    if (e.fails) break;
    if (e.source != last && !(e.is_rmw && last == l->load + 1)) break;
    if (l->state == state) return true;
  }
  constexpr std::size_t very_often = 200;
  return looks >= very_often;
}

// A trace tells the numbers of threads that are not started by the main thread, in that order.
unsigned usual_child(unsigned parent, unsigned started_before) noexcept {
  return parent == 0 ? started_before + 1 : 0;
}

class linear_run {
 public:
  linear_run(machine& m, chooser& choose, std::string* trace)
      : machine_(m), choose_(choose), trace_(trace) {}

  ending run() {
    machine_.events().clear();
    machine_.begin_execution();
    if (trace_ != nullptr) trace_->clear();
    for (;;) {
      if (const unsigned t = choose_.looks(machine_); t < max_threads) {
        look_in_vain(t);
        continue;
      }
      const unsigned ready = find_ready(choose_.wants_all());
      if (ready == 0) {
        const unsigned spinning = find_ready(true) & ~idle_;
        if (spinning == 0) return end(find_ready(true));
        if (!go_round(static_cast<unsigned>(std::countr_zero(spinning)))) return gave_up();
        continue;
      }
      const unsigned t = choose_.thread(machine_, ready);
      if (choose_.gives_up()) return ending::pruned;
      idle_ = 0;
      if (!let(t)) return gave_up();
    }
  }

 private:
  [[nodiscard]] ending gave_up() const {
    return machine_.found() ? ending::failed : ending::pruned;
  }

  [[nodiscard]] unsigned find_ready(bool all) {
    unsigned ready = 0;
    for (unsigned t = 0; t < machine_.thread_count(); ++t) {
      if (machine_.pending(t) == nullptr || !is_ready(t)) continue;
      if (all || !goes_round_in_vain(machine_, t)) ready |= 1U << t;
    }
    return ready;
  }

  [[nodiscard]] bool is_ready(unsigned t) {
    const operation& op = *machine_.pending(t);
    if (op.what == action::join) return machine_.has_ended(static_cast<unsigned>(op.operand));
    return op.waits == waiting::no || !options_of(t).empty();
  }

  // Nobody else can go on. Once more round the loop, with what is newest: a thread that is then in
  // the same state, with all of its memory, does so for ever. These steps are in no trace.
  bool go_round(unsigned t) {
    constexpr int steps_max = 300;
    const std::uint64_t state = machine_.stack_state(t);
    machine_.save_state(t, before_);
    for (int i = 0; i < steps_max; ++i) {
      if (!let(t, true)) return false;
      const operation* op = machine_.pending(t);
      if (op == nullptr || machine_.turn(t).empty()) break;  // it went on
      if (!op->reads() || machine_.stack_state(t) != state) continue;
      machine_.save_state(t, after_);
      if (before_ == after_) idle_ |= 1U << t;
      return true;
    }
    idle_ = 0;
    return true;
  }

  ending end(unsigned spinning) {
    bool all_ended = true;
    for (unsigned t = 0; t < machine_.thread_count(); ++t) {
      all_ended = all_ended && machine_.pending(t) == nullptr;
    }
    if (all_ended) {
      machine_.check_end();
    } else {
      problem p = describe_deadlock(machine_, spinning);
      if (!p) return ending::blocked;
      machine_.fail(std::move(p));
    }
    return machine_.found() ? ending::failed : ending::complete;
  }

  // The stores that the pending access may read or, for a store, stand behind, newest first. A
  // waiting load may only read what suits it.
  [[nodiscard]] std::vector<event_id> options_of(unsigned t) {
    graph& g = machine_.events();
    const operation& op = *machine_.pending(t);
    const location_id at = machine_.locate(t);
    const event_id looked_at = looked_at_[t];
    std::vector<event_id> options;
    for (event_id s = g.floor(at, machine_.before(t));; s = g.next_store(at, s)) {
      bool fits = !op.reads() || op.accepts(machine_.value_of(at, s));
      if (looked_at != initial && g.rank_of(s) <= g.rank_of(looked_at)) fits = false;
      if (fits && (may_take(t, s) || may_fail(t, s))) options.push_back(s);
      if (s == g.last_store(at)) break;
    }
    std::ranges::reverse(options);
    return options;
  }

  [[nodiscard]] bool may_take(unsigned t, event_id s) {
    const operation& op = *machine_.pending(t);
    std::uint64_t written = 0;
    const bool displaces = !op.reads() || machine_.writes(t, s, written);
    if (displaces && machine_.events().is_taken(machine_.locate(t), s)) return false;
    return sc_allows(machine_, t, s, false);
  }
  // A weak compare-exchange that would succeed.
  [[nodiscard]] bool may_fail(unsigned t, event_id s) {
    const operation& op = *machine_.pending(t);
    std::uint64_t written = 0;
    return op.what == action::compare && op.is_weak && machine_.writes(t, s, written) &&
           sc_allows(machine_, t, s, true);
  }

  void look_in_vain(unsigned t) {
    looked_at_[t] = machine_.events().last_store(machine_.locate(t));
    note(static_cast<char>('A' + t), 0);
  }

  void note(char who, std::uint64_t number, bool fails = false) {
    if (trace_ == nullptr) return;
    *trace_ += who;
    if (number != 0) *trace_ += std::to_string(number);
    if (fails) *trace_ += '!';
  }

  // The thread does its pending operation and goes on to the next one; `alone`: with what is
  // newest, and nobody is asked. False: a failure.
  bool let(unsigned t, bool alone = false) {
    const operation& op = *machine_.pending(t);
    if (op.what == action::pause) return machine_.go_on(t);
    if (op.reads() || op.what == action::store) {
      graph& g = machine_.events();
      const location_id at = machine_.locate(t);
      const event_id newest = g.last_store(at);
      std::vector<event_id> options = options_of(t);
      if (options.empty()) return true;
      // Old values that would suit may as well be missed.
      const bool may_miss = options.front() != newest && op.waits != waiting::no;
      if (may_miss) options.insert(options.begin(), newest);
      const event_id chosen = options[options.size() == 1 || alone
                                          ? 0
                                          : choose_.store(machine_, options, g.rank_of(newest))];
      if (may_miss && chosen == newest) {
        look_in_vain(t);
        return true;
      }
      const bool fails = op.reads() && may_fail(t, chosen) &&
                         (!may_take(t, chosen) || (!alone && choose_.fails()));
      if (!alone) {
        note(static_cast<char>('a' + t),
             static_cast<std::uint64_t>(g.rank_of(newest) - g.rank_of(chosen)), fails);
      }
      if (!(op.reads() ? load(t, chosen, fails) : store(t, chosen))) return false;
    } else {
      const bool is_choice = op.what == action::choice;
      const std::uint64_t number = is_choice && !alone ? choose_.number(op.operand) : 0;
      if (op.what == action::spawn) {
        const unsigned usual = usual_child(t, machine_.started_threads(t));
        if (const unsigned child = choose_.started(usual); child != 0) {
          machine_.number_next_thread(t, child);
        }
        const unsigned child = machine_.next_child(t);
        note(static_cast<char>('a' + t), child == usual ? 0 : child);
      } else if (!alone) {
        note(static_cast<char>('a' + t), number);
      }
      if (!machine_.enact(machine_.add_other(t, is_choice ? number : op.operand))) return false;
    }
    if (!alone) choose_.done();
    looked_at_[t] = initial;
    return machine_.has_ended(t) || machine_.go_on(t);
  }

  bool load(unsigned t, event_id source, bool fails) {
    std::uint64_t written = 0;
    const bool writes = machine_.writes(t, source, written) && !fails;
    if (!machine_.enact(machine_.add_load(t, source, fails))) return false;
    if (!writes) return true;
    const event_id store = machine_.add_store(t, written, true);
    machine_.events().place(store, source);
    return machine_.enact(store);
  }

  bool store(unsigned t, event_id behind) {
    const event_id store = machine_.add_store(t, machine_.pending(t)->operand, false);
    machine_.events().place(store, behind);
    return machine_.enact(store);
  }

  machine& machine_;
  chooser& choose_;
  std::string* trace_;
  unsigned idle_ = 0;  // a bit for each thread that was seen to go round for ever
  std::vector<char> before_;
  std::vector<char> after_;
  // The store that a waiting thread looked at in vain: it waits for something newer.
  std::array<event_id, max_threads> looked_at_ = [] {
    std::array<event_id, max_threads> none;
    none.fill(initial);
    return none;
  }();
};

}  // namespace

ending run_linear(machine& m, chooser& choose, std::string* trace) {
  return linear_run(m, choose, trace).run();
}

problem describe_deadlock(machine& m, unsigned spinning) {
  failure kind = failure::deadlock;
  std::string text;
  for (unsigned t = 0; t < m.thread_count(); ++t) {
    const operation* op = m.pending(t);
    if (op == nullptr) continue;
    if (op->may_expire || m.was_woken(t)) return {};
    std::string why = "waits";
    if (op->what == action::join) {
      why = "waits for the end of " + m.name_of(static_cast<unsigned>(op->operand));
    } else if ((spinning >> t & 1) != 0) {
      why = "spins";
      if (kind != failure::lost_wakeup) kind = failure::livelock;
    } else if (op->waits == waiting::sleep) {
      why = "sleeps";
      kind = failure::lost_wakeup;
    } else if (op->waits == waiting::lock) {
      why = "waits for a lock";
    } else if (op->waits == waiting::condition) {
      why = "waits for a condition";
    }
    if (!text.empty()) text += "; ";
    text += m.name_of(t) + " " + why + " at " + place_name(op->where);
  }
  return {kind, text + ": nobody can go on"};
}

std::string trace_of(machine& m, const std::vector<event_id>& undone) {
  graph& g = m.events();
  std::string trace;
  std::vector<event_id> stores;  // those that happened so far
  std::array<unsigned, max_threads> started{};
  for (const event_id id : m.order()) {
    const event& e = g[id];
    if (std::ranges::find(undone, id) != undone.end()) {
      // One that goes round in a loop needs not be told.
      if (m.pending(e.thread)->waits != waiting::no) trace += static_cast<char>('A' + e.thread);
      continue;
    }
    if (e.kind == event_kind::store && e.is_rmw) {
      stores.push_back(id);
      continue;
    }
    std::uint64_t number = 0;
    if (e.kind == event_kind::load || e.kind == event_kind::store) {
      const std::uint16_t rank = e.kind == event_kind::load ? g.rank_of(e.source) : e.rank;
      number = static_cast<std::uint64_t>(std::ranges::count_if(
          stores, [&](event_id s) { return g[s].location == e.location && g[s].rank > rank; }));
      if (e.kind == event_kind::store) stores.push_back(id);
    } else if (e.kind == event_kind::choice) {
      number = e.value;
    } else if (e.kind == event_kind::spawn) {
      if (e.value != usual_child(e.thread, started[e.thread]++)) number = e.value;
    }
    trace += static_cast<char>('a' + e.thread);
    if (number != 0) trace += std::to_string(number);
    if (e.fails) trace += '!';
  }
  return trace;
}

}  // namespace ufence::lab
