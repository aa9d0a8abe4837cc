// Random small programs with loops, guards and retries against a second opinion: all that each
// thread may do is written down with guessed values, all ways to combine that are judged by the
// axioms. A loop that only waits is written down by the turn that ends it, and by one that never
// does; the searches run it as it is.
//
//   UFENCE_LAB_PROGRAMS=10000 lab_loops_crosscheck_test     more programs
//   UFENCE_LAB_FIRST=17                                     from this one on
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "lab/engine/base_doubles.h"
#include "lab/engine/failure.h"
#include "lab/engine/graph_search.h"
#include "lab/engine/machine.h"
#include "lab/engine/scenario.h"
#include "lab/engine/testing/axioms.h"
#include "lab/engine/text.h"
#include "ufence/base/atomic.h"

namespace ufence::lab {
namespace {

constexpr int values = 16;    // 0 to 15
constexpr int closed = 7;     // what a lock by exchange holds while it is taken
constexpr int looks_max = 2;  // of a spin that counts

enum class kind {
  load,      // result: the value
  store,     // value
  add,       // 1; result: the old value
  exchange,  // value; result: the old one
  compare,   // expected -> value; result: the old value, and 100 more if it won
  weak,      // the same, weak
  fence,
  spin,        // until location is expected
  spin_two,    // until location is expected or other is value
  bounded,     // the same as spin, but looks at most looks_max times; result: how often in vain
  retry,       // adds 1 by a weak compare-exchange in a loop; result: the old value
  counted,     // the same, but tries twice at most; result: how often in vain
  enter,       // until exchange(closed) finds it open; result: what was there
  guard,       // the rest is only done if location is expected
  spin_both,   // until location is expected and other is value
  saturating,  // spin; result: how often in vain, at most looks_max
  parity,      // spin; result: whether in vain an odd number of times
  previous,    // spin; result: what was read last before it ended, -1 nothing
  sticky,      // spin; result: whether other was value in some turn
  stable,      // until location is the same before and after other; result: both
  same_word,   // until location is expected or value; result: which
  by_compare,  // until compare-exchange from expected to value succeeds
  fenced,      // spin, with a fence in each turn
  nested,      // until exchange(closed), tried whenever location is not closed, finds it open
  inner,       // waits until location is not expected, then adds 1 to that or begins anew
};
struct statement {
  kind what;
  int location;
  int other;
  int value;
  int expected;
  std::memory_order order;
  bool pauses;
};
using program = std::vector<std::vector<statement>>;

bool has_other(kind what) {
  return what == kind::spin_two || what == kind::spin_both || what == kind::sticky ||
         what == kind::stable;
}

std::memory_order failure_of(std::memory_order order) {
  switch (order) {
    case std::memory_order_seq_cst: return std::memory_order_seq_cst;
    case std::memory_order_acq_rel:
    case std::memory_order_acquire: return std::memory_order_acquire;
    default: return std::memory_order_relaxed;
  }
}
std::memory_order load_of(std::memory_order order) { return failure_of(order); }

std::string describe(const program& p) {
  static constexpr std::array names{"load",       "store",      "add",      "exchange", "compare",
                                    "weak",       "fence",      "spin",     "spin_two", "bounded",
                                    "retry",      "counted",    "enter",    "guard",    "spin_both",
                                    "saturating", "parity",     "previous", "sticky",   "stable",
                                    "same_word",  "by_compare", "fenced",   "nested",   "inner"};
  std::ostringstream text;
  for (std::size_t t = 0; t < p.size(); ++t) {
    text << "T" << t + 1 << ":";
    for (const statement& s : p[t]) {
      text << " " << names[static_cast<std::size_t>(s.what)] << " x" << s.location;
      if (has_other(s.what)) text << " x" << s.other;
      text << " value " << s.value << " expected " << s.expected << " " << order_name(s.order)
           << (s.pauses ? " pauses;" : ";");
    }
    text << "\n";
  }
  return text.str();
}

// --- What a thread may do, with guessed values ---

struct deed {
  plain_event event;
  int value = 0;           // read or written
  bool is_newest = false;  // a load of the last turn of a loop that does not end
};
constexpr std::size_t stories_max = 1000;  // of one thread: with more a program is left out
struct story {
  std::vector<deed> deeds;
  std::vector<int> results;
  bool is_stuck = false;
};

class storyteller {
 public:
  storyteller(const std::vector<statement>& body, int thread, const std::vector<std::set<int>>& of)
      : body_(body), thread_(thread), values_of_(of) {}
  std::vector<story> all() {
    tell(0, {});
    return std::move(told_);
  }

