// A ring of fences that share their issuer's lock, signaled under it, while consumers put callbacks
// and containers on them.
#include <drm/drm_exec.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdlib>
#include <latch>
#include <memory>
#include <numeric>
#include <random>
#include <thread>
#include <vector>

#include "ufence/kernel/linux/dma-fence-array.h"
#include "ufence/kernel/linux/dma-fence-chain.h"
#include "ufence/kernel/linux/dma-fence-unwrap.h"
#include "ufence/kernel/linux/dma-fence.h"

namespace ufence {
namespace {

constexpr std::size_t ring_size = 32;
constexpr int rounds = 150;

// Its lock is free whenever a callback of a container runs.
struct ring {
  spinlock_t lock{};
  std::uint64_t context = dma_fence_context_alloc(1);
  std::array<dma_fence*, ring_size> fences{};
  std::atomic<int> enabled{0};
};

struct ring_fence {
  dma_fence base;
  ring* of;
};

const char* name(dma_fence*) { return "ring"; }

bool enable(dma_fence* f) {
  // The lock is held: no other enable runs.
  reinterpret_cast<ring_fence*>(f)->of->enabled.fetch_add(1);
  return true;
}

constexpr dma_fence_ops ops{name, name, enable, nullptr, nullptr, nullptr, nullptr};

struct counted_cb : dma_fence_cb {
  std::atomic<int> runs{0};
  static void run(dma_fence*, dma_fence_cb* cb) { static_cast<counted_cb*>(cb)->runs.fetch_add(1); }
};

// A container of some of the fences; the caller's reference.
dma_fence* container_of_some(ring& r, std::mt19937& random) {
  const auto one = [&] { return dma_fence_get(r.fences[random() % ring_size]); };
  if (random() % 2 == 0) {
    auto** both = static_cast<dma_fence**>(std::calloc(2, sizeof(dma_fence*)));
    both[0] = one();
    both[1] = one();
    return &dma_fence_array_create(2, both, dma_fence_context_alloc(1), 1)->base;
  }
  dma_fence* tail = nullptr;
  for (u64 point = 1; point <= 3; ++point) {
    dma_fence_chain* node = dma_fence_chain_alloc();
    dma_fence_chain_init(node, tail, one(), point);
    tail = &node->base;
  }
  return tail;
}

// Each callback runs once or is removed; the end of a wait is the end of the callbacks.
int consume(ring& r, unsigned seed) {
  std::mt19937 random(seed);
  int failures = 0;
  for (int i = 0; i < 8; ++i) {
    dma_fence* f = random() % 3 == 0 ? dma_fence_get(r.fences[random() % ring_size])
                                     : container_of_some(r, random);
    counted_cb kept, removed;
    const bool is_kept = dma_fence_add_callback(f, &kept, &counted_cb::run) == 0;
    const bool is_added = dma_fence_add_callback(f, &removed, &counted_cb::run) == 0;
    const bool was_removed = is_added && dma_fence_remove_callback(f, &removed);
    failures += removed.runs.load() != (is_added && !was_removed ? 1 : 0);
    dma_fence_unwrap cursor;
    dma_fence* leaf = nullptr;
    dma_fence_unwrap_for_each(leaf, &cursor, f) failures += leaf->context != r.context;
    failures += dma_fence_wait(f, false) != 0;
    failures += kept.runs.load() != (is_kept ? 1 : 0);
    failures += removed.runs.load() != (is_added && !was_removed ? 1 : 0);
    failures += dma_fence_get_status(f) != 1;
    dma_fence_put(f);
  }
  return failures;
}

TEST(kernel_stress, fences_of_a_ring_end_every_callback_once) {
  for (int round = 0; round < rounds; ++round) {
    ring r;
    for (std::size_t i = 0; i < ring_size; ++i) {
      auto* f = static_cast<ring_fence*>(std::calloc(1, sizeof(ring_fence)));
      f->of = &r;
      dma_fence_init(&f->base, &ops, &r.lock, r.context, i + 1);
      r.fences[i] = &f->base;
    }
    std::array<int, 3> failures{};
    std::vector<std::thread> consumers;
    for (unsigned c = 0; c < failures.size(); ++c) {
      consumers.emplace_back(
          [&, c] { failures[c] = consume(r, static_cast<unsigned>(round) * 3 + c); });
    }
    // Half of them in one go under the lock, as an interrupt handler does; some out of order.
    for (std::size_t i = 0; i < ring_size; i += 2) dma_fence_signal(r.fences[i]);
    unsigned long flags = 0;
    spin_lock_irqsave(&r.lock, flags);
    for (dma_fence* f : r.fences) dma_fence_signal_locked(f);
    spin_unlock_irqrestore(&r.lock, flags);
    for (std::thread& consumer : consumers) consumer.join();
    EXPECT_EQ(failures, (std::array<int, 3>{}));
    EXPECT_LE(r.enabled.load(), static_cast<int>(ring_size));
    for (dma_fence* f : r.fences) dma_fence_put(f);
    rcu_barrier();
  }
}

TEST(kernel_stress, a_callback_is_removed_or_has_run_however_the_signal_comes) {
  for (int round = 0; round < 2000; ++round) {
    auto* f = static_cast<dma_fence*>(std::calloc(1, sizeof(dma_fence)));
    dma_fence_init(f, &ops, nullptr, 1, 1);
    set_bit(DMA_FENCE_FLAG_ENABLE_SIGNAL_BIT, &f->flags);
    auto cb = std::make_unique<counted_cb>();
    ASSERT_EQ(dma_fence_add_callback(f, cb.get(), &counted_cb::run), 0);
    std::atomic<bool> go{false};
    std::thread signaler([&] {
      while (!go.load()) {
      }
      dma_fence_signal(f);
    });
    go.store(true);
    const bool was_removed = dma_fence_remove_callback(f, cb.get());
    EXPECT_EQ(cb->runs.load(), was_removed ? 0 : 1);
    cb.reset();
    signaler.join();
    dma_fence_put(f);
  }
  rcu_barrier();
}

// Each thread locks some of them in an order of its own, with what is plain data under each lock.
TEST(kernel_stress, loops_that_lock_in_any_order_all_get_all) {
  constexpr int count = 6;
  constexpr int threads = 3;
  constexpr int loops = 500;
  std::array<drm_gem_object, count> objects{};
  std::array<int, count> times{};  // that it was locked by one that wanted it; under its lock
  std::atomic<int> all_times{0};
  for (drm_gem_object& obj : objects) drm_gem_private_object_init(nullptr, &obj, 1);
  std::latch all_begin(threads);
  const auto lock_some = [&](unsigned seed) {
    all_begin.arrive_and_wait();
    std::mt19937 random(seed);
    std::array<drm_gem_object*, count> order{};
    std::ranges::transform(objects, order.begin(), [](drm_gem_object& obj) { return &obj; });
    for (int i = 0; i < loops; ++i) {
      std::ranges::shuffle(order, random);
      const auto wanted = static_cast<unsigned>(2 + random() % (count - 1));
      drm_exec exec;
      int failed = 0;
      drm_exec_init(&exec, 0, 1);
      drm_exec_until_all_locked(&exec) {
        failed = 0;
        for (unsigned at = 0; at < wanted && failed == 0; ++at) {
          failed = drm_exec_prepare_obj(&exec, order[at], 1);
          drm_exec_retry_on_contention(&exec);
          std::this_thread::yield();
        }
      }
      EXPECT_EQ(failed, 0);
      for (unsigned at = 0; at < wanted; ++at) {
        ++times[static_cast<std::size_t>(order[at] - objects.data())];
      }
      all_times.fetch_add(static_cast<int>(wanted));
      drm_gem_object* obj = nullptr;
      unsigned held = 0;
      drm_exec_for_each_locked_object(&exec, obj)++ held;
      EXPECT_GE(held, wanted);  // and maybe one that an earlier run wanted first
      drm_exec_fini(&exec);
    }
  };
  std::vector<std::thread> lockers;
  for (unsigned t = 0; t < threads; ++t) lockers.emplace_back(lock_some, t);
  for (std::thread& locker : lockers) locker.join();
  EXPECT_EQ(std::accumulate(times.begin(), times.end(), 0), all_times.load());
  for (drm_gem_object& obj : objects) {
    EXPECT_FALSE(dma_resv_is_locked(obj.resv));
    EXPECT_EQ(kref_read(&obj.refcount), 1U);
    drm_gem_object_release(&obj);
  }
}

}  // namespace
}  // namespace ufence
