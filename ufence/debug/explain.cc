// Which thread or fence waits for which, from a waiter to what everything hangs on.
#include <algorithm>
#include <utility>

#include "ufence/debug/graph.h"
#include "ufence/debug/snapshot.h"

namespace ufence::debug {

namespace {

// Tarjan's strongly connected components, with a stack of its own: chains may be long.
class component_search {
 public:
  explicit component_search(const graph& g) : graph_(g), place_(g.size(), 0), low_(g.size(), 0) {}

  // Components of more than one node, and single nodes that wait for themselves.
  std::vector<std::vector<std::uint32_t>> circles() {
    for (std::uint32_t n = 0; n < graph_.size(); ++n) {
      if (place_[n] == 0) search_from(n);
    }
    return std::move(found_);
  }

 private:
  struct step {
    std::uint32_t node;
    std::size_t next_edge = 0;
  };

  void enter(std::uint32_t n) {
    place_[n] = low_[n] = ++count_;
    open_.push_back(n);
    steps_.push_back({.node = n});
  }

  void search_from(std::uint32_t first) {
    enter(first);
    while (!steps_.empty()) {
      step& at = steps_.back();
      const std::uint32_t n = at.node;
      const auto& out = graph_.out(n);
      if (at.next_edge < out.size()) {
        const std::uint32_t to = out[at.next_edge++].to;
        if (place_[to] == 0) {
          enter(to);
        } else {
          low_[n] = std::min(low_[n], place_[to]);  // closed ones have the highest place
        }
        continue;
      }
      steps_.pop_back();
      if (!steps_.empty()) {
        const std::uint32_t parent = steps_.back().node;
        low_[parent] = std::min(low_[parent], low_[n]);
      }
      if (low_[n] == place_[n]) close(n);
    }
  }

  void close(std::uint32_t n) {
    std::vector<std::uint32_t> members;
    for (;;) {
      const std::uint32_t m = open_.back();
      open_.pop_back();
      place_[m] = closed;
      members.push_back(m);
      if (m == n) break;
    }
    const auto waits_for_itself = [&] {
      return std::ranges::any_of(graph_.out(n), [n](const edge& e) { return e.to == n; });
    };
    if (members.size() == 1 && !waits_for_itself()) return;
    std::ranges::reverse(members);
    found_.push_back(std::move(members));
  }

  static constexpr std::uint32_t closed = UINT32_MAX;
  const graph& graph_;
  std::vector<std::uint32_t> place_;  // 0: not seen
  std::vector<std::uint32_t> low_;
  std::uint32_t count_ = 0;
  std::vector<std::uint32_t> open_;
  std::vector<step> steps_;
  std::vector<std::vector<std::uint32_t>> found_;
};

}  // namespace

graph::graph(const snapshot& of, bool with_guesses) : out_(of.nodes.size()), in_(of.nodes.size()) {
  for (const edge& e : of.edges) {
    if (e.from >= size() || e.to >= size() || (e.is_guess && !with_guesses)) continue;
    out_[e.from].push_back(e);
    in_[e.to].push_back(e);
  }
}

void find_causes(snapshot& of) {
  // A guess counts where nothing that is sure says what the node waits for.
  const graph sure(of, false);
  std::erase_if(of.edges, [&](const edge& e) {
    return e.from >= of.nodes.size() || e.to >= of.nodes.size() ||
           (e.is_guess && !sure.out(e.from).empty());
  });
  const graph all(of, true);
  of.circles = component_search(all).circles();
  for (const auto& circle : of.circles) {
    for (const std::uint32_t n : circle) {
      node& member = of.nodes[n];
      if (member.kind == node_kind::fence) member.why = cause::circle;
    }
  }
}

std::vector<std::uint32_t> roots_of(const snapshot& of, std::uint32_t start) {
  if (start >= of.nodes.size()) return {};
  const graph all(of, true);
  std::vector<std::uint32_t> circle_of(of.nodes.size(), UINT32_MAX);
  for (std::uint32_t c = 0; c < of.circles.size(); ++c) {
    for (const std::uint32_t n : of.circles[c]) circle_of[n] = c;
  }
  std::vector<bool> seen(of.nodes.size(), false);
  std::vector<bool> circle_is_told(of.circles.size(), false);
  std::vector<std::uint32_t> roots;
  std::vector<std::uint32_t> to_do{start};
  seen[start] = true;
  while (!to_do.empty()) {
    const std::uint32_t n = to_do.back();
    to_do.pop_back();
    const std::uint32_t c = circle_of[n];
    if (c != UINT32_MAX && !circle_is_told[c]) {
      circle_is_told[c] = true;
      roots.push_back(n);
    }
    // An edge that is only guessed does not make it wait.
    const bool waits = std::ranges::any_of(all.out(n), [](const edge& e) { return !e.is_guess; });
    if (!waits && c == UINT32_MAX) roots.push_back(n);
    for (const edge& e : all.out(n)) {
      if (seen[e.to]) continue;
      seen[e.to] = true;
      to_do.push_back(e.to);
    }
  }
  return roots;
}

std::vector<std::uint32_t> waiters_in(const snapshot& of) {
  std::vector<std::uint32_t> threads;
  for (std::uint32_t n = 0; n < of.nodes.size(); ++n) {
    if (sleeps(of.nodes[n])) threads.push_back(n);
  }
  std::ranges::sort(threads, [&of](std::uint32_t a, std::uint32_t b) {
    const std::int64_t age_a = of.nodes[a].age_ns, age_b = of.nodes[b].age_ns;
    return age_a != age_b ? age_a > age_b : a < b;
  });
  const graph all(of, true);
  std::vector<bool> seen(of.nodes.size(), false);
  const auto mark_below = [&](std::uint32_t start) {
    std::vector<std::uint32_t> to_do{start};
    seen[start] = true;
    while (!to_do.empty()) {
      const std::uint32_t n = to_do.back();
      to_do.pop_back();
      for (const edge& e : all.out(n)) {
        if (!seen[e.to]) {
          seen[e.to] = true;
          to_do.push_back(e.to);
        }
      }
    }
  };
  for (const std::uint32_t n : threads) mark_below(n);
  std::vector<std::uint32_t> found = threads;
  // The nodes that are waited for, though by nobody that is listed here: the tops first, then circles.
  for (const bool only_tops : {true, false}) {
    for (std::uint32_t n = 0; n < of.nodes.size(); ++n) {
      const bool is_waited_for = !of.nodes[n].callbacks.empty() || !all.out(n).empty();
      if (seen[n] || of.nodes[n].kind != node_kind::fence || !is_waited_for) continue;
      if (only_tops && !all.in(n).empty()) continue;
      found.push_back(n);
      mark_below(n);
    }
  }
  return found;
}

}  // namespace ufence::debug