 private:
  static deed access(plain_event::kind what, int thread, int location, std::memory_order order,
                     int value, bool is_rmw = false) {
    deed d;
    d.event.what = what;
    d.event.thread = thread;
    d.event.location = location;
    d.event.order = order;
    d.event.is_rmw = is_rmw;
    d.value = value;
    return d;
  }
  void read(story& s, int at, std::memory_order order, int v, bool is_newest = false) const {
    s.deeds.push_back(access(plain_event::kind::load, thread_, at, order, v));
    s.deeds.back().is_newest = is_newest;
  }
  void change(story& s, int at, std::memory_order order, int from, int to) const {
    s.deeds.push_back(access(plain_event::kind::load, thread_, at, order, from, true));
    s.deeds.push_back(access(plain_event::kind::store, thread_, at, order, to, true));
  }
  template <class Then>
  void each(int location, Then then) {
    for (const int v : values_of_[static_cast<std::size_t>(location)]) then(v);
  }
  void stuck(story s) {
    s.is_stuck = true;
    told_.push_back(std::move(s));
  }

  void tell(std::size_t i, story s) {
    if (told_.size() > stories_max) return;
    if (i == body_.size()) {
      told_.push_back(std::move(s));
      return;
    }
    const statement& in = body_[i];
    const auto go_on = [&](story next, int result) {
      next.results.push_back(result);
      tell(i + 1, std::move(next));
    };
    const int at = in.location;
    switch (in.what) {
      case kind::load:
      case kind::guard:
        each(at, [&](int v) {
          story next = s;
          read(next, at, in.order, v);
          if (in.what == kind::guard && v != in.expected) {
            told_.push_back(std::move(next));
          } else {
            go_on(std::move(next), v);
          }
        });
        break;
      case kind::store: {
        story next = s;
        next.deeds.push_back(access(plain_event::kind::store, thread_, at, in.order, in.value));
        go_on(std::move(next), 0);
        break;
      }
      case kind::add:
      case kind::exchange:
        each(at, [&](int v) {
          story next = s;
          const int to = in.what == kind::add ? v + 1 : in.value;
          if (to >= values) return;
          change(next, at, in.order, v, to);
          go_on(std::move(next), v);
        });
        break;
      case kind::compare:
      case kind::weak:
        each(at, [&](int v) {
          if (v != in.expected || in.what == kind::weak) {
            story next = s;
            read(next, at, failure_of(in.order), v);
            go_on(std::move(next), v);
          }
          if (v == in.expected) {
            story next = s;
            change(next, at, in.order, v, in.value);
            go_on(std::move(next), v + 100);
          }
        });
        break;
      case kind::fence: {
        story next = s;
        next.deeds.push_back(access(plain_event::kind::fence, thread_, -1, in.order, 0));
        go_on(std::move(next), 0);
        break;
      }
      case kind::spin:
        each(at, [&](int v) {
          story next = s;
          read(next, at, in.order, v, v != in.expected);
          v == in.expected ? go_on(std::move(next), 0) : stuck(std::move(next));
        });
        break;
      case kind::spin_two:
        each(at, [&](int v) {
          story first = s;
          read(first, at, in.order, v, v != in.expected);
          if (v == in.expected) {
            go_on(std::move(first), 1);
            return;
          }
          each(in.other, [&](int w) {
            story next = first;
            read(next, in.other, in.order, w, w != in.value);
            if (w == in.value) {
              next.deeds[next.deeds.size() - 2].is_newest = false;
              go_on(std::move(next), 2);
            } else {
              stuck(std::move(next));
            }
          });
        });
        break;
      case kind::bounded: look(i, s, 0); break;
      case kind::retry:
      case kind::counted:
        each(at, [&](int v) {
          story next = s;
          read(next, at, load_of(in.order), v);
          attempt(i, std::move(next), v, 0);
        });
        break;
      case kind::enter:
        each(at, [&](int v) {
          story next = s;
          if (v == closed) {
            read(next, at, in.order, v, true);
            stuck(std::move(next));
          } else {
            change(next, at, in.order, v, closed);
            go_on(std::move(next), v);
          }
        });
        break;
      case kind::stable:
      case kind::by_compare:
      case kind::nested:
      case kind::inner: tell_of_tries(i, s); break;
      default: tell_of_turns(i, s); break;
    }
  }

