#include "ufence/kernel/linux/dma-resv.h"

#include <cstdlib>
#include <memory>
#include <new>
#include <utility>

#include "ufence/base/alloc.h"
#include "ufence/container/resv.h"
#include "ufence/fence/signalling.h"
#include "ufence/kernel/kernel_fence.h"
#include "ufence/kernel/linux/dma-fence-array.h"
#include "ufence/rcu/rcu.h"

using ufence::fence_ref;
using ufence::resv;
using ufence::resv_locked_cursor;
using ufence::resv_unlocked_cursor;
using ufence::resv_usage;
using ufence::ww_context;

namespace {

static_assert(sizeof(resv) <= sizeof(dma_resv) && alignof(resv) <= alignof(dma_resv));
static_assert(sizeof(ww_context) <= sizeof(ww_acquire_ctx));
static_assert(sizeof(resv_unlocked_cursor) <= sizeof(dma_resv_iter::ufence_cursor));
static_assert(sizeof(resv_locked_cursor) <= sizeof(dma_resv_iter::ufence_cursor));
static_assert(std::is_trivially_destructible_v<resv_locked_cursor>);

resv& of(dma_resv& object) noexcept { return *std::launder(reinterpret_cast<resv*>(&object)); }

ww_context* of(ww_acquire_ctx* context) noexcept {
  return context == nullptr ? nullptr
                            : std::launder(reinterpret_cast<ww_context*>(context->ufence_context));
}

template <class Cursor>
Cursor& cursor_in(dma_resv_iter& iter) noexcept {
  return *std::launder(reinterpret_cast<Cursor*>(iter.ufence_cursor));
}

resv_usage native(dma_resv_usage usage) noexcept { return static_cast<resv_usage>(usage); }

// All fences in it came through this interface.
dma_fence* of(ufence::fence* f) noexcept { return reinterpret_cast<dma_fence*>(f); }

fence_ref reference_to(dma_fence* f) noexcept {
  return fence_ref::take(ufence::kernel_fence::of(*f));
}

// What `fences` of a cursor points to as long as nobody else has changed it.
dma_resv_list* unchanged(dma_resv_iter& iter) noexcept {
  return reinterpret_cast<dma_resv_list*>(iter.ufence_cursor);
}

dma_fence* step_unlocked(dma_resv_iter& iter) noexcept {
  auto& walk = cursor_in<resv_unlocked_cursor>(iter);
  if (iter.fences != unchanged(iter)) walk.restart();
  iter.fences = unchanged(iter);
  iter.is_restarted = false;
  do {
    iter.fence = of(walk.next());
    if (iter.fence != nullptr) iter.fence_usage = static_cast<dma_resv_usage>(walk.usage());
    iter.is_restarted |= walk.is_restarted();
  } while (iter.fence != nullptr && dma_fence_is_signaled(iter.fence));
  return iter.fence;
}

dma_fence* step_locked(dma_resv_iter& iter) noexcept {
  auto& walk = cursor_in<resv_locked_cursor>(iter);
  iter.fence = of(walk.next());
  if (iter.fence != nullptr) iter.fence_usage = static_cast<dma_resv_usage>(walk.usage());
  return iter.fence;
}

// A walk without the lock, ended by its scope.
class unlocked_walk {
 public:
  unlocked_walk(dma_resv* object, dma_resv_usage usage) noexcept {
    dma_resv_iter_begin(&iter_, object, usage);
  }
  ~unlocked_walk() { dma_resv_iter_end(&iter_); }
  unlocked_walk(const unlocked_walk&) = delete;
  unlocked_walk& operator=(const unlocked_walk&) = delete;
  dma_fence* next() noexcept {
    return iter_.ufence_begun ? dma_resv_iter_next_unlocked(&iter_)
                              : dma_resv_iter_first_unlocked(&iter_);
  }

 private:
  dma_resv_iter iter_;
};

}  // namespace

const DEFINE_WW_CLASS(reservation_ww_class);

void ww_acquire_init(ww_acquire_ctx* ctx, const ww_class*) {
  ::new (static_cast<void*>(ctx->ufence_context)) ww_context;
}
void ww_acquire_fini(ww_acquire_ctx* ctx) { std::destroy_at(of(ctx)); }

void dma_resv_init(dma_resv* obj) { ::new (static_cast<void*>(obj)) resv; }
void dma_resv_fini(dma_resv* obj) { std::destroy_at(&of(*obj)); }

// --- The lock ---

int dma_resv_lock(dma_resv* obj, ww_acquire_ctx* ctx) {
  ufence::detail::check_not_signalling(
      "a thread locks a reservation object on the signalling path");
  return -of(*obj).lock(of(ctx)).value();
}
void dma_resv_lock_slow(dma_resv* obj, ww_acquire_ctx* ctx) {
  if (ctx != nullptr) {
    of(*obj).lock_slow(*of(ctx));
  } else {
    static_cast<void>(of(*obj).lock());
  }
}
bool dma_resv_trylock(dma_resv* obj) { return of(*obj).try_lock(); }
bool dma_resv_is_locked(dma_resv* obj) { return of(*obj).was_locked(); }
ww_acquire_ctx* dma_resv_locking_ctx(dma_resv* obj) {
  return reinterpret_cast<ww_acquire_ctx*>(of(*obj).locking_context());
}
void dma_resv_unlock(dma_resv* obj) { of(*obj).unlock(); }

// --- Changing it ---

