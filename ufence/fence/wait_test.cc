// Waits for one, any, all: deadlines, many, duplicates, nothing, without futex_waitv.
#include "ufence/fence/wait.h"

#include <gtest/gtest.h>

#include <array>
#include <cstddef>
#include <functional>
#include <thread>
#include <vector>

#include "ufence/base/futex.h"
#include "ufence/fence/testing/support.h"
#include "ufence/fence/testing/without_futex_waitv.h"
#include "ufence/fence/timeline.h"

using namespace ufence;
using namespace ufence::testing;

namespace {

const std::error_code timed_out = errno_code(ETIME);

struct fence_batch {
  explicit fence_batch(std::size_t n) {
    for (std::size_t i = 0; i < n; ++i) {
      new_fence made = make_fence();
      fences.push_back(made.fence);
      rights.push_back(std::move(made.signal));
    }
  }
  ~fence_batch() {
    for (signaler& right : rights) right.signal();
  }
  std::vector<fence_ref> fences;
  std::vector<signaler> rights;
};

// Runs the body as it is, and on kernels that lack futex_waitv, or in sandboxes that refuse it.
void with_and_without_futex_waitv(const std::function<void()>& body) {
  body();
  for (const int error : {ENOSYS, EPERM}) {
    bool refused = false;
    std::thread limited([&] {
      refused = without_futex_waitv(error);
      if (!refused) return;
      const ufence::atomic<std::uint32_t> word{0};
      const futex_waiter waiter{.word = &word, .expected = 0};
      EXPECT_EQ(futex_wait_any({&waiter, 1}, deadline_after(second_ns)), -ENOSYS);
      body();
    });
    limited.join();
    if (!refused) GTEST_SKIP() << "no seccomp here: only with futex_waitv";
  }
}

}  // namespace

template <class Deadline>
concept is_taken_by_wait = requires(fence& f, Deadline d) { f.wait(d); };

TEST(wait, takes_no_number_that_looks_like_a_duration) {
  EXPECT_TRUE(is_taken_by_wait<std::int64_t>);
  EXPECT_TRUE(is_taken_by_wait<absolute_deadline>);
  EXPECT_FALSE(is_taken_by_wait<int>) << "wait(1000)";
  EXPECT_FALSE(is_taken_by_wait<unsigned>);
  EXPECT_FALSE(is_taken_by_wait<std::uint64_t>);
  EXPECT_FALSE(is_taken_by_wait<double>);
  EXPECT_FALSE(is_taken_by_wait<bool>);
}

TEST(wait, regress_tells_a_failed_job_from_a_done_one_in_one_call) {
  new_fence done = make_fence();
  new_fence failed = make_fence();
  new_fence pending = make_fence();
  done.signal.signal();
  failed.signal.signal(-EIO);
  EXPECT_EQ(failed.fence->wait(), no_error) << "it is signaled";
  EXPECT_EQ(failed.fence->wait_result(), errno_code(EIO));
  EXPECT_EQ(failed.fence->wait_result(no_wait), errno_code(EIO));
  EXPECT_EQ(done.fence->wait_result(), no_error);
  EXPECT_EQ(pending.fence->wait_result(no_wait), timed_out);
  EXPECT_EQ(pending.fence->wait_result(deadline_after(1'000'000)), timed_out);
  std::jthread fails([&] { pending.signal.signal(-ENODEV); });
  EXPECT_EQ(pending.fence->wait_result(), errno_code(ENODEV));
  EXPECT_EQ(fence::stub()->wait_result(), no_error);
  // A timeline's fences, which nobody has looked at.
  timeline_issuer issuer = make_timeline();
  const fence_ref reached = issuer.emit().value();
  const fence_ref cut_off = issuer.emit().value();
  issuer.signal_up_to(1);
  issuer.fail(-EPIPE);
  EXPECT_EQ(reached->wait_result(), no_error);
  EXPECT_EQ(cut_off->wait_result(), errno_code(EPIPE));
}

TEST(wait, takes_absolute_deadlines) {
  new_fence made = make_fence();
  EXPECT_EQ(made.fence->wait(no_wait), timed_out);
  EXPECT_EQ(made.fence->wait(INT64_C(-1)), timed_out);
  EXPECT_EQ(made.fence->wait(INT64_MIN), timed_out);
  EXPECT_EQ(made.fence->wait(now_ns() - 1), timed_out) << "past";
  const std::int64_t deadline = deadline_after(5 * millisecond_ns);
  EXPECT_EQ(made.fence->wait(deadline), timed_out);
  EXPECT_GE(now_ns(), deadline) << "not before";
  made.signal.signal();
  EXPECT_EQ(made.fence->wait(no_wait), no_error);
  EXPECT_EQ(made.fence->wait(INT64_C(-1)), no_error);
}

