// Each allocation of the library fails once: a clear error, and all is as it was. What must not
// allocate does not. Built with the layer's sources and the double of ufence/base/alloc.h.
#include <gtest/gtest.h>

#include <array>
#include <cstdlib>
#include <functional>
#include <memory>
#include <new>
#include <thread>
#include <vector>

#include "ufence/base/alloc.h"
#include "ufence/fence/fence.h"
#include "ufence/fence/testing/drained_slabs.h"
#include "ufence/fence/testing/fail_each.h"
#include "ufence/fence/testing/support.h"
#include "ufence/fence/testing/without_futex_waitv.h"
#include "ufence/fence/timeline.h"
#include "ufence/fence/wait.h"

using namespace ufence;
using namespace ufence::testing;

namespace {

std::atomic<long> news = 0;  // calls of operator new

const std::error_code no_memory = errno_code(ENOMEM);

result<new_fence> create_bare() { return fence::create(1, 1); }

// Counts what is allocated while it lives, by the library and with operator new.
class allocation_count {
 public:
  allocation_count() { allocations::reset(); }
  [[nodiscard]] long so_far() const { return allocations::asked + news - before_; }

 private:
  long before_ = news;
};

}  // namespace

// NOLINTBEGIN(cppcoreguidelines-owning-memory): the replaceable ones. Inlined, they look
// mismatched.
[[gnu::noinline]] void* operator new(std::size_t bytes) {
  ++news;
  if (void* memory = std::malloc(bytes)) return memory;
  throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
// NOLINTEND(cppcoreguidelines-owning-memory)

TEST(allocation_failure, of_a_fence) {
  const drained_slabs drained(create_bare);
  const int failed = fail_each([] {
    result<new_fence> made = create_bare();
    if (made) made->signal.signal();
    return error_of(made);
  });
  EXPECT_EQ(failed, 1);
}

TEST(allocation_failure, of_a_timeline) {
  EXPECT_EQ(fail_each([] { return error_of(timeline_issuer::create({})); }), 1);
}

TEST(allocation_failure, of_a_timeline_with_ops) {
  const drained_slabs drained(create_bare);
  scripted_backend data;
  const int failed = fail_each([&] {
    return error_of(timeline_issuer::create(
        {.driver_name = "d", .timeline_name = "l", .initial_seqno = 0, .data = &data}));
  });
  EXPECT_EQ(failed, 2) << "itself and its gate";
  EXPECT_EQ(data.retires, 1) << "of the one that was created";
}

TEST(allocation_failure, of_an_emitted_fence_uses_up_no_seqno) {
  timeline_issuer issuer = make_timeline();
  const drained_slabs drained(create_bare);
  EXPECT_EQ(fail_each([&] { return error_of(issuer.emit()); }), 1);
  EXPECT_EQ(issuer.line()->emitted(), 1U);
  issuer.signal_up_to(1);
}

TEST(allocation_failure, of_an_unordered_fence_leaves_its_backend_alone) {
  timeline_issuer issuer = make_timeline();
  const drained_slabs drained(create_bare);
  scripted_backend data;
  const int failed = fail_each([&] {
    result<new_fence> made = issuer.create_unordered(&data);
    EXPECT_EQ(data.retires, 0);
    if (made) made->signal.signal();
    return error_of(made);
  });
  EXPECT_EQ(failed, 1);
  EXPECT_EQ(data.retires, 1);
  EXPECT_EQ(issuer.line()->emitted(), 1U);
}

TEST(allocation_failure, of_a_pollable_fd_closes_what_it_opened) {
  new_fence made = make_fence();
  scripted_callback node;
  ASSERT_EQ(made.fence->add_callback(node), no_error);
  allocations::reset(1);
  EXPECT_EQ(error_of(made.fence->pollable_fd()), no_memory);  // the leak check looks for the fds
  allocations::reset();
  EXPECT_EQ(made.fence->remove_callback(node), result<bool>(true));
  settlement later;
  made.signal.decide(0, later);
  EXPECT_TRUE(later.empty()) << "nothing is queued";
  EXPECT_TRUE(made.fence->pollable_fd().has_value());
}

TEST(allocation_failure, of_a_report_handler_keeps_the_old_one) {
  kept_reports reports;
  allocations::reset(1);
  EXPECT_EQ(set_report_handler([](const report&, void*) noexcept {}, nullptr), no_memory);
  allocations::reset();
  { const new_fence dropped = make_fence(); }
  EXPECT_EQ(reports.all().size(), 1U);
}

TEST(allocation_failure, of_a_wait_for_very_many) {
  std::vector<new_fence> made;
  std::vector<fence_ref> fences;
  for (int i = 0; i < 129; ++i) {
    made.push_back(make_fence());
    fences.push_back(made.back().fence);
  }
  const auto wait_now = [&] {
    const result<std::size_t> found = wait_any(fences, deadline_after(1000));
    return found || found.error() == errno_code(ETIME) ? no_error : found.error();
  };
  EXPECT_EQ(fail_each(wait_now), 1);
  std::thread limited([&] {
    if (!without_futex_waitv(ENOSYS)) return;
    fences.resize(33);
    EXPECT_EQ(fail_each(wait_now), 1);
  });
  limited.join();
  for (new_fence& one : made) {
    settlement later;
    one.signal.decide(0, later);
    EXPECT_TRUE(later.empty()) << "no callback is left behind";
  }
}

TEST(F14_no_allocation, at_signal_callbacks_and_waits) {
  timeline_issuer issuer = make_timeline();
  std::vector<fence_ref> ordered;
  for (int i = 0; i < 100; ++i) ordered.push_back(issuer.emit().value());
  scripted_backend data;
  new_fence made = make_fence(&data);
  new_fence other = make_fence();
  std::array<scripted_callback, 3> nodes;
  const std::vector<fence_ref> many(128, other.fence);
  signaler second = made.signal.share();

  const allocation_count count;
  EXPECT_EQ(made.fence->add_callback(nodes[0]), no_error);
  EXPECT_EQ(made.fence->add_callback(nodes[1]), no_error);
  EXPECT_EQ(ordered[50]->add_callback(nodes[2]), no_error);
  EXPECT_EQ(made.fence->remove_callback(nodes[0]), result<bool>(true));
  EXPECT_EQ(made.fence->wait(deadline_after(1000)), errno_code(ETIME));
  EXPECT_EQ(error_of(wait_any(many, deadline_after(1000))), errno_code(ETIME));
  EXPECT_EQ(wait_all(many, deadline_after(1000)), errno_code(ETIME));
  made.fence->set_deadline(INT64_C(1));
  EXPECT_FALSE(made.fence->poll());
  {
    settlement later;
    made.signal.decide(-EIO, later);
    second.decide(0, later);
    issuer.decide_up_to(60, later);
    EXPECT_TRUE(issuer.decide(*ordered[80], -EIO, later));
  }
  other.signal.signal();
  issuer.signal_up_to(70);
  issuer.fail(-EIO);
  for (const fence_ref& f : ordered) EXPECT_TRUE(f->is_signaled());
  EXPECT_EQ(made.fence->wait_settled(), no_error);
  EXPECT_EQ(made.fence->wait_quiesced(), no_error);
  EXPECT_EQ(count.so_far(), 0);
  EXPECT_EQ(nodes[1].runs() + nodes[2].runs(), 2);
}

TEST(F14_no_allocation, is_noticed_if_there_is_one) {
  const allocation_count count;
  timeline_issuer issuer = make_timeline();
  EXPECT_EQ(count.so_far(), 1);
  const std::unique_ptr<int> one = std::make_unique<int>(1);
  EXPECT_EQ(count.so_far(), 2);
}
