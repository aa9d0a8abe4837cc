// The searches against a second opinion: random small programs, of which all candidate executions
// are enumerated and judged by the axioms. Each search must visit exactly those; the exhaustive one
// each exactly once.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "lab/engine/base_doubles.h"
#include "lab/engine/choosers.h"
#include "lab/engine/graph_search.h"
#include "lab/engine/linear.h"
#include "lab/engine/scenario.h"
#include "lab/engine/testing/axioms.h"
#include "lab/engine/text.h"
#include "ufence/base/atomic.h"

namespace ufence::lab {
namespace {

struct instruction {
  enum class kind { load, store, exchange, compare, await, fence } what;
  int location;
  int value;     // what is stored: different for each instruction
  int expected;  // compare, await
  std::memory_order order;

  [[nodiscard]] bool reads() const { return what != kind::store && what != kind::fence; }
  [[nodiscard]] bool may_write() const {
    return what == kind::store || what == kind::exchange || what == kind::compare;
  }
  [[nodiscard]] std::memory_order failure_order() const {
    return order == std::memory_order_seq_cst   ? std::memory_order_seq_cst
           : order == std::memory_order_acq_rel ? std::memory_order_acquire
           : order == std::memory_order_release ? std::memory_order_relaxed
                                                : order;
  }
};
using program = std::vector<std::vector<instruction>>;

std::string describe(const program& p) {
  std::ostringstream text;
  for (std::size_t t = 0; t < p.size(); ++t) {
    text << "T" << t + 1 << ":";
    for (const instruction& i : p[t]) {
      static constexpr const char* names[] = {"load",    "store", "exchange",
                                              "compare", "await", "fence"};
      text << " " << names[static_cast<int>(i.what)];
      if (i.location >= 0) text << " x" << i.location;
      if (i.what == instruction::kind::compare) text << " " << i.expected << "->" << i.value;
      if (i.what == instruction::kind::store || i.what == instruction::kind::exchange) {
        text << "=" << i.value;
      }
      if (i.what == instruction::kind::await) text << "==" << i.expected;
      text << " " << order_name(i.order) << ";";
    }
    text << "\n";
  }
  return text.str();
}

// An execution: for each reading instruction the value that it read, for each location the values
// in modification order. Values are unique, so this is the graph.
using signature = std::vector<int>;

// --- All candidate executions, judged by the axioms ---

class enumeration {
 public:
  enumeration(const program& p, int locations) : program_(p), locations_(locations) {
    for (int l = 0; l < locations; ++l) writers_.emplace_back(1, 0);
    for (const auto& thread : p) {
      for (const instruction& i : thread) {
        if (i.may_write()) writers_[static_cast<std::size_t>(i.location)].push_back(i.value);
        if (i.reads()) readers_.push_back(&i);
      }
    }
  }

  // How many ways for loads to choose.
  [[nodiscard]] double size() const {
    double n = 1;
    for (const instruction* r : readers_) n *= static_cast<double>(sources(*r).size());
    for (const auto& w : writers_) {
      for (std::size_t i = 2; i < w.size(); ++i) n *= static_cast<double>(i);
    }
    return n;
  }

  std::set<signature> run() {
    choose_read(0);
    return std::move(found_);
  }

 private:
  [[nodiscard]] const std::vector<int>& sources(const instruction& i) const {
    return writers_[static_cast<std::size_t>(i.location)];
  }

  void choose_read(std::size_t r) {
    if (r == readers_.size()) {
      orders_.clear();
      choose_order(0);
      return;
    }
    for (const int value : sources(*readers_[r])) {
      const instruction& i = *readers_[r];
      if (i.what == instruction::kind::await && value != i.expected) continue;
      if (value == i.value && i.may_write()) continue;  // itself
      read_[&i] = value;
      choose_read(r + 1);
    }
  }

  void choose_order(std::size_t location) {
    if (location == static_cast<std::size_t>(locations_)) {
      judge();
      return;
    }
    std::vector<int> order;
    for (const auto& thread : program_) {
      for (const instruction& i : thread) {
        if (i.location != static_cast<int>(location) || !writes(i)) continue;
        order.push_back(i.value);
      }
    }
    std::ranges::sort(order);
    do {
      orders_.push_back(order);
      choose_order(location + 1);
      orders_.pop_back();
    } while (std::ranges::next_permutation(order).found);
  }

  [[nodiscard]] bool writes(const instruction& i) const {
    if (i.what == instruction::kind::compare) return read_.at(&i) == i.expected;
    return i.may_write();
  }

