// Random histories against a reference that looks at every entity: the order in which jobs run,
// which jobs run at all, and their errors. The ring has its own clock, so all is repeatable.
#include <algorithm>
#include <map>
#include <random>

#include "ufence/sched/sched_test_support.h"

namespace ufence::sched::testing {
namespace {

struct ref_job {
  int id;
  std::uint64_t stamp;
  std::int64_t length_ns;
  int result;
  std::vector<std::size_t> waits_for;  // of the outside fences
  std::int64_t deadline_ns = no_deadline;
  fence_ref finished;
  bool was_looked_at = false;
  int error = 0;  // what was found so far: it will not run
};

struct ref_entity {
  std::deque<ref_job> queue;
  std::uint32_t weight;
  priority rank;
  bool propagates;
  bool is_listed = false;  // in the running; else it has nothing, or waits
  int killed = 0;
  std::uint64_t virtual_time = 0, average = 0, ended = 0;
};

class reference {
 public:
  explicit reference(policy p) : policy_(p) {}

  std::vector<ref_entity> entities;
  std::vector<int> outside;     // 0: pending; else a status
  std::map<int, int> expected;  // status by job, 0: not ended

  void list(ref_entity& e) const {
    if (e.is_listed || e.queue.empty()) return;
    e.is_listed = true;
    e.virtual_time = std::max(e.virtual_time, virtual_time_);
  }

  // What the scheduler does until the next run(): the ids of jobs that it may run next, or none.
  std::vector<int> next() {
    for (;;) {
      ref_entity* best = nullptr;
      for (ref_entity& e : entities) {
        if (e.is_listed && (best == nullptr || key(e) < key(*best))) best = &e;
      }
      if (best == nullptr) return {};
      if (look_at(*best)) break;
    }
    std::vector<int> ids;
    std::uint64_t first = 0, second = 0;
    bool has = false;
    for (ref_entity& e : entities) {
      if (!e.is_listed) continue;
      const auto [a, b] = key(e);
      if (!has || std::pair(a, b) < std::pair(first, second)) {
        ids.clear();
        first = a, second = b, has = true;
      }
      if (std::pair(a, b) == std::pair(first, second)) ids.push_back(e.queue.front().id);
    }
    return ids;
  }

  // The scheduler has run this one.
  void ran(int id) {
    for (ref_entity& e : entities) {
      if (!e.is_listed || e.queue.front().id != id) continue;
      // Of two that are equal it may have looked at this one, and once more after what it waits
      // for.
      ASSERT_TRUE(look_at(e) || (e.is_listed && e.queue.front().id == id && look_at(e)))
          << "job " << id << " waits";
      const ref_job j = e.queue.front();
      virtual_time_ = std::max(virtual_time_, e.virtual_time);
      expected[id] = j.result != 0 ? j.result : 1;
      const auto took = static_cast<std::uint64_t>(j.result != 0 ? 0 : j.length_ns);
      ++e.ended;
      e.average = e.ended == 1 ? took : e.average - e.average / 4 + took / 4;
      e.virtual_time += std::max<std::uint64_t>(took * 1024 / e.weight, 1);
      e.queue.pop_front();
      e.is_listed = !e.queue.empty();
      return;
    }
    FAIL() << "job " << id << " is not the first of any entity";
  }

 private:
  [[nodiscard]] std::pair<std::uint64_t, std::uint64_t> key(const ref_entity& e) const {
    if (e.killed != 0) return {0, 0};
    const std::uint64_t rank = static_cast<std::uint64_t>(e.rank) << 62;
    const ref_job& j = e.queue.front();
    if (policy_ == policy::fifo) return {rank, j.stamp};
    if (policy_ == policy::deadline) {
      return {rank | (static_cast<std::uint64_t>(j.deadline_ns) >> 1), j.stamp};
    }
    return {e.virtual_time, e.average};
  }

  // Looks at the first job of a listed entity. True: it may run. False: the entity waits, or the
  // job has ended without running, or it is to be looked at again in its turn.
  bool look_at(ref_entity& e) {
    ref_job& j = e.queue.front();
    if (e.killed == 0 && (j.was_looked_at || j.waits_for.empty())) return true;
    e.is_listed = false;
    if (j.error == 0) j.error = e.killed;
    for (const std::size_t i : j.waits_for) {
      if (outside[i] == 0) return false;
      if (j.error == 0 && e.propagates && outside[i] < 0) j.error = outside[i];
    }
    j.was_looked_at = true;
    list(e);
    if (j.error == 0) return false;
    // It ends in its turn; nothing else depends on when.
    expected[j.id] = j.error;
    ++e.ended;
    e.queue.pop_front();
    e.is_listed = !e.queue.empty();
    return false;
  }

  const policy policy_;
  std::uint64_t virtual_time_ = 0;
};

class history {
 public:
  history(policy p, unsigned seed)
      : random_(seed), is_fair_(p == policy::fair), reference_(p), s_(options(p)) {
    // The first job has the time from now to the ring's clock; its entity goes.
    entity first = s_.make();
    device_.push(first, -1);
    s_.run();
    for (int i = 0; i < 5; ++i) {
      const std::uint32_t weight = 1 + below(8);
      const auto rank = static_cast<priority>(below(priority_count));
      const bool propagates = below(2) == 0;
      entities_.push_back(
          s_.make({.rank = rank, .weight = weight, .propagates_errors = propagates}));
      reference_.entities.push_back(
          {.queue = {}, .weight = weight, .rank = rank, .propagates = propagates});
    }
  }

