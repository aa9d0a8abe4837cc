// Random commands on a few syncobjs, against a reference that keeps everything in plain lists.
#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "ufence/container/container_test_support.h"
#include "ufence/syncobj/testing/syncobj_support.h"

namespace ufence {
namespace {

using namespace testing;
using index_or = result<std::size_t>;

/// A fence, and whether it is signaled: shared by what waits for it.
struct naive_fence {
  fence_ref real;
  signaler right;
  bool is_done = false;
};
using naive_fences = std::vector<std::shared_ptr<naive_fence>>;

/// A point: what must be done for it, by itself and together with all before it in its list.
struct naive_point {
  std::uint64_t number;
  std::uint64_t before;  // of the same run; 0: starts one
  std::size_t run;       // the index of its first point
  naive_fences own;
};

bool all_done(const naive_fences& fences) {
  return std::ranges::all_of(fences, [](const auto& f) { return f->is_done; });
}

class naive_syncobj {
 public:
  void reset() { *this = {}; }
  void replace(naive_fences fences) {
    reset();
    binary_ = std::move(fences);
  }
  void add(naive_fences fences, std::uint64_t number) {
    if (points_.empty() && binary_) {
      // The chain starts with what was there.
      first_ = *binary_;
      binary_.reset();
    }
    const bool joins = !points_.empty() && number > points_.back().number;
    const std::uint64_t shown =
        joins || points_.empty() ? number : std::max(number, points_.back().number);
    points_.push_back({.number = shown,
                       .before = joins ? points_.back().number : 0,
                       .run = joins ? points_.back().run : points_.size(),
                       .own = std::move(fences)});
  }

  [[nodiscard]] bool has(std::uint64_t number) const {
    if (binary_) return number == 0;
    return !points_.empty() && number <= points_.back().number;
  }
  /// What a point that is there waits for.
  [[nodiscard]] naive_fences needed(std::uint64_t number) const {
    if (binary_) return *binary_;
    std::size_t last = points_.size() - 1;
    while (number != 0 && last > 0 && points_[last].run == points_[last - 1].run &&
           points_[last].before >= number) {
      --last;
    }
    return up_to(last);
  }
  /// Of the newest run: up to the lowest point that is pending by itself. What was before the run
  /// counts only for that one, or for the last.
  [[nodiscard]] std::uint64_t query() const {
    if (points_.empty()) return 0;
    std::size_t oldest = points_[points_.size() - 1].run;
    while (oldest + 1 < points_.size() && all_done(points_[oldest].own)) ++oldest;
    const naive_point& p = points_[oldest];
    return all_done(up_to(oldest)) ? p.number : p.before;
  }
  [[nodiscard]] std::uint64_t last() const { return points_.empty() ? 0 : points_.back().number; }

 private:
  [[nodiscard]] naive_fences up_to(std::size_t last) const {
    naive_fences all = first_;
    for (std::size_t i = 0; i <= last; ++i) {
      all.insert(all.end(), points_[i].own.begin(), points_[i].own.end());
    }
    return all;
  }

  std::optional<naive_fences> binary_;
  naive_fences first_;  // what the first point was added to
  std::vector<naive_point> points_;
};

/// A wait that polls, and an event that was asked for.
struct naive_event {
  event_counter counter;
  std::size_t of;
  std::uint64_t point;
  bool available;
  std::optional<naive_fences> picked;
  bool fired = false;
};

class world {
 public:
  world() {
    for (int i = 0; i < 3; ++i) real_.push_back(syncobj::create().value());
  }
  ~world() {
    for (const auto& f : fences_) {
      if (!f->is_done) f->right.signal();
    }
  }

  void step() {
    const auto of = *rc::gen::inRange<std::size_t>(0, 3);
    const auto point = *rc::gen::inRange<std::uint64_t>(0, 9);
    switch (*rc::gen::inRange(0, 8)) {
      case 0: {
        const auto f = add_fence();
        RC_ASSERT((!real_[of]->replace_fence(f->real)));
        naive_[of].replace({f});
        break;
      }
      case 1:
      case 2: {
        const auto f = add_fence();
        RC_ASSERT((!real_[of]->add_point(f->real, point)));
        naive_[of].add({f}, point);
        break;
      }
      case 3:
        RC_ASSERT((!real_[of]->signal_point(point)));
        naive_[of].add({}, point);
        break;
      case 4:
        RC_ASSERT((!real_[of]->reset()));
        naive_[of].reset();
        break;
      case 5:
      case 6: complete_one(); break;
      case 7: transfer_one(of, point); break;
    }
    if (*rc::gen::inRange(0, 3) == 0) ask(of, point);
    update_events();
    check();
  }

