// The cases of the kernel's tests of drm_sched, under its names, with a device that works by the
// clock. Lengths are a tenth of the kernel's.
#include <algorithm>
#include <cstdio>
#include <random>

#include "ufence/sched/sched_test_support.h"

namespace ufence::sched::testing {
namespace {

using namespace std::chrono_literals;

constexpr int worker_count = 16;

// A ring that needs time: a thread signals the device fences in order, each after its length.
class clocked_ring {
 public:
  explicit clocked_ring(std::uint32_t credit_limit = 64, policy order = policy::fair)
      : s_([&] {
          scheduler_options o{.ops = &ops, .name = "clocked", .credit_limit = credit_limit};
          o.order = order;
          return o;
        }()),
        worker_([this](std::stop_token stop) { work(stop); }) {}
  ~clocked_ring() {
    s_.of.fini();
    worker_.request_stop();
    changed_.notify_all();
  }

  struct timed_job : job {
    timed_job(clocked_ring& r, std::chrono::microseconds t, std::uint32_t credits)
        : job(credits), of(r), length(t) {}
    ~timed_job() = default;
    clocked_ring& of;
    const std::chrono::microseconds length;
  };
  fence_ref push(entity& e, std::chrono::microseconds length, const fence_ref& after = nullptr,
                 std::uint32_t credits = 1) {
    auto* const j = new timed_job(*this, length, credits);
    EXPECT_FALSE(j->add_dependency(after));
    return e.arm(*j).value().finished();
  }
  [[nodiscard]] threaded& sched() { return s_; }

 private:
  struct entry {
    std::chrono::microseconds length;
    signaler signal;
  };
  static result<fence_ref> run(job& j) noexcept {
    auto& mine = static_cast<timed_job&>(j);
    clocked_ring& self = mine.of;
    new_fence made = fence::create(self.context_, 1).value();
    const std::scoped_lock guard(self.lock_);
    self.queue_.push_back({mine.length, std::move(made.signal)});
    self.changed_.notify_all();
    return std::move(made.fence);
  }
  static void free(job& j) noexcept { delete &static_cast<timed_job&>(j); }
  static constexpr scheduler_ops ops{.run = &run, .free = &free};

  void work(const std::stop_token& stop) {
    std::unique_lock guard(lock_);
    for (;;) {
      changed_.wait(guard, stop, [&] { return !queue_.empty(); });
      if (queue_.empty()) return;
      entry next = std::move(queue_.front());
      queue_.pop_front();
      guard.unlock();
      std::this_thread::sleep_for(next.length);  // the work of the device
      next.signal.signal();
      guard.lock();
    }
  }

