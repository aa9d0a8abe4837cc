// F18: fork() in the middle. The child uses what it creates itself; the parent does not notice.
#include <gtest/gtest.h>
#include <poll.h>
#include <unistd.h>

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include "ufence/base/alloc.h"
#include "ufence/fence/fence.h"
#include "ufence/fence/slab.h"
#include "ufence/fence/testing/support.h"
#include "ufence/fence/timeline.h"
#include "ufence/fence/wait.h"

using namespace ufence;
using namespace ufence::testing;

namespace {

bool is_readable(const unique_fd& fd) {
  pollfd p{.fd = fd.get(), .events = POLLIN, .revents = 0};
  return ::poll(&p, 1, 0) == 1;
}

// Everything that a child may do with fences of its own. Returns the line of what did not hold.
int use_own_fences() {
  scripted_backend data;
  new_fence made = make_fence(&data);
  scripted_callback node;
  UFENCE_CHILD_EXPECT(!made.fence->is_signaled());
  UFENCE_CHILD_EXPECT(made.fence->wait(no_wait) == errno_code(ETIME));
  UFENCE_CHILD_EXPECT(made.fence->add_callback(node) == no_error);
  const result<unique_fd> fd = made.fence->pollable_fd();
  UFENCE_CHILD_EXPECT(fd.has_value());
  UFENCE_CHILD_EXPECT(!is_readable(*fd));
  UFENCE_CHILD_EXPECT(made.signal.signal(-EIO));
  UFENCE_CHILD_EXPECT(node.runs() == 1);
  UFENCE_CHILD_EXPECT(data.retires == 1);
  UFENCE_CHILD_EXPECT(is_readable(*fd));
  UFENCE_CHILD_EXPECT(made.fence->wait() == no_error);
  UFENCE_CHILD_EXPECT(made.fence->wait_settled() == no_error);
  UFENCE_CHILD_EXPECT(made.fence->wait_quiesced() == no_error);
  UFENCE_CHILD_EXPECT(made.fence->status() == -EIO);

  timeline_issuer issuer = make_timeline();
  std::vector<fence_ref> fences;
  for (int i = 0; i < 300; ++i) fences.push_back(issuer.emit().value());
  scripted_callback on_last;
  UFENCE_CHILD_EXPECT(fences.back()->add_callback(on_last) == no_error);
  issuer.signal_up_to(300);
  UFENCE_CHILD_EXPECT(on_last.runs() == 1);
  UFENCE_CHILD_EXPECT(wait_all(fences, no_deadline) == no_error);
  UFENCE_CHILD_EXPECT(fence::stub()->is_signaled());
  kept_reports reports;
  { const new_fence dropped = make_fence(); }
  UFENCE_CHILD_EXPECT(reports.count(report_kind::signaler_dropped) == 1);
  return 0;
}

}  // namespace

TEST(F18_fork, the_child_uses_fences_that_it_creates_itself) {
  EXPECT_EQ(in_child(use_own_fences), 0);
  EXPECT_EQ(in_child([] { return in_child(use_own_fences); }), 0) << "and so does its child";
  EXPECT_EQ(use_own_fences(), 0);
}

