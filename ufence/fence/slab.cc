#include "ufence/fence/slab.h"

#include <pthread.h>

#include <new>

#include "ufence/base/alloc.h"
#include "ufence/base/check.h"
#include "ufence/base/fork.h"
#include "ufence/base/lock.h"
#include "ufence/base/tls.h"
#include "ufence/fence/legacy_fence.h"

namespace ufence {

namespace {
struct alignas(fence::preferred_alignment) legacy_slot : legacy_fence {};
static_assert(sizeof(legacy_slot) == 128);
}  // namespace

struct fence::slab_access {
  static fence* make_native(void* at) noexcept { return ::new (at) fence; }
  static fence* make_legacy(void* at) noexcept { return ::new (at) legacy_slot; }
  static fence* next(const fence& f) noexcept { return f.link_.get(); }
  static void set_next(fence& f, fence* next) noexcept { f.link_.set(next); }
  // relaxed: a statistic
  static bool is_live(const fence& f) noexcept { return f.refs_.load(mo::relaxed) != 0; }

  // While a slot is free only its state word and its count may be touched.
  static constexpr std::size_t readable = sizeof(fence::state_) + sizeof(fence::refs_);
  static void close(fence& f, std::size_t bytes) noexcept {
    poison(reinterpret_cast<char*>(&f) + readable, bytes - readable);
  }
  static void open(fence& f, std::size_t bytes) noexcept {
    unpoison(reinterpret_cast<char*>(&f) + readable, bytes - readable);
  }
};

namespace detail {
namespace {

using access = fence::slab_access;

constexpr std::size_t chunk_bytes = std::size_t{64} * 1024;
constexpr std::uint32_t cached_max = 128;  // free slots of one thread's cache
constexpr std::uint32_t batch = 64;        // moved at once between a cache and the slab

constexpr std::size_t bytes_of(slot_size size) noexcept {
  return size == slot_size::native ? sizeof(fence) : sizeof(legacy_slot);
}

// A chunk: this header in its first slot, then slots.
struct chunk {
  chunk* next;
};
static_assert(sizeof(chunk) <= sizeof(fence));

struct free_list {
  fence* head = nullptr;
  std::uint32_t count = 0;

  void push(fence& slot, std::size_t bytes) noexcept {
    access::set_next(slot, head);
    access::close(slot, bytes);
    head = &slot;
    ++count;
  }
  fence* pop(std::size_t bytes) noexcept {
    fence* slot = head;
    access::open(*slot, bytes);
    head = access::next(*slot);
    --count;
    return slot;
  }
  void move_to(free_list& other, std::uint32_t n, std::size_t bytes) noexcept {
    while (n-- != 0 && head != nullptr) other.push(*pop(bytes), bytes);
  }
};

struct slab {
  free_list free;
  chunk* chunks = nullptr;
};

constinit mutex slab_lock{lock_rank::slab};
constinit slab slabs[2] UFENCE_GUARDED_BY(slab_lock);

slab& slab_of(slot_size size) noexcept UFENCE_REQUIRES(slab_lock) {
  return slabs[static_cast<unsigned>(size)];
}

bool grow(slab& s, slot_size size) noexcept UFENCE_REQUIRES(slab_lock) {
  auto* memory = static_cast<char*>(allocate_pages(chunk_bytes));
  if (memory == nullptr) return false;
  s.chunks = ::new (memory) chunk{s.chunks};
  const std::size_t bytes = bytes_of(size);
  for (std::size_t at = chunk_bytes - bytes; at >= bytes; at -= bytes) {
    fence* slot = size == slot_size::native ? access::make_native(memory + at)
                                            : access::make_legacy(memory + at);
    s.free.push(*slot, bytes);
  }
  return true;
}

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
  mine.free.move_to(slab_of(slot_size::native).free, mine.free.count, bytes_of(slot_size::native));
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

fence* allocate_from_slab(slot_size size, thread_cache* refill) noexcept {
  const std::size_t bytes = bytes_of(size);
  scoped_lock guard(slab_lock);
  slab& s = slab_of(size);
  if (s.free.head == nullptr && !grow(s, size)) return nullptr;
  fence* slot = s.free.pop(bytes);
  if (refill != nullptr) s.free.move_to(refill->free, batch, bytes);
  return slot;
}

}  // namespace

fence* slab_allocate(slot_size size) noexcept {
  if (size != slot_size::native) return allocate_from_slab(size, nullptr);
  thread_cache& mine = cache::get();
  if (mine.free.head != nullptr) return mine.free.pop(bytes_of(size));
  return allocate_from_slab(size, open_cache(mine) ? &mine : nullptr);
}

void slab_free(fence& slot, slot_size size) noexcept {
  const std::size_t bytes = bytes_of(size);
  if (size == slot_size::native) {
    thread_cache& mine = cache::get();
    if (open_cache(mine)) {
      mine.free.push(slot, bytes);
      if (mine.free.count <= cached_max) return;
      scoped_lock guard(slab_lock);
      mine.free.move_to(slab_of(size).free, batch, bytes);
      return;
    }
  }
  scoped_lock guard(slab_lock);
  slab_of(size).free.push(slot, bytes);
}

void visit_fences(void (*visit)(fence& slot, void* context), void* context) {
  for (const slot_size size : {slot_size::native, slot_size::legacy}) {
    const std::size_t bytes = bytes_of(size);
    const chunk* first = nullptr;
    {
      const scoped_lock guard(slab_lock);
      first = slab_of(size).chunks;
    }
    // A chunk and its link stay as they are for ever.
    for (const chunk* c = first; c != nullptr; c = c->next) {
      auto* const memory = const_cast<char*>(reinterpret_cast<const char*>(c));
      for (std::size_t at = bytes; at + bytes <= chunk_bytes; at += bytes) {
        fence& slot = *reinterpret_cast<fence*>(memory + at);
        if (access::is_live(slot)) visit(slot, context);
      }
    }
  }
}

}  // namespace detail

std::size_t live_fences() noexcept {
  std::size_t live = 0;
  for (const detail::slot_size size : {detail::slot_size::native, detail::slot_size::legacy}) {
    const std::size_t bytes = detail::bytes_of(size);
    scoped_lock guard(detail::slab_lock);
    for (detail::chunk* c = detail::slab_of(size).chunks; c != nullptr; c = c->next) {
      auto* memory = reinterpret_cast<char*>(c);
      for (std::size_t at = bytes; at + bytes <= detail::chunk_bytes; at += bytes) {
        if (fence::slab_access::is_live(*reinterpret_cast<fence*>(memory + at))) ++live;
      }
    }
  }
  return live;
}

}  // namespace ufence
