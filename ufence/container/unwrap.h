// The fences inside of containers: walking over them, merging them.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <utility>

#include "ufence/base/api.h"
#include "ufence/base/result.h"
#include "ufence/container/visited.h"
#include "ufence/fence/fence.h"

namespace ufence {

/// Walks over the leaves of a fence: what is not a container, of chains (latest first), arrays, and
/// all of them inside each other, to any depth. Each container is visited once, however many others it
/// is in: a walk takes as long as what is there. A leaf comes once for each container that it is in, and
/// as often as it is there.
///
///     leaves all(f);
///     while (fence* leaf = all.next()) ...
///
/// Threads: one at a time per object. Blocks: never. Allocates: beyond a depth of 8, or 16 shared
/// containers.
/// Source: Linux dma_fence_unwrap_for_each()
class UFENCE_API leaves {
 public:
  /// A null fence has no leaves.
  explicit leaves(fence_ref head) noexcept : leaves(std::move(head), nullptr) {}
  /// Leaves out the containers that were visited before, and adds those that it visits.
  leaves(fence_ref head, detail::visited_containers& before) noexcept
      : leaves(std::move(head), &before) {}
  /// Goes on into a container for which another fence stands, instead of giving that one as a leaf.
  struct through_stand_ins {};
  leaves(fence_ref head, through_stand_ins) noexcept : leaves(std::move(head), nullptr) {
    goes_through_stand_ins_ = true;
  }
  ~leaves();
  leaves(const leaves&) = delete;
  leaves& operator=(const leaves&) = delete;

  /// The next leaf, or nullptr at the end; valid until the next call.
  [[nodiscard]] fence* next() noexcept;
  /// The walk ended early: there was no memory for its depth.
  [[nodiscard]] bool is_incomplete() const noexcept { return is_incomplete_; }

 private:
  struct level {
    fence_ref container;  // an array, or the node of a chain
    std::uint32_t next_child = 0;
  };
  leaves(fence_ref head, detail::visited_containers* before) noexcept;
  [[nodiscard]] bool enter(const fence& container) noexcept {
    // Of its parent, or of the caller that began the walk, and the walk's own.
    constexpr std::uint32_t own_references = 2;
    return visited_.enter(container, own_references);
  }
  // Is it no leaf? The walk goes on inside of it, or was there before.
  [[nodiscard]] bool enters(fence_ref& child) noexcept;
  [[nodiscard]] bool push(fence_ref container) noexcept;
  void pop() noexcept;

  static constexpr std::size_t inline_levels = 8;
  std::array<level, inline_levels> inline_;
  level* levels_ = inline_.data();
  std::size_t room_ = inline_levels;
  std::size_t depth_ = 0;
  fence_ref leaf_;
  bool head_was_told_ = false;  // the head is a leaf itself
  bool is_incomplete_ = false;
  bool goes_through_stand_ins_ = false;
  detail::visited_containers own_visited_;
  detail::visited_containers& visited_;
};

/// One fence for many: the latest of each context among the leaves that are pending, in an array
/// (all) if more than one remains; if all are signaled, a signaled fence with the newest timestamp.
/// Null fences are ignored.
/// @return  -ENOMEM: nothing was taken
/// Allocates: yes. Blocks, Context: as fence_array.  Source: Linux dma_fence_unwrap_merge()
[[nodiscard]] UFENCE_API result<fence_ref> merge(std::span<const fence_ref> fences) noexcept;

/// Sorts by context, and keeps the latest fence of each: the first `n` that it returns; the
/// references of the others are dropped. Null fences are ignored.  Source: Linux
/// dma_fence_dedup_array()
[[nodiscard]] UFENCE_API std::size_t dedup(std::span<fence_ref> fences) noexcept;

/// The leaf that failed first, as the containers above it know: of an array the child that decides
/// its result, of a chain the lowest point; the fence itself if it is a leaf and failed; null if
/// none did.
[[nodiscard]] UFENCE_API fence_ref error_origin(const fence_ref& f) noexcept;

}  // namespace ufence
