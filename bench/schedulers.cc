// Jobs through a scheduler: what one costs, many entities, long chains.
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <queue>
#include <thread>
#include <utility>
#include <vector>

#if UFENCE_BENCH_TBB
#include <tbb/flow_graph.h>
#include <tbb/global_control.h>
#include <tbb/task_group.h>
#endif

#include "bench/benchmarks.h"
#include "ufence/base/clock.h"
#include "ufence/sched/scheduler.h"

namespace ufence::bench {
namespace {

using namespace ufence::sched;

// A device function that does nothing: the job is done when run() returns.
struct empty_job : job {
  ~empty_job() = default;
  static result<fence_ref> run(job&) noexcept { return nullptr; }
  static void free(job& j) noexcept { delete &static_cast<empty_job&>(j); }
  static constexpr scheduler_ops ops{.run = &run, .free = &free};
};

class device {
 public:
  explicit device(bool has_thread)
      : scheduler_(
            scheduler::create({.ops = &empty_job::ops, .name = "bench", .has_thread = has_thread})
                .value()) {}
  ~device() { require(!scheduler_.fini(), "a scheduler ends"); }

  [[nodiscard]] entity make() const {
    const scheduler* const home[] = {&scheduler_};
    return entity::create({.schedulers = home}).value();
  }
  void run() { require(scheduler_.run_ready().has_value(), "a scheduler runs what is ready"); }

 private:
  scheduler scheduler_;
};

void push(entity& e) { require(!e.push(*new empty_job), "a job is pushed"); }

constexpr std::uint64_t jobs_in_a_row = 64;

// --- One job ---

batch_time push_and_run(std::uint64_t n) {
  device d(false);
  std::optional<entity> e(d.make());
  const auto row = [&] {
    for (std::uint64_t i = 0; i < jobs_in_a_row; ++i) push(*e);
    d.run();
  };
  row();
  const batch_time time = time_calls(n / jobs_in_a_row + 1, row);
  require(e->statistics().jobs_ended >= n, "all jobs have ended");
  e.reset();
  return time;
}

// --- 64 entities, two threads that push, one that works ---

constexpr std::size_t many_entities = 64;

batch_time push_from_two_threads(int other_cpu, std::uint64_t n) {
  device d(true);
  std::vector<entity> entities;
  for (std::size_t i = 0; i < many_entities; ++i) entities.push_back(d.make());
  const auto push_half = [&](std::size_t from) {
    for (std::uint64_t i = 0; i < n / 2; ++i) push(entities[from + i % (many_entities / 2)]);
  };
  stopwatch watch;
  watch.begin();
  {
    const std::jthread other([&] {
      pin_to(other_cpu);
      push_half(many_entities / 2);
    });
    push_half(0);
  }
  for (entity& e : entities) require(!e.flush(), "all jobs end");
  return watch.stop();
}

// The code that one writes without a scheduler: a queue by priority, then age, under a mutex.
class locked_queue {
 public:
  locked_queue() : worker_([this](const std::stop_token& stop) { work(stop); }) {}
  ~locked_queue() {
    worker_.request_stop();
    changed_.notify_all();
  }
  void push(std::uint64_t priority, std::function<void()> work) {
    const std::scoped_lock lock(mutex_);
    queue_.push({priority, ++pushed_, std::move(work)});
    changed_.notify_one();
  }
  void flush() {
    std::unique_lock lock(mutex_);
    done_.wait(lock, [&] { return ended_ == pushed_; });
  }

 private:
  struct entry {
    std::uint64_t priority, age;
    std::function<void()> work;
    friend bool operator<(const entry& a, const entry& b) {
      return std::pair(b.priority, b.age) < std::pair(a.priority, a.age);
    }
  };
  void work(const std::stop_token& stop) {
    std::unique_lock lock(mutex_);
    while (changed_.wait(lock, stop, [&] { return !queue_.empty(); })) {
      std::function<void()> next = queue_.top().work;
      queue_.pop();
      lock.unlock();
      next();
      lock.lock();
      if (++ended_ == pushed_) done_.notify_all();
    }
  }