TEST(F18_fork, waits_on_what_was_inherited_pending_are_EOWNERDEAD) {
  scripted_backend data;
  new_fence made = make_fence(&data);
  timeline_issuer issuer = make_timeline();
  const fence_ref ordered = issuer.emit().value();
  const fence_ref awaited = issuer.emit().value();
  awaited->enable_signaling();
  const int child = in_child([&] {
    const std::error_code dead = errno_code(EOWNERDEAD);
    const std::vector<fence_ref> all = {made.fence, ordered, awaited};
    for (const fence_ref& f : all) {
      scripted_callback node;
      UFENCE_CHILD_EXPECT(!f->is_signaled());
      UFENCE_CHILD_EXPECT(f->status() == 0);
      UFENCE_CHILD_EXPECT(!f->describe().empty());
      UFENCE_CHILD_EXPECT(f->wait() == dead);
      UFENCE_CHILD_EXPECT(f->wait(no_wait) == dead);
      UFENCE_CHILD_EXPECT(f->wait_settled() == dead);
      UFENCE_CHILD_EXPECT(f->wait_quiesced() == dead);
      UFENCE_CHILD_EXPECT(f->add_callback(node) == dead);
      UFENCE_CHILD_EXPECT(f->remove_callback(node) == result<bool>(false));
      UFENCE_CHILD_EXPECT(f->pollable_fd().error() == dead);
      UFENCE_CHILD_EXPECT(issuer.emit().error() == dead);
      f->enable_signaling();
      f->set_deadline(INT64_C(1));
      UFENCE_CHILD_EXPECT(!f->poll());
    }
    UFENCE_CHILD_EXPECT(wait_any(all, no_deadline).error() == dead);
    UFENCE_CHILD_EXPECT(wait_all(all, no_deadline) == dead);
    UFENCE_CHILD_EXPECT(data.ops() == 0);
    return 0;
  });
  EXPECT_EQ(child, 0);
  made.signal.signal();
  issuer.signal_up_to(2);
}

TEST(F18_fork, what_was_inherited_signaled_is_signaled) {
  new_fence made = make_fence();
  scripted_callback node;
  made.signal.signal(-EIO);
  timeline_issuer issuer = make_timeline({.driver_name = "drv", .timeline_name = "ring"});
  const fence_ref looked_at = issuer.emit().value();
  const fence_ref not_looked_at = issuer.emit().value();
  const fence_ref alone = issuer.emit().value();
  issuer.signal_up_to(2);
  EXPECT_TRUE(issuer.signal(*alone, -ENODEV));
  EXPECT_TRUE(looked_at->is_signaled());
  const int child = in_child([&] {
    for (const fence_ref& f : {made.fence, looked_at, not_looked_at, alone, fence::stub()}) {
      UFENCE_CHILD_EXPECT(f->is_signaled());
      UFENCE_CHILD_EXPECT(f->is_settled());
      UFENCE_CHILD_EXPECT(f->wait() == no_error);
      UFENCE_CHILD_EXPECT(f->add_callback(node) == errno_code(ENOENT));
    }
    UFENCE_CHILD_EXPECT(made.fence->status() == -EIO);
    UFENCE_CHILD_EXPECT(not_looked_at->status() == 1);
    UFENCE_CHILD_EXPECT(alone->status() == -ENODEV && alone->error() == -ENODEV);
    UFENCE_CHILD_EXPECT(looked_at->timeline_name() == "ring");
    return 0;
  });
  EXPECT_EQ(child, 0);
  issuer.signal_up_to(3);
}

TEST(F18_fork, nothing_that_the_child_does_with_inherited_fences_reaches_the_parent) {
  new_fence made = make_fence();
  auto issuer = std::make_unique<timeline_issuer>(make_timeline());
  const fence_ref ordered = issuer->emit().value();
  std::vector<unique_fd> descriptors;
  for (const fence_ref& f : {made.fence, ordered}) {
    descriptors.push_back(f->pollable_fd().value());
  }
  const int child = in_child([&] {
    // What makes it readable is shared with the parent: nothing may be done with it here.
    kept_reports reports;
    signaler second = made.signal.share();
    UFENCE_CHILD_EXPECT(!second.signal(-EIO));
    made.signal = signaler();
    issuer->signal_up_to(1);
    issuer->fail(-EIO);
    issuer.reset();
    UFENCE_CHILD_EXPECT(reports.all().empty());
    for (const unique_fd& fd : descriptors) UFENCE_CHILD_EXPECT(!is_readable(fd));
    return 0;
  });
  EXPECT_EQ(child, 0);
  for (const unique_fd& fd : descriptors) EXPECT_FALSE(is_readable(fd));
  EXPECT_FALSE(made.fence->is_signaled());
  EXPECT_FALSE(ordered->is_signaled());
  made.signal.signal();
  issuer->signal_up_to(1);
  for (const unique_fd& fd : descriptors) EXPECT_TRUE(is_readable(fd));
}

