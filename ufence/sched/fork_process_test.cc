// A child of fork() has none of the worker: what it inherited says so, and waits for nothing.
#include <sys/wait.h>
#include <unistd.h>

#include "ufence/sched/sched_test_support.h"

namespace ufence::sched::testing {
namespace {

TEST(sched_fork, a_child_is_refused_and_the_parents_jobs_are_untouched) {
  ring device;
  scheduler s = scheduler::create(device.options()).value();
  const scheduler* const list[] = {&s};
  entity e = entity::create({.schedulers = list}).value();
  const fence_ref f = device.push(e);
  while (device.pending() == 0) std::this_thread::yield();
  const pid_t child = ::fork();
  if (child == 0) {
    ring_job j(device);
    const std::error_code dead = errno_code(EOWNERDEAD);
    const bool is_refused = e.push(j) == dead && e.flush() == dead && e.kill() == dead &&
                            s.stop() == dead && s.start() == dead && s.fault() == dead &&
                            s.run_ready().error() == dead && e.set_weight(1) == dead && !s.fini() &&
                            f->wait() == dead;
    ::_exit(is_refused ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(device.advance(1), 1U);
  EXPECT_FALSE(e.flush());
  EXPECT_EQ(f->status(), 1);
}

}  // namespace
}  // namespace ufence::sched::testing
