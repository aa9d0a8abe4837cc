// The virtual node by itself: its fences end in time.
#include "ufence/uapi/drm_node.h"

#include <gtest/gtest.h>

#include <cstring>

#include "ufence/base/clock.h"
#include "ufence/uapi/ioctls.h"

namespace ufence::uapi {
namespace {

constexpr std::int64_t patience_ns = 10'000'000'000;

class node {
 public:
  node()
      : device_(make_drm_node(device_kind::drm_card, call(), shared_, devices_, buffers_).value()) {
  }

  template <class T>
  int control(std::uint32_t code, T& argument) {
    call c;
    c.code = code;
    c.argument = std::as_bytes(std::span(&argument, 1));
    const reply r = device_->control(c);
    if (r.error == 0 && !r.argument.empty()) {
      std::memcpy(&argument, r.argument.data(), std::min(sizeof argument, r.argument.size()));
    }
    return r.error;
  }
  std::uint32_t make_buffer() {
    drm_dumb_buffer b{};
    b.width = b.height = 1;
    b.bpp = 32;
    EXPECT_EQ(control(drm::create_dumb, b), 0);
    return b.handle;
  }
  std::uint32_t attach(std::uint32_t buffer) {
    vgem_attach a{.handle = buffer, .flags = 1, .fence = 0, .pad = 0};
    EXPECT_EQ(control(drm::fence_attach, a), 0);
    return a.fence;
  }
  int attach_error(std::uint32_t buffer) {
    vgem_attach a{.handle = buffer, .flags = 0, .fence = 0, .pad = 0};
    return control(drm::fence_attach, a);
  }
  int signal(std::uint32_t fence) {
    vgem_signal s{.fence = fence, .flags = 0};
    return control(drm::fence_signal, s);
  }
  device& operator*() { return *device_; }

 private:
  drm_device shared_{uapi_driver::vgem};
  buffer_table buffers_;
  device_table devices_;
  std::unique_ptr<device> device_;
};

TEST(drm_node, ends_fences_that_nobody_signals_in_time) {
  node n;
  EXPECT_EQ((*n).next_time_ns(), no_deadline);
  const std::uint32_t buffer = n.make_buffer();
  const std::uint32_t other = n.make_buffer();
  const std::int64_t before = now_ns();
  const std::uint32_t late = n.attach(buffer);
  const std::uint32_t in_time = n.attach(other);
  EXPECT_GE((*n).next_time_ns(), before + patience_ns);
  EXPECT_LE((*n).next_time_ns(), now_ns() + patience_ns);
  (*n).on_time(before);
  EXPECT_EQ(n.attach_error(buffer), EBUSY);
  EXPECT_EQ(n.signal(in_time), 0);
  (*n).on_time(now_ns() + patience_ns);
  EXPECT_EQ((*n).next_time_ns(), no_deadline);
  EXPECT_EQ(n.signal(late), ETIMEDOUT);
  EXPECT_EQ(n.signal(late), ENOENT);
  EXPECT_EQ(n.attach_error(buffer), 0);
}

TEST(drm_node, gives_the_lowest_free_handles) {
  node n;
  const std::uint32_t first = n.make_buffer();
  EXPECT_EQ(first, 1U);
  EXPECT_EQ(n.make_buffer(), 2U);
  drm_handle gone{.handle = first, .flags = 0};
  EXPECT_EQ(n.control(drm::gem_close, gone), 0);
  EXPECT_EQ(n.make_buffer(), 1U);
  EXPECT_EQ(n.make_buffer(), 3U);
}

}  // namespace
}  // namespace ufence::uapi
