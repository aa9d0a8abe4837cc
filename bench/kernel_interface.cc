// Fences with the kernel's interface, as kernel code uses them; in memory of malloc(), one thread.
#include <linux/dma-fence-array.h>
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

}  // namespace ufence::bench
