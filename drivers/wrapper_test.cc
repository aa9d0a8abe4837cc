// The C++ wrapper for drivers (ufence/driver.hpp), without a module: its tables, called as a host
// does.
#include <gmock/gmock.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <new>
#include <stdexcept>
#include <string>
#include <vector>

#include "ufence/driver.hpp"

namespace ufence::driver {
namespace {

using testing::ElementsAre;

// What the driver under test told the host.
struct told {
  std::vector<std::string> reports;
  std::vector<int> decided;
  int settled = 0;
  std::vector<std::string> threads;
};
told* host_told = nullptr;

ufence_host fake_host() {
  ufence_host h{};
  h.size = sizeof h;
  h.abi_version = UFENCE_ABI_VERSION;
  h.report = [](ufence_device*, const char* text) { host_told->reports.emplace_back(text); };
  h.signal = [](ufence_job*, int error) { return host_told->decided.push_back(error), 0; };
  h.decide = [](ufence_job* j, int error, ufence_settlement* later) {
    host_told->decided.push_back(error);
    later->head = j;
    return 0;
  };
  h.settle = [](ufence_settlement* later) {
    if (later->head != nullptr) ++host_told->settled;
    later->head = nullptr;
  };
  h.thread_start = [](ufence_device*, const char* name, void (*fn)(void*), void* arg) {
    host_told->threads.emplace_back(name);
    fn(arg);
    return 0;
  };
  return h;
}

class driver_wrapper : public testing::Test {
 protected:
  driver_wrapper() { host_told = &seen; }
  ~driver_wrapper() override { host_told = nullptr; }

  told seen;
  const ufence_host host = fake_host();
};

struct smallest {
  explicit smallest(services s) : host(s) {}
  int submit(job& j) { return host.signal(j, 0); }
  void stop() {}
  services host;
};

struct most : smallest {
  using smallest::smallest;
  int enable_signaling(job&) { return 0; }
  int poll(job&) { return 1; }
  void set_deadline(job&, std::int64_t) {}
  void retire(job&) {}
  void cancel(job&) {}
  int observe(ufence_fence&) { return 0; }
};

struct line : smallest {
  using smallest::smallest;
  static constexpr bool is_timeline = true;
  void set_deadline(std::int64_t deadline_ns) { soonest = deadline_ns; }
  void request_notify(std::uint64_t) {}
  void retire_timeline() {}
  std::int64_t soonest = 0;
};

struct old : smallest {
  using smallest::smallest;
  void lock(job&) {}
  void unlock(job&) {}
  int wait(job&, std::int64_t) { return 0; }
  void release(job&) {}
};

TEST_F(driver_wrapper, features_follow_from_members) {
  EXPECT_EQ(detail::features_of<smallest>(), 0u);
  EXPECT_EQ(detail::features_of<most>(), UFENCE_F_ENABLE | UFENCE_F_POLL | UFENCE_F_DEADLINE |
                                             UFENCE_F_RETIRE | UFENCE_F_CANCEL | UFENCE_F_OBSERVE);
  EXPECT_EQ(detail::features_of<line>(), UFENCE_F_TIMELINE | UFENCE_F_DEADLINE);
  EXPECT_EQ(detail::features_of<old>(), std::uint64_t{UFENCE_F_LEGACY});
}

TEST_F(driver_wrapper, ops_are_there_exactly_for_members) {
  constexpr ufence_device_ops few = detail::make_ops<smallest>();
  EXPECT_EQ(few.size, sizeof few);
  EXPECT_NE(few.submit, nullptr);
  EXPECT_EQ(few.poll, nullptr);
  EXPECT_EQ(few.cancel, nullptr);
  EXPECT_EQ(few.request_notify, nullptr);
  constexpr ufence_device_ops many = detail::make_ops<most>();
  EXPECT_NE(many.poll, nullptr);
  EXPECT_NE(many.cancel, nullptr);
  EXPECT_EQ(many.lock, nullptr);
  constexpr ufence_device_ops ordered = detail::make_ops<line>();
  EXPECT_NE(ordered.request_notify, nullptr);
  EXPECT_NE(ordered.retire_timeline, nullptr);
  EXPECT_EQ(ordered.retire, nullptr);
}

// A member of an op's name, but not of its type, is noticed: the wrapper does not compile then.
struct wrong_cancel : smallest {
  using smallest::smallest;
  void cancel(const char*) {}
};
struct hidden_poll : smallest {
  using smallest::smallest;