TEST(wait, looks_once_more_after_expiry) {
  // The thread that asks the op also passes the deadline inside it; what it decided there counts.
  scripted_backend data;
  new_fence made = make_fence(&data);
  const std::int64_t deadline = deadline_after(millisecond_ns);
  data.on_enable_signaling = [&] {
    while (now_ns() <= deadline) {
    }
    return -EIO;
  };
  EXPECT_EQ(made.fence->wait(deadline), no_error);
  EXPECT_EQ(made.fence->error(), -EIO);

  timeline_issuer issuer = make_timeline();
  const fence_ref ordered = issuer.emit().value();
  issuer.signal_up_to(1);
  EXPECT_EQ(ordered->wait(now_ns() - 1), no_error) << "completed, not marked yet";
  made.signal.signal();
}

TEST(wait, never_times_out_on_what_was_signaled_before_the_deadline) {
  for (int round = 0; round < 200; ++round) {
    new_fence made = make_fence();
    timeline_issuer issuer = make_timeline();
    const fence_ref ordered = issuer.emit().value();
    const std::int64_t deadline = deadline_after(100'000);
    std::int64_t signaled_ns = 0;
    std::thread signals([&] {
      while (now_ns() < deadline - 20'000) {
      }
      made.signal.signal();
      issuer.signal_up_to(1);
      signaled_ns = now_ns();
    });
    const std::array<fence_ref, 2> both = {made.fence, ordered};
    const std::error_code waited =
        round % 2 == 0 ? ordered->wait(deadline) : wait_all(both, deadline);
    signals.join();
    if (waited) {
      EXPECT_EQ(waited, timed_out);
      EXPECT_GT(signaled_ns, deadline);
    }
  }
}

TEST(wait, wakes_all_who_wait) {
  new_fence made = make_fence();
  std::array<std::thread, 8> threads;
  std::atomic<int> woken = 0;
  for (std::size_t i = 0; i < threads.size(); ++i) {
    threads[i] = std::thread([&, i] {
      std::error_code waited;
      if (i % 4 == 0) waited = made.fence->wait();
      if (i % 4 == 1) waited = made.fence->wait(patience());
      if (i % 4 == 2) waited = made.fence->wait_settled();
      if (i % 4 == 3) waited = made.fence->wait_quiesced();
      if (!waited) ++woken;
    });
  }
  made.signal.signal();
  for (std::thread& t : threads) t.join();
  EXPECT_EQ(woken, 8);
}

TEST(wait_any, says_which_is_signaled) {
  with_and_without_futex_waitv([] {
    for (const std::size_t n : {std::size_t{1}, std::size_t{2}, std::size_t{32}, std::size_t{33},
                                std::size_t{128}, std::size_t{129}, std::size_t{1000}}) {
      fence_batch many(n);
      EXPECT_EQ(wait_any(many.fences, no_wait).error(), timed_out) << n;
      EXPECT_EQ(wait_any(many.fences, deadline_after(millisecond_ns)).error(), timed_out) << n;
      const std::size_t which = n / 2;
      std::jthread signals([&] { many.rights[which].signal(-EIO); });
      EXPECT_EQ(wait_any(many.fences, patience()), result<std::size_t>(which)) << n;
      EXPECT_EQ(many.fences[which]->error(), -EIO);
      EXPECT_EQ(wait_any(many.fences, no_wait), result<std::size_t>(which)) << "also with deadline 0";
    }
  });
}

TEST(wait_any, says_the_lowest_index) {
  fence_batch many(5);
  many.rights[4].signal();
  many.rights[2].signal();
  EXPECT_EQ(wait_any(many.fences, no_wait), result<std::size_t>(2U));
}

TEST(wait_any, takes_fences_of_timelines_and_the_stub) {
  with_and_without_futex_waitv([] {
    timeline_issuer issuer = make_timeline();
    timeline_issuer other = make_timeline();
    std::vector<fence_ref> fences = {issuer.emit().value(), other.emit().value(),
                                     issuer.emit().value()};
    EXPECT_EQ(wait_any(fences, no_wait).error(), timed_out);
    {
      std::jthread signals([&] { other.signal_up_to(1); });
      EXPECT_EQ(wait_any(fences, patience()), result<std::size_t>(1U));
    }
    fences.push_back(fence::stub());
    std::swap(fences[1], fences[3]);
    EXPECT_EQ(wait_any(fences, no_wait), result<std::size_t>(1U)) << "the stub";
    issuer.signal_up_to(2);
  });
}

TEST(wait_any, takes_duplicates) {
  with_and_without_futex_waitv([] {
    fence_batch two(2);
    const std::vector<fence_ref> fences = {two.fences[0], two.fences[1], two.fences[1],
                                           two.fences[0], two.fences[1]};
    std::jthread signals([&] { two.rights[1].signal(); });
    EXPECT_EQ(wait_any(fences, patience()), result<std::size_t>(1U));
  });
}

TEST(wait_any, refuses_nothing_and_null) {
  fence_batch one(1);
  EXPECT_EQ(wait_any({}, no_deadline).error(), errno_code(EINVAL));
  EXPECT_EQ(wait_any(std::vector<fence_ref>(1), no_deadline).error(), errno_code(EINVAL));
  EXPECT_EQ(wait_any(std::vector<fence_ref>{fence::stub(), nullptr}, no_wait).error(),
            errno_code(EINVAL));
}

TEST(wait_any, leaves_no_callback_behind) {
  with_and_without_futex_waitv([] {
    fence_batch many(40);
    EXPECT_EQ(wait_any(many.fences, deadline_after(1000)).error(), timed_out);
    for (std::size_t i = 0; i < 40; ++i) {
      settlement later;
      many.rights[i].decide(0, later);
      EXPECT_TRUE(later.empty()) << "nothing to call";
    }
  });
}

TEST(wait_any, enables_all_before_it_sleeps) {
  with_and_without_futex_waitv([] {
    scripted_backend first;
    scripted_backend second;
    new_fence one = make_fence(&first);
    new_fence two = make_fence(&second);
    const std::vector<fence_ref> fences = {one.fence, two.fence};
    second.on_enable_signaling = [&] { return 1; };
    EXPECT_EQ(wait_any(fences, patience()), result<std::size_t>(1U));
    EXPECT_EQ(first.enables, 1);
    one.signal.signal();
    two.signal.signal();
  });
}

TEST(wait_any, inside_an_op_of_one_of_them_is_EDEADLK) {
  scripted_backend data;
  new_fence made = make_fence(&data);
  new_fence other = make_fence();
  const std::vector<fence_ref> fences = {other.fence, made.fence};
  std::error_code any;
  std::error_code all;
  data.on_poll = [&] {
    any = wait_any(fences, no_deadline).error();
    all = wait_all(std::vector<fence_ref>{made.fence}, no_deadline);
    return 0;
  };
  EXPECT_FALSE(made.fence->poll());
  EXPECT_EQ(any, errno_code(EDEADLK));
  EXPECT_EQ(all, errno_code(EDEADLK));
  made.signal.signal();
  other.signal.signal();
}

TEST(wait_all, waits_for_the_last) {
  for (const std::size_t n : {std::size_t{1}, std::size_t{3}, std::size_t{500}}) {
    fence_batch many(n);
    EXPECT_EQ(wait_all(many.fences, no_wait), timed_out);
    for (std::size_t i = 0; i + 1 < n; ++i) many.rights[i].signal(-EIO);
    EXPECT_EQ(wait_all(many.fences, deadline_after(millisecond_ns)), timed_out);
    std::jthread signals([&] { many.rights[n - 1].signal(); });
    EXPECT_EQ(wait_all(many.fences, patience()), no_error) << "errors do not end it";
  }
}

TEST(wait_all, takes_duplicates_and_nothing_but_no_null) {
  fence_batch one(1);
  const std::vector<fence_ref> twice = {one.fences[0], one.fences[0]};
  EXPECT_EQ(wait_all(twice, no_wait), timed_out);
  one.rights[0].signal();
  EXPECT_EQ(wait_all(twice, no_wait), no_error);
  EXPECT_EQ(wait_all({}, no_wait), no_error);
  EXPECT_EQ(wait_all(std::vector<fence_ref>{fence::stub(), nullptr}, no_wait), errno_code(EINVAL));
}

TEST(wait_all, enables_all_before_it_sleeps) {
  scripted_backend first;
  scripted_backend second;
  new_fence one = make_fence(&first);
  new_fence two = make_fence(&second);
  // The first completes only once the second was asked.
  second.on_enable_signaling = [&] {
    one.signal.signal();
    return 1;
  };
  EXPECT_EQ(wait_all(std::vector<fence_ref>{one.fence, two.fence}, patience()), no_error);
  EXPECT_EQ(first.enables, 1);
  two.signal.signal();
}
