// What the kernel's own self-test of dma_fence asserts, under its names. DF12 is a stress test.
#include <gtest/gtest.h>

#include <thread>
#include <vector>

#include "ufence/fence/fence.h"
#include "ufence/fence/testing/support.h"

using namespace ufence;
using namespace ufence::testing;

TEST(dma_fence, DF01_sanitycheck) {
  new_fence made = make_fence();
  made.fence->enable_signaling();
  EXPECT_TRUE(made.signal.signal());
}

TEST(dma_fence, DF02_signaling) {
  scripted_backend data;
  new_fence made = make_fence(&data);
  signaler second = made.signal.share();
  made.fence->enable_signaling();
  EXPECT_FALSE(made.fence->is_signaled());
  EXPECT_TRUE(made.signal.signal());
  EXPECT_TRUE(made.fence->is_signaled());
  EXPECT_FALSE(second.signal());
  EXPECT_TRUE(made.fence->is_signaled());
  // Detached: the issuer's ops are out of reach.
  const int ops = data.ops();
  made.fence->enable_signaling();
  made.fence->set_deadline(INT64_C(1));
  EXPECT_TRUE(made.fence->poll());
  EXPECT_EQ(data.ops(), ops);
  EXPECT_EQ(data.retires, 1);
}

TEST(dma_fence, DF03_add_callback) {
  new_fence made = make_fence();
  scripted_callback node;
  ASSERT_EQ(made.fence->add_callback(node), no_error);
  EXPECT_EQ(node.runs(), 0);
  made.signal.signal();
  EXPECT_EQ(node.runs(), 1);
}

TEST(dma_fence, DF04_late_add_callback) {
  new_fence made = make_fence();
  made.signal.signal();
  scripted_callback node;
  EXPECT_EQ(made.fence->add_callback(node), errno_code(ENOENT));
  EXPECT_EQ(node.runs(), 0);
}

TEST(dma_fence, DF05_rm_callback) {
  new_fence made = make_fence();
  scripted_callback node;
  ASSERT_EQ(made.fence->add_callback(node), no_error);
  EXPECT_EQ(made.fence->remove_callback(node), result<bool>(true));
  made.signal.signal();
  EXPECT_EQ(node.runs(), 0);
}

TEST(dma_fence, DF06_late_rm_callback) {
  new_fence made = make_fence();
  scripted_callback node;
  ASSERT_EQ(made.fence->add_callback(node), no_error);
  made.signal.signal();
  EXPECT_EQ(made.fence->remove_callback(node), result<bool>(false));
  EXPECT_EQ(node.runs(), 1);
}

TEST(dma_fence, DF07_status) {
  new_fence made = make_fence();
  EXPECT_EQ(made.fence->status(), 0);
  made.signal.signal();
  EXPECT_EQ(made.fence->status(), 1);
}

TEST(dma_fence, DF08_error) {
  new_fence made = make_fence();
  made.fence->enable_signaling();
  EXPECT_EQ(made.fence->status(), 0);
  EXPECT_EQ(made.fence->error(), 0);
  made.signal.signal(-EIO);
  EXPECT_EQ(made.fence->status(), -EIO);
  EXPECT_EQ(made.fence->error(), -EIO);
}

TEST(dma_fence, DF09_wait) {
  new_fence made = make_fence();
  EXPECT_EQ(made.fence->wait(no_wait), errno_code(ETIME));
  made.signal.signal();
  EXPECT_EQ(made.fence->wait(no_wait), no_error);
  EXPECT_EQ(made.fence->wait(), no_error);
}

TEST(dma_fence, DF10_wait_timeout) {
  new_fence made = make_fence();
  // The timer is a fence that nobody signals in time.
  new_fence timer = make_fence();
  const std::int64_t fires_ns = deadline_after(4 * millisecond_ns);
  std::error_code timer_result;
  std::thread timer_thread([&] {
    timer_result = timer.fence->wait(fires_ns);
    made.signal.signal();
  });
  const std::error_code waited = made.fence->wait(patience());
  const std::int64_t woken_ns = now_ns();
  timer_thread.join();
  EXPECT_EQ(timer_result, errno_code(ETIME));
  EXPECT_EQ(waited, no_error);
  EXPECT_GE(made.fence->timestamp_ns(), fires_ns);
  EXPECT_LE(made.fence->timestamp_ns(), woken_ns);
  timer.signal.signal();
}

TEST(dma_fence, DF11_stub) {
  std::vector<fence_ref> stubs;
  for (int i = 0; i < 64; ++i) {
    stubs.push_back(fence::stub());
    EXPECT_TRUE(stubs.back()->is_signaled());
  }
  EXPECT_TRUE(stubs.front()->is_settled());
  EXPECT_EQ(stubs.front(), stubs.back()) << "one for all";
  EXPECT_EQ(stubs.front()->status(), 1);
  EXPECT_EQ(stubs.front()->context(), 0U);
  EXPECT_EQ(stubs.front()->seqno(), 0U);
  EXPECT_GT(stubs.front()->timestamp_ns(), 0) << "since it was made";
  EXPECT_LE(stubs.front()->timestamp_ns(), now_ns());
  EXPECT_EQ(stubs.front()->wait(no_wait), no_error);
  EXPECT_EQ(stubs.front()->wait_settled(no_wait), no_error);
  EXPECT_EQ(stubs.front()->wait_quiesced(no_wait), no_error);
  scripted_callback node;
  EXPECT_EQ(stubs.front()->add_callback(node), errno_code(ENOENT));
  stubs.front()->set_deadline(INT64_C(1));
  stubs.front()->enable_signaling();
  EXPECT_TRUE(stubs.front()->poll());
}