  std::mutex mutex_;
  std::condition_variable_any changed_, done_;
  std::priority_queue<entry> queue_;
  std::uint64_t pushed_ = 0, ended_ = 0;
  std::jthread worker_;
};

batch_time push_into_locked_queue(int other_cpu, std::uint64_t n) {
  locked_queue queue;
  const auto push_half = [&](std::size_t from) {
    for (std::uint64_t i = 0; i < n / 2; ++i) queue.push(from + i % (many_entities / 2), [] {});
  };
  stopwatch watch;
  watch.begin();
  {
    const std::jthread other([&] {
      pin_to(other_cpu);
      push_half(many_entities / 2);
    });
    push_half(0);
  }
  queue.flush();
  return watch.stop();
}

// --- Choosing among many ---

// So many entities have jobs all the time; n jobs are given.
batch_time choose_among(std::size_t count, std::uint64_t n) {
  device d(false);
  std::vector<entity> entities;
  for (std::size_t i = 0; i < count; ++i) entities.push_back(d.make());
  for (std::uint64_t i = 0; i < n; ++i) push(entities[i % count]);
  stopwatch watch;
  watch.begin();
  d.run();
  const batch_time time = watch.stop();
  require(entities.back().was_idle(), "all jobs have ended");
  return time;
}

// --- A chain over two schedulers ---

batch_time chain_over_two(std::uint64_t n) {
  device one(false), two(false);
  std::optional<entity> a(one.make()), b(two.make());
  stopwatch watch;
  watch.begin();
  fence_ref last;
  for (std::uint64_t i = 0; i < n; ++i) {
    auto* const j = new empty_job;
    require(!j->add_dependency(std::move(last)), "a dependency is added");
    last = (i % 2 == 0 ? a : b)->arm(*j).value().finished();
  }
  while (!last->is_signaled()) one.run(), two.run();
  const batch_time time = watch.stop();
  a.reset(), b.reset();
  return time;
}

// --- Shares ---

// A device whose clock goes on by the length of each job: its time does not depend on the machine.
struct timed_job : job {
  explicit timed_job(std::int64_t ns) : length_ns(ns) {}
  ~timed_job() = default;
  static result<fence_ref> run(job& j) noexcept {
    clock_ns += static_cast<timed_job&>(j).length_ns;
    return fence::create_signaled(clock_ns);
  }
  static void free(job& j) noexcept { delete &static_cast<timed_job&>(j); }
  static constexpr scheduler_ops ops{.run = &run, .free = &free};
  static inline std::int64_t clock_ns = 0;
  std::int64_t length_ns;
};

struct user {
  std::uint32_t weight;
  std::int64_t length_ns;
  std::uint64_t pushed = 0;
};

// The part that the user whose share is furthest from its weight had of the device's time, and should have
// had.
struct share {
  std::int64_t had_ns = 0, due_ns = 0;
  [[nodiscard]] double error() const {
    const auto had = static_cast<double>(had_ns), due = static_cast<double>(due_ns);
    return had > due ? had / due : due / had;
  }
};

share worst_share(std::vector<user> users, std::int64_t device_ns) {
  timed_job::clock_ns = now_ns() + 1'000'000'000'000;  // ahead of the real one, which ends no job
  scheduler s =
      scheduler::create({.ops = &timed_job::ops, .name = "bench", .has_thread = false}).value();
  const scheduler* const home[] = {&s};
  std::vector<entity> entities;
  entities.push_back(entity::create({.schedulers = home}).value());
  const auto push = [&](entity& e, std::int64_t length_ns) {
    require(!e.push(*new timed_job(length_ns)), "a job is pushed");
  };
  push(entities[0], 1);  // it has the time from now to the device's clock
  require(s.run_ready().has_value(), "a scheduler runs what is ready");
  entities.clear();
  std::uint64_t weights = 0;
  for (const user& u : users) {
    entities.push_back(entity::create({.schedulers = home, .weight = u.weight}).value());
    weights += u.weight;
  }
  std::int64_t used = 0;
  std::vector<std::int64_t> had(users.size());
  while (used < device_ns) {
    used = 0;
    for (std::size_t i = 0; i < users.size(); ++i) {
      const entity_statistics so_far = entities[i].statistics();
      used += had[i] = so_far.device_time_ns;
      for (; users[i].pushed < so_far.jobs_ended + 2; ++users[i].pushed) {
        push(entities[i], users[i].length_ns);
      }
    }
    require(s.run_ready(1).has_value(), "a scheduler runs what is ready");
  }
  share worst{1, 1};
  for (std::size_t i = 0; i < users.size(); ++i) {
    const auto due =
        static_cast<std::int64_t>(static_cast<std::uint64_t>(used) * users[i].weight / weights);
    if (const share s_i{had[i], due}; s_i.error() > worst.error()) worst = s_i;
  }
  entities.clear();
  require(!s.fini(), "a scheduler ends");
  return worst;
}

// Three weights, jobs of 2, 200 and 2,000 us, every way round.
share worst_share_of_all(std::int64_t device_ns) {
  share worst{1, 1};
  for (const std::int64_t a : {2'000, 200'000, 2'000'000}) {
    for (const std::int64_t b : {2'000, 200'000, 2'000'000}) {
      if (a == b) continue;
      const share found = worst_share({{1, a}, {2, b}, {8, 2'202'000 - a - b}}, device_ns);
      if (found.error() > worst.error()) worst = found;
    }
  }
  return worst.had_ns > worst.due_ns ? worst : share{worst.due_ns, worst.had_ns};
}

#if UFENCE_BENCH_TBB
// On this thread alone, as the schedulers of these rows.
batch_time task_group(std::uint64_t n) {
  const tbb::global_control alone(tbb::global_control::max_allowed_parallelism, 1);
  tbb::task_group group;
  const auto row = [&] {
    for (std::uint64_t i = 0; i < jobs_in_a_row; ++i) group.run([] {});
    group.wait();
  };
  row();
  return time_calls(n / jobs_in_a_row + 1, row);
}

batch_time flow_graph_chain(std::uint64_t n) {
  using node = tbb::flow::continue_node<tbb::flow::continue_msg>;
  const tbb::global_control alone(tbb::global_control::max_allowed_parallelism, 1);
  stopwatch watch;
  watch.begin();
  tbb::flow::graph graph;
  std::vector<std::unique_ptr<node>> nodes;
  for (std::uint64_t i = 0; i < n; ++i) {
    nodes.push_back(std::make_unique<node>(graph, [](const tbb::flow::continue_msg&) {}));
    if (i != 0) tbb::flow::make_edge(*nodes[i - 1], *nodes[i]);
  }
  nodes.front()->try_put(tbb::flow::continue_msg());
  graph.wait_for_all();
  nodes.clear();
  return watch.stop();
}
batch of_task_group() { return task_group; }
batch of_flow_graph() { return flow_graph_chain; }
#else
batch of_task_group() { return {}; }
batch of_flow_graph() { return {}; }
#endif

void compare_with_tbb(session& s, const subject& about, std::uint64_t n, const batch& ours,
                      [[maybe_unused]] const batch& theirs) {
#if UFENCE_BENCH_TBB
  s.compare(about, n, ours, theirs, s.how_much().pairs_at_most(31));
#else
  static_cast<void>(n), static_cast<void>(ours);
  s.skip(about, "oneTBB was not there when this was built");
#endif
}

}  // namespace

void sched_job(session& s) {
  compare_with_tbb(
      s,
      {.name = "sched_job",
       .what = "a job made, pushed, given to an empty device function, ended, freed; 64 in a row",
       .baseline = "an empty task of a oneTBB task_group, on one thread, 64 in a row",
       .target = 1.0},
      s.how_much().scaled(10'000), push_and_run, of_task_group());
}

void sched_job_and_node(session& s) {
  compare_with_tbb(s,
                   {.name = "sched_job_and_node",
                    .what = "a job made, pushed, given to an empty device function, ended, freed; 64 in a row",
                    .baseline = "a node of a chain in a oneTBB flow graph, on one thread",
                    .target = 2.0},
                   s.how_much().scaled(10'000), push_and_run, of_flow_graph());
}

void sched_chain(session& s) {
  compare_with_tbb(s,
                   {.name = "sched_chain",
                    .what = "a job of a chain over two schedulers, from its making to its end",
                    .baseline = "a node of a chain in a oneTBB flow graph, on one thread",
                    .target = 1.0},
                   s.how_much().scaled(10'000), chain_over_two, of_flow_graph());
}

void sched_64_entities(session& s) {
  const subject about{.name = "sched_64_entities",
                      .what = "a job of 64 entities, pushed by two threads, one worker",
                      .baseline = "a std::priority_queue under a std::mutex, one worker",
                      .target = 0.5};
  if (s.cpus().size() < 2) {
    s.skip(about, "it takes two CPUs");
    return;
  }
  const int other_cpu = s.cpus()[1];
  s.compare(
      about, s.how_much().scaled(20'000),
      [=](std::uint64_t n) { return push_from_two_threads(other_cpu, n); },
      [=](std::uint64_t n) { return push_into_locked_queue(other_cpu, n); },
      s.how_much().pairs_at_most(31));
}

void sched_10000_entities(session& s) {
  s.compare(
      {.name = "sched_10000_entities",
       .what = "a job chosen among 10,000 entities that have jobs, given, ended, freed",
       .baseline = "the same among 10 entities",
       .target = 3},
      s.how_much().quick ? 1'000 : 30'000, [](std::uint64_t n) { return choose_among(10'000, n); },
      [](std::uint64_t n) { return choose_among(10, n); }, s.how_much().pairs_at_most(31));
}

void sched_fair(session& s) {
  const std::int64_t device_ns = s.how_much().quick ? 50'000'000 : 1'000'000'000;
  const share worst = worst_share_of_all(device_ns);
  s.compare(
      {.name = "sched_fair",
       .what = "a user's time of the device in 1 s, weights 1, 2, 8, jobs of 2, 200 and 2,000 us: "
               "the worst",
       .baseline = "its due, by weight (or the other way round, if it had less)",
       .target = 1.05},
      1, [=](std::uint64_t) { return batch_time{.ns = worst.had_ns, .was_disturbed = false}; },
      [=](std::uint64_t) { return batch_time{.ns = worst.due_ns, .was_disturbed = false}; }, 1);
}

}  // namespace ufence::bench