int dma_resv_reserve_fences(dma_resv* obj, unsigned int num_fences) {
  if (num_fences == 0) ufence::warn("dma_resv_reserve_fences(0)");
  return -of(*obj).reserve(num_fences).value();
}

namespace {

// All that walks it takes what it finds for one of this interface.
bool is_of_this_interface(const dma_fence* f) noexcept {
  const auto& native = reinterpret_cast<const ufence::fence&>(*f);
  if (ufence::kernel_fence::is_one(native)) return true;
  ufence::warn("a fence of ufence's own is no struct dma_fence; to_dma_fence() makes one for it");
  return false;
}

}  // namespace

void dma_resv_add_fence(dma_resv* obj, dma_fence* fence, dma_resv_usage usage) {
  if (!is_of_this_interface(fence)) return;
  if (dma_fence_is_container(fence)) {
    ufence::warn("a container is added to a reservation object; add what is in it", fence);
  }
  if (of(*obj).add(reference_to(fence), native(usage))) {
    ufence::warn("a fence is added for which nothing is reserved; it is lost", fence);
  }
}

void dma_resv_replace_fences(dma_resv* obj, std::uint64_t context, dma_fence* fence,
                             dma_resv_usage usage) {
  if (!is_of_this_interface(fence)) return;
  if (of(*obj).replace(context, reference_to(fence), native(usage))) {
    ufence::warn("fences are not replaced: no such usage", fence);
  }
}

int dma_resv_copy_fences(dma_resv* dst, dma_resv* src) {
  return -of(*dst).copy_from(of(*src)).value();
}

// --- Walking ---

dma_fence* dma_resv_iter_first_unlocked(dma_resv_iter* cursor) {
  dma_resv_iter_end(cursor);
  ::new (static_cast<void*>(cursor->ufence_cursor))
      resv_unlocked_cursor(of(*cursor->obj), native(cursor->usage));
  cursor->ufence_begun = true;
  cursor->fences = unchanged(*cursor);
  return step_unlocked(*cursor);
}
dma_fence* dma_resv_iter_next_unlocked(dma_resv_iter* cursor) { return step_unlocked(*cursor); }

dma_fence* dma_resv_iter_first(dma_resv_iter* cursor) {
  dma_resv_iter_end(cursor);
  ::new (static_cast<void*>(cursor->ufence_cursor))
      resv_locked_cursor(of(*cursor->obj), native(cursor->usage));
  cursor->is_restarted = true;
  return step_locked(*cursor);
}
dma_fence* dma_resv_iter_next(dma_resv_iter* cursor) {
  cursor->is_restarted = false;
  return step_locked(*cursor);
}

void dma_resv_iter_end(dma_resv_iter* cursor) {
  if (!std::exchange(cursor->ufence_begun, false)) return;
  std::destroy_at(&cursor_in<resv_unlocked_cursor>(*cursor));
  cursor->fence = nullptr;
}

// --- Looking ---

int dma_resv_get_fences(dma_resv* obj, dma_resv_usage usage, unsigned int* num_fences,
                        dma_fence*** fences) {
  *num_fences = 0;
  *fences = nullptr;
  ufence::rcu::reclaim();
  const auto found = of(*obj).get_fences(native(usage));
  if (!found) return -found.error().value();
  if (found->items().empty()) return 0;
  auto** array =
      static_cast<dma_fence**>(ufence::allocate(found->items().size() * sizeof(dma_fence*)));
  if (array == nullptr) return -ENOMEM;
  for (const fence_ref& f : found->items()) {
    array[(*num_fences)++] = dma_fence_get(of(f.get()));
  }
  *fences = array;
  return 0;
}

int dma_resv_get_singleton(dma_resv* obj, dma_resv_usage usage, dma_fence** fence) {
  *fence = nullptr;
  unsigned int n = 0;
  dma_fence** fences = nullptr;
  const int failed = dma_resv_get_fences(obj, usage, &n, &fences);
  if (failed != 0 || n == 0) return failed;
  if (n == 1) {
    *fence = fences[0];
    std::free(fences);
    return 0;
  }
  dma_fence_array* array =
      dma_fence_array_create(static_cast<int>(n), fences, dma_fence_context_alloc(1), 1, false);
  if (array != nullptr) {
    *fence = &array->base;
    return 0;
  }
  for (unsigned int i = 0; i < n; ++i) dma_fence_put(fences[i]);
  std::free(fences);
  return -ENOMEM;
}

long dma_resv_wait_timeout(dma_resv* obj, dma_resv_usage usage, bool intr, unsigned long timeout) {
  long left = timeout > MAX_SCHEDULE_TIMEOUT ? MAX_SCHEDULE_TIMEOUT : static_cast<long>(timeout);
  const bool polls = left == 0;
  long how = polls ? 1 : left;
  unlocked_walk all(obj, usage);
  while (dma_fence* f = all.next()) {
    how = dma_fence_wait_timeout(f, intr, left);
    if (how <= 0) return how;
    if (!polls) left = how;
  }
  return how;
}

void dma_resv_set_deadline(dma_resv* obj, dma_resv_usage usage, ktime_t deadline) {
  unlocked_walk all(obj, usage);
  while (dma_fence* f = all.next()) dma_fence_set_deadline(f, deadline);
}

bool dma_resv_test_signaled(dma_resv* obj, dma_resv_usage usage) {
  unlocked_walk all(obj, usage);
  return all.next() == nullptr;
}
