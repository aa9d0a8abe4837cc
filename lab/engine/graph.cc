#include "lab/engine/graph.h"

#include <bit>

namespace ufence::lab {
namespace {

bool is_access(const event& e) noexcept {
  return e.kind == event_kind::load || e.kind == event_kind::store;
}

}  // namespace

void graph::count_sc(const event& e, int change) noexcept {
  if (!is_sc(e.order)) return;
  if (is_access(e)) sc_events_ += change;
  if (e.kind == event_kind::fence) {
    sc_events_ += change;
    sc_fences_ += change;
  }
}

event_id graph::add(const event& e) {
  const auto id = static_cast<event_id>(events_.size());
  event& added = events_.emplace_back(e);
  added.index = static_cast<std::uint16_t>(threads_[e.thread].size());
  threads_[e.thread].push_back(id);
  count_sc(added, 1);
  if (is_access(added)) {
    if (heads_.size() <= added.location) heads_.resize(added.location + 1);
    heads& h = heads_[added.location];
    added.previous_access = h.last_access;
    h.last_access = id;
  }
  return id;
}

void graph::renumber(location_id at, event_id from) noexcept {
  std::uint16_t rank = rank_of(from);
  for (event_id s = next_store(at, from); s != initial; s = events_[s].next_store) {
    events_[s].rank = ++rank;
  }
}

void graph::place(event_id store, event_id behind) noexcept {
  event& e = events_[store];
  heads& h = heads_[e.location];
  e.next_store = next_store(e.location, behind);
  if (behind == initial) {
    h.first_store = store;
  } else {
    events_[behind].next_store = store;
  }
  if (h.last_store == behind) {
    h.last_store = store;
    e.rank = static_cast<std::uint16_t>(rank_of(behind) + 1);
  } else {
    renumber(e.location, behind);
  }
}

void graph::displace(event_id store) noexcept {
  event& e = events_[store];
  heads& h = heads_[e.location];
  event_id previous = initial;
  if (h.first_store == store) {
    h.first_store = e.next_store;
  } else {
    previous = h.first_store;
    while (events_[previous].next_store != store) previous = events_[previous].next_store;
    events_[previous].next_store = e.next_store;
  }
  if (h.last_store == store) {
    h.last_store = previous;
  } else {
    renumber(e.location, previous);
  }
}

void graph::remove_last() noexcept {
  const auto id = static_cast<event_id>(events_.size() - 1);
  const event& e = events_[id];
  if (e.kind == event_kind::store) {
    displace(id);
    if (e.is_rmw) events_[previous(id)].is_rmw = false;
  }
  if (is_access(e)) heads_[e.location].last_access = e.previous_access;
  count_sc(e, -1);
  threads_[e.thread].pop_back();
  events_.pop_back();
}

void graph::truncate(std::size_t n) noexcept {
  while (events_.size() > n) remove_last();
}

event_id graph::floor(location_id at, const vector_clock& before) const noexcept {
  event_id result = initial;
  std::uint16_t rank = 0;
  for (event_id a = heads_of(at).last_access; a != initial; a = events_[a].previous_access) {
    if (!is_before(a, before)) continue;
    const event_id store = events_[a].kind == event_kind::store ? a : events_[a].source;
    if (rank_of(store) > rank) {
      rank = rank_of(store);
      result = store;
    }
  }
  return result;
}

bool graph::is_maximal(event_id id, const vector_clock& causes_of_last) const noexcept {
  const auto last = static_cast<event_id>(events_.size() - 1);
  const auto is_previous = [&](event_id other) {
    return other <= id || (other != last && is_before(other, causes_of_last));
  };
  const event& e = events_[id];
  if (e.kind == event_kind::choice) return e.value == 0;
  if (!is_access(e)) return true;
  if (e.fails) return false;
  const event_id store = e.kind == event_kind::store ? id : e.source;
  if (store != initial && !is_previous(store)) return false;
  const std::uint16_t rank = rank_of(store);
  for (event_id a = heads_of(e.location).last_access; a != initial;
       a = events_[a].previous_access) {
    if (!is_previous(a)) continue;
    const event& other = events_[a];
    if (other.kind == event_kind::store ? other.rank > rank
                                        : e.kind == event_kind::store && other.source == id) {
      return false;
    }
  }
  return true;
}

graph graph::shortened(unsigned t, std::size_t n, event_id* kept) const {
  graph result;
  std::vector<event_id> renamed(events_.size(), initial);
  const auto is_left_out = [&](event_id id) {
    return events_[id].thread == t && events_[id].index >= n;
  };
  result.heads_.reserve(heads_.size());
  for (event_id id = 0; id < events_.size(); ++id) {
    if (!is_left_out(id)) renamed[id] = result.add(events_[id]);
  }
  const auto store_kept = [&](event_id store) {
    // Each event that is left out wrote the value that it had read.
    while (store != initial && is_left_out(store)) store = events_[previous(store)].source;
    return store == initial ? initial : renamed[store];
  };
  for (event& e : result.events_) {
    if (e.kind == event_kind::load) e.source = store_kept(e.source);
  }
  if (kept != nullptr) *kept = store_kept(*kept);
  for (location_id at = 0; at < heads_.size(); ++at) {
    event_id behind = initial;
    for (event_id s = heads_[at].first_store; s != initial; s = events_[s].next_store) {
      if (is_left_out(s)) continue;
      result.place(renamed[s], behind);
      behind = renamed[s];
    }
  }
  return result;
}

graph graph::restricted(event_id& load, event_id& store) const {
  graph result;
  const vector_clock& causes = events_[store].causes;
  std::vector<event_id> renamed(events_.size(), initial);
  result.events_.reserve(events_.size());
  result.heads_.reserve(heads_.size());
  for (event_id id = 0; id < events_.size(); ++id) {
    if (id <= load || is_before(id, causes)) renamed[id] = result.add(events_[id]);
  }
  for (event& e : result.events_) {
    if (e.kind == event_kind::load && e.source != initial) e.source = renamed[e.source];
  }
  // The stores that remain, in their old order; the new one is placed by the caller.
  for (location_id at = 0; at < heads_.size(); ++at) {
    event_id behind = initial;
    for (event_id s = heads_[at].first_store; s != initial; s = events_[s].next_store) {
      if (s == store || renamed[s] == initial) continue;
      result.place(renamed[s], behind);
      behind = renamed[s];
    }
  }
  load = renamed[load];
  store = renamed[store];
  result.events_[load].source = store;
  result.events_[load].is_rmw = false;
  result.events_[store].rank = 0;
  return result;
}

// --- The partial SC order ---

bool graph::is_sc_consistent() const {
  if (sc_fences_ == 0) return is_sc_consistent_without_fences();
  return sc_fences_ == sc_events_ ? is_sc_consistent_among_fences()
                                  : is_sc_consistent_with_fences();
}

// Without SC fences psc relates SC accesses only:
//   sb | (sb to another location; hb; sb from another location) | hb of one location | mo | fr
bool graph::is_sc_consistent_without_fences() const {
  std::vector<event_id> nodes;
  for (event_id id = 0; id < events_.size(); ++id) {
    if (is_sc(events_[id].order) && is_access(events_[id])) nodes.push_back(id);
  }
  // For each node, what the middle form starts and ends with.
  std::vector<event_id> after(nodes.size(), initial);
  std::vector<event_id> ahead(nodes.size(), initial);
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    const event& e = events_[nodes[i]];
    const std::vector<event_id>& thread = threads_[e.thread];
    for (std::size_t k = e.index + 1U; k < thread.size() && after[i] == initial; ++k) {
      if (events_[thread[k]].location != e.location) after[i] = thread[k];
    }
    for (std::size_t k = e.index; k > 0 && ahead[i] == initial; --k) {
      if (events_[thread[k - 1]].location != e.location) ahead[i] = thread[k - 1];
    }
  }
  const auto is_edge = [&](std::size_t i, std::size_t k) {
    const event& a = events_[nodes[i]];
    const event& b = events_[nodes[k]];
    if (a.thread == b.thread) return a.index < b.index;
    if (a.location == b.location) {
      if (is_before(nodes[i], b.before)) return true;
      if (b.kind == event_kind::store) {
        const event_id from = a.kind == event_kind::store ? nodes[i] : a.source;
        if (rank_of(from) < b.rank) return true;
      }
    }
    return after[i] != initial && ahead[k] != initial &&
           is_before(after[i], events_[ahead[k]].before);
  };
  // Takes away nodes without a predecessor until none is left, or a cycle is.
  std::vector<bool> gone(nodes.size());
  for (std::size_t left = nodes.size(); left != 0;) {
    const std::size_t old_left = left;
    for (std::size_t k = 0; k < nodes.size(); ++k) {
      if (gone[k]) continue;
      bool is_first = true;
      for (std::size_t i = 0; i < nodes.size() && is_first; ++i) {
        is_first = gone[i] || i == k || !is_edge(i, k);
      }
      if (is_first) {
        gone[k] = true;
        --left;
      }
    }
    if (left == old_left) return false;
  }
  return true;
}

}  // namespace ufence::lab
