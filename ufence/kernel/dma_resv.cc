// Reservation objects, by the kernel's protocol: a slot of the list is overwritten in place, and a reader
// without the lock takes a reference to what it finds, unless the last one is gone: then it starts again.
#include "ufence/kernel/linux/dma-resv.h"

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <memory>
#include <new>
#include <utility>

#include "ufence/base/alloc.h"
#include "ufence/kernel/kernel_fence.h"
#include "ufence/kernel/linux/dma-fence-array.h"
#include "ufence/rcu/rcu.h"

using ufence::atomic;
using ufence::kernel_fence;
namespace mo = ufence::mo;

struct dma_resv_list : ufence::rcu::deferred {
  // The usage stands in the lowest bits of the fence's address.
  using slot = atomic<std::uintptr_t>;
  static constexpr std::uintptr_t usage_mask = 3;

  std::uint64_t serial = 0;  // among the lists of its object; set before publish
  unsigned room = 0;         // slots; the lock
  unsigned max_fences = 0;   // up to which fences may be added; the lock
  atomic<unsigned> num_fences{0};

  [[nodiscard]] slot* slots() noexcept { return reinterpret_cast<slot*>(this + 1); }

  // The next fence, for a reader without the lock, inside a read section.
  [[nodiscard]] dma_fence* look(unsigned i, dma_resv_usage& usage) noexcept {
    // [KERNEL.15] acquire: the fence; pairs with [KERNEL.16]
    const std::uintptr_t word = slots()[i].load(mo::acquire);
    usage = static_cast<dma_resv_usage>(word & usage_mask);
    return reinterpret_cast<dma_fence*>(word & ~usage_mask);
  }
  void set(unsigned i, dma_fence* f, dma_resv_usage usage) noexcept {
    // [KERNEL.16] release: the fence; pairs with [KERNEL.15]
    slots()[i].store(reinterpret_cast<std::uintptr_t>(f) | static_cast<std::uintptr_t>(usage),
                     mo::release);
  }
  // The lock.
  [[nodiscard]] unsigned count() const noexcept {
    // relaxed: changed under the lock, which the caller has
    return num_fences.load(mo::relaxed);
  }
  void append(dma_fence* f, dma_resv_usage usage) noexcept {
    const unsigned at = count();
    set(at, f, usage);
    // [KERNEL.17] release: the slot; pairs with [KERNEL.18]
    num_fences.store(at + 1, mo::release);
  }
};

namespace {

static_assert(alignof(dma_fence) > dma_resv_list::usage_mask);

using list_word = atomic<dma_resv_list*>;

list_word& word_of(dma_resv_list** list) noexcept { return ufence::as_atomic(*list); }

dma_resv_list* locked(dma_resv_list** list) noexcept {
  // relaxed: changed under the lock, which the caller has
  return word_of(list).load(mo::relaxed);
}

// To stand in the place of `old`, or of none.
dma_resv_list* make_list(unsigned max_fences, const dma_resv_list* old) noexcept {
  void* memory =
      ufence::allocate(sizeof(dma_resv_list) + max_fences * sizeof(dma_resv_list::slot));
  if (memory == nullptr) return nullptr;
  auto* made = ::new (memory) dma_resv_list;
  std::uninitialized_value_construct_n(made->slots(), max_fences);
  made->room = made->max_fences = max_fences;
  made->serial = old != nullptr ? old->serial + 1 : 1;
  return made;
}

// Readers may still be at it.
void free_list(dma_resv_list* list) noexcept {
  if (list == nullptr) return;
  ufence::rcu::defer(*list, [](ufence::rcu::deferred* d) noexcept {
    ufence::deallocate(static_cast<dma_resv_list*>(d));
  });
}

// With its references.
void drop_list(dma_resv_list* list) noexcept {
  if (list == nullptr) return;
  dma_resv_usage usage{};
  const unsigned n = list->count();
  for (unsigned i = 0; i < n; ++i) dma_fence_put(list->look(i, usage));
  free_list(list);
}

// All that walks a list takes what it finds for a fence of this interface.
bool is_of_this_interface(const dma_fence* f) noexcept {
  const auto& native = reinterpret_cast<const ufence::fence&>(*f);
  if (kernel_fence::is_one(native)) return true;
  ufence::warn("a fence of ufence's own is no struct dma_fence; to_dma_fence() makes one for it");
  return false;
}

}  // namespace

void ufence_dma_resv_fini(dma_resv_list** list) {
  drop_list(locked(list));
  // relaxed: nobody uses it any more
  word_of(list).store(nullptr, mo::relaxed);
}

// --- Changing it ---

