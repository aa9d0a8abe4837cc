#include "ufence/container/unwrap.h"

#include <algorithm>
#include <memory>
#include <new>
#include <utility>

#include "ufence/base/alloc.h"
#include "ufence/container/array.h"
#include "ufence/container/chain.h"
#include "ufence/container/fence_list.h"
#include "ufence/fence/legacy_fence.h"
#include "ufence/fence/timeline.h"

namespace ufence {

namespace {

// Containers nest; other embedded fences are leaves.
bool is_container(fence& f) noexcept {
  return fence_array::from(f) != nullptr || fence_chain::from(f) != nullptr ||
         legacy_fence::container_in(f) != nullptr;
}

// The i-th fence inside, or null.
fence_ref child_of(fence& container, std::uint32_t i) noexcept {
  if (fence_array* array = fence_array::from(container)) {
    return i < array->size() ? fence_ref::take(array->child(i)) : nullptr;
  }
  if (legacy_fence* foreign = legacy_fence::container_in(container)) {
    return foreign->ops->child(foreign->data, i);
  }
  return i == 0 ? fence_ref::take(fence_chain::contained_in(container)) : nullptr;
}

// Of a chain.
fence_ref node_before(fence& container) noexcept {
  legacy_fence* foreign = legacy_fence::container_in(container);
  return foreign != nullptr ? foreign->ops->before(foreign->data) : fence_chain::walk(container);
}

}  // namespace

// --- Leaves ---

leaves::leaves(fence_ref head) noexcept {
  if (!head) return;
  if (is_container(*head)) {
    head_was_told_ = true;
    static_cast<void>(push(std::move(head)));  // the first level needs no memory
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
    fence_ref child = child_of(*top.container, top.next_child++);
    if (!child) {
      fence_ref before = node_before(*top.container);
      if (before && is_container(*before)) {
        // It takes this one's level.
        top = {.container = std::move(before), .next_child = 0};
        continue;
      }
      pop();
      if (!before) continue;
      child = std::move(before);
    }
    if (!is_container(*child)) {
      leaf_ = std::move(child);
      return leaf_.get();
    }
    static_cast<void>(push(std::move(child)));
  }
  return nullptr;
}

// --- Merging ---

std::size_t dedup(std::span<fence_ref> fences) noexcept {
  std::ranges::sort(fences, [](const fence_ref& a, const fence_ref& b) {
    if (a->context() != b->context()) return a->context() < b->context();
    return is_later(a->seqno(), b->seqno());
  });
  std::size_t kept = 0;
  for (std::size_t i = 0; i < fences.size(); ++i) {
    if (kept != 0 && fences[kept - 1]->context() == fences[i]->context()) continue;
    if (kept != i) fences[kept] = std::move(fences[i]);
    ++kept;
  }
  for (fence_ref& dropped : fences.subspan(kept)) dropped.reset();
  return kept;
}

result<fence_ref> merge(std::span<const fence_ref> fences) noexcept {
  fence_list pending;
  std::int64_t newest = 0;
  for (const fence_ref& f : fences) {
    leaves below(f);
    while (fence* leaf = below.next()) {
      if (leaf->is_signaled()) {
        newest = std::max(newest, leaf->timestamp_ns());
      } else if (!pending.push(fence_ref::take(*leaf))) {
        return failure(ENOMEM);
      }
    }
    if (below.is_incomplete()) return failure(ENOMEM);
  }
  const std::size_t kept = dedup(pending.items());
  if (kept == 0) return fence::create_signaled(newest);
  if (kept == 1) return std::move(pending.items().front());
  return fence_array::create(pending.items().first(kept));
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