 private:
  int poll(job&);
};
static_assert(!detail::sound_cancel<wrong_cancel> && detail::sound_poll<wrong_cancel>);
static_assert(!detail::sound_poll<hidden_poll>);
static_assert(detail::sound_set_deadline<line> && !detail::has_set_deadline<smallest>);

struct throwing {
  explicit throwing(services s) : host(s) {
    if (fail_init != 0) throw failure{fail_init};
  }
  int submit(job& j) {
    switch (j.opcode) {
      case 1: throw failure{-EBUSY};
      case 2: throw std::bad_alloc();
      case 3: throw std::runtime_error("no");
      default: return 0;
    }
  }
  void cancel(job&) { throw 1; }
  int poll(job&) { throw failure{-ENODEV}; }
  void stop() { throw 1; }
  services host;
  static inline int fail_init = 0;
};

TEST_F(driver_wrapper, exceptions_end_at_the_boundary) {
  constexpr ufence_device_ops ops = detail::make_ops<throwing>();
  void* state = nullptr;
  throwing::fail_init = -ENXIO;
  EXPECT_EQ(detail::init<throwing>(&host, nullptr, &state), -ENXIO);
  EXPECT_EQ(state, nullptr);
  throwing::fail_init = 0;
  ASSERT_EQ(detail::init<throwing>(&host, nullptr, &state), 0);
  ufence_job j{};
  std::vector<int> errors;
  for (j.opcode = 0; j.opcode < 4; ++j.opcode) errors.push_back(ops.submit(state, &j));
  EXPECT_THAT(errors, ElementsAre(0, -EBUSY, -ENOMEM, -EIO));
  EXPECT_EQ(ops.poll(state, &j), -ENODEV);
  ops.cancel(state, &j);
  detail::stop<throwing>(state);
  EXPECT_THAT(seen.reports,
              ElementsAre("D-4: submit() threw an exception (std::runtime_error): no",
                          "D-4: cancel() threw an exception (int)",
                          "D-4: stop() threw an exception (int)"));
  detail::exit<throwing>(state);
}

struct starting : smallest {
  explicit starting(services s) : smallest(s) { ++alive; }
  ~starting() { --alive; }
  int start() { return fails ? -EAGAIN : host.start_thread<&starting::work>("worker", *this); }
  void stop() { ++stopped; }
  void work() noexcept { ++worked; }
  static inline int alive = 0, stopped = 0, worked = 0;
  static inline bool fails = false;
};

TEST_F(driver_wrapper, start_comes_last_and_its_failure_stops) {
  void* state = nullptr;
  starting::fails = true;
  EXPECT_EQ(detail::init<starting>(&host, nullptr, &state), -EAGAIN);
  EXPECT_EQ(starting::stopped, 1);
  EXPECT_EQ(starting::alive, 0);
  starting::fails = false;
  ASSERT_EQ(detail::init<starting>(&host, nullptr, &state), 0);
  EXPECT_EQ(starting::worked, 1);
  EXPECT_THAT(seen.threads, ElementsAre("worker"));
  detail::stop<starting>(state);
  detail::exit<starting>(state);
  EXPECT_EQ(starting::alive, 0);
}

TEST_F(driver_wrapper, other_hosts_are_refused) {
  void* state = nullptr;
  ufence_host other = host;
  other.abi_version += 1;
  EXPECT_EQ(detail::init<smallest>(&other, nullptr, &state), -EPROTO);
  other = host;
  other.size -= 8;
  EXPECT_EQ(detail::init<smallest>(&other, nullptr, &state), -EPROTO);
}

TEST_F(driver_wrapper, a_settlement_settles_at_its_end) {
  const services s(&host, nullptr);
  ufence_job j{};
  {
    settlement later = s.later();
    EXPECT_EQ(s.decide(j, -EIO, later), 0);
    EXPECT_EQ(seen.settled, 0);
  }
  EXPECT_EQ(seen.settled, 1);
  EXPECT_THAT(seen.decided, ElementsAre(-EIO));
}

TEST_F(driver_wrapper, arguments_are_seen_as_what_they_are_if_they_are_long_enough) {
  struct args {
    std::uint64_t a, b;
  };
  alignas(16) std::array<std::uint64_t, 3> memory{1, 2, 3};
  ufence_job j{};
  EXPECT_EQ(args_of<args>(j), nullptr);
  j.args = memory.data();
  j.args_size = sizeof(args) - 1;
  EXPECT_EQ(args_of<args>(j), nullptr);
  j.args_size = sizeof memory;
  ASSERT_NE(args_of<args>(j), nullptr);
  EXPECT_EQ(args_of<args>(j)->b, 2u);
}

TEST_F(driver_wrapper, a_list_of_jobs_is_a_queue) {
  std::array<ufence_job, 4> jobs{};
  job_list list;
  EXPECT_TRUE(list.empty());
  EXPECT_EQ(list.pop_front(), nullptr);
  for (job& j : jobs) list.push_back(j);
  list.remove(jobs[1]);
  list.remove(jobs[3]);
  EXPECT_EQ(list.front(), &jobs[0]);
  EXPECT_EQ(job_list::next(jobs[0]), &jobs[2]);
  EXPECT_EQ(list.pop_front(), &jobs[0]);
  list.push_back(jobs[3]);
  job_list taken(std::move(list));
  EXPECT_EQ(taken.pop_front(), &jobs[2]);
  EXPECT_EQ(taken.pop_front(), &jobs[3]);
  EXPECT_TRUE(taken.empty());
  for (const job& j : jobs) {
    EXPECT_EQ(j.driver_private[0], nullptr);
    EXPECT_EQ(j.driver_private[1], nullptr);
  }
}

struct watcher {
  void on_signal(ufence_callback& node, ufence_fence&) noexcept { last = &node; }
  ufence_callback* last = nullptr;
};

TEST_F(driver_wrapper, a_callback_calls_its_owner) {
  watcher w;
  callback<watcher, &watcher::on_signal> node(w);
  EXPECT_EQ(node.device, nullptr);
  for (void* reserved : node.reserved) EXPECT_EQ(reserved, nullptr);
  std::uint64_t anything = 0;  // a driver does not look into a fence
  node.fn(&node, reinterpret_cast<ufence_fence*>(&anything));
  EXPECT_EQ(w.last, &node);
}

}  // namespace
}  // namespace ufence::driver
