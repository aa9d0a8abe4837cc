// An object with strong and weak references: the last strong one ends what it has, the last of all
// frees it.
#include <atomic>
#include <cassert>
#include <thread>

#ifdef WEAKER
constexpr auto drop_order = std::memory_order_relaxed;
#else
constexpr auto drop_order = std::memory_order_acq_rel;
#endif

struct object {
  std::atomic<int> strong{1};
  std::atomic<int> weak{1};  // all strong ones together are one
  int* value = new int(42);
};

void drop_weak(object* o) {
  if (o->weak.fetch_sub(1, drop_order) == 1) delete o;
}
void drop(object* o) {
  if (o->strong.fetch_sub(1, drop_order) != 1) return;
  delete o->value;
  drop_weak(o);
}
bool get_strong(object* o) {
  int count = o->strong.load(std::memory_order_relaxed);
  while (count != 0) {
    if (o->strong.compare_exchange_weak(count, count + 1, std::memory_order_acquire,
                                        std::memory_order_relaxed)) {
      return true;
    }
  }
  return false;
}

int main() {
  object* const o = new object;
  o->weak.fetch_add(1, std::memory_order_relaxed);
  std::thread other([o] {
    if (get_strong(o)) {
      assert(*o->value == 42);
      drop(o);
    }
    drop_weak(o);
  });
  drop(o);
  other.join();
}
