// Where the system refuses a call (a sandbox), nothing waits for ever.
#include <gtest/gtest.h>
#include <sys/syscall.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <thread>

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

struct counting_callback : callback {
  counting_callback() noexcept : callback(&counting_callback::run) {}
  static void run(callback& node, fence&) noexcept {
    static_cast<counting_callback&>(node).runs.fetch_add(1, std::memory_order_relaxed);
  }
  std::atomic<int> runs = 0;
};

// LOCK of one fence goes to and fro between two threads, then one removes what the other one runs.
int locks_and_batches_work() {
  constexpr int turns = 20'000;
  constexpr int rounds = 200;
  new_fence busy = make_fence();
  const auto add_and_remove = [&] {
    bool all = true;
    for (int i = 0; i < turns; ++i) {
      counting_callback node;
      all = !busy.fence->add_callback(node) && busy.fence->remove_callback(node) == true && all;
    }
    return all;
  };
  bool other_did = false;
  std::thread other([&] { other_did = add_and_remove(); });
  const bool did = add_and_remove();
  other.join();
  UFENCE_CHILD_EXPECT(did && other_did);
  busy.signal.signal();

  for (int round = 0; round < rounds; ++round) {
    new_fence made = make_fence();
    std::array<counting_callback, 40> nodes;
    for (counting_callback& node : nodes) UFENCE_CHILD_EXPECT(!made.fence->add_callback(node));
    std::thread signals([&] { made.signal.signal(); });
    bool each_once = true;
    for (counting_callback& node : nodes) {
      const bool removed = made.fence->remove_callback(node).value();
      each_once = each_once && node.runs == (removed ? 0 : 1);
    }
    signals.join();
    UFENCE_CHILD_EXPECT(each_once);
  }
  return 0;
}

}  // namespace

TEST(refused_calls, locks_and_batches_work_without_membarrier) {
  for (const int error : {EPERM, ENOSYS, EACCES}) {
    EXPECT_EQ(in_child([&] {
                // (And no report handler is set, which would wait for a grace period: liburcu ends a
                // process that loses membarrier().)
                UFENCE_CHILD_EXPECT(refuse_call(SYS_membarrier, error));
                return locks_and_batches_work();
              }),
              0);
  }
}

TEST(refused_calls, locks_and_batches_work_with_membarrier) {
  EXPECT_EQ(in_child([] { return locks_and_batches_work(); }), 0);
}

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
