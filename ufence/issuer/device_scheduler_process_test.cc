// Schedulers of devices and fork(): a child is refused what it inherited, waits for nothing, and may make its
// own; the parent's jobs are untouched.
#include <gtest/gtest.h>

#include <atomic>
#include <optional>
#include <thread>
#include <vector>

#include "ufence/issuer/device_scheduler.h"
#include "ufence/issuer/host.h"
#include "ufence/issuer/issuer_test_support.h"

namespace ufence {
namespace {

using testing::in_child;
using testing::kept_reports;
namespace ops = puppet;

result<device_job_fences> push(device_entity& e, puppet::board& to, puppet::opcode what) {
  const puppet::arguments arguments{.to = &to};
  return e.push({.opcode = what, .args = std::as_bytes(std::span(&arguments, 1))});
}

// What a child of fork() hears of a scheduler and an entity that it inherited.
bool is_refused(device_scheduler& s, device_entity& e, const device_ref& d, puppet::board& to) {
  const std::error_code dead = errno_code(EOWNERDEAD);
  return error_of(push(e, to, ops::now)) == dead && e.flush() == dead && e.kill() == dead &&
         e.set_weight(1) == dead && s.attach(d) == dead && s.detach() == dead && s.stop() == dead &&
         s.start() == dead && s.fault() == dead && s.run_ready().error() == dead && !s.fini();
}

TEST(device_scheduler_fork, a_child_is_refused_and_the_parents_jobs_are_untouched) {
  puppet_device p;
  std::optional<device_scheduler> s = device_scheduler::create(p.device, {.has_thread = false}).value();
  std::optional<device_entity> e = device_entity::create(*s).value();
  const device_job_fences given = push(*e, *p.board, ops::hold).value();
  ASSERT_TRUE(s->run_ready());
  ASSERT_EQ(p.board->held, 1U);
  const device_job_fences queued = push(*e, *p.board, ops::now).value();
  EXPECT_EQ(in_child([&] {
              const kept_reports reports;
              UFENCE_CHILD_EXPECT(is_refused(*s, *e, p.device, *p.board));
              UFENCE_CHILD_EXPECT(queued.finished->wait() == errno_code(EOWNERDEAD));
              UFENCE_CHILD_EXPECT(given.finished->wait() == errno_code(EOWNERDEAD));
              UFENCE_CHILD_EXPECT(given.scheduled->status() == 1);
              e.reset();
              s.reset();
              UFENCE_CHILD_EXPECT(reports.all().empty());
              UFENCE_CHILD_EXPECT(p.board->cancels == 0 && p.board->submits == 2);
              return 0;
            }),
            0);
  p.give(ops::finish_all);
  ASSERT_TRUE(s->run_ready());
  EXPECT_EQ(given.finished->status(), 1);
  EXPECT_EQ(queued.finished->status(), 1);
  e.reset();
  EXPECT_FALSE(s->fini());
  s.reset();
  p.unload();
}

// Of gcc 12 neither sanitizer lets a child of a process with threads have threads itself: a child finds
// AddressSanitizer's malloc() locked, and ThreadSanitizer ends it.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SKIP_WHERE_CHILDREN_HAVE_NO_THREADS() GTEST_SKIP() << "sanitizers let no child have threads"
#else
#define SKIP_WHERE_CHILDREN_HAVE_NO_THREADS() static_cast<void>(0)
#endif

TEST(device_scheduler_fork, a_scheduler_that_a_child_makes_for_an_inherited_device_ends_its_jobs) {
  SKIP_WHERE_CHILDREN_HAVE_NO_THREADS();
  puppet_device p;
  EXPECT_EQ(in_child([&] {
              device_scheduler s = device_scheduler::create(p.device).value();
              device_entity e = device_entity::create(s).value();
              const auto job = push(e, *p.board, ops::now);
              UFENCE_CHILD_EXPECT(job && !job->finished->wait());
              UFENCE_CHILD_EXPECT(job->finished->error() == -EOWNERDEAD);
              UFENCE_CHILD_EXPECT(!s.fini());
              return 0;
            }),
            0);
  EXPECT_EQ(p.board->submits, 1U) << "attach";
  p.unload();
}

// A worker and threads that push are anywhere when the process forks.
TEST(device_scheduler_fork, children_of_a_busy_process_make_their_own) {
  SKIP_WHERE_CHILDREN_HAVE_NO_THREADS();
  puppet_device p;
  std::optional<device_scheduler> s = device_scheduler::create(p.device).value();
  std::optional<device_entity> e = device_entity::create(*s).value();
  std::atomic<bool> ends{false};
  std::vector<std::thread> pushing;
  for (int n = 0; n < 2; ++n) {
    pushing.emplace_back([&] {
      device_entity own = device_entity::create(*s).value();
      while (!ends) EXPECT_FALSE(push(own, *p.board, ops::now).value().finished->wait());
    });
  }
  for (int round = 0; round < 20; ++round) {
    EXPECT_EQ(in_child([&] {
                UFENCE_CHILD_EXPECT(is_refused(*s, *e, p.device, *p.board));
                e.reset();
                s.reset();
                host h;
                puppet::board board;
                const device_ref d = load_module(h, test_module("puppet_build_2"));
                UFENCE_CHILD_EXPECT(d != nullptr);
                {
                  device_scheduler own = device_scheduler::create(d).value();
                  device_entity user = device_entity::create(own).value();
                  for (const puppet::opcode what : {ops::attach, ops::now}) {
                    const auto job = push(user, board, what);
                    UFENCE_CHILD_EXPECT(job && !job->finished->wait() && job->finished->status() == 1);
                  }
                }
                const auto done = h.unload(d);
                UFENCE_CHILD_EXPECT(done && done->state == unload_state::unmapped);
                return 0;
              }),
              0);
  }
  ends = true;
  for (std::thread& t : pushing) t.join();
  e.reset();
  s.reset();
  p.unload();
}

}  // namespace
}  // namespace ufence
