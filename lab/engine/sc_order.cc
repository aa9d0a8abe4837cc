// The partial SC order with stand-alone SC fences: the formulas of RC11 as they stand. Only models
// of other designs use fences; so this may be slow.
#include "lab/engine/graph.h"
#include "lab/engine/relation.h"

namespace ufence::lab {

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