 private:
  std::shared_ptr<naive_fence> add_fence() {
    new_fence made = testing::make_fence();
    fences_.push_back(std::make_shared<naive_fence>());
    fences_.back()->real = made.fence;
    fences_.back()->right = std::move(made.signal);
    return fences_.back();
  }

  void complete_one() {
    if (fences_.empty()) return;
    const auto& f = fences_[*rc::gen::inRange<std::size_t>(0, fences_.size())];
    if (f->is_done) return;
    f->right.signal(*rc::gen::element(0, -EIO));
    f->is_done = true;
  }

  void transfer_one(std::size_t of, std::uint64_t point) {
    const auto to = *rc::gen::inRange<std::size_t>(0, 3);
    const auto to_point = *rc::gen::inRange<std::uint64_t>(1, 9);
    const std::error_code failed = transfer({real_[of], point}, {real_[to], to_point});
    RC_ASSERT((failed == (naive_[of].has(point) ? no_error : not_there)));
    if (!failed) naive_[to].add(naive_[of].needed(point), to_point);
  }

  void ask(std::size_t of, std::uint64_t point) {
    auto event = std::make_unique<naive_event>();
    event->of = of;
    event->point = point;
    event->available = *rc::gen::arbitrary<bool>();
    RC_ASSERT((!real_[of]->notify(event->counter.fd.get(), point, event->available)));
    events_.push_back(std::move(event));
  }

  void update_events() {
    for (const auto& e : events_) {
      // What it has found it stays with.
      if (!e->picked && naive_[e->of].has(e->point)) e->picked = naive_[e->of].needed(e->point);
      const bool fires = !e->fired && e->picked && (e->available || all_done(*e->picked));
      RC_ASSERT((e->counter.take() == (fires ? 1U : 0U)));
      e->fired = e->fired || fires;
    }
  }

  void check() {
    std::vector<syncobj_point> points;
    std::vector<bool> there;
    std::vector<bool> done;
    for (std::size_t i = 0; i < real_.size(); ++i) {
      RC_ASSERT((real_[i]->query() == result<std::uint64_t>(naive_[i].query())));
      RC_ASSERT((real_[i]->last_submitted() == result<std::uint64_t>(naive_[i].last())));
      const auto point = *rc::gen::inRange<std::uint64_t>(0, 10);
      points.push_back({real_[i], point});
      there.push_back(naive_[i].has(point));
      done.push_back(there[i] && all_done(naive_[i].needed(point)));
      RC_ASSERT((real_[i]->find_fence(point).has_value() == there[i]));
    }
    check_wait(points, there, done, false);
    check_wait(points, there, done, true);
  }

  static void check_wait(const std::vector<syncobj_point>& points, const std::vector<bool>& there,
                         const std::vector<bool>& done, bool all) {
    const auto outcome = [all](const std::vector<bool>& of) -> index_or {
      const auto first = all ? of.begin() : std::ranges::find(of, true);
      if (all ? std::ranges::count(of, false) != 0 : first == of.end()) return failure(ETIME);
      return static_cast<std::size_t>(first - of.begin());
    };
    RC_ASSERT((wait(points, no_wait, {.all = all, .for_submit = true}) == outcome(done)));
    RC_ASSERT((wait(points, no_wait, {.all = all, .available = true}) == outcome(there)));
    if (std::ranges::count(there, false) == 0) {
      RC_ASSERT((wait(points, no_wait, {.all = all}) == outcome(done)));
    } else {
      RC_ASSERT((wait(points, no_wait, {.all = all}) == index_or(failure(EINVAL))));
    }
  }

  std::vector<syncobj_ref> real_;
  std::array<naive_syncobj, 3> naive_;
  naive_fences fences_;
  std::vector<std::unique_ptr<naive_event>> events_;
};

RC_GTEST_PROP(syncobj_model, agrees_with_a_naive_reference, ()) {
  for (int worlds = 0; worlds < 10; ++worlds) {
    world w;
    const int steps = *rc::gen::inRange(1, 40);
    for (int i = 0; i < steps; ++i) w.step();
  }
}

}  // namespace
}  // namespace ufence