  void run() {
    for (int step = 0; step < 300 && !::testing::Test::HasFailure(); ++step) {
      switch (below(8)) {
        case 0:
        case 1:
        case 2: push(); break;
        case 3: signal(); break;
        case 4: hint(); break;
        case 5:
          if (below(20) == 0) kill();
          break;
        default: choose(); break;
      }
    }
    while (!rights_.empty()) signal();
    while (!::testing::Test::HasFailure() && choose()) {
    }
    if (::testing::Test::HasFailure()) return;
    for (const auto& [id, finished] : jobs_) {
      EXPECT_EQ(finished->status(), reference_.expected[id]) << "job " << id;
    }
    EXPECT_EQ(s_.of.statistics().entities, 0U);
  }

 private:
  scheduler_options options(policy p) const {
    scheduler_options o = without_thread(device_.options());
    o.order = p;
    return o;
  }
  std::uint32_t below(std::size_t n) { return static_cast<std::uint32_t>(random_() % n); }

  void push() {
    const std::size_t at = below(entities_.size());
    ref_entity& e = reference_.entities[at];
    const int id = next_id_++;
    ring_job* const j = device_.make(id);
    ref_job r{.id = id,
              .stamp = static_cast<std::uint64_t>(id),
              .length_ns = 1 + below(1000) * std::int64_t{below(1000)},
              .result = below(10) == 0 ? -EIO : 0,
              .waits_for = {},
              .finished = {}};
    j->length_ns = r.length_ns;
    j->result = r.result;
    // With fair, entities are often equal, and either may come first. Where one of them also waits,
    // the reference would have to know which of them was looked at first: so there nobody waits.
    for (std::uint32_t n = is_fair_ ? 0 : below(3); n != 0; --n) {
      new_fence made = fence::create(fence::allocate_contexts(1), 1).value();
      EXPECT_FALSE(j->add_dependency(made.fence));
      r.waits_for.push_back(reference_.outside.size());
      rights_.emplace_back(reference_.outside.size(), std::move(made.signal));
      reference_.outside.push_back(0);
    }
    result<armed_job> armed = entities_[at].arm(*j);
    EXPECT_EQ(armed.has_value(), e.killed == 0);
    if (!armed) {
      delete j;
      return;
    }
    r.finished = armed->finished();
    jobs_.emplace_back(id, r.finished);
    armed->push();
    e.queue.push_back(std::move(r));
    reference_.list(e);
  }

  void signal() {
    if (rights_.empty()) return;
    auto& [which, right] = rights_[below(rights_.size())];
    const int error = below(4) == 0 ? -ENOSPC : 0;
    reference_.outside[which] = error != 0 ? error : 1;
    // An entity waits for one fence at a time, in order: with this one it is looked at again.
    for (ref_entity& e : reference_.entities) {
      if (e.is_listed || e.queue.empty()) continue;
      const auto& waits = e.queue.front().waits_for;
      const auto first = std::ranges::find_if(
          waits, [&](std::size_t i) { return i == which || reference_.outside[i] == 0; });
      if (first != waits.end() && *first == which) reference_.list(e);
    }
    right.signal(error);
    std::swap(rights_.back(),
              *std::ranges::find_if(rights_, [&](const auto& r) { return !r.second; }));
    rights_.pop_back();
  }

  void hint() {
    ref_entity& e = reference_.entities[below(entities_.size())];
    if (e.queue.empty()) return;
    ref_job& j = e.queue[below(e.queue.size())];
    const std::int64_t deadline = 1'000'000 + below(100) * 2;
    if (deadline >= j.deadline_ns) return;
    j.deadline_ns = deadline;
    j.finished->set_deadline(deadline);
  }

  void kill() {
    const std::size_t at = below(entities_.size());
    EXPECT_FALSE(entities_[at].kill(-EPIPE));
    reference_.entities[at].killed = -EPIPE;
  }

  // One job. False: none may run.
  bool choose() {
    const std::size_t before = device_.ran().size();
    const std::size_t n = s_.run(1);
    const std::vector<int> ran = device_.ran();
    EXPECT_EQ(ran.size() - before, n);
    const std::vector<int> allowed = reference_.next();
    EXPECT_EQ(n, allowed.empty() ? 0U : 1U);
    if (n == 0 || allowed.empty()) return false;
    EXPECT_TRUE(std::ranges::count(allowed, ran.back()) == 1)
        << "job " << ran.back() << " ran, not " << allowed.front();
    reference_.ran(ran.back());
    return true;
  }

  std::minstd_rand random_;
  const bool is_fair_;
  ring device_{manner::by_clock};
  reference reference_;
  loop s_;
  std::vector<entity> entities_;
  std::vector<std::pair<std::size_t, signaler>> rights_;
  std::vector<std::pair<int, fence_ref>> jobs_;
  int next_id_ = 1;
};

void try_many(policy p) {
  for (unsigned seed = 1; seed <= 200 && !::testing::Test::HasFailure(); ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    history(p, seed).run();
  }
}

TEST(sched_random, fair_runs_what_the_reference_runs) { try_many(policy::fair); }
TEST(sched_random, fifo_runs_what_the_reference_runs) { try_many(policy::fifo); }
TEST(sched_random, deadline_runs_what_the_reference_runs) { try_many(policy::deadline); }

}  // namespace
}  // namespace ufence::sched::testing