  // Parts of the stories of the loops below.
  void go_on(std::size_t i, story next, int result) {
    next.results.push_back(result);
    tell(i + 1, std::move(next));
  }
  void end(std::size_t i, story next, int result) {
    read(next, body_[i].location, body_[i].order, body_[i].expected);
    go_on(i, std::move(next), result);
  }
  template <class Then>
  void in_vain(std::size_t i, const story& from, Then then) {
    each(body_[i].location, [&](int v) {
      if (v == body_[i].expected) return;
      story next = from;
      read(next, body_[i].location, body_[i].order, v);
      then(std::move(next), v);
    });
  }
  void hang(std::size_t i, const story& s, int other_end) {
    each(body_[i].location, [&](int v) {
      if (v == body_[i].expected || v == other_end) return;
      story next = s;
      read(next, body_[i].location, body_[i].order, v, true);
      stuck(std::move(next));
    });
  }

  // Loops that are told by their last turn, and by those before it that show.
  void tell_of_turns(std::size_t i, const story& s) {
    const statement& in = body_[i];
    const int at = in.location;
    if (in.what != kind::sticky && in.what != kind::spin_both) {
      hang(i, s, in.what == kind::same_word ? in.value : in.expected);
      end(i, s, in.what == kind::previous ? -1 : in.what == kind::same_word ? 1 : 0);
    }
    switch (in.what) {
      case kind::spin_both:
        in_vain(i, s, [&](story next, int) {
          next.deeds.back().is_newest = true;
          stuck(std::move(next));
        });
        each(in.other, [&](int w) {
          story next = s;
          read(next, at, in.order, in.expected, w != in.value);
          read(next, in.other, in.order, w, w != in.value);
          w == in.value ? go_on(i, std::move(next), 0) : stuck(std::move(next));
        });
        break;
      case kind::saturating:
        in_vain(i, s, [&](const story& one, int) {
          end(i, one, 1);
          in_vain(i, one, [&](const story& two, int) { end(i, two, looks_max); });
        });
        break;
      case kind::parity: in_vain(i, s, [&](const story& one, int) { end(i, one, 1); }); break;
      case kind::previous: in_vain(i, s, [&](const story& one, int v) { end(i, one, v); }); break;
      case kind::same_word:
        in_vain(i, s, [&](story next, int) {
          read(next, at, in.order, in.value);
          go_on(i, std::move(next), 2);
        });
        break;
      case kind::sticky:
        end(i, s, 0);
        in_vain(i, s, [&](const story& one, int) {
          each(in.other, [&](int w) {
            story next = one;
            read(next, in.other, in.order, w);
            if (w == in.value) end(i, next, 1);
            next.deeds.back().is_newest = true;
            next.deeds[next.deeds.size() - 2].is_newest = true;
            stuck(std::move(next));
          });
        });
        break;
      default: break;
    }
  }

  // Loops that are told by the try that succeeds.
  void tell_of_tries(std::size_t i, const story& s) {
    const statement& in = body_[i];
    const int at = in.location;
    each(at, [&](int v) {
      story next = s;
      switch (in.what) {
        case kind::stable:
          each(in.other, [&](int w) {
            story then = s;
            read(then, at, in.order, v);
            read(then, in.other, in.order, w);
            read(then, at, in.order, v);
            go_on(i, std::move(then), v * values + w);
          });
          return;
        case kind::by_compare:
          if (v == in.expected) {
            change(next, at, in.order, v, in.value);
            go_on(i, std::move(next), 0);
            return;
          }
          read(next, at, failure_of(in.order), v, true);
          break;
        default: {
          const bool waits = v == (in.what == kind::nested ? closed : in.expected);
          read(next, at, load_of(in.order), v, waits);
          if (waits) break;
          if (in.what == kind::inner) {
            if (v + 1 == values) return;
            change(next, at, in.order, v, v + 1);
            go_on(i, std::move(next), v);
            return;
          }
          each(at, [&](int w) {
            if (w == closed) return;
            story then = next;
            change(then, at, in.order, w, closed);
            go_on(i, std::move(then), w);
          });
          return;
        }
      }
      stuck(std::move(next));
    });
  }

