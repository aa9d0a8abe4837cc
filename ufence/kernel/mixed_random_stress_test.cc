// Random programs over fences of all kinds at once (ufence/container/testing/random_world.h): native ones,
// ones of timelines, legacy ones and those of the kernel's interface, in containers of both interfaces, merged
// by all that merges, in contexts that several share, with seqnos that wrap. By hand:
//   UFENCE_RANDOM_SECONDS=3600 UFENCE_RANDOM_SEED=1000000 kernel_mixed_random_stress_test
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <thread>
#include <utility>
#include <vector>

#include "ufence/container/array.h"
#include "ufence/container/chain.h"
#include "ufence/container/resv.h"
#include "ufence/container/testing/random_threads.h"
#include "ufence/container/testing/random_world.h"
#include "ufence/container/unwrap.h"
#include "ufence/fence/report.h"
#include "ufence/fence/wait.h"
#include "ufence/foreign/legacy.h"
#include "ufence/kernel/interop.h"
#include "ufence/kernel/linux/dma-fence-array.h"
#include "ufence/kernel/linux/dma-fence-chain.h"
#include "ufence/kernel/linux/dma-fence-unwrap.h"
#include "ufence/kernel/linux/dma-fence.h"
#include "ufence/sync/sync_file.h"

namespace ufence {
namespace {

using testing::random_numbers;

// What the interface below chooses by itself; a program seeds it.
thread_local random_numbers choices{0};

bool one_in(std::size_t n) { return choices.one_in(n); }

fence_ref adopt(dma_fence* f) {
  fence_ref taken = to_fence(*f);
  dma_fence_put(f);
  return taken;
}

// Is it a container as the kernel's interface sees it?
bool is_kernels_container(const fence_ref& f) {
  dma_fence* as = to_dma_fence(f);
  const bool is = dma_fence_is_container(as);
  dma_fence_put(as);
  return is;
}

bool several_threads = false;

// What several leaves share.
struct family {
  family() = default;
  ~family() {
    if (issuer) issuer->fail(-ECANCELED);  // all is signaled
  }
  family(const family&) = delete;
  family& operator=(const family&) = delete;

  // Taken where there are several threads. Where there is one, callbacks signal while it would be held.
  [[nodiscard]] std::unique_lock<std::mutex> hold() {
    return several_threads ? std::unique_lock(lock) : std::unique_lock<std::mutex>();
  }

  std::mutex lock;
  std::optional<timeline_issuer> issuer;
  std::uint64_t context = 0;
  std::uint64_t next_seqno = 0;
  std::vector<struct leaf*> members;  // those that are signaled in order
};

struct leaf : backend {
  leaf() : backend{&table} {}
  virtual ~leaf() = default;
  leaf(const leaf&) = delete;
  leaf& operator=(const leaf&) = delete;
  void signal(int error) {
    if (!in) return decide(error);
    const auto hold = in->hold();
    for (leaf* earlier : in->members) {
      if (earlier == this) break;
      earlier->decide(0);
    }
    decide(error);
  }
  // The work is done: its issuer tells at once, or when it is asked.
  void complete() {
    if (is_enabled || !has_ops) {
      signal(0);
    } else if (f->status() == 0) {
      ready = true;
    }
  }
  virtual void decide(int error) = 0;  // again: nothing happens

  static int enable(backend* data) noexcept {
    auto& self = *static_cast<leaf*>(data);
    self.is_enabled = true;
    if (self.ready && self.signals_in_enable) self.signal_in_enable();
    return self.ready ? 1 : 0;
  }
  static int poll(backend* data) noexcept { return static_cast<leaf*>(data)->ready ? 1 : 0; }
  virtual void signal_in_enable() { signal(0); }
  static constexpr backend_ops table{.enable_signaling = &leaf::enable, .poll = &leaf::poll};