int ufence_dma_resv_reserve(dma_resv_list** list, unsigned int num_fences) {
  if (num_fences == 0) {
    ufence::warn("dma_resv_reserve_fences(0)");
    return -EINVAL;
  }
  dma_resv_list* old = locked(list);
  const unsigned count = old != nullptr ? old->count() : 0;
  if (old != nullptr && num_fences <= old->room - count) {
    old->max_fences = old->room;
    return 0;
  }
  const std::uint64_t wanted =
      old != nullptr ? std::max(std::uint64_t{count} + num_fences, std::uint64_t{old->room} * 2)
                     : std::max(std::uint64_t{4}, std::bit_ceil(std::uint64_t{num_fences}));
  constexpr std::uint64_t most = UINT64_C(1) << 30;
  dma_resv_list* next = wanted <= most ? make_list(static_cast<unsigned>(wanted), old) : nullptr;
  if (next == nullptr) return -ENOMEM;
  dma_resv_usage usage{};
  for (unsigned i = 0; i < count; ++i) {
    dma_fence* f = old->look(i, usage);
    if (!dma_fence_is_signaled(f)) next->append(f, usage);
  }
  // [KERNEL.19] release: the list; pairs with [KERNEL.20], [KERNEL.22]
  word_of(list).store(next, mo::release);
  if (old == nullptr) return 0;
  // Signaled fences stay behind. The two lists have the rest in the same order.
  const unsigned kept = next->count();
  unsigned at = 0;
  for (unsigned i = 0; i < count; ++i) {
    dma_resv_usage kept_usage{};
    dma_fence* f = old->look(i, usage);
    if (at < kept && next->look(at, kept_usage) == f && kept_usage == usage) {
      ++at;
    } else {
      dma_fence_put(f);
    }
  }
  free_list(old);
  return 0;
}

void ufence_dma_resv_unreserve(dma_resv_list** list) {
  if (dma_resv_list* now = locked(list)) now->max_fences = now->count();
}

void ufence_dma_resv_add(dma_resv_list** list, dma_fence* fence, dma_resv_usage usage) {
  if (!is_of_this_interface(fence)) return;
  if (dma_fence_is_container(fence)) {
    ufence::warn("a container is added to a reservation object; add what is in it", fence);
  }
  dma_resv_list* into = locked(list);
  const unsigned count = into != nullptr ? into->count() : 0;
  for (unsigned i = 0; i < count; ++i) {
    dma_resv_usage old_usage{};
    dma_fence* old = into->look(i, old_usage);
    const bool replaces = old->context == fence->context && old_usage >= usage &&
                          dma_fence_is_later_or_same(fence, old);
    if (!replaces && !dma_fence_is_signaled(old)) continue;
    into->set(i, dma_fence_get(fence), usage);
    dma_fence_put(old);
    return;
  }
  if (into == nullptr || count >= into->max_fences) {
    ufence::warn("a fence is added for which nothing is reserved; it is lost", fence);
    return;
  }
  into->append(dma_fence_get(fence), usage);
}

void ufence_dma_resv_replace(dma_resv_list** list, u64 context, dma_fence* fence,
                             dma_resv_usage usage) {
  if (!is_of_this_interface(fence)) return;
  dma_resv_list* in = locked(list);
  const unsigned count = in != nullptr ? in->count() : 0;
  for (unsigned i = 0; i < count; ++i) {
    dma_resv_usage old_usage{};
    dma_fence* old = in->look(i, old_usage);
    if (old->context != context) continue;
    in->set(i, dma_fence_get(fence), usage);
    dma_fence_put(old);
  }
}

// --- Walking ---

namespace {

// Inside a read section.
void restart(dma_resv_iter& cursor) noexcept {
  cursor.index = 0;
  // [KERNEL.20] acquire: the list; pairs with [KERNEL.19], [KERNEL.21]
  cursor.fences = word_of(cursor.ufence_list).load(mo::acquire);
  // [KERNEL.18] acquire: the slots; pairs with [KERNEL.17]
  cursor.num_fences = cursor.fences != nullptr ? cursor.fences->num_fences.load(mo::acquire) : 0;
  cursor.ufence_serial = cursor.fences != nullptr ? cursor.fences->serial : 0;
  cursor.is_restarted = true;
}

bool is_current(const dma_resv_iter& cursor) noexcept {
  // [KERNEL.22] acquire: the serial, where a new list lies at the address of an old one; pairs with
  // [KERNEL.19], [KERNEL.21]
  const dma_resv_list* now = word_of(cursor.ufence_list).load(mo::acquire);
  return now == cursor.fences && (now == nullptr || now->serial == cursor.ufence_serial);
}

// To the next one that is pending, of the list that the cursor has.
void walk(dma_resv_iter& cursor) noexcept {
  for (;;) {
    dma_fence_put(std::exchange(cursor.fence, nullptr));
    if (cursor.index >= cursor.num_fences) return;
    dma_fence* found = cursor.fences->look(cursor.index++, cursor.fence_usage);
    cursor.fence = dma_fence_get_rcu(found);
    if (cursor.fence == nullptr) {
      restart(cursor);
    } else if (cursor.fence_usage <= cursor.usage && !dma_fence_is_signaled(cursor.fence)) {
      return;
    }
  }
}

// A walk without the lock, ended by its scope.
class unlocked_walk {
 public:
  unlocked_walk(dma_resv_list** list, dma_resv_usage usage) noexcept {
    iter_.usage = usage;
    iter_.fence = nullptr;
    iter_.ufence_list = list;
  }
  ~unlocked_walk() { dma_resv_iter_end(&iter_); }
  unlocked_walk(const unlocked_walk&) = delete;
  unlocked_walk& operator=(const unlocked_walk&) = delete;
  dma_fence* first() noexcept { return dma_resv_iter_first_unlocked(&iter_); }
  dma_fence* next() noexcept { return dma_resv_iter_next_unlocked(&iter_); }
  [[nodiscard]] const dma_resv_iter& at() const noexcept { return iter_; }