  void look(std::size_t i, const story& s, int in_vain) {
    const statement& in = body_[i];
    if (in_vain == looks_max) {
      story next = s;
      next.results.push_back(in_vain);
      tell(i + 1, std::move(next));
      return;
    }
    each(in.location, [&](int v) {
      story next = s;
      read(next, in.location, in.order, v);
      if (v != in.expected) {
        look(i, next, in_vain + 1);
        return;
      }
      next.results.push_back(in_vain);
      tell(i + 1, std::move(next));
    });
  }

  // One compare-exchange of a loop. Of those that do not count the failures one is told.
  void attempt(std::size_t i, const story& s, int old, int in_vain) {
    const statement& in = body_[i];
    const bool counts = in.what == kind::counted;
    if (old + 1 < values) {
      story won = s;
      change(won, in.location, in.order, old, old + 1);
      won.results.push_back(counts ? in_vain : old);
      tell(i + 1, std::move(won));
    }
    if (in_vain == (counts ? 2 : 1)) return;
    each(in.location, [&](int v) {
      story next = s;
      read(next, in.location, failure_of(in.order), v);
      if (counts && in_vain == 1) {
        next.results.push_back(2);
        tell(i + 1, std::move(next));
      } else {
        attempt(i, next, v, in_vain + 1);
      }
    });
  }

  const std::vector<statement>& body_;
  int thread_;
  const std::vector<std::set<int>>& values_of_;
  std::vector<story> told_;
};

// --- All combinations that the axioms allow ---

struct opinion {
  std::set<std::vector<std::int64_t>> outcomes;
  bool may_hang = false;
};

class judge {
 public:
  judge(const program& p, int locations) : program_(p), locations_(locations) {
    // Which values a location may have at all.
    std::vector<std::set<int>> of(static_cast<std::size_t>(locations), std::set<int>{0});
    for (int round = 0; round < 4; ++round) {
      for (const auto& thread : p) {
        for (const statement& s : thread) add_values(s, of);
      }
    }
    for (std::size_t t = 0; t < p.size(); ++t) {
      stories_.push_back(storyteller(p[t], static_cast<int>(t), of).all());
    }
  }

  // False: too many to look at.
  bool run(opinion& of) {
    for (const auto& told : stories_) {
      if (told.size() > stories_max) return false;
    }
    opinion_ = &of;
    combine(0);
    return !is_too_much();
  }

 private:
  // Of what the axioms judge, and of what is put together for that.
  static constexpr int candidates_max = 400;
  static constexpr int steps_max = 30'000;
  [[nodiscard]] bool is_too_much() const {
    return candidates_ > candidates_max || steps_ > steps_max;
  }

  static void add_values(const statement& s, std::vector<std::set<int>>& of) {
    std::set<int>& here = of[static_cast<std::size_t>(s.location)];
    switch (s.what) {
      case kind::store:
      case kind::exchange:
      case kind::compare:
      case kind::weak:
      case kind::by_compare: here.insert(s.value); break;
      case kind::enter:
      case kind::nested: here.insert(closed); break;
      case kind::add:
      case kind::inner:
      case kind::retry:
      case kind::counted:
        for (const int v : std::set<int>(here)) {
          if (v + 1 < values) here.insert(v + 1);
        }
        break;
      default: break;
    }
  }

  void combine(std::size_t t) {
    ++steps_;
    if (is_too_much()) return;
    if (t < stories_.size()) {
      for (const story& s : stories_[t]) {
        chosen_.push_back(&s);
        combine(t + 1);
        chosen_.pop_back();
      }
      return;
    }
    deeds_.clear();
    for (int l = 0; l < locations_; ++l) {
      deed first;
      first.event.what = plain_event::kind::store;
      first.event.thread = -1;
      first.event.location = l;
      deeds_.push_back(first);
    }
    for (const story* s : chosen_) deeds_.insert(deeds_.end(), s->deeds.begin(), s->deeds.end());
    order_stores(0);
  }

  void order_stores(int location) {
    ++steps_;
    if (location == locations_) {
      choose_sources(0);
      return;
    }
    std::vector<std::size_t> stores;
    for (std::size_t i = static_cast<std::size_t>(locations_); i < deeds_.size(); ++i) {
      const plain_event& e = deeds_[i].event;
      if (e.what == plain_event::kind::store && e.location == location) stores.push_back(i);
    }
    // Each value that is read there must be written; before all orders are gone through.
    for (const deed& d : deeds_) {
      if (d.event.what != plain_event::kind::load || d.event.location != location) continue;
      const auto writes = [&](std::size_t i) { return deeds_[i].value == d.value; };
      if (d.value != 0 && std::ranges::none_of(stores, writes)) return;
    }
    do {
      for (std::size_t r = 0; r < stores.size(); ++r) deeds_[stores[r]].event.rank = r + 1;
      order_stores(location + 1);
      if (is_too_much()) return;
    } while (std::ranges::next_permutation(stores).found);
  }

