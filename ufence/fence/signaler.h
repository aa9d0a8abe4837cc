// The right to signal a fence, and memory that is reserved for one. A part of fence.h.
#pragma once

#include <cstdint>
#include <utility>

#include "ufence/base/api.h"
#include "ufence/base/result.h"
#include "ufence/fence/ref.h"
#include "ufence/fence/settlement.h"

namespace ufence {

class fence;
using fence_ref = ref<fence>;

/// The right to signal a fence, and the duty: dropped unused it signals -ECANCELED and is reported
/// (F12). Move-only; owns a reference. Threads: one at a time per object; share() for more.
class UFENCE_API signaler {
 public:
  constexpr signaler() noexcept = default;
  signaler(signaler&& other) noexcept : fence_(std::exchange(other.fence_, nullptr)) {}
  signaler& operator=(signaler&& other) noexcept {
    fence* const taken = std::exchange(other.fence_, nullptr);  // first: `other` may be this one
    drop();
    fence_ = taken;
    return *this;
  }
  ~signaler() {
    if (fence_ != nullptr) drop();
  }

  /// decide(), then settle: retire and callbacks run here. No lock of the caller's that they take
  /// may be held.
  /// @param error  0 or a negative errno (F2); anything else becomes -EINVAL and is reported
  /// @param timestamp_ns  when it was signaled, of CLOCK_MONOTONIC; 0: now, as always for legacy
  /// fences
  /// @return  true this call signaled it; false somebody else had (F1). The right is used up.
  /// Blocks: never by itself. Allocates: never. Context: signalling path ok.
  /// Source: Linux dma_fence_check_and_signal(); differs: error argument, true means "it was me"
  bool signal(int error = 0, std::int64_t timestamp_ns = 0) noexcept;

  /// Fixes the result, marks, wakes waiters; runs no foreign code, allocates nothing, may be called
  /// with any lock held (F5). Retire, callbacks and the reference move to `later`.
  /// @return  as signal(); a bad error becomes -EINVAL without a report
  bool decide(int error, settlement& later) noexcept;

  /// Another right to signal the same fence, for instance for the timeout path: the first one wins.
  [[nodiscard]] signaler share() const noexcept;

  [[nodiscard]] fence* get() const noexcept { return fence_; }
  explicit operator bool() const noexcept { return fence_ != nullptr; }

  /// The C interface carries a right as one pointer, which owns what the object does.
  [[nodiscard]] static signaler adopt(fence* right) noexcept { return signaler(right); }
  [[nodiscard]] fence* give_up() noexcept { return std::exchange(fence_, nullptr); }

 private:
  friend class fence;
  friend class timeline_issuer;
  constexpr explicit signaler(fence* f) noexcept : fence_(f) {}
  void drop() noexcept;

  fence* fence_ = nullptr;
};

struct new_fence {
  fence_ref fence;
  signaler signal;
};

/// Memory for one fence: what can fail of making the fence is done, and has no number yet.
/// Move-only; what was not used goes back to the slabs. Used by
/// timeline_issuer::create_unordered().
class UFENCE_API fence_room {
 public:
  constexpr fence_room() noexcept = default;
  fence_room(fence_room&& other) noexcept : slot_(std::exchange(other.slot_, nullptr)) {}
  fence_room& operator=(fence_room&& other) noexcept {
    std::swap(slot_, other.slot_);
    return *this;
  }
  ~fence_room() {
    if (slot_ != nullptr) give_back();
  }

  /// @return  -ENOMEM
  /// Threads: any. Blocks: never. Allocates: 64 bytes of the library's slabs.
  [[nodiscard]] static result<fence_room> reserve() noexcept;

  /// As signaler::adopt() and give_up().
  [[nodiscard]] static fence_room adopt(fence* slot) noexcept { return fence_room(slot); }
  [[nodiscard]] fence* give_up() noexcept { return std::exchange(slot_, nullptr); }

 private:
  constexpr explicit fence_room(fence* slot) noexcept : slot_(slot) {}
  void give_back() noexcept;

  fence* slot_ = nullptr;  // its count of references is 0
};

}  // namespace ufence
