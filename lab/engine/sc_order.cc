// The partial SC order with stand-alone SC fences.
#include <algorithm>

#include "lab/engine/graph.h"
#include "lab/engine/relation.h"

namespace ufence::lab {

// Among fences the formulas below come to this: f is before g if it happens-before it, or before an
// access x that is before an access y of the same location by extended coherence, and y
// happens-before g. For a location only the first of the x counts, in modification order; for g
// only the first y of each thread.
bool graph::is_sc_consistent_among_fences() const {
  constexpr std::uint16_t none = UINT16_MAX;
  std::vector<event_id> fences;
  std::vector<event_id> accesses;
  for (std::size_t e = 0; e < events_.size(); ++e) {
    const event& x = events_[e];
    if (x.kind == event_kind::fence && is_sc(x.order)) fences.push_back(static_cast<event_id>(e));
    if (x.location != no_location) accesses.push_back(static_cast<event_id>(e));
  }
  struct first_ranks {
    std::uint16_t stored;
    std::uint16_t read;
  };
  std::vector<first_ranks> first(heads_.size());
  relation order(fences.size());
  for (std::size_t i = 0; i < fences.size(); ++i) {
    const event& f = events_[fences[i]];
    std::ranges::fill(first, first_ranks{none, none});
    for (const event_id a : accesses) {
      const event& x = events_[a];
      if (x.before[f.thread] <= f.index) continue;
      std::uint16_t& rank =
          x.kind == event_kind::store ? first[x.location].stored : first[x.location].read;
      rank = std::min(rank, x.kind == event_kind::store ? x.rank : rank_of(x.source));
    }
    std::array<std::uint16_t, max_threads> reached;
    reached.fill(none);
    for (const event_id a : accesses) {
      const event& y = events_[a];
      const bool is_store = y.kind == event_kind::store;
      const auto [stored, read] = first[y.location];
      const std::uint16_t rank = is_store ? y.rank : rank_of(y.source);
      // A reader of the store itself comes behind it; of what a load read, only what replaced that.
      const bool is_behind = (is_store ? stored < rank : stored <= rank) || read < rank;
      if (is_behind) reached[y.thread] = std::min(reached[y.thread], y.index);
    }
    for (std::size_t k = 0; k < fences.size(); ++k) {
      const event& g = events_[fences[k]];
      bool is_ordered = k != i && g.before[f.thread] > f.index;
      for (std::size_t t = 0; t < max_threads && !is_ordered; ++t) {
        is_ordered = reached[t] < g.before[t];
      }
      if (is_ordered) order.add(i, k);
    }
  }
  return order.is_acyclic();
}

// Fences and accesses: the formulas of RC11 as they stand. Only models of other designs have both,
// so this may be slow.
bool graph::is_sc_consistent_with_fences() const {
  const std::size_t n = events_.size();
  relation hb(n), sb(n), sb_elsewhere(n), eco(n), scb(n);
  for (std::size_t a = 0; a < n; ++a) {
    const event& x = events_[a];
    for (std::size_t b = 0; b < n; ++b) {
      const event& y = events_[b];
      if (a == b) continue;
      const bool same_place = x.location == y.location && x.location != no_location;
      if (x.thread == y.thread && x.index < y.index) {
        sb.add(a, b);
        if (!same_place) sb_elsewhere.add(a, b);
      }
      if (is_before(static_cast<event_id>(a), y.before)) {
        hb.add(a, b);
        if (same_place) scb.add(a, b);
      }
      if (!same_place) continue;
      if (y.kind == event_kind::store) {
        const event_id from = x.kind == event_kind::store ? static_cast<event_id>(a) : x.source;
        if (rank_of(from) < y.rank) {  // modification order, from-read
          eco.add(a, b);
          scb.add(a, b);
        }
      } else if (x.kind == event_kind::store && y.source == a) {
        eco.add(a, b);
      }
    }
  }
  scb |= sb;
  scb |= sb_elsewhere.then(hb).then(sb_elsewhere);

  relation sc_access(n), sc_fence(n);
  for (std::size_t a = 0; a < n; ++a) {
    const event& x = events_[a];
    if (!is_sc(x.order)) continue;
    if (x.kind == event_kind::fence) {
      sc_fence.add(a, a);
    } else if (x.kind == event_kind::load || x.kind == event_kind::store) {
      sc_access.add(a, a);
    }
  }
  const relation hb_or_self = hb.or_self();
  relation from = sc_fence.then(hb_or_self);
  from |= sc_access;
  from |= sc_fence;
  relation to = hb_or_self.then(sc_fence);
  to |= sc_access;
  relation psc = from.then(scb).then(to);
  relation between_fences = hb.then(eco.closure()).then(hb);
  between_fences |= hb;
  psc |= sc_fence.then(between_fences).then(sc_fence);
  return psc.is_acyclic();
}

}  // namespace ufence::lab