  void choose_sources(std::size_t i) {
    ++steps_;
    if (is_too_much()) return;
    if (i == deeds_.size()) {
      decide();
      return;
    }
    deed& d = deeds_[i];
    if (d.event.what != plain_event::kind::load) {
      choose_sources(i + 1);
      return;
    }
    for (std::size_t s = 0; s < deeds_.size(); ++s) {
      const deed& from = deeds_[s];
      if (from.event.what != plain_event::kind::store || from.value != d.value ||
          from.event.location != d.event.location) {
        continue;
      }
      if (d.event.is_rmw && from.event.rank + 1 != deeds_[i + 1].event.rank) continue;
      if (d.is_newest && from.event.rank != newest_rank(d.event.location)) continue;
      d.event.source = s;
      choose_sources(i + 1);
    }
  }

  [[nodiscard]] std::size_t newest_rank(int location) const {
    std::size_t rank = 0;
    for (const deed& d : deeds_) {
      if (d.event.what == plain_event::kind::store && d.event.location == location) {
        rank = std::max(rank, d.event.rank);
      }
    }
    return rank;
  }

  void decide() {
    ++candidates_;
    std::vector<plain_event> events;
    for (const deed& d : deeds_) events.push_back(d.event);
    if (!is_consistent(events)) return;
    if (std::ranges::any_of(chosen_, [](const story* s) { return s->is_stuck; })) {
      opinion_->may_hang = true;
      return;
    }
    std::vector<std::int64_t> outcome;
    for (std::size_t t = 0; t < chosen_.size(); ++t) {
      const std::vector<int>& results = chosen_[t]->results;
      outcome.insert(outcome.end(), results.begin(), results.end());
      outcome.insert(outcome.end(), program_[t].size() - results.size(), -1);
    }
    for (int l = 0; l < locations_; ++l) {
      for (const deed& d : deeds_) {
        if (d.event.what == plain_event::kind::store && d.event.location == l &&
            d.event.rank == newest_rank(l)) {
          outcome.push_back(d.value);
        }
      }
    }
    opinion_->outcomes.insert(outcome);
  }

