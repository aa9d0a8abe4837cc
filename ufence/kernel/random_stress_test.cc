// Random programs over the kernel's interface (ufence/container/testing/random_world.h). By hand:
//   UFENCE_RANDOM_SECONDS=3600 UFENCE_RANDOM_SEED=1000000 kernel_random_stress_test
//
// Where this interface differs from the kernel's (README.md), the reference says neither: it compares
// when nothing runs (1 and 2: nested callbacks, and the signaling of containers, come later).
#include <gtest/gtest.h>

#include <cstdlib>
#include <memory>
#include <span>
#include <utility>

#include "ufence/container/testing/random_threads.h"
#include "ufence/container/testing/random_world.h"
#include "ufence/kernel/linux/dma-fence-array.h"
#include "ufence/kernel/linux/dma-fence-chain.h"
#include "ufence/kernel/linux/dma-fence-unwrap.h"
#include "ufence/kernel/linux/dma-fence.h"

namespace ufence {
namespace {

// A reference.
class held {
 public:
  held() = default;
  explicit held(dma_fence* adopted) : f_(adopted) {}
  held(const held& other) : f_(dma_fence_get(other.f_)) {}
  held(held&& other) noexcept : f_(std::exchange(other.f_, nullptr)) {}
  held& operator=(held other) noexcept {
    std::swap(f_, other.f_);
    return *this;
  }
  ~held() { dma_fence_put(f_); }
  [[nodiscard]] dma_fence* get() const { return f_; }
  [[nodiscard]] dma_fence* taken() const { return dma_fence_get(f_); }

 private:
  dma_fence* f_ = nullptr;
};

struct kernel_interface {
  using handle = held;
  static constexpr bool nests = false;
  static constexpr bool enabled_poll_is_shallow = true;

  struct leaf;
  struct leaf_fence {
    dma_fence base;
    leaf* of;  // while it is pending
  };
  struct leaf {
    explicit leaf(bool in_enable) : signals_in_enable(in_enable) {
      auto* made = static_cast<leaf_fence*>(std::calloc(1, sizeof(leaf_fence)));
      made->of = this;
      dma_fence_init(&made->base, &ops, nullptr, dma_fence_context_alloc(1), 1);
      f = held(&made->base);
    }
    void signal(int error) {
      if (dma_fence_test_signaled_flag(f.get())) return;
      if (error != 0) dma_fence_set_error(f.get(), error);
      dma_fence_signal(f.get());
    }
    void complete() {
      if (is_enabled) {
        signal(0);
      } else if (!dma_fence_test_signaled_flag(f.get())) {
        ready = true;
      }
    }
    held f;
    const bool signals_in_enable;
    bool ready = false;
    bool is_enabled = false;

   private:
    static const char* name(dma_fence*) { return "random"; }
    static leaf& of(dma_fence* f) { return *reinterpret_cast<leaf_fence*>(f)->of; }
    static bool enable(dma_fence* f) {
      leaf& self = of(f);
      self.is_enabled = true;
      if (self.ready && self.signals_in_enable) dma_fence_signal_locked(f);
      return !self.ready;
    }
    static bool is_signaled(dma_fence* f) { return of(f).ready; }
    static constexpr dma_fence_ops ops{.get_driver_name = &leaf::name,
                                       .get_timeline_name = &leaf::name,
                                       .enable_signaling = &leaf::enable,
                                       .signaled = &leaf::is_signaled,
                                       .wait = nullptr,
                                       .release = nullptr,
                                       .set_deadline = nullptr};
  };
  static std::unique_ptr<leaf> make_leaf(bool signals_in_enable) {
    return std::make_unique<leaf>(signals_in_enable);
  }

  static std::unique_ptr<leaf> make_plain_leaf() { return make_leaf(false); }

  struct node : dma_fence_cb {
    virtual ~node() = default;
    virtual void run() = 0;
    static void called(dma_fence*, dma_fence_cb* cb) { static_cast<node*>(cb)->run(); }
  };

  static int status(const handle& f) {
    if (!dma_fence_test_signaled_flag(f.get())) return 0;
    return dma_fence_get_status(f.get());
  }
  static bool poll(const handle& f) { return dma_fence_is_signaled(f.get()); }
  static bool wait(const handle& f) { return dma_fence_wait_timeout(f.get(), false, 0) != 0; }
  static void sleep(const handle& f) { EXPECT_EQ(dma_fence_wait(f.get(), false), 0); }
  static int add(const handle& f, node& n) {
    return dma_fence_add_callback(f.get(), &n, &node::called);
  }
  static bool remove(const handle& f, node& n) { return dma_fence_remove_callback(f.get(), &n); }
  static void enable(const handle& f) { dma_fence_enable_sw_signaling(f.get()); }
  static void set_deadline(const handle& f) { dma_fence_set_deadline(f.get(), INT64_C(1)); }
  static handle array(std::span<const handle> children, bool is_any) {
    auto** list = static_cast<dma_fence**>(std::calloc(children.size(), sizeof(dma_fence*)));
    for (std::size_t i = 0; i < children.size(); ++i) list[i] = children[i].taken();
    return held(&dma_fence_array_create(static_cast<int>(children.size()), list,
                                        dma_fence_context_alloc(1), 1, is_any)
                     ->base);
  }
  static handle chain(const handle& previous, const handle& contained, std::uint64_t point) {
    dma_fence_chain* node = dma_fence_chain_alloc();
    dma_fence_chain_init(node, previous.taken(), contained.taken(), point);
    return held(&node->base);
  }
  static handle merge(std::span<const handle> args) {
    // The macro counts its arguments: pairwise.
    handle all(dma_fence_unwrap_merge(args.front().get()));
    for (const handle& next : args.subspan(1)) {
      all = handle(dma_fence_unwrap_merge(all.get(), next.get()));
    }
    return all;
  }
};

TEST(random_kernel_programs, agree_with_a_naive_reference) {
  testing::run_random_worlds<kernel_interface>(4000);
  rcu_barrier();
}

TEST(random_kernel_programs, of_several_threads_lose_no_callback_and_no_wait) {
  testing::run_worlds<testing::random_threads<kernel_interface>>(600);
  rcu_barrier();
}

}  // namespace
}  // namespace ufence
