// The broker where memory is refused: a call fails, or its connection ends, and the broker goes on.
#include <gtest/gtest.h>
#include <linux/sync_file.h>

#include <atomic>
#include <cstdlib>
#include <new>

#include "ufence/base/clock.h"
#include "ufence/uapi/uapi_test_support.h"

namespace {

// The allocation that fails, counted from 1, on all threads but the test's; 0: none.
constinit std::atomic<int> fails_at{0};
constinit std::atomic<int> seen{0};
constinit thread_local bool is_spared = false;

void* allocate_or_throw(std::size_t size) {
  const int at = fails_at;
  if (!is_spared && at != 0 && ++seen == at) throw std::bad_alloc();
  void* const memory = std::malloc(size != 0 ? size : 1);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

}  // namespace

// Not inlined: a compiler that sees into one of them takes it for the pair of another one.
[[gnu::noinline]] void* operator new(std::size_t size) { return allocate_or_throw(size); }
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

namespace ufence::testing {
namespace {

using uapi::device_kind;

// Some of each kind of call. What fails fails for want of memory.
void make_calls(const broker_on_thread& broker) {
  const auto expect_refused = [](const answer& got) {
    // EBADF, and ENODEV of no device: what it is about was refused before.
    EXPECT_TRUE(got.error == 0 || got.error == -1 || got.error == ENOMEM || got.error == EBADF ||
                got.error == EINVAL || got.error == ENOENT)
        << got.error;
  };
  const answer timeline = open_device(broker, device_kind::sw_sync);
  expect_refused(timeline);
  const uapi::sw_sync_create wanted{.value = 1, .name = {}, .fence = 0};
  const answer fence =
      control(broker, uapi::sw_sync_create_fence, wanted, timeline.fd.get());
  expect_refused(fence);
  ::sync_file_info info{};
  info.num_fences = 4;
  expect_refused(control(broker, uapi::sync_ioc_file_info, info, fence.fd.get()));
  const answer node = open_device(broker, device_kind::drm_card);
  expect_refused(node);
  uapi::drm_dumb_buffer b{};
  b.width = b.height = 8;
  b.bpp = 32;
  expect_refused(control(broker, uapi::drm::create_dumb, b, node.fd.get()));
  const uapi::vgem_attach fence_of{.handle = 1, .flags = 1, .fence = 0, .pad = 0};
  expect_refused(control(broker, uapi::drm::fence_attach, fence_of, node.fd.get()));
  expect_refused(
      control(broker, uapi::drm::syncobj_create, uapi::drm_handle{}, node.fd.get()));
  const std::uint32_t handle = 1;
  uapi::drm_syncobj_wait w{};
  w.count = 1;
  w.flags = 2;  // for the submission
  w.timeout_ns = now_ns() + 2'000'000;
  const answer waited = control(broker, uapi::drm::syncobj_wait, w, node.fd.get(), -1,
                                bytes_of(&handle, sizeof handle));
  if (waited.error != ETIME) expect_refused(waited);
}

TEST(broker_memory, regress_each_allocation_may_fail_once) {
  is_spared = true;
  const broker_on_thread broker;
  ASSERT_EQ(open_device(broker, device_kind::sw_sync).error, 0);  // it has begun
  int at = 1;
  for (bool has_failed = true; has_failed && at < 1000; ++at) {
    seen = 0;
    fails_at = at;
    make_calls(broker);
    has_failed = seen >= at;
    fails_at = 0;
    // It is still there, for everybody.
    ASSERT_EQ(open_device(broker, device_kind::sw_sync).error, 0) << at;
  }
  EXPECT_GT(at, 20);
  EXPECT_LT(at, 1000);
}

}  // namespace
}  // namespace ufence::testing
