// Fences with the kernel's interface, as kernel code uses them; in memory of malloc(), one thread.
#include <linux/dma-fence-array.h>
#include <linux/dma-fence-chain.h>
#include <linux/dma-fence.h>
#include <linux/rcupdate.h>

#include <array>
#include <cstdlib>

#include "bench/benchmarks.h"

namespace ufence::bench {
namespace {

const char* name(dma_fence*) { return "bench"; }

constexpr dma_fence_ops ops{.get_driver_name = name,
                            .get_timeline_name = name,
                            .enable_signaling = nullptr,
                            .signaled = nullptr,
                            .wait = nullptr,
                            .release = nullptr,
                            .set_deadline = nullptr};

dma_fence* make_dma_fence(u64 context) {
  auto* f = static_cast<dma_fence*>(std::malloc(sizeof(dma_fence)));
  require(f != nullptr, "no memory");
  dma_fence_init(f, &ops, nullptr, context, 1);
  return f;
}

}  // namespace

void kernel_create_signal_release(session& s) {
  const u64 context = dma_fence_context_alloc(1);
  s.compare(
      {.name = "kernel_create_signal_release",
       .what =
           "malloc(), dma_fence_init(), dma_fence_signal(), dma_fence_put(); freed untimed",
       .baseline = "an uncontended locked instruction",
       .kernel_told_ns = 126},
      s.how_much().scaled(10'000),
      [&](std::uint64_t n) {
        const batch_time time = time_calls(n, [&] {
          dma_fence* f = make_dma_fence(context);
          require(!dma_fence_check_and_signal(f), "nobody else signals it");
          dma_fence_put(f);
        });
        rcu_barrier();
        return time;
      },
      locked_instructions(1));
}

void kernel_array_of_64(session& s) {
  constexpr int children = 64;
  const u64 contexts = dma_fence_context_alloc(children + 1);
  std::array<dma_fence*, children> fences{};
  s.compare(
      {.name = "kernel_array_of_64",
       .what = "64 times dma_fence_init(), an array of them, enable it, signal all, put all",
       .baseline = "64 uncontended locked instructions",
       .kernel_told_ns = 8'985},
      s.how_much().scaled(200),
      [&](std::uint64_t n) {
        return time_calls(n, [&] {
          auto** owned = static_cast<dma_fence**>(std::malloc(children * sizeof(dma_fence*)));
          require(owned != nullptr, "no memory");
          for (unsigned i = 0; i < children; ++i) {
            fences[i] = make_dma_fence(contexts + i);
            owned[i] = dma_fence_get(fences[i]);
          }
          dma_fence_array* array =
              dma_fence_array_create(children, owned, contexts + children, 1, false);
          require(array != nullptr, "no memory");
          dma_fence_enable_sw_signaling(&array->base);
          for (dma_fence* f : fences) dma_fence_signal(f);
          require(dma_fence_test_signaled_flag(&array->base),
                  "an array is signaled with its last child");
          dma_fence_put(&array->base);
          for (dma_fence* f : fences) dma_fence_put(f);
        });
      },
      locked_instructions(children));
  rcu_barrier();
}

namespace {

// Of a pending fence whose issuer has no op to be asked; eight a turn, so that the loop does not hide what
// is measured.
template <class Look>
void look_at_pending(session& s, const subject& about, Look look) {
  dma_fence* f = make_dma_fence(dma_fence_context_alloc(1));
  s.compare(
      about, s.how_much().scaled(40'000) / 8 * 8 + 8,
      [&](std::uint64_t n) {
        std::uint64_t signaled = 0;
        const batch_time time = time_calls(n / 8, [&] {
          for (int i = 0; i < 8; ++i) {
            if (look(f)) ++signaled;
            clobber();
          }
        });
        require(signaled == 0, "it is pending");
        return time;
      },
      locked_instructions(1));
  dma_fence_signal(f);
  dma_fence_put(f);
  rcu_barrier();
}

}  // namespace

void kernel_is_signaled(session& s) {
  look_at_pending(s,
                  {.name = "kernel_is_signaled",
                   .what = "dma_fence_is_signaled() of a pending fence without a signaled op",
                   .baseline = "an uncontended locked instruction"},
                  [](dma_fence* f) { return dma_fence_is_signaled(f); });
}

void kernel_get_status(session& s) {
  look_at_pending(s,
                  {.name = "kernel_get_status",
                   .what = "dma_fence_get_status() of a pending fence without a signaled op",
                   .baseline = "an uncontended locked instruction"},
                  [](dma_fence* f) { return dma_fence_get_status(f) != 0; });
}

void kernel_chain_walk(session& s) {
  constexpr unsigned nodes = 1'000;
  const u64 context = dma_fence_context_alloc(1);
  std::array<dma_fence*, nodes> fences{};
  dma_fence* tail = nullptr;
  for (unsigned i = 0; i < nodes; ++i) {
    fences[i] = make_dma_fence(context);
    dma_fence_chain* node = dma_fence_chain_alloc();
    require(node != nullptr, "no memory");
    dma_fence_chain_init(node, tail, dma_fence_get(fences[i]), i + 1);
    tail = &node->base;
  }
  s.compare(
      {.name = "kernel_chain_walk",
       .what = "dma_fence_chain_for_each() over 1,000 pending nodes",
       .baseline = "1,000 uncontended locked instructions",
       .kernel_told_ns = 13'400},
      s.how_much().scaled(200),
      [&](std::uint64_t n) {
        return time_calls(n, [&] {
          unsigned seen = 0;
          dma_fence* at = nullptr;
          dma_fence_chain_for_each(at, tail) { ++seen; }
          require(seen == nodes, "all nodes are met");
        });
      },
      locked_instructions(nodes));
  for (dma_fence* f : fences) {
    dma_fence_signal(f);
    dma_fence_put(f);
  }
  dma_fence_put(tail);
  rcu_barrier();
}

}  // namespace ufence::bench