  fence_ref f;
  std::shared_ptr<family> in;
  bool has_ops = false;
  bool signals_in_enable = false;
  bool ready = false;
  bool is_enabled = false;
};

struct native_leaf final : leaf {
  explicit native_leaf(result<new_fence> made) : f_and_right(*std::move(made)) { f = f_and_right.fence; }
  void decide(int error) override {
    if (f_and_right.signal) std::exchange(f_and_right.signal, {}).signal(error);
  }
  new_fence f_and_right;
};

// Of a native fence whose ops are this leaf's.
struct op_leaf final : leaf {
  op_leaf(std::shared_ptr<family> of, bool in_enable) {
    has_ops = true;
    signals_in_enable = in_enable;
    keeps = std::move(of);
    new_fence made = keeps ? *keeps->issuer->create_unordered(this)
                           : *fence::create(fence::allocate_contexts(1), 1, this);
    f = std::move(made.fence);
    right = std::move(made.signal);
  }
  void decide(int error) override {
    if (right) std::exchange(right, {}).signal(error);
  }
  std::shared_ptr<family> keeps;
  signaler right;
};

// Signaled alone, in whatever order.
struct timeline_leaf final : leaf {
  explicit timeline_leaf(std::shared_ptr<family> of) : keeps(std::move(of)) {
    const auto hold = keeps->hold();
    f = *keeps->issuer->emit();
  }
  void decide(int error) override {
    const auto hold = keeps->hold();
    keeps->issuer->signal(*f, error);
  }
  std::shared_ptr<family> keeps;
};

struct legacy_leaf final : leaf {
  legacy_leaf(std::shared_ptr<family> of, bool in_enable) : keeps(std::move(of)) {
    has_ops = true;
    signals_in_enable = in_enable;
    new_fence made = *create_legacy_fence(*keeps->issuer, ops, this);
    f = std::move(made.fence);
    right = std::move(made.signal);
  }
  void decide(int error) override {
    if (right) std::exchange(right, {}).signal(error);
  }
  void signal_in_enable() override { signal_locked(std::exchange(right, {})); }
  static legacy_leaf& of(void* data) { return *static_cast<legacy_leaf*>(data); }
  static const legacy_ops ops;
  std::atomic_flag lock;  // callbacks that run under it enable other fences, in any order
  std::shared_ptr<family> keeps;
  signaler right;
};

constexpr legacy_ops legacy_leaf::ops{
    .lock =
        [](void* data) noexcept {
          while (of(data).lock.test_and_set(std::memory_order_acquire)) std::this_thread::yield();
        },
    .unlock = [](void* data) noexcept { of(data).lock.clear(std::memory_order_release); },
    .enable_signaling = [](void* data) noexcept { return enable(&of(data)); },
    .poll = [](void* data) noexcept { return leaf::poll(&of(data)); }};

struct kernel_leaf final : leaf {
  struct leaf_fence {
    dma_fence base;
    kernel_leaf* of;  // while it is pending
  };
  // With ops, or of a context whose fences are signaled in order.
  kernel_leaf(bool with_ops, bool in_enable, std::shared_ptr<family> of) {
    has_ops = with_ops;
    signals_in_enable = in_enable;
    auto* made = static_cast<leaf_fence*>(std::calloc(1, sizeof(leaf_fence)));
    made->of = this;
    if (of) {
      const auto hold = of->hold();
      dma_fence_init(&made->base, &plain, nullptr, of->context, of->next_seqno++);
      of->members.push_back(this);
      in = std::move(of);
    } else {
      dma_fence_init(&made->base, with_ops ? &ops : &plain, nullptr, dma_fence_context_alloc(1), 1);
    }
    f = adopt(&made->base);
    c = &made->base;
  }
  void decide(int error) override {
    if (dma_fence_test_signaled_flag(c)) return;
    if (error != 0) dma_fence_set_error(c, error);
    dma_fence_signal(c);
  }
  void signal_in_enable() override { dma_fence_signal_locked(c); }
  static const char* name(dma_fence*) { return "random"; }
  static kernel_leaf& of(dma_fence* f) { return *reinterpret_cast<leaf_fence*>(f)->of; }
  static bool kernel_enable(dma_fence* f) { return enable(&of(f)) == 0; }
  static bool is_signaled(dma_fence* f) { return of(f).ready; }
  static constexpr dma_fence_ops make_ops(bool with_ops) {
    return {.get_driver_name = &name,
            .get_timeline_name = &name,
            .enable_signaling = with_ops ? &kernel_enable : nullptr,
            .signaled = with_ops ? &is_signaled : nullptr,
            .wait = nullptr,
            .release = nullptr,
            .set_deadline = nullptr};
  }
  static const dma_fence_ops ops;
  static const dma_fence_ops plain;
  dma_fence* c;
};
constexpr dma_fence_ops kernel_leaf::ops = make_ops(true);
constexpr dma_fence_ops kernel_leaf::plain = make_ops(false);

// The families of the program that is run.
thread_local std::shared_ptr<family> of_timeline;
thread_local std::shared_ptr<family> of_order;
thread_local std::shared_ptr<family> of_kernel;

void begin_program(std::uint64_t seed) {
  choices = random_numbers(seed ^ 0x5A5A'5A5A);
  const auto make = [] {
    auto made = std::make_shared<family>();
    made->issuer = *timeline_issuer::create({.driver_name = "random", .timeline_name = "line"});
    return made;
  };
  of_timeline = make();
  of_order = make();
  of_kernel = std::make_shared<family>();
  of_kernel->context = dma_fence_context_alloc(1);
  of_kernel->next_seqno = one_in(2) ? 0xFFFF'FFFD : 1;
}

std::unique_ptr<leaf> make_in_order() {
  const auto hold = of_order->hold();
  auto made = std::make_unique<native_leaf>(of_order->issuer->create_in_order());
  made->in = of_order;
  of_order->members.push_back(made.get());
  return made;
}

struct all_interfaces {
  using handle = fence_ref;
  using leaf = ufence::leaf;
  static constexpr bool nests = true;
  static constexpr bool enabled_poll_is_shallow = true;

  static std::unique_ptr<leaf> make_leaf(bool in_enable) {
    switch (choices.below(5)) {
      case 0: return std::make_unique<op_leaf>(nullptr, in_enable);
      case 1: return std::make_unique<op_leaf>(of_timeline, in_enable);
      case 2: return std::make_unique<legacy_leaf>(of_timeline, in_enable);
      case 3: return std::make_unique<kernel_leaf>(true, in_enable, nullptr);
      default: return make_plain_leaf();
    }
  }
  static std::unique_ptr<leaf> make_plain_leaf() {
    switch (choices.below(6)) {
      case 0: return std::make_unique<native_leaf>(fence::create(fence::allocate_contexts(1), 1));
      case 1:
      case 2: return std::make_unique<timeline_leaf>(of_timeline);
      case 3: return make_in_order();
      case 4: return std::make_unique<kernel_leaf>(false, false, nullptr);
      default: return std::make_unique<kernel_leaf>(false, false, of_kernel);
    }
  }

  // A callback of either interface.
  struct node {
    struct native final : callback {
      native() : callback(&native::called) {}
      static void called(callback& n, fence&) noexcept { static_cast<native&>(n).in->run(); }
      node* in = nullptr;
    };
    struct kernels final : dma_fence_cb {
      static void called(dma_fence*, dma_fence_cb* cb) { static_cast<kernels*>(cb)->in->run(); }
      all_interfaces::node* in = nullptr;
    };
    node() { as_native.in = as_kernels.in = this; }
    virtual ~node() = default;
    virtual void run() = 0;
    native as_native;
    kernels as_kernels{};
    dma_fence* on = nullptr;  // it is a callback of the kernel's interface
  };

  static int status(const handle& f) { return f->status(); }
  static bool poll(const handle& f) { return f->poll(); }
  static bool wait(const handle& f) {
    if (one_in(2)) return !f->wait(no_wait);
    const std::array both{f, f};
    return one_in(2) ? wait_any(both, no_wait).has_value() : !wait_all(both, no_wait);
  }
  static void sleep(const handle& f) { EXPECT_FALSE(f->wait()); }
  static int add(const handle& f, node& n) {
    n.on = nullptr;
    if (!kernel_fence_of(f) || one_in(2)) return -f->add_callback(n.as_native).value();
    n.on = kernel_fence_of(f);
    return dma_fence_add_callback(n.on, &n.as_kernels, &node::kernels::called);
  }
  static bool remove(const handle& f, node& n) {
    if (n.on != nullptr) return dma_fence_remove_callback(n.on, &n.as_kernels);
    return f->remove_callback(n.as_native).value();
  }
  static void enable(const handle& f) { f->enable_signaling(); }
  static void set_deadline(const handle& f) { f->set_deadline(INT64_C(1)); }

  static handle array(std::span<const handle> children, bool is_any) {
    bool is_kernels = one_in(2);
    for (const handle& f : children) is_kernels = is_kernels && !is_kernels_container(f);
    if (!is_kernels) return *fence_array::create(children, is_any ? array_mode::any : array_mode::all);
    auto** list = static_cast<dma_fence**>(std::calloc(children.size(), sizeof(dma_fence*)));
    for (std::size_t i = 0; i < children.size(); ++i) list[i] = to_dma_fence(children[i]);
    return adopt(&dma_fence_array_create(static_cast<int>(children.size()), list,
                                         dma_fence_context_alloc(1), 1, is_any)
                      ->base);
  }
  static handle chain(const handle& previous, const handle& contained, std::uint64_t point) {
    if (one_in(2) || is_kernels_container(contained)) {
      return *fence_chain::create(previous, contained, point);
    }
    dma_fence_chain* node = dma_fence_chain_alloc();
    dma_fence_chain_init(node, to_dma_fence(previous), to_dma_fence(contained), point);
    return adopt(&node->base);
  }
  static handle merge(std::span<const handle> args) {
    switch (choices.below(5)) {
      case 0: return merge_by_files(args);
      case 1: return merge_by_kernel(args);
      case 2: return merge_by_resv(args);
      case 3: return merge_by_dedup(args);
      default: return *ufence::merge(args);
    }
  }

 private:
  // Not owned; null: it is none of the kernel's interface.
  static dma_fence* kernel_fence_of(const handle& f) {
    dma_fence* as = to_dma_fence(f);
    const bool is_one = to_fence(*as) == f;
    dma_fence_put(as);
    return is_one ? as : nullptr;
  }
  static handle merge_by_files(std::span<const handle> args) {
    unique_fd all = *sync_file_create(args.front());
    for (const handle& f : args.subspan(1)) {
      const unique_fd next = *sync_file_create(f);
      all = *sync_file_merge(all.get(), next.get());
    }
    return *sync_file_get_fence(all.get());
  }
  static handle merge_by_kernel(std::span<const handle> args) {
    dma_fence* all = to_dma_fence(args.front());
    for (const handle& f : args.subspan(1)) {
      dma_fence* next = to_dma_fence(f);
      dma_fence* merged = dma_fence_unwrap_merge(all, next);
      dma_fence_put(all);
      dma_fence_put(next);
      all = merged;
    }
    return adopt(all);
  }
  static std::vector<handle> leaves_of(std::span<const handle> args) {
    std::vector<handle> found;
    for (const handle& f : args) {
      leaves below(f);
      while (fence* at = below.next()) found.push_back(fence_ref::take(*at));
    }
    return found;
  }
  static handle merge_by_resv(std::span<const handle> args) {
    resv object;
    const std::vector<handle> found = leaves_of(args);
    EXPECT_FALSE(object.lock());
    for (const handle& f : found) {
      EXPECT_FALSE(object.reserve(1));
      EXPECT_FALSE(object.add(f, one_in(2) ? resv_usage::read : resv_usage::write));
    }
    const fence_ref all = *object.singleton(resv_usage::bookkeep);
    object.unlock();
    return all ? all : fence::stub();
  }
  static handle merge_by_dedup(std::span<const handle> args) {
    std::vector<handle> found = leaves_of(args);
    found.resize(dedup(found));
    return found.empty() ? fence::stub() : *fence_array::create(found);
  }
};

template <class World>
struct mixed {
  explicit mixed(std::uint64_t seed) : world((begin_program(seed), seed)) {}
  void run() { world.run(); }
  World world;
};

class random_mixed_programs : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_FALSE(set_report_handler(
        [](const report& what, void*) noexcept { ADD_FAILURE() << what.text; }, nullptr));
  }
  void TearDown() override {
    of_timeline.reset();
    of_order.reset();
    of_kernel.reset();
    rcu_barrier();
    static_cast<void>(set_report_handler(nullptr, nullptr));
  }
};

TEST_F(random_mixed_programs, agree_with_a_naive_reference) {
  several_threads = false;
  testing::run_worlds<mixed<testing::random_world<all_interfaces>>>(2000);
}

TEST_F(random_mixed_programs, of_several_threads_lose_no_callback_and_no_wait) {
  several_threads = true;
  testing::run_worlds<mixed<testing::random_threads<all_interfaces>>>(400);
}

}  // namespace
}  // namespace ufence
