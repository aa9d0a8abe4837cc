// Where the system refuses a call (a sandbox), nothing waits for ever.
#include <gtest/gtest.h>
#include <sys/syscall.h>

#include <array>
#include <cerrno>

#include "ufence/base/clock.h"
#include "ufence/fence/fence.h"
#include "ufence/fence/testing/refuse_call.h"
#include "ufence/fence/testing/support.h"
#include "ufence/fence/wait.h"

using namespace ufence;
using namespace ufence::testing;

namespace {

constexpr std::int64_t short_ns = 2'000'000;

int waits_end() {
  new_fence made = make_fence();
  const std::array all{made.fence, make_fence().fence};
  UFENCE_CHILD_EXPECT(made.fence->wait(deadline_after(short_ns)) == errno_code(ETIME));
  UFENCE_CHILD_EXPECT(wait_all({&made.fence, 1}, deadline_after(short_ns)) == errno_code(ETIME));
  const std::array two{made.fence, made.fence};
  UFENCE_CHILD_EXPECT(wait_any(two, deadline_after(short_ns)).error() == errno_code(ETIME));
  made.signal.signal();
  UFENCE_CHILD_EXPECT(made.fence->wait() == no_error);
  UFENCE_CHILD_EXPECT(wait_any(all, no_deadline).has_value());
  return 0;
}

}  // namespace

TEST(refused_calls, regress_waits_end_without_futexes) {
  for (const int error : {EPERM, ENOSYS, EACCES}) {
    EXPECT_EQ(in_child([&] {
                UFENCE_CHILD_EXPECT(refuse_call(SYS_futex, error));
                kept_reports reports;
                return waits_end();
              }),
              0);
  }
}

TEST(refused_calls, regress_waits_for_many_end_without_futex_waitv) {
#ifdef SYS_futex_waitv
  for (const int error : {EPERM, ENOSYS, EACCES}) {
    EXPECT_EQ(in_child([&] {
                UFENCE_CHILD_EXPECT(refuse_call(SYS_futex_waitv, error));
                kept_reports reports;
                return waits_end();
              }),
              0);
  }
#endif
}