TEST(F18_fork, inherited_references_may_be_dropped) {
  scripted_backend data;
  new_fence made = make_fence(&data);
  fence_ref copy = made.fence;
  auto issuer = std::make_unique<timeline_issuer>(make_timeline());
  fence_ref ordered = issuer->emit().value();
  ordered->enable_signaling();
  const int child = in_child([&] {
    made.fence.reset();
    made.signal = signaler();
    copy.reset();
    ordered.reset();
    issuer.reset();
    return use_own_fences();
  });
  EXPECT_EQ(child, 0);
  EXPECT_EQ(data.retires, 0);
  made.signal.signal();
  issuer->signal_up_to(1);
  EXPECT_EQ(ordered->status(), 1);
}

TEST(F18_fork, inside_a_callback_leaves_the_child_with_working_fences) {
  new_fence made = make_fence();
  int child = -1;
  scripted_callback node([&](fence&) {
    child = in_child([] {
      // Still inside the callback here: settling is queued, deciding is not.
      new_fence own = make_fence();
      own.signal.signal(-EIO);
      UFENCE_CHILD_EXPECT(own.fence->status() == -EIO);
      UFENCE_CHILD_EXPECT(own.fence->wait() == no_error);
      return 0;
    });
  });
  ASSERT_EQ(made.fence->add_callback(node), no_error);
  made.signal.signal();
  EXPECT_EQ(child, 0);
  EXPECT_TRUE(made.fence->is_settled());
}

TEST(F18_fork, while_other_threads_create_signal_wait_and_report) {
#ifdef UFENCE_ASAN
  GTEST_SKIP() << "gcc 12's AddressSanitizer does not unlock malloc() in a child of fork()";
#endif
  std::atomic<bool> stop = false;
  std::atomic<std::size_t> pending = 0;
  ASSERT_EQ(set_report_handler([](const report&, void*) noexcept {}, nullptr), no_error);
  std::vector<std::thread> threads;
  threads.emplace_back([&] {
    while (!stop) {
      std::vector<new_fence> many;
      for (int i = 0; i < 300; ++i) many.push_back(make_fence());
      pending = many.size();
      for (new_fence& made : many) {
        scripted_callback node;
        static_cast<void>(made.fence->add_callback(node));
        if (pending-- % 50 == 0) made.signal = signaler();
        made.signal.signal();
      }
    }
  });
  threads.emplace_back([&] {
    while (!stop) {
      timeline_issuer issuer = make_timeline();
      std::vector<fence_ref> fences;
      for (int i = 0; i < 50; ++i) fences.push_back(issuer.emit().value());
      for (const fence_ref& f : fences) {
        scripted_callback node;
        static_cast<void>(f->add_callback(node));
        static_cast<void>(f->remove_callback(node));
      }
      issuer.signal_up_to(40);
    }
  });
  threads.emplace_back([&] {
    // Large slots have no cache of their thread: each takes the slabs' lock.
    while (!stop) {
      fence* const slot = detail::slab_allocate(detail::slot_size::large);
      ASSERT_NE(slot, nullptr);
      detail::slab_free(*slot, detail::slot_size::large);
    }
  });
  threads.emplace_back([&] {
    while (!stop) {
      static_cast<void>(set_report_handler([](const report&, void*) noexcept {}, nullptr));
    }
  });
  const stress_clock clock(0.5);
  int forks = 0;
  for (; forks < 10 || clock.runs(); ++forks) ASSERT_EQ(in_child(use_own_fences), 0) << forks;
  stop = true;
  for (std::thread& t : threads) t.join();
  ASSERT_EQ(set_report_handler(nullptr, nullptr), no_error);
  EXPECT_EQ(use_own_fences(), 0) << "the parent goes on";
}