  void judge() {
    std::vector<plain_event> events;
    std::map<int, std::size_t> position;  // of a store, by location * 1000 + value
    for (int l = 0; l < locations_; ++l) {
      position[l * 1000] = events.size();
      plain_event first;
      first.what = plain_event::kind::store;
      first.thread = -1;
      first.location = l;
      events.push_back(first);
    }
    std::vector<std::pair<std::size_t, int>> sources;
    for (std::size_t t = 0; t < program_.size(); ++t) {
      for (const instruction& i : program_[t]) {
        plain_event e;
        e.thread = static_cast<int>(t);
        e.location = i.location;
        e.order = i.order;
        if (i.what == instruction::kind::fence) {
          e.what = plain_event::kind::fence;
          events.push_back(e);
          continue;
        }
        e.is_rmw = i.reads() && writes(i);
        if (i.reads()) {
          if (i.what == instruction::kind::compare && !writes(i)) e.order = i.failure_order();
          sources.emplace_back(events.size(), i.location * 1000 + read_.at(&i));
          events.push_back(e);
        }
        if (writes(i)) {
          e.what = plain_event::kind::store;
          e.order = i.order;
          const auto& order = orders_[static_cast<std::size_t>(i.location)];
          e.rank = 1 + static_cast<std::size_t>(std::ranges::find(order, i.value) - order.begin());
          position[i.location * 1000 + i.value] = events.size();
          events.push_back(e);
        }
      }
    }
    for (const auto& [load, key] : sources) {
      if (!position.contains(key)) return;  // reads what is not written in this candidate
      events[load].source = position[key];
    }
    if (!is_consistent(events)) return;
    signature s;
    for (const instruction* r : readers_) s.push_back(read_.at(r));
    for (const auto& order : orders_) {
      s.push_back(-1);
      s.insert(s.end(), order.begin(), order.end());
    }
    found_.insert(s);
  }

  const program& program_;
  int locations_;
  std::vector<std::vector<int>> writers_;  // possible values of each location
  std::vector<const instruction*> readers_;
  std::map<const instruction*, int> read_;
  std::vector<std::vector<int>> orders_;
  std::set<signature> found_;
};

// --- The same program on model threads ---

void run_program(const program& p, int locations) {
  std::vector<std::unique_ptr<atomic<int>>> x;
  for (int l = 0; l < locations; ++l) {
    x.push_back(std::make_unique<atomic<int>>(0));
    lab::name(*x.back(), "x");
  }
  const auto body = [&](std::size_t t) {
    for (const instruction& i : p[t]) {
      if (i.what == instruction::kind::fence) {
        thread_fence(i.order);
        continue;
      }
      atomic<int>& at = *x[static_cast<std::size_t>(i.location)];
      int expected = i.expected;
      switch (i.what) {
        case instruction::kind::load: static_cast<void>(at.load(i.order)); break;
        case instruction::kind::store: at.store(i.value, i.order); break;
        case instruction::kind::exchange: at.exchange(i.value, i.order); break;
        case instruction::kind::compare:
          at.compare_exchange(expected, i.value, i.order, i.failure_order());
          break;
        case instruction::kind::await: await(at, ~0, i.expected, i.order); break;
        case instruction::kind::fence: break;
      }
    }
  };
  thread a("a", [&] { body(0); });
  thread b("b", [&] { body(1); });
  if (p.size() > 2) {
    thread c("c", [&] { body(2); });
    if (p.size() > 3) {
      thread d("d", [&] { body(3); });
    }
  }
}

signature signature_of(machine& m, const program& p, int locations) {
  const graph& g = m.events();
  const auto value = [&](event_id store) {
    return store == initial ? 0 : static_cast<int>(g[store].value);
  };
  signature s;
  std::vector<location_id> at(static_cast<std::size_t>(locations), no_location);
  for (unsigned t = 0; t < p.size(); ++t) {
    std::size_t position = 0;  // behind "begin"
    for (const instruction& i : p[t]) {
      const event_id id = g.thread(t + 1)[++position];
      if (i.location >= 0) at[static_cast<std::size_t>(i.location)] = g[id].location;
      if (i.reads()) {
        s.push_back(value(g[id].source));
        if (g[id].is_rmw) ++position;
      }
    }
  }
  for (int l = 0; l < locations; ++l) {
    s.push_back(-1);
    const location_id where = at[static_cast<std::size_t>(l)];
    if (where == no_location) continue;
    for (event_id w = g.next_store(where, initial); w != initial; w = g.next_store(where, w)) {
      s.push_back(value(w));
    }
  }
  return s;
}

std::map<signature, int> visited_exhaustively(const program& p, int locations) {
  std::map<signature, int> visited;
  machine m([&] { run_program(p, locations); });
  graph_search search(m);
  for (ending how{}; search.next(how);) {
    if (how == ending::failed && m.found().kind != failure::deadlock) {
      ADD_FAILURE() << m.found().text << "\n" << describe(p);
      break;
    }
    if (how == ending::complete) ++visited[signature_of(m, p, locations)];
  }
  return visited;
}

std::map<signature, int> visited_by_interleavings(const program& p, int locations) {
  std::map<signature, int> visited;
  machine m([&] { run_program(p, locations); });
  bounded_chooser all(bounded_chooser::unbounded, bounded_chooser::unbounded);
  constexpr int limit = 3'000;
  for (int n = 0; all.next_execution(); ++n) {
    if (n == limit) return {};
    if (run_linear(m, all) == ending::complete) ++visited[signature_of(m, p, locations)];
  }
  return visited;
}

// --- Random programs ---

// What is seq_cst: anything now and then; most of it; fences, and nothing else.
enum class sc_use { any, most, fences };

class generator {
 public:
  explicit generator(std::uint64_t seed) : random_(seed) {}

