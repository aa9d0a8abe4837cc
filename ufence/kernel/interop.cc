#include "ufence/kernel/interop.h"

#include <algorithm>
#include <array>
#include <memory>
#include <new>
#include <string_view>

#include "ufence/base/alloc.h"
#include "ufence/fence/thread_state.h"
#include "ufence/kernel/kernel_fence.h"
#include "ufence/rcu/rcu.h"

namespace ufence {
namespace {

using name_copy = std::array<char, 64>;

name_copy copy_of(std::string_view name) noexcept {
  name_copy copy{};
  std::ranges::copy(name.substr(0, copy.size() - 1), copy.begin());
  return copy;
}

// Stands for a fence that is not of this interface.
struct stand_in {
  dma_fence base;
  const fence_ref original;
  const name_copy driver_name;
  const name_copy timeline_name;
  callback on_original;
  void* work[2];

  explicit stand_in(const fence_ref& f) noexcept
      : original(f),
        driver_name(copy_of(f->driver_name())),
        timeline_name(copy_of(f->timeline_name())),
        on_original(&stand_in::original_is_signaled) {}

  static stand_in& of(dma_fence* f) noexcept { return *reinterpret_cast<stand_in*>(f); }

  // Under the lock of the original, if it has one: ours, which is held over its enabling, waits.
  static void original_is_signaled(callback& node, fence&) noexcept {
    auto& self = *reinterpret_cast<stand_in*>(reinterpret_cast<char*>(&node) -
                                              offsetof(stand_in, on_original));
    // With the callback's reference.
    queue_work(self.work, &stand_in::signal_itself);
  }

  static void signal_itself(thread_work& work) noexcept {
    stand_in& self = around<stand_in>(work, offsetof(stand_in, work));
    self.take_error();
    kernel_fence::of(self.base).signal(self.original->timestamp_ns(), false);
    dma_fence_put(&self.base);
  }

  // Before its signal, by each thread that finds the original signaled.
  void take_error() noexcept {
    if (const int error = original->error()) kernel_fence::of(base).note_error(0, error);
  }
};

const char* get_driver_name(dma_fence* f) { return stand_in::of(f).driver_name.data(); }
const char* get_timeline_name(dma_fence* f) { return stand_in::of(f).timeline_name.data(); }

bool enable_signaling(dma_fence* f) {
  stand_in& self = stand_in::of(f);
  dma_fence_get(f);
  if (!self.original->add_callback(self.on_original)) return true;
  // Signaled already, or inherited through fork(), of which nothing more will come.
  dma_fence_put(f);
  self.take_error();
  if (!self.original->is_signaled()) kernel_fence::of(*f).note_error(0, -EOWNERDEAD);
  return false;
}

bool is_signaled(dma_fence* f) {
  stand_in& self = stand_in::of(f);
  if (!self.original->poll()) return false;
  self.take_error();
  return true;
}

void release(dma_fence* f) {
  // Readers that look for a reference under RCU see the count alone.
  const_cast<fence_ref&>(stand_in::of(f).original).reset();
  dma_fence_free(f);
}

void set_deadline(dma_fence* f, ktime_t deadline) {
  stand_in::of(f).original->set_deadline(deadline);
}

constexpr dma_fence_ops stand_in_ops{.get_driver_name = &get_driver_name,
                                     .get_timeline_name = &get_timeline_name,
                                     .enable_signaling = &enable_signaling,
                                     .signaled = &is_signaled,
                                     .wait = nullptr,
                                     .release = &release,
                                     .set_deadline = &set_deadline};

}  // namespace

fence* original_of(dma_fence& f) noexcept {
  // The ops of these stay: they have a release.
  return kernel_fence::of(f).attached_ops() == &stand_in_ops ? stand_in::of(&f).original.get() : nullptr;
}

fence_ref to_fence(dma_fence& f) noexcept { return fence_ref::take(kernel_fence::of(f)); }

dma_fence* to_dma_fence(const fence_ref& f) noexcept {
  if (!f) return nullptr;
  if (kernel_fence::is_one(*f)) return dma_fence_get(&static_cast<kernel_fence&>(*f).c());
  rcu::reclaim();
  void* memory = allocate(sizeof(stand_in));
  if (memory == nullptr) return nullptr;
  // Kernel code may keep what stands for it for earlier ones of its timeline, or later ones for it.
  f->keep_turn();
  auto* made = ::new (memory) stand_in(f);
  spin_lock_init(&made->base.inline_lock);
  kernel_fence::init(made->base, &stand_in_ops, f->context(), f->seqno(),
                     flag(DMA_FENCE_FLAG_INLINE_LOCK_BIT) |
                         (f->seqno_wraps() ? 0 : flag(DMA_FENCE_FLAG_SEQNO64_BIT)),
                     nullptr);
  return &made->base;
}

}  // namespace ufence