  const program& program_;
  int locations_;
  std::vector<std::vector<story>> stories_;
  std::vector<const story*> chosen_;
  std::vector<deed> deeds_;
  int candidates_ = 0;
  int steps_ = 0;
  opinion* opinion_ = nullptr;
};

// --- The same program on model threads ---

std::int64_t perform_turns(const statement& in, atomic<int>& at, atomic<int>& other) {
  std::int64_t out = 0;
  const auto pause = [&] {
    if (in.pauses) spin_pause();
  };
  switch (in.what) {
    case kind::spin_both:
      while (at.load(in.order) != in.expected || other.load(in.order) != in.value) pause();
      break;
    case kind::saturating:
      while (at.load(in.order) != in.expected) {
        if (out < looks_max) ++out;
        pause();
      }
      break;
    case kind::parity:
      while (at.load(in.order) != in.expected) {
        out ^= 1;
        pause();
      }
      break;
    case kind::previous:
      out = -1;
      for (int v; (v = at.load(in.order)) != in.expected; pause()) out = v;
      break;
    case kind::sticky:
      while (at.load(in.order) != in.expected) {
        if (other.load(in.order) == in.value) out = 1;
        pause();
      }
      break;
    case kind::stable:
      for (;;) {
        const int v = at.load(in.order);
        out = v * values + other.load(in.order);
        if (at.load(in.order) == v) break;
        pause();
      }
      break;
    case kind::same_word:
      for (;; pause()) {
        if (at.load(in.order) == in.expected) return 1;
        if (at.load(in.order) == in.value) return 2;
      }
    case kind::by_compare:
      for (int old = in.expected;
           !at.compare_exchange(old, in.value, in.order, failure_of(in.order)); old = in.expected) {
        pause();
      }
      break;
    case kind::fenced:
      while (at.load(in.order) != in.expected) {
        thread_fence(mo::seq_cst);
        pause();
      }
      break;
    case kind::nested:
      do {
        while (at.load(load_of(in.order)) == closed) pause();
      } while ((out = at.exchange(closed, in.order)) == closed);
      break;
    case kind::inner:
      for (;;) {
        int old = 0;
        while ((old = at.load(load_of(in.order))) == in.expected) pause();
        out = old;
        if (at.compare_exchange_weak(old, old + 1, in.order, failure_of(in.order))) break;
      }
      break;
    default: break;
  }
  return out;
}

void perform(const std::vector<statement>& body, std::vector<std::unique_ptr<atomic<int>>>& x,
             std::int64_t* result) {
  for (const statement& in : body) {
    std::int64_t& out = *result++;
    atomic<int>& at = *x[static_cast<std::size_t>(in.location)];
    out = 0;
    switch (in.what) {
      case kind::load: out = at.load(in.order); break;
      case kind::guard:
        out = at.load(in.order);
        if (out != in.expected) {
          out = -1;
          return;
        }
        break;
      case kind::store: at.store(in.value, in.order); break;
      case kind::add: out = at.fetch_add(1, in.order); break;
      case kind::exchange: out = at.exchange(in.value, in.order); break;
      case kind::compare: {
        int old = in.expected;
        const bool won = at.compare_exchange(old, in.value, in.order, failure_of(in.order));
        out = old + (won ? 100 : 0);
        break;
      }
      case kind::weak: {
        int old = in.expected;
        const bool won = at.compare_exchange_weak(old, in.value, in.order, failure_of(in.order));
        out = old + (won ? 100 : 0);
        break;
      }
      case kind::fence: thread_fence(in.order); break;
      case kind::spin:
        while (at.load(in.order) != in.expected) {
          if (in.pauses) spin_pause();
        }
        break;
      case kind::spin_two: {
        atomic<int>& other = *x[static_cast<std::size_t>(in.other)];
        for (;;) {
          if (at.load(in.order) == in.expected) {
            out = 1;
            break;
          }
          if (other.load(in.order) == in.value) {
            out = 2;
            break;
          }
          if (in.pauses) spin_pause();
        }
        break;
      }
      case kind::bounded:
        for (; out < looks_max && at.load(in.order) != in.expected; ++out) {
          if (in.pauses) spin_pause();
        }
        break;
      case kind::retry: {
        int old = at.load(load_of(in.order));
        while (!at.compare_exchange_weak(old, old + 1, in.order, failure_of(in.order))) {
          if (in.pauses) spin_pause();
        }
        out = old;
        break;
      }
      case kind::counted: {
        int old = at.load(load_of(in.order));
        while (out < 2 && !at.compare_exchange_weak(old, old + 1, in.order, failure_of(in.order))) {
          ++out;
        }
        break;
      }
      case kind::enter: {
        int old = closed;
        while ((old = at.exchange(closed, in.order)) == closed) {
          if (in.pauses) spin_pause();
        }
        out = old;
        break;
      }
      default: out = perform_turns(in, at, *x[static_cast<std::size_t>(in.other)]); break;
    }
  }
}

template <std::size_t n>
void observe_all(const std::vector<std::int64_t>& of) {
  [&]<std::size_t... i>(std::index_sequence<i...>) { observe(of[i]...); }
  (std::make_index_sequence<n>{});
}

constexpr std::size_t results_max = 16;

void run_program(const program& p, int locations) {
  std::vector<std::unique_ptr<atomic<int>>> x;
  for (int l = 0; l < locations; ++l) x.push_back(std::make_unique<atomic<int>>(0));
  std::vector<std::int64_t> results(results_max, -1);
  std::array<std::size_t, 4> begin{};
  std::size_t all = 0;
  for (std::size_t t = 0; t < p.size(); ++t) {
    begin.at(t) = all;
    all += p[t].size();
  }
  const auto body = [&](std::size_t t) { perform(p[t], x, &results[begin.at(t)]); };
  {
    thread a("a", [&] { body(0); });
    thread b("b", [&] { body(1); });
    if (p.size() > 2) {
      thread c("c", [&] { body(2); });
      if (p.size() > 3) {
        thread d("d", [&] { body(3); });
      }
    }
  }
  for (const auto& word : x) results.at(all++) = word->load(mo::relaxed);
  observe_all<results_max>(results);
}

// --- Random programs ---

constexpr std::array loops{kind::spin,      kind::spin_two,  kind::guard,      kind::bounded,
                           kind::retry,     kind::counted,   kind::weak,       kind::enter,
                           kind::spin_both, kind::parity,    kind::sticky,     kind::saturating,
                           kind::previous,  kind::same_word, kind::by_compare, kind::fenced,
                           kind::nested,    kind::inner,     kind::stable};

class generator {
 public:
  explicit generator(std::uint64_t seed) : random_(seed) {}
  program make(int locations) {
    program p(2 + below(3));
    const std::size_t longest = p.size() == 2 ? 4 : p.size() == 3 ? 3 : 2;
    for (auto& thread : p) {
      for (std::size_t n = 1 + below(longest); n > 0; --n) thread.push_back(next(locations));
    }
    return p;
  }
  /// The first thread looks, then does this, then looks again; with at most two others.
  program make_with(kind what, int locations) {
    program p(2 + below(2));
    const auto looks = [&] {
      statement s = next(locations);
      s.what = kind::load;
      s.order = load_of(s.order);
      return s;
    };
    statement s = next(locations);
    s.what = what;
    s.order = orders_of(what, s.order);
    p[0] = {looks(), s, looks()};
    for (std::size_t t = 1; t < p.size(); ++t) {
      for (std::size_t n = 1 + below(2); n > 0; --n) p[t].push_back(next(locations));
    }
    return p;
  }
  /// Three threads, of which two begin with such loops.
  program make_with_two(kind first, kind second, int locations) {
    program p(3);
    for (auto& thread : p) {
      for (std::size_t n = 0; n < 2; ++n) thread.push_back(next(locations));
    }
    p[0][0].what = first;
    p[1][0].what = second;
    for (const std::size_t t : {0U, 1U}) p[t][0].order = orders_of(p[t][0].what, p[t][0].order);
    for (statement& s : p[2]) {
      s.what = kind::store;
      if (acquires(s.order)) s.order = mo::release;
    }
    return p;
  }