 private:
  dma_resv_iter iter_;
};

}  // namespace

dma_fence* dma_resv_iter_first_unlocked(dma_resv_iter* cursor) {
  const ufence::rcu::read_section section;
  do {
    restart(*cursor);
    walk(*cursor);
  } while (!is_current(*cursor));
  return cursor->fence;
}

dma_fence* dma_resv_iter_next_unlocked(dma_resv_iter* cursor) {
  const ufence::rcu::read_section section;
  cursor->is_restarted = false;
  bool must_start = !is_current(*cursor);
  do {
    if (must_start) restart(*cursor);
    walk(*cursor);
    must_start = true;
  } while (!is_current(*cursor));
  return cursor->fence;
}

dma_fence* dma_resv_iter_first(dma_resv_iter* cursor) {
  cursor->index = 0;
  cursor->fences = locked(cursor->ufence_list);
  dma_fence* f = dma_resv_iter_next(cursor);
  cursor->is_restarted = true;
  return f;
}

dma_fence* dma_resv_iter_next(dma_resv_iter* cursor) {
  cursor->is_restarted = false;
  const unsigned count = cursor->fences != nullptr ? cursor->fences->count() : 0;
  cursor->fence = nullptr;
  while (cursor->fence == nullptr && cursor->index < count) {
    dma_fence* f = cursor->fences->look(cursor->index++, cursor->fence_usage);
    if (cursor->fence_usage <= cursor->usage) cursor->fence = f;
  }
  return cursor->fence;
}

// --- Looking ---

int ufence_dma_resv_copy(dma_resv_list** to, dma_resv_list** from) {
  dma_resv_list* old = locked(to);
  dma_resv_list* copy = nullptr;
  {
    unlocked_walk all(from, DMA_RESV_USAGE_BOOKKEEP);
    for (dma_fence* f = all.first(); f != nullptr; f = all.next()) {
      if (all.at().is_restarted) {
        drop_list(copy);
        copy = make_list(all.at().num_fences, old);
        if (copy == nullptr) return -ENOMEM;
      }
      copy->append(dma_fence_get(f), all.at().fence_usage);
    }
  }
  // Serials go on.
  if (copy == nullptr && old != nullptr && (copy = make_list(0, old)) == nullptr) return -ENOMEM;
  // [KERNEL.21] release: the list; pairs with [KERNEL.20], [KERNEL.22]
  word_of(to).store(copy, mo::release);
  drop_list(old);
  return 0;
}

int ufence_dma_resv_get(dma_resv_list** list, dma_resv_usage usage, unsigned int* num_fences,
                        dma_fence*** fences) {
  *num_fences = 0;
  *fences = nullptr;
  const auto forget = [&] {
    while (*num_fences != 0) dma_fence_put((*fences)[--*num_fences]);
  };
  unlocked_walk all(list, usage);
  for (dma_fence* f = all.first(); f != nullptr; f = all.next()) {
    if (all.at().is_restarted) {
      forget();
      std::free(*fences);
      *fences = static_cast<dma_fence**>(ufence::allocate(all.at().num_fences * sizeof(dma_fence*)));
      if (*fences == nullptr) return -ENOMEM;
    }
    (*fences)[(*num_fences)++] = dma_fence_get(f);
  }
  return 0;
}

int ufence_dma_resv_get_one(dma_resv_list** list, dma_resv_usage usage, dma_fence** fence) {
  *fence = nullptr;
  unsigned int n = 0;
  dma_fence** fences = nullptr;
  const int failed = ufence_dma_resv_get(list, usage, &n, &fences);
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

long ufence_dma_resv_wait(dma_resv_list** list, dma_resv_usage usage, bool intr,
                          unsigned long timeout) {
  long left = timeout > MAX_SCHEDULE_TIMEOUT ? MAX_SCHEDULE_TIMEOUT : static_cast<long>(timeout);
  const bool polls = left == 0;
  long how = polls ? 1 : left;
  unlocked_walk all(list, usage);
  for (dma_fence* f = all.first(); f != nullptr; f = all.next()) {
    how = dma_fence_wait_timeout(f, intr, left);
    if (how <= 0) return how;
    if (!polls) left = how;
  }
  return how;
}

void ufence_dma_resv_tell(dma_resv_list** list, dma_resv_usage usage, ktime_t deadline) {
  unlocked_walk all(list, usage);
  for (dma_fence* f = all.first(); f != nullptr; f = all.next()) dma_fence_set_deadline(f, deadline);
}

bool ufence_dma_resv_test(dma_resv_list** list, dma_resv_usage usage) {
  unlocked_walk all(list, usage);
  return all.first() == nullptr;
}

const DEFINE_WW_CLASS(reservation_ww_class);
