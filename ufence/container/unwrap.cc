#include "ufence/container/unwrap.h"

#include <algorithm>
#include <memory>
#include <new>
#include <utility>

#include "ufence/base/alloc.h"
#include "ufence/container/array.h"
#include "ufence/container/chain.h"
#include "ufence/container/fence_list.h"
#include "ufence/container/later.h"
#include "ufence/fence/embedded_fence.h"
#include "ufence/fence/timeline.h"

namespace ufence {

namespace {

// The type of a container of any layer, or null.
const fence_type* container_type(const fence& f) noexcept {
  const fence_type* const type = embedded_fence::type_of(f);
  return type != nullptr && type->child != nullptr ? type : nullptr;
}

bool is_container(const fence& f) noexcept { return container_type(f) != nullptr; }

}  // namespace

// --- Leaves ---

leaves::leaves(fence_ref head, detail::visited_containers* before) noexcept
    : visited_(before != nullptr ? *before : own_visited_) {
  if (!head) return;
  if (is_container(*head)) {
    head_was_told_ = true;
    // The first level needs no memory.
    if (enter(*head)) static_cast<void>(push(std::move(head)));
  } else {
    leaf_ = std::move(head);
  }
}

leaves::~leaves() {
  while (depth_ != 0) pop();
  if (levels_ != inline_.data()) deallocate(levels_);
}

bool leaves::push(fence_ref container) noexcept {
  if (depth_ == room_) {
    auto* larger = static_cast<level*>(allocate(2 * room_ * sizeof(level)));
    if (larger == nullptr) {
      is_incomplete_ = true;
      return false;
    }
    std::uninitialized_default_construct_n(larger, 2 * room_);
    std::move(levels_, levels_ + depth_, larger);
    if (levels_ != inline_.data()) deallocate(levels_);
    levels_ = larger;
    room_ *= 2;
  }
  levels_[depth_++] = {.container = std::move(container), .next_child = 0};
  return true;
}

void leaves::pop() noexcept { levels_[--depth_].container.reset(); }

fence* leaves::next() noexcept {
  // A head that is a leaf itself comes once.
  if (depth_ == 0) {
    return std::exchange(head_was_told_, true) ? nullptr : leaf_.get();
  }
  while (depth_ != 0 && !is_incomplete_) {
    level& top = levels_[depth_ - 1];
    fence_ref child = container_type(*top.container)->child(*top.container, top.next_child++);
    if (!child) {
      fence_ref before = container_type(*top.container)->before(*top.container);
      if (before && is_container(*before)) {
        if (enter(*before)) {
          // It takes this one's level.
          top = {.container = std::move(before), .next_child = 0};
          continue;
        }
        before.reset();  // the rest of the chain was visited
      }
      pop();
      if (!before) continue;
      child = std::move(before);
    }
    if (!enters(child)) {
      leaf_ = std::move(child);
      return leaf_.get();
    }
  }
  return nullptr;
}

bool leaves::enters(fence_ref& child) noexcept {
  if (!is_container(*child)) {
    if (!goes_through_stand_ins_) return false;
    fence& original = detail::original_of(*child);
    if (!is_container(original)) return false;
    // Others may be around the fence that stands for the container, and around the container itself.
    if (!enter(*child)) return true;
    child = fence_ref::take(original);
  }
  if (enter(*child)) static_cast<void>(push(std::move(child)));
  return true;
}

// --- Merging ---

std::size_t dedup(std::span<fence_ref> given) noexcept {
  const auto nulls = std::ranges::remove(given, fence_ref());
  const std::span fences(given.begin(), nulls.begin());
  // Seqnos that wrap have no order that a sort could use.
  std::ranges::sort(fences, {}, [](const fence_ref& f) { return f->context(); });
  std::size_t kept = 0;
  for (std::size_t i = 0; i < fences.size(); ++i) {
    if (kept != 0 && fences[kept - 1]->context() == fences[i]->context()) {
      fence_ref& later = fences[kept - 1];
      if (fences[i]->is_later_than(*later)) std::swap(later, fences[i]);
      // If the later one was signaled alone, before the other one, that one stays.
      if (!detail::stands_for(*later, *fences[i])) std::swap(later, fences[i]);
      continue;
    }
    if (kept != i) fences[kept] = std::move(fences[i]);
    ++kept;
  }
  for (fence_ref& dropped : fences.subspan(kept)) dropped.reset();
  return kept;
}

namespace {

// Pending leaves of some fences, at the end the latest of each context, in the order of contexts.
// The fences of merged containers are in that order already: so runs are found and merged, not sorted.
class pending_leaves {
 public:
  pending_leaves() noexcept = default;
  ~pending_leaves() {
    if (memory_ != nullptr) deallocate(memory_);
  }
  pending_leaves(const pending_leaves&) = delete;
  pending_leaves& operator=(const pending_leaves&) = delete;

  /// False: no memory.
  [[nodiscard]] bool add(fence& container_or_leaf) noexcept {
    if (fence_array* array = fence_array::from(container_or_leaf)) {
      // The caller that gave it has one reference.
      if (!visited_.enter(*array, 1)) return true;
      for (std::uint32_t i = 0; i < array->size(); ++i) {
        fence& child = array->child(i);
        if (!(is_container(child) ? add_leaves(child) : add_leaf(child))) return false;
      }
      return true;
    }
    return is_container(container_or_leaf) ? add_leaves(container_or_leaf)
                                           : add_leaf(container_or_leaf);
  }
  [[nodiscard]] std::int64_t newest_signaled_ns() const noexcept { return newest_ns_; }

