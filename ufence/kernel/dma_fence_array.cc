#include "ufence/kernel/linux/dma-fence-array.h"

#include <cstring>

#include "ufence/base/alloc.h"
#include "ufence/fence/thread_state.h"
#include "ufence/kernel/kernel_fence.h"
#include "ufence/kernel/visit.h"
#include "ufence/rcu/rcu.h"

using ufence::as_atomic;
using ufence::kernel_fence;
namespace mo = ufence::mo;

namespace {

// base.error until a child has failed, and the array is not signaled.
constexpr int no_error_yet = 1;

dma_fence_array& array_of(dma_fence* f) noexcept { return *to_dma_fence_array(f); }

// The first error is the array's.
void note_error(dma_fence_array& array, int error) noexcept {
  if (error < 0) kernel_fence::of(array.base).note_error(no_error_yet, error);
}

void end_errors(dma_fence_array& array) noexcept {
  kernel_fence::of(array.base).note_error(no_error_yet, 0);
}

// True for the one that completes it: the last child, or the first of an `any` array.
bool is_completed_by(dma_fence_array& array, dma_fence& child) noexcept {
  note_error(array, ufence::as_cell(child.error).get());
  // [KERNEL.9] acq_rel: the errors that all noted; pairs with [KERNEL.9], [KERNEL.10]
  return as_atomic(array.num_pending.counter).fetch_sub(1, mo::acq_rel) == 1;
}

const char* get_driver_name(dma_fence*) { return "dma_fence_array"; }
const char* get_timeline_name(dma_fence*) { return "unbound"; }

void signal_itself(ufence::thread_work& work) noexcept {
  dma_fence_array& array =
      ufence::around<dma_fence_array>(work, offsetof(dma_fence_array, ufence_work));
  // A thread that polled it meanwhile has signaled it already.
  end_errors(array);
  kernel_fence::of(array.base).signal(kernel_fence::at_once, false);
  dma_fence_put(&array.base);
}

void on_child(dma_fence* child, dma_fence_cb* cb) {
  dma_fence_array& array = *reinterpret_cast<dma_fence_array_cb*>(cb)->array;
  if (is_completed_by(array, *child)) {
    // With the callback's reference. Once: the count ends once.
    ufence::queue_work(array.ufence_work, &signal_itself);
  } else {
    dma_fence_put(&array.base);
  }
}

bool enable_signaling(dma_fence* f) {
  dma_fence_array& array = array_of(f);
  for (unsigned int i = 0; i < array.num_fences; ++i) {
    array.callbacks[i].array = &array;
    dma_fence_get(&array.base);
    if (dma_fence_add_callback(array.fences[i], &array.callbacks[i].cb, &on_child) == 0) continue;
    // Signaled already, or inherited through fork(), of which nothing more will come.
    if (!dma_fence_test_signaled_flag(array.fences[i])) note_error(array, -EOWNERDEAD);
    dma_fence_put(&array.base);
    if (is_completed_by(array, *array.fences[i])) {
      end_errors(array);
      return false;
    }
  }
  return true;
}

bool is_signaled(dma_fence* f) {
  dma_fence_array& array = array_of(f);
  // [KERNEL.10] acquire: the count before the flag, or a count that enabling has begun to lower is
  // taken for one that callbacks lower; the errors; pairs with [KERNEL.9]
  int pending = as_atomic(array.num_pending.counter).load(mo::acquire);
  if (test_bit(DMA_FENCE_FLAG_ENABLE_SIGNAL_BIT, &f->flags)) {
    if (pending > 0) return false;
  } else {
    ufence::container_visit visit;
    for (unsigned int i = 0; i < array.num_fences && pending > 0; ++i) {
      if (!visit.poll(array.fences[i])) continue;
      note_error(array, ufence::as_cell(array.fences[i]->error).get());
      --pending;
    }
    if (pending > 0) return false;
  }
  end_errors(array);
  return true;
}

void release(dma_fence* f) {
  dma_fence_array& array = array_of(f);
  for (unsigned int i = 0; i < array.num_fences; ++i) dma_fence_put(array.fences[i]);
  ufence::deallocate(array.fences);
  dma_fence_free(f);
}

void set_deadline(dma_fence* f, ktime_t deadline) {
  dma_fence_array& array = array_of(f);
  ufence::container_visit visit;
  for (unsigned int i = 0; i < array.num_fences; ++i) {
    visit.set_deadline(array.fences[i], deadline);
  }
}

}  // namespace

const dma_fence_ops dma_fence_array_ops{.get_driver_name = &get_driver_name,
                                        .get_timeline_name = &get_timeline_name,
                                        .enable_signaling = &enable_signaling,
                                        .signaled = &is_signaled,
                                        .wait = nullptr,
                                        .release = &release,
                                        .set_deadline = &set_deadline};

dma_fence_array* dma_fence_array_alloc(int num_fences) {
  if (num_fences < 1) return nullptr;
  ufence::rcu::reclaim();
  const size_t bytes =
      sizeof(dma_fence_array) + static_cast<size_t>(num_fences) * sizeof(dma_fence_array_cb);
  void* memory = ufence::allocate(bytes);
  // The callbacks are set up when they are added.
  if (memory != nullptr) std::memset(memory, 0, sizeof(dma_fence_array));
  return static_cast<dma_fence_array*>(memory);
}

void ufence_dma_fence_array_init(dma_fence_array* array, int num_fences, dma_fence** fences,
                                 u64 context, unsigned int seqno, bool any) {
  if (num_fences < 1 || fences == nullptr) ufence::warn("an array of no fences");
  array->num_fences = num_fences < 1 ? 0 : static_cast<unsigned int>(num_fences);
  array->fences = fences;
  array->callbacks = reinterpret_cast<dma_fence_array_cb*>(array + 1);
  atomic_set(&array->num_pending, any ? 1 : num_fences);
  spin_lock_init(&array->base.inline_lock);
  kernel_fence::init(array->base, &dma_fence_array_ops, context, seqno,
                     ufence::flag(DMA_FENCE_FLAG_INLINE_LOCK_BIT), nullptr);
  array->base.error = no_error_yet;
  for (unsigned int i = 0; i < array->num_fences; ++i) {
    if (dma_fence_is_container(fences[i])) {
      ufence::warn("an array contains a container", &array->base);
    }
  }
}

dma_fence_array* ufence_dma_fence_array_create(int num_fences, dma_fence** fences, u64 context,
                                               unsigned int seqno, bool any) {
  if (num_fences < 1) ufence::warn("an array of no fences");
  dma_fence_array* array = dma_fence_array_alloc(num_fences);
  if (array == nullptr) return nullptr;
  ufence_dma_fence_array_init(array, num_fences, fences, context, seqno, any);
  return array;
}

bool dma_fence_match_context(dma_fence* fence, u64 context) {
  const dma_fence_array* array = to_dma_fence_array(fence);
  if (array == nullptr) return fence->context == context;
  for (unsigned int i = 0; i < array->num_fences; ++i) {
    if (array->fences[i]->context != context) return false;
  }
  return true;
}

dma_fence* dma_fence_array_first(dma_fence* head) {
  const dma_fence_array* array = to_dma_fence_array(head);
  if (array == nullptr) return head;
  return array->num_fences != 0 ? array->fences[0] : nullptr;
}

dma_fence* dma_fence_array_next(dma_fence* head, unsigned int index) {
  const dma_fence_array* array = to_dma_fence_array(head);
  return array != nullptr && index < array->num_fences ? array->fences[index] : nullptr;
}