  program make(int locations, bool with_fences, sc_use sc) {
    program p(2 + below(3));
    const std::size_t longest = p.size() == 2 ? 4 : p.size() == 3 ? 3 : 2;
    std::vector<std::vector<int>> values(static_cast<std::size_t>(locations), std::vector<int>{0});
    int next = 1;
    for (auto& thread : p) {
      const std::size_t length = 1 + below(longest);
      for (std::size_t i = 0; i < length; ++i) {
        instruction in = instruction_of(locations, with_fences);
        in.value = next++;
        if (in.may_write()) values[static_cast<std::size_t>(in.location)].push_back(in.value);
        if (sc == sc_use::most) in.order = below(4) != 0 ? std::memory_order_seq_cst : in.order;
        if (sc == sc_use::fences) make_fences_sc(in);
        thread.push_back(in);
      }
    }
    for (auto& thread : p) {
      for (instruction& i : thread) {
        if (i.location < 0) continue;
        const auto& v = values[static_cast<std::size_t>(i.location)];
        i.expected = v[below(v.size())];
      }
    }
    return p;
  }

 private:
  std::size_t below(std::size_t n) { return random_() % n; }

  static void make_fences_sc(instruction& i) {
    const bool is_fence = i.what == instruction::kind::fence;
    if (is_fence) i.order = std::memory_order_seq_cst;
    if (!is_fence && i.order == std::memory_order_seq_cst) i.order = std::memory_order_relaxed;
  }

  instruction instruction_of(int locations, bool with_fences) {
    using enum instruction::kind;
    static constexpr instruction::kind kinds[] = {load,     load,    store, store,
                                                  exchange, compare, await};
    static constexpr std::memory_order any[] = {
        std::memory_order_relaxed, std::memory_order_acquire, std::memory_order_release,
        std::memory_order_acq_rel, std::memory_order_seq_cst};
    instruction i{};
    if (with_fences && below(4) == 0) {
      i.what = fence;
      i.location = -1;
      i.order = any[1 + below(4)];
      return i;
    }
    i.what = kinds[below(std::size(kinds))];
    i.location = static_cast<int>(below(static_cast<std::size_t>(locations)));
    i.order = any[below(std::size(any))];
    const bool is_rmw = i.what == exchange || i.what == compare;
    if (!is_rmw && i.order == std::memory_order_acq_rel) i.order = std::memory_order_seq_cst;
    if (i.what == store && i.order == std::memory_order_acquire)
      i.order = std::memory_order_release;
    if ((i.what == load || i.what == await) && i.order == std::memory_order_release) {
      i.order = std::memory_order_acquire;
    }
    return i;
  }

  std::mt19937_64 random_;
};

std::set<signature> keys(const std::map<signature, int>& of) {
  std::set<signature> result;
  for (const auto& [s, n] : of) result.insert(s);
  return result;
}

void compare(std::uint64_t seed, int programs, bool with_fences, sc_use sc) {
  use_lab_memory();
  constexpr double candidates_max = 1000;
  generator make(seed);
  int compared = 0;
  int interleaved = 0;
  for (int n = 0; n < programs; ++n) {
    const int locations = 1 + n % 3;
    const program p = make.make(locations, with_fences, sc);
    enumeration all(p, locations);
    if (all.size() > candidates_max) continue;
    ++compared;
    const std::set<signature> expected = all.run();
    const std::map<signature, int> visited = visited_exhaustively(p, locations);
    ASSERT_EQ(keys(visited), expected) << describe(p);
    for (const auto& [s, times] : visited) ASSERT_EQ(times, 1) << describe(p);
    const std::map<signature, int> interleavings = visited_by_interleavings(p, locations);
    if (interleavings.empty()) continue;
    ++interleaved;
    ASSERT_EQ(keys(interleavings), expected) << describe(p);
  }
  EXPECT_GT(compared, programs / 3);
  EXPECT_GT(interleaved, programs / 6);
}

TEST(crosscheck, searches_visit_what_the_axioms_allow) { compare(1, 250, false, sc_use::any); }
TEST(crosscheck, searches_visit_what_the_axioms_allow_with_sc) {
  compare(2, 250, false, sc_use::most);
}
TEST(crosscheck, searches_visit_what_the_axioms_allow_with_fences) {
  compare(3, 250, true, sc_use::any);
}
TEST(crosscheck, searches_visit_what_the_axioms_allow_with_fences_as_the_only_sc) {
  compare(4, 400, true, sc_use::fences);
}

}  // namespace
}  // namespace ufence::lab
