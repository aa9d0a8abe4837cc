#include "lab/engine/testing/axioms.h"

#include "lab/engine/relation.h"

namespace ufence::lab {
namespace {

using kind = plain_event::kind;

bool at_least_acquire(std::memory_order o) {
  return o == std::memory_order_acquire || o == std::memory_order_acq_rel ||
         o == std::memory_order_seq_cst;
}
bool at_least_release(std::memory_order o) {
  return o == std::memory_order_release || o == std::memory_order_acq_rel ||
         o == std::memory_order_seq_cst;
}

class execution {
 public:
  explicit execution(const std::vector<plain_event>& events)
      : e_(events), n_(events.size()), sb_(n_), rf_(n_), mo_(n_), fr_(n_), rmw_(n_) {
    for (std::size_t a = 0; a < n_; ++a) {
      for (std::size_t b = 0; b < n_; ++b) relate(a, b);
    }
  }

  bool is_consistent() const {
    relation sb_rf = sb_;
    sb_rf |= rf_;
    if (!sb_rf.is_acyclic()) return false;  // load buffering: out of scope
    const relation hb = happens_before();
    relation communication = rf_;
    communication |= mo_;
    communication |= fr_;
    const relation eco = communication.closure();
    if (!hb.is_irreflexive() || !hb.then(eco).is_irreflexive()) return false;
    const relation between = fr_.then(mo_);
    for (std::size_t a = 0; a < n_; ++a) {
      for (std::size_t b = 0; b < n_; ++b) {
        if (rmw_.has(a, b) && between.has(a, b)) return false;
      }
    }
    return psc(hb, eco).is_acyclic();
  }

 private:
  void relate(std::size_t a, std::size_t b) {
    const plain_event& x = e_[a];
    const plain_event& y = e_[b];
    if (a == b) return;
    if ((x.thread == y.thread && x.thread >= 0 && a < b) || (x.thread < 0 && y.thread >= 0)) {
      sb_.add(a, b);
    }
    if (x.thread == y.thread && b == a + 1 && x.is_rmw && x.what == kind::load) rmw_.add(a, b);
    if (x.location != y.location || x.location < 0) return;
    const bool x_stores = x.what == kind::store;
    const bool y_stores = y.what == kind::store;
    if (x_stores && !y_stores && y.source == a) rf_.add(a, b);
    if (x_stores && y_stores && x.rank < y.rank) mo_.add(a, b);
    if (!x_stores && y_stores && x.source != b && e_[x.source].rank < y.rank) fr_.add(a, b);
  }

  template <class Predicate>
  relation only(Predicate holds) const {
    relation result(n_);
    for (std::size_t a = 0; a < n_; ++a) {
      if (holds(e_[a])) result.add(a, a);
    }
    return result;
  }

  relation happens_before() const {
    const relation stores = only([](const plain_event& x) { return x.what == kind::store; });
    const relation fences = only([](const plain_event& x) { return x.what == kind::fence; });
    const relation releasing = only([](const plain_event& x) {
      return x.what != kind::load && x.thread >= 0 && at_least_release(x.order);
    });
    const relation acquiring = only(
        [](const plain_event& x) { return x.what != kind::store && at_least_acquire(x.order); });
    const relation sequence = stores.then(rf_.then(rmw_).closure().or_self());
    const relation sw = releasing.then(fences.then(sb_).or_self())
                            .then(sequence)
                            .then(rf_)
                            .then(sb_.then(fences).or_self())
                            .then(acquiring);
    relation hb = sb_;
    hb |= sw;
    return hb.closure();
  }

  relation psc(const relation& hb, const relation& eco) const {
    relation same(n_), elsewhere(n_);
    for (std::size_t a = 0; a < n_; ++a) {
      for (std::size_t b = 0; b < n_; ++b) {
        const bool is_same = e_[a].location >= 0 && e_[a].location == e_[b].location;
        if (sb_.has(a, b) && !is_same) elsewhere.add(a, b);
        if (hb.has(a, b) && is_same) same.add(a, b);
      }
    }
    relation scb = sb_;
    scb |= elsewhere.then(hb).then(elsewhere);
    scb |= same;
    scb |= mo_;
    scb |= fr_;
    const relation all = only(
        [](const plain_event& x) { return x.order == std::memory_order_seq_cst && x.thread >= 0; });
    const relation fences = only([](const plain_event& x) {
      return x.what == kind::fence && x.order == std::memory_order_seq_cst;
    });
    relation left = fences.then(hb.or_self());
    left |= all;
    relation right = hb.or_self().then(fences);
    right |= all;
    relation result = left.then(scb).then(right);
    relation fence_part = hb.then(eco).then(hb);
    fence_part |= hb;
    result |= fences.then(fence_part).then(fences);
    return result;
  }

  const std::vector<plain_event>& e_;
  std::size_t n_;
  relation sb_, rf_, mo_, fr_, rmw_;
};

}  // namespace

bool is_consistent(const std::vector<plain_event>& events) {
  return execution(events).is_consistent();
}

}  // namespace ufence::lab