 private:
  static std::memory_order orders_of(kind what, std::memory_order order) {
    switch (what) {
      case kind::guard:
      case kind::spin:
      case kind::spin_two:
      case kind::bounded:
      case kind::spin_both:
      case kind::saturating:
      case kind::parity:
      case kind::previous:
      case kind::sticky:
      case kind::stable:
      case kind::same_word:
      case kind::fenced: return load_of(order);
      default: return order;
    }
  }
  std::size_t below(std::size_t n) { return random_() % n; }
  statement next(int locations) {
    using enum kind;
    static constexpr std::array plain{load, load,     store,   store, store,
                                      add,  exchange, compare, fence};
    static constexpr std::array orders{std::memory_order_relaxed, std::memory_order_acquire,
                                       std::memory_order_release, std::memory_order_acq_rel,
                                       std::memory_order_seq_cst};
    const auto place = [&] { return static_cast<int>(below(static_cast<std::size_t>(locations))); };
    statement s{};
    s.what = below(3) != 0 ? plain.at(below(plain.size())) : loops.at(below(loops.size()));
    s.location = place();
    s.other = place();
    s.value = 1 + static_cast<int>(below(2));
    s.expected = static_cast<int>(below(3));
    s.pauses = below(2) == 0;
    s.order = orders.at(below(orders.size()));
    switch (s.what) {
      case store:
        if (s.order == mo::acquire || s.order == mo::acq_rel) s.order = mo::release;
        break;
      case load: s.order = load_of(s.order); break;
      case fence:
        if (s.order == mo::relaxed) s.order = mo::seq_cst;
        break;
      default: s.order = orders_of(s.what, s.order); break;
    }
    return s;
  }