  void merge_runs() noexcept {
    while (merge_pairs() > 1) {
    }
  }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  /// After merge_runs(), which is used up.
  [[nodiscard]] std::span<fence* const> fences() noexcept {
    auto* list = reinterpret_cast<fence**>(other_);
    for (std::size_t i = 0; i < size_; ++i) ::new (list + i) fence*(leaves_[i].leaf);
    return {list, size_};
  }

 private:
  struct pending_leaf {
    std::uint64_t context;
    fence* leaf;
  };
  using iterator = pending_leaf*;

  // Its container stays, and keeps it.
  [[nodiscard]] bool add_leaf(fence& leaf) noexcept {
    if (leaf.is_signaled()) {
      newest_ns_ = std::max(newest_ns_, leaf.timestamp_ns());
      return true;
    }
    if (size_ == room_ && !grow()) return false;
    leaves_[size_++] = {.context = leaf.context(), .leaf = &leaf};
    return true;
  }
  // A fence that is found by walking may leave its chain meanwhile.
  [[nodiscard]] bool add_leaves(fence& container) noexcept {
    leaves below(fence_ref::take(container), visited_);
    while (fence* leaf = below.next()) {
      if (!leaf->is_signaled() && !held_.push(fence_ref::take(*leaf))) return false;
      if (!add_leaf(*leaf)) return false;
    }
    return !below.is_incomplete();
  }

  [[nodiscard]] bool grow() noexcept {
    auto* larger = static_cast<pending_leaf*>(allocate(4 * room_ * sizeof(pending_leaf)));
    if (larger == nullptr) return false;
    std::copy_n(leaves_, size_, larger);
    if (memory_ != nullptr) deallocate(memory_);
    memory_ = larger;
    room_ *= 2;
    leaves_ = larger;
    other_ = larger + room_;
    return true;
  }

  // One pass: each two neighbouring runs become one, in the other half. Returns how many there are.
  std::size_t merge_pairs() noexcept {
    const iterator end = leaves_ + size_;
    iterator a = leaves_;
    iterator out = other_;
    std::size_t runs = 0;
    for (; a != end; ++runs) {
      const iterator b = end_of_run(a, end);
      if (a == leaves_ && b == end) return 1;
      const iterator next = b != end ? end_of_run(b, end) : end;
      out = merge_two(a, b, next, out);
      a = next;
    }
    size_ = static_cast<std::size_t>(out - other_);
    std::swap(leaves_, other_);
    return runs;
  }
  static iterator end_of_run(iterator from, iterator end) noexcept {
    do ++from;
    while (from != end && from[-1].context < from->context);
    return from;
  }
  // Of two leaves of one context.
  static pending_leaf one_for_both(const pending_leaf& a, const pending_leaf& b) noexcept {
    const bool b_is_later = b.leaf->is_later_than(*a.leaf);
    const pending_leaf& later = b_is_later ? b : a;
    const pending_leaf& earlier = b_is_later ? a : b;
    return detail::stands_for(*later.leaf, *earlier.leaf) ? later : earlier;
  }
  // Contexts rise in [a, b) and in [b, end).
  static iterator merge_two(iterator a, iterator b, iterator end, iterator out) noexcept {
    const iterator middle = b;
    while (a != middle && b != end) {
      if (a->context == b->context) {
        *out++ = one_for_both(*a++, *b++);
      } else {
        *out++ = a->context < b->context ? *a++ : *b++;
      }
    }
    out = std::copy(a, middle, out);
    return std::copy(b, end, out);
  }

  static constexpr std::size_t inline_room = 64;
  std::array<pending_leaf, 2 * inline_room> inline_;
  void* memory_ = nullptr;
  iterator leaves_ = inline_.data();
  iterator other_ = inline_.data() + inline_room;
  std::size_t room_ = inline_room;
  std::size_t size_ = 0;
  std::int64_t newest_ns_ = 0;
  detail::visited_containers visited_;
  fence_list held_;
};

}  // namespace

result<fence_ref> merge(std::span<const fence_ref> fences) noexcept {
  pending_leaves pending;
  for (const fence_ref& f : fences) {
    if (f && !pending.add(*f)) return failure(ENOMEM);
  }
  pending.merge_runs();
  if (pending.size() == 0) return fence::create_signaled(pending.newest_signaled_ns());
  const std::span<fence* const> latest = pending.fences();
  if (latest.size() == 1) return fence_ref::take(*latest.front());
  return fence_array::create_of(latest);
}

fence_ref error_origin(const fence_ref& f) noexcept {
  fence_ref at = f;
  while (at) {
    if (fence_array* array = fence_array::from(*at)) {
      if (array->error() == 0) return nullptr;
      fence* decided = array->deciding_child();
      at = decided != nullptr ? fence_ref::take(*decided) : nullptr;
    } else if (fence_chain* chain = fence_chain::from(*at)) {
      at = chain->first_failed();
    } else {
      return at->error() < 0 ? at : nullptr;
    }
  }
  return nullptr;
}

}  // namespace ufence
