// Random programs over the native interface (testing/random_world.h). By hand for hours:
//   UFENCE_RANDOM_SECONDS=3600 UFENCE_RANDOM_SEED=1000000 container_random_stress_test
#include <gtest/gtest.h>

#include <memory>
#include <span>
#include <utility>

#include "ufence/container/array.h"
#include "ufence/container/chain.h"
#include "ufence/container/testing/random_threads.h"
#include "ufence/container/testing/random_world.h"
#include "ufence/container/unwrap.h"

namespace ufence {
namespace {

struct native_interface {
  using handle = fence_ref;
  static constexpr bool nests = true;
  static constexpr bool enabled_poll_is_shallow = false;

  // Its issuer finds that it is complete when it is asked, and by itself once signaling is enabled.
  struct leaf : backend {
    explicit leaf(bool in_enable, bool is_plain = false)
        : backend{&ops}, signals_in_enable(in_enable) {
      new_fence made = *fence::create(fence::allocate_contexts(1), 1, is_plain ? nullptr : this);
      f = std::move(made.fence);
      right = std::move(made.signal);
    }
    void signal(int error) {
      if (right) std::exchange(right, {}).signal(error);
    }
    void complete() {
      if (is_enabled) {
        signal(0);
      } else if (f->status() == 0) {
        ready = true;
      }
    }
    fence_ref f;
    signaler right;
    const bool signals_in_enable;
    bool ready = false;
    bool is_enabled = false;

   private:
    static int enable(backend* data) noexcept {
      auto& self = *static_cast<leaf*>(data);
      self.is_enabled = true;
      if (self.ready && self.signals_in_enable) self.signal(0);
      return self.ready ? 1 : 0;
    }
    static int poll(backend* data) noexcept { return static_cast<leaf*>(data)->ready ? 1 : 0; }
    static constexpr backend_ops ops{.enable_signaling = &leaf::enable, .poll = &leaf::poll};
  };
  static std::unique_ptr<leaf> make_leaf(bool signals_in_enable) {
    return std::make_unique<leaf>(signals_in_enable);
  }

  static std::unique_ptr<leaf> make_plain_leaf() { return std::make_unique<leaf>(false, true); }

  struct node : callback {
    node() : callback(&node::called) {}
    virtual ~node() = default;
    virtual void run() = 0;
    static void called(callback& n, fence&) noexcept { static_cast<node&>(n).run(); }
  };

  static int status(const handle& f) { return f->status(); }
  static bool poll(const handle& f) { return f->poll(); }
  static bool wait(const handle& f) { return !f->wait(no_wait); }
  static void sleep(const handle& f) { EXPECT_FALSE(f->wait()); }
  static int add(const handle& f, node& n) { return -f->add_callback(n).value(); }
  static bool remove(const handle& f, node& n) { return f->remove_callback(n).value(); }
  static void enable(const handle& f) { f->enable_signaling(); }
  static void set_deadline(const handle& f) { f->set_deadline(INT64_C(1)); }
  static handle array(std::span<const handle> children, bool is_any) {
    return *fence_array::create(children, is_any ? array_mode::any : array_mode::all);
  }
  static handle chain(const handle& previous, const handle& contained, std::uint64_t point) {
    return *fence_chain::create(previous, contained, point);
  }
  static handle merge(std::span<const handle> args) { return *ufence::merge(args); }
};

TEST(random_programs, agree_with_a_naive_reference) {
  testing::run_random_worlds<native_interface>(4000);
}

TEST(random_programs, of_several_threads_lose_no_callback_and_no_wait) {
  testing::run_worlds<testing::random_threads<native_interface>>(600);
}

}  // namespace
}  // namespace ufence
