#include "ufence/container/block.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <new>
#include <utility>

#include "ufence/base/alloc.h"
#include "ufence/base/atomic.h"

namespace ufence::detail {
namespace {

// A block that is free.
struct free_one {
  free_one* next;
  std::uint32_t count;  // of the list that begins here
};

constexpr std::size_t unit = 64;  // sizes are multiples of it
constexpr std::size_t largest = 8192;

// A list for each size. A thread that uses a list takes all of it and puts the rest back, so no two threads
// ever look into the same one.
constinit std::array<atomic<free_one*>, largest / unit> kept_lists;

constexpr std::size_t rounded(std::size_t bytes) noexcept {
  return (bytes + unit - 1) & ~(unit - 1);
}
atomic<free_one*>& list_of(std::size_t bytes) noexcept { return kept_lists[bytes / unit - 1]; }

void give_back(free_one* list) noexcept {
  while (list != nullptr) {
    free_one* next = list->next;
    deallocate(list);
    list = next;
  }
}

free_one* take_all(atomic<free_one*>& list) noexcept {
  // [BLOCK.1] acquire: the links of the blocks; pairs with [BLOCK.2]
  return list.exchange(nullptr, mo::acquire);
}

// If somebody put another list there meanwhile, the longer one stays.
void put_all(atomic<free_one*>& list, free_one* blocks) noexcept {
  for (;;) {
    free_one* none = nullptr;
    // [BLOCK.2] release: the links of the blocks; pairs with [BLOCK.1]
    if (list.compare_exchange(none, blocks, mo::release, mo::relaxed)) return;
    free_one* others = take_all(list);
    if (others != nullptr && others->count > blocks->count) std::swap(others, blocks);
    give_back(others);
  }
}

}  // namespace

void* allocate_block(std::size_t bytes) noexcept {
  bytes = rounded(bytes);
  if (bytes <= largest) {
    atomic<free_one*>& list = list_of(bytes);
    // relaxed: only whether it is worth the exchange
    if (list.load(mo::relaxed) != nullptr) {
      if (free_one* taken = take_all(list)) {
        if (taken->next != nullptr) put_all(list, taken->next);
        return taken;
      }
    }
  }
  return allocate_aligned(unit, bytes);
}

void free_block(void* memory, std::size_t bytes) noexcept {
  bytes = rounded(bytes);
  if (bytes > largest) return deallocate(memory);
  atomic<free_one*>& list = list_of(bytes);
  free_one* others = take_all(list);
  const std::uint32_t count = others != nullptr ? others->count : 0;
  if ((count + 1) * bytes > kept_bytes_max) {
    if (others != nullptr) put_all(list, others);
    return deallocate(memory);
  }
  auto* block = ::new (memory) free_one{.next = others, .count = count + 1};
  put_all(list, block);
}

}  // namespace ufence::detail