  std::mutex lock_;
  std::condition_variable_any changed_;
  std::deque<entry> queue_;
  const std::uint64_t context_ = fence::allocate_contexts(1);
  threaded s_;
  std::jthread worker_;
};

TEST(drm_sched, DS01_submit) {
  ring device;
  threaded s(device.options());
  entity e = s.make();
  ring_job* const j = device.make();
  armed_job armed = e.arm(*j).value();
  const fence_ref scheduled = armed.scheduled(), finished = armed.finished();
  EXPECT_EQ(scheduled->status(), 0) << "not before the push";
  armed.push();
  EXPECT_FALSE(scheduled->wait());
  EXPECT_EQ(finished->status(), 0) << "the device has not advanced";
  EXPECT_EQ(device.advance(1), 1U);
  EXPECT_FALSE(finished->wait());
}

TEST(drm_sched, DS02_basic_test) {
  struct shape {
    int entities, jobs;
    bool chained;
  };
  for (const shape& how :
       {shape{1, 100, false}, shape{1, 100, true}, shape{4, 25, false}, shape{4, 25, true}}) {
    ring device;
    threaded s(device.options());
    std::vector<entity> entities;
    for (int i = 0; i < how.entities; ++i) entities.push_back(s.make());
    std::vector<fence_ref> all;
    for (int i = 0; i < how.jobs * how.entities; ++i) {
      ring_job* const j = device.make(i);
      EXPECT_FALSE(j->add_dependency(how.chained && !all.empty() ? all.back() : nullptr));
      all.push_back(entities[std::size_t(i % how.entities)].arm(*j).value().finished());
    }
    // The last one of one entity may end before others of another one have reached the device.
    for (const fence_ref& f : all) {
      while (f->status() == 0) device.advance(1);
    }
    for (entity& e : entities) EXPECT_FALSE(e.flush());
    for (std::size_t i = 0; i < all.size(); ++i) EXPECT_EQ(all[i]->status(), 1) << i;
    const std::vector<int> ran = device.ran();
    ASSERT_EQ(ran.size(), all.size());
    const bool is_ordered = how.chained || how.entities == 1;
    EXPECT_TRUE(!is_ordered || std::ranges::is_sorted(ran));
  }
}

TEST(drm_sched, DS03_entity_cleanup) {
  ring device;
  threaded s(device.options());
  std::vector<fence_ref> all;
  {
    std::vector<entity> entities;
    for (int i = 0; i < 4; ++i) entities.push_back(s.make());
    for (int i = 0; i < 100; ++i) {
      ring_job* const j = device.make(i);
      EXPECT_FALSE(j->add_dependency(all.empty() ? nullptr : all.back()));
      all.push_back(entities[std::size_t(i % 4)].arm(*j).value().finished());
    }
    while (all[50]->status() == 0) device.advance(1);
  }
  while (all.back()->status() == 0) device.advance(1);
  for (const fence_ref& f : all) {
    while (f->status() == 0) device.advance(1);
    EXPECT_TRUE(f->status() == 1 || f->status() == -ESRCH);
  }
  EXPECT_FALSE(s.of.fini());
  EXPECT_EQ(device.freed(), 100U);
}

TEST(drm_sched, DS04_parallel_submit) {
  ring device;
  threaded s(device.options());
  std::vector<entity> entities;
  for (int i = 0; i < worker_count; ++i) entities.push_back(s.make());
  std::vector<std::vector<fence_ref>> all(worker_count);
  {
    std::vector<std::jthread> workers;
    for (std::size_t i = 0; i < worker_count; ++i) {
      workers.emplace_back([&, i] {
        for (int n = 0; n < 8; ++n) all[i].push_back(device.push(entities[i], n));
      });
    }
  }
  std::size_t advanced = 0;
  while (advanced < worker_count * 8) advanced += device.advance(1);
  for (std::size_t i = 0; i < worker_count; ++i) {
    EXPECT_FALSE(entities[i].flush());
    for (const fence_ref& f : all[i]) EXPECT_EQ(f->status(), 1);
  }
}

TEST(drm_sched, DS05_interleaved_submit) {
  clocked_ring device;
  std::vector<entity> entities;
  for (int i = 0; i < worker_count; ++i) entities.push_back(device.sched().make());
  std::atomic<int> finished = 0;
  {
    std::vector<std::jthread> workers;
    for (std::size_t i = 0; i < worker_count; ++i) {
      workers.emplace_back([&, i] {
        std::deque<fence_ref> in_flight;
        for (int n = 0; n < 40; ++n) {
          if (in_flight.size() == 8) {
            EXPECT_FALSE(in_flight.front()->wait());
            finished += in_flight.front()->status() == 1 ? 1 : 0;
            in_flight.pop_front();
          }
          in_flight.push_back(device.push(entities[i], 10us * (i + 1)));
        }
        for (const fence_ref& f : in_flight) {
          EXPECT_FALSE(f->wait());
          finished += f->status() == 1 ? 1 : 0;
        }
      });
    }
  }
  EXPECT_EQ(finished, worker_count * 40);
}

TEST(drm_sched, DS06_basic_timeout) {
  const reports heard;
  ring device;
  scheduler_options o = device.options();
  o.timeout_ns = 2'000'000;
  threaded s(o);
  entity e = s.make();
  const fence_ref f = device.push(e);
  EXPECT_FALSE(f->wait());
  EXPECT_EQ(f->status(), -ETIMEDOUT);
  EXPECT_EQ(device.timeouts, 1);
  device.advance(1);
}

TEST(drm_sched, DS07_skip_reset) {
  const reports heard;
  ring device;
  std::atomic<int> asked = 0;
  device.on_timeout = [&](ring_job&) {
    ++asked;
    return timeout_verdict::no_hang;
  };
  scheduler_options o = device.options();
  o.timeout_ns = 2'000'000;
  threaded s(o);
  entity e = s.make();
  const fence_ref f = device.push(e);
  while (asked == 0) std::this_thread::yield();
  EXPECT_EQ(device.advance(1), 1U);
  EXPECT_FALSE(f->wait());
  EXPECT_EQ(f->status(), 1);
  EXPECT_FALSE(e.flush());
}

TEST(drm_sched, DS08_basic_cancel) {
  ring device;
  threaded s(device.options());
  entity e = s.make();
  const fence_ref f = device.push(e);
  while (device.pending() == 0) std::this_thread::yield();
  EXPECT_FALSE(s.of.fini());
  EXPECT_EQ(device.cancels, 1);
  EXPECT_EQ(f->status(), -ECANCELED);
  EXPECT_EQ(device.freed(), 1U);
}

TEST(drm_sched, DS09_priorities) {
  ring device;
  threaded s(device.options());
  std::vector<entity> entities;
  std::vector<fence_ref> all;
  for (const priority p : {priority::kernel, priority::high, priority::normal, priority::low}) {
    entities.push_back(s.make({.rank = p}));
  }
  for (int i = 0; i < 100; ++i) all.push_back(device.push(entities[std::size_t(i % 4)], i));
  std::size_t advanced = 0;
  while (advanced < all.size()) advanced += device.advance(1);
  for (entity& e : entities) EXPECT_FALSE(e.flush());
  for (const fence_ref& f : all) EXPECT_EQ(f->status(), 1);
}

TEST(drm_sched, DS10_change_priority) {
  ring device;
  threaded s(device.options());
  std::vector<entity> entities;
  for (int i = 0; i < 4; ++i) entities.push_back(s.make());
  std::atomic<bool> over = false;
  std::jthread changes([&] {
    std::minstd_rand random(1);
    while (!over) {
      EXPECT_FALSE(entities[random() % 4].set_priority(priority(random() % priority_count)));
    }
  });
  std::vector<fence_ref> all;
  for (int i = 0; i < 1000; ++i) all.push_back(device.push(entities[std::size_t(i % 4)], i));
  std::size_t advanced = 0;
  while (advanced < all.size()) advanced += device.advance(1);
  for (entity& e : entities) EXPECT_FALSE(e.flush());
  over = true;
  for (const fence_ref& f : all) EXPECT_EQ(f->status(), 1);
}

TEST(drm_sched, DS11_modify_sched) {
  ring device(manner::at_once);
  threaded a(device.options()), b(device.options()), c(device.options());
  const scheduler* const all[] = {&a.of, &b.of, &c.of};
  std::vector<entity> entities;
  for (int i = 0; i < 13; ++i) {
    entities.push_back(entity::create({.schedulers = {all + i % 3, 1}}).value());
  }
  std::vector<fence_ref> jobs;
  for (int i = 0; i < 1300; ++i) {
    entity& e = entities[std::size_t(i % 13)];
    jobs.push_back(device.push(e, i));
    const scheduler* const next[] = {all[i % 3]};
    EXPECT_FALSE(e.set_schedulers(next));
  }
  for (entity& e : entities) EXPECT_FALSE(e.flush());
  for (const fence_ref& f : jobs) EXPECT_EQ(f->status(), 1);
  for (const scheduler* s : all) EXPECT_GT(s->statistics().jobs_run, 0U);
  for (threaded* s : {&a, &b, &c}) EXPECT_FALSE(s->of.fini());
  EXPECT_EQ(device.freed(), 1300U);
}

TEST(drm_sched, DS12_credits) {
  ring device;
  scheduler_options o = without_thread(device.options());
  o.credit_limit = 1;
  loop s(o);
  entity e = s.make();
  ring_job *const one = device.make(1), *const two = device.make(2);
  armed_job first = e.arm(*one).value(), second = e.arm(*two).value();
  const fence_ref finished = first.finished(), scheduled = second.scheduled();
  first.push(), second.push();
  s.run();
  EXPECT_EQ(scheduled->status(), 0);
  device.advance(1);
  EXPECT_EQ(finished->status(), 1);
  s.run();
  EXPECT_EQ(scheduled->status(), 1);
  device.advance(1);
}

TEST(drm_sched, DS13_queue_overhead) {
  clocked_ring device;
  entity e = device.sched().make();
  const std::int64_t begin = now_ns();
  for (int i = 0; i < 200; ++i) device.push(e, 100us);
  EXPECT_FALSE(e.flush());
  std::printf("200 jobs of 0.1 ms: %.1f ms\n", static_cast<double>(now_ns() - begin) / 1e6);
  EXPECT_EQ(e.statistics().jobs_ended, 200U);
}

TEST(drm_sched, DS14_ping_pong) {
  clocked_ring one, two;
  entity a = one.sched().make(), b = two.sched().make();
  const std::int64_t begin = now_ns();
  fence_ref last;
  for (int i = 0; i < 100; ++i) {
    last = one.push(a, 100us, last);
    last = two.push(b, 100us, last);
  }
  EXPECT_FALSE(last->wait());
  EXPECT_EQ(last->status(), 1);
  std::printf("200 jobs of 0.1 ms, each after the other: %.1f ms\n",
              static_cast<double>(now_ns() - begin) / 1e6);
}

// What one client of DS15 does: so many jobs of a length, then a pause; waits for the last if
// `sync`.
struct client {
  priority rank;
  int jobs;
  std::chrono::microseconds length, pause;
  bool sync;
};

// What one of them had.
struct client_run {
  std::int64_t device_ns = 0;
  double latency_ms = 0;  // of all cycles
  int cycles = 0;
};

void run_client(clocked_ring& device, entity& e, const client& c, std::int64_t end_ns,
                client_run& had) {
  std::deque<fence_ref> lasts;
  do {  // once at least, however late this thread begins
    const std::int64_t begin = now_ns();
    fence_ref last;
    for (int n = 0; n < c.jobs; ++n) last = device.push(e, c.length);
    lasts.push_back(last);
    // Asynchronous clients keep two cycles in the queue.
    while (lasts.size() > (c.sync ? 0 : 2)) {
      EXPECT_FALSE(lasts.front()->wait());
      lasts.pop_front();
    }
    had.latency_ms += static_cast<double>(now_ns() - begin) / 1e6;
    ++had.cycles;
    std::this_thread::sleep_for(c.pause);
  } while (now_ns() < end_ns);
  EXPECT_FALSE(e.flush());
}

// All of them at once.
std::vector<client_run> run_clients(const std::vector<client>& clients, std::uint32_t credits) {
  clocked_ring device(credits);
  std::vector<entity> entities;
  std::vector<client_run> runs(clients.size());
  for (const client& c : clients) entities.push_back(device.sched().make({.rank = c.rank}));
  const std::int64_t end_ns = now_ns() + 60'000'000;
  {
    std::vector<std::jthread> threads;
    for (std::size_t i = 0; i < clients.size(); ++i) {
      threads.emplace_back([&, i] { run_client(device, entities[i], clients[i], end_ns, runs[i]); });
    }
  }
  for (std::size_t i = 0; i < clients.size(); ++i) {
    const auto told = entities[i].statistics();
    EXPECT_EQ(told.jobs_ended, static_cast<std::uint64_t>(runs[i].cycles * clients[i].jobs));
    runs[i].device_ns = told.device_time_ns;
  }
  return runs;
}

TEST(drm_sched, DS15_two_clients) {
  constexpr auto normal = priority::normal, low = priority::low, high = priority::high;
  struct row {
    const char* name;
    std::vector<client> clients;
  };
  const row rows[] = {
      {"normal and normal", {{normal, 1, 800us, 0us, false}, {normal, 1, 800us, 0us, false}}},
      {"normal and low", {{normal, 1, 800us, 0us, false}, {low, 1, 800us, 0us, false}}},
      {"high and normal", {{high, 1, 800us, 0us, false}, {normal, 1, 800us, 0us, false}}},
      {"high and low", {{high, 1, 800us, 0us, false}, {low, 1, 800us, 0us, false}}},
      {"50 and 50", {{normal, 1, 150us, 150us, true}, {normal, 1, 250us, 250us, true}}},
      {"50 and 50 low", {{normal, 1, 150us, 150us, true}, {low, 1, 250us, 250us, true}}},
      {"50 high and 50", {{high, 1, 150us, 150us, true}, {normal, 1, 250us, 250us, true}}},
      {"low hog and interactive", {{low, 3, 250us, 50us, false}, {normal, 1, 50us, 1000us, true}}},
      {"heavy and interactive",
       {{normal, 3, 250us, 250us, false}, {normal, 1, 100us, 900us, true}}},
      {"very heavy and interactive",
       {{normal, 4, 5000us, 1us, false}, {normal, 1, 100us, 900us, true}}}};
  for (const std::uint32_t credits : {1U, 2U}) {
    for (const row& r : rows) {
      const std::vector<client_run> had = run_clients(r.clients, credits);
      for (const client_run& c : had) EXPECT_GT(c.device_ns, 0) << r.name;
      const double all = static_cast<double>(had[0].device_ns + had[1].device_ns) / 100;
      std::printf(
          "%-28s %u at a time: shares %4.1f %% and %4.1f %%, a cycle takes %5.2f and %5.2f ms\n",
          r.name, credits, static_cast<double>(had[0].device_ns) / all,
          static_cast<double>(had[1].device_ns) / all, had[0].latency_ms / had[0].cycles,
          had[1].latency_ms / had[1].cycles);
    }
  }
}

TEST(drm_sched, DS15_many_clients) {
  for (const std::size_t count : {2U, 3U, 7U, 13U, 31U}) {
    const client each{priority::normal, count == 31 ? 2 : 4, 100us, 0us, true};
    const std::vector<client_run> had = run_clients(std::vector(count, each), 1);
    const auto [least, most] = std::ranges::minmax(had, {}, &client_run::device_ns);
    EXPECT_GT(least.device_ns, 0);
    std::printf("%2zu clients: %.2f to %.2f ms of the device each, in %d to %d cycles\n", count,
                static_cast<double>(least.device_ns) / 1e6,
                static_cast<double>(most.device_ns) / 1e6, least.cycles, most.cycles);
  }
}

}  // namespace
}  // namespace ufence::sched::testing