  std::mt19937_64 random_;
};

std::uint64_t number_of_environment(const char* name, std::uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

struct visit {
  std::set<std::vector<std::int64_t>> outcomes;
  failure found = failure::none;
  bool is_complete = false;
};

visit visit_all(const program& p, int locations, bool skip_retries) {
  const int executions_max = skip_retries ? 20'000 : 1'000;
  std::size_t all = static_cast<std::size_t>(locations);
  for (const auto& thread : p) all += thread.size();
  visit result;
  machine m([&] { run_program(p, locations); });
  graph_search search(m, skip_retries);
  ending how{};
  for (int n = 0; search.next(how); ++n) {
    if (how == ending::failed) {
      result.found = m.found().kind;
      return result;
    }
    if (n == executions_max) return result;
    if (how != ending::complete) continue;
    std::vector<std::int64_t> outcome = m.outcome();
    outcome.resize(all);
    result.outcomes.insert(outcome);
  }
  result.is_complete = !search.was_cut();
  return result;
}

// False: too many executions for the second opinion.
bool compare(const program& p, int locations, const std::string& name, bool& may_hang) {
  opinion expected;
  if (!judge(p, locations).run(expected)) return false;
  may_hang = expected.may_hang;
  for (const bool skip_retries : {true, false}) {
    const visit seen = visit_all(p, locations, skip_retries);
    const std::string about = name + "\n" + describe(p);
    if (expected.may_hang) {
      EXPECT_EQ(seen.found, failure::livelock) << about;
      continue;
    }
    EXPECT_EQ(seen.found, failure::none) << about;
    EXPECT_TRUE(seen.is_complete || !skip_retries) << about;
    if (seen.is_complete) {
      EXPECT_EQ(seen.outcomes, expected.outcomes) << about;
    }
  }
  return true;
}

TEST(crosscheck, loops_guards_and_retries_have_the_outcomes_that_the_axioms_allow) {
  use_lab_memory();
  const std::uint64_t programs = number_of_environment("UFENCE_LAB_PROGRAMS", 500);
  const std::uint64_t first = number_of_environment("UFENCE_LAB_FIRST", 1);
  std::uint64_t compared = 0;
  std::uint64_t hanging = 0;
  for (std::uint64_t seed = first; compared < programs; ++seed) {
    ASSERT_LT(seed, first + 20 * programs) << "hardly any program is small enough";
    const int locations = 1 + static_cast<int>(seed % 2);
    const program p = generator(seed).make(locations);
    bool may_hang = false;
    if (!compare(p, locations, "program " + std::to_string(seed), may_hang)) continue;
    ASSERT_FALSE(HasFailure());
    ++compared;
    hanging += may_hang ? 1 : 0;
  }
  EXPECT_GT(hanging, programs / 20);
  EXPECT_LT(hanging, programs * 3 / 4);
}

// What a search that reduces loops is wrong about first: a load before a spin, a spin on two words,
// a spin behind a guard, one that counts, retries, failures for no reason, a lock by exchange().
TEST(crosscheck, each_kind_of_loop_has_the_outcomes_that_the_axioms_allow) {
  use_lab_memory();
  const std::uint64_t programs = number_of_environment("UFENCE_LAB_PROGRAMS", 500) / 40;
  const std::uint64_t first = number_of_environment("UFENCE_LAB_FIRST", 1);
  for (const kind what : loops) {
    std::uint64_t compared = 0;
    for (std::uint64_t seed = first; compared < programs; ++seed) {
      ASSERT_LT(seed, first + 20 * programs);
      const int locations = 1 + static_cast<int>(seed % 2);
      program p = generator(1'000'000 + seed).make_with(what, locations);
      if (what == kind::guard) {  // a spin, or a try, behind it
        const program behind = generator(seed).make_with(kind::spin, locations);
        p[0][2] = behind[0][1];
      }
      bool may_hang = false;
      if (!compare(p, locations, "program " + std::to_string(seed), may_hang)) continue;
      ASSERT_FALSE(HasFailure());
      ++compared;
    }
  }
}

TEST(crosscheck, two_loops_in_three_threads_have_the_outcomes_that_the_axioms_allow) {
  use_lab_memory();
  const std::uint64_t programs = number_of_environment("UFENCE_LAB_PROGRAMS", 500) / 2;
  const std::uint64_t first = number_of_environment("UFENCE_LAB_FIRST", 1);
  std::uint64_t compared = 0;
  for (std::uint64_t seed = first; compared < programs; ++seed) {
    ASSERT_LT(seed, first + 20 * programs) << "hardly any program is small enough";
    const int locations = 1 + static_cast<int>(seed % 2);
    const program p = generator(2'000'000 + seed)
                          .make_with_two(loops.at(seed % loops.size()),
                                         loops.at(seed / loops.size() % loops.size()), locations);
    bool may_hang = false;
    if (!compare(p, locations, "program " + std::to_string(seed), may_hang)) continue;
    ASSERT_FALSE(HasFailure());
    ++compared;
  }
}

}  // namespace
}  // namespace ufence::lab
