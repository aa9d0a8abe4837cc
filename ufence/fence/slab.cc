#include "ufence/fence/slab.h"

#include <pthread.h>

#include "ufence/base/check.h"
#include "ufence/base/fork.h"
#include "ufence/base/lock.h"
#include "ufence/base/tls.h"
#include "ufence/fence/spans.h"

namespace ufence {

namespace detail {
namespace {

using access = fence::slab_access;

constexpr std::uint32_t cached_max = 128;  // free slots of one thread's cache
constexpr std::uint32_t batch = 64;        // moved at once between a cache and the slab

constinit mutex slab_lock{lock_rank::slab};
constinit spans slabs[2] UFENCE_GUARDED_BY(slab_lock){spans{sizeof(fence)},
                                                      spans{large_slot_bytes}};

spans& slab_of(slot_size size) noexcept UFENCE_REQUIRES(slab_lock) {
  return slabs[static_cast<unsigned>(size)];
}

struct free_list {
  fence* head = nullptr;
  std::uint32_t count = 0;

  void push(fence& slot) noexcept {
    access::set_next(slot, head);
    access::close(slot, sizeof(fence));
    head = &slot;
    ++count;
  }
  fence* pop() noexcept {
    fence* slot = head;
    access::open(*slot, sizeof(fence));
    head = access::next(*slot);
    --count;
    return slot;
  }
  void add(const slot_chain& some) noexcept {
    access::set_next_of_closed(*some.last, head, sizeof(fence));
    head = some.first;
    count += some.count;
  }
  void give(spans& to, std::uint32_t n) noexcept {
    head = to.give(head, n);
    count -= n;
  }
};

// Free native slots of one thread. After the thread's end began they go straight to the slab.
struct thread_cache {
  free_list free;
  enum class phase : unsigned char { unused, open, closed } state = phase::unused;
};
struct cache_tag;
using cache = per_thread<cache_tag, thread_cache>;

pthread_key_t cache_key;

void flush_cache(void*) noexcept {
  thread_cache& mine = cache::get();
  mine.state = thread_cache::phase::closed;
  scoped_lock guard(slab_lock);
  mine.free.give(slab_of(slot_size::native), mine.free.count);
}

struct setup {
  setup() noexcept { UFENCE_CHECK(pthread_key_create(&cache_key, flush_cache) == 0); }
};
const setup at_load;

// A child of fork() has one thread: the lock must not be inherited in the taken state.
// The free slots in caches of the parent's other threads are lost to the child.
const fork_part at_fork(lock_rank::slab,
                        {.before = [] noexcept { slab_lock.lock_for_fork(); },
                         .in_parent = [] noexcept { slab_lock.unlock_after_fork(); },
                         .in_child = [] noexcept { slab_lock.unlock_after_fork(); }});

bool open_cache(thread_cache& mine) noexcept {
  if (mine.state == thread_cache::phase::unused) {
    // The value only has to be non-null for the key's destructor to run.
    mine.state = pthread_setspecific(cache_key, &mine) == 0 ? thread_cache::phase::open
                                                            : thread_cache::phase::closed;
  }
  return mine.state == thread_cache::phase::open;
}

fence* allocate_from_slab(slot_size size) noexcept {
  const scoped_lock guard(slab_lock);
  spans& slab = slab_of(size);
  fence* const slot = slab.take(1).first;
  if (slot != nullptr) access::open(*slot, slab.slot_bytes());
  return slot;
}

bool refill(free_list& cached) noexcept {
  const scoped_lock guard(slab_lock);
  while (cached.count < batch) {
    const slot_chain some = slab_of(slot_size::native).take(batch - cached.count);
    if (some.count == 0) break;
    cached.add(some);
  }
  return cached.count != 0;
}

}  // namespace

fence* slab_allocate(slot_size size) noexcept {
  if (size != slot_size::native) return allocate_from_slab(size);
  thread_cache& mine = cache::get();
  if (mine.free.head != nullptr) return mine.free.pop();
  if (!open_cache(mine)) return allocate_from_slab(size);
  return refill(mine.free) ? mine.free.pop() : nullptr;
}

void slab_free(fence& slot, slot_size size) noexcept {
  if (size == slot_size::native) {
    thread_cache& mine = cache::get();
    if (open_cache(mine)) {
      mine.free.push(slot);
      if (mine.free.count <= cached_max) return;
      const scoped_lock guard(slab_lock);
      mine.free.give(slab_of(size), batch);
      return;
    }
  }
  const scoped_lock guard(slab_lock);
  spans& slab = slab_of(size);
  access::close(slot, slab.slot_bytes());
  slab.give(&slot, 1);
}

void visit_fences(void (*visit)(fence& slot, void* context), void* context) {
  for (const slot_size size : {slot_size::native, slot_size::large}) {
    slab_lock.lock();
    const std::uint32_t bytes = slab_of(size).slot_bytes();
    spans::place at = slab_of(size).begin();
    for (;;) {
      const spans::slots in_use = slab_of(size).next(at);
      slab_lock.unlock();
      if (in_use.first == nullptr) break;
      for (std::uint32_t n = 0; n != in_use.count; ++n) {
        fence& slot = *reinterpret_cast<fence*>(in_use.first + std::size_t{n} * bytes);
        if (access::is_live(slot)) visit(slot, context);
      }
      slab_lock.lock();
    }
  }
}

slab_layout layout_of_slabs() noexcept UFENCE_NO_TSA {
  slab_layout told{};
  for (unsigned i = 0; i != 2; ++i) slabs[i].tell_layout(told, i);
  return told;
}

}  // namespace detail

std::size_t live_fences() noexcept {
  std::size_t live = 0;
  detail::visit_fences([](fence&, void* count) { ++*static_cast<std::size_t*>(count); }, &live);
  return live;
}

}  // namespace ufence
