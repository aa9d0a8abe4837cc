// embedded_fence: a fence at the front of a larger object, with its type behind it. What the layers
// above build their fences on: arrays, chains, imported sync files (library_fence.h), legacy
// fences, the fence in a struct dma_fence (ufence/foreign/foreign_fence.h).
#pragma once

#include <cstdint>

#include "ufence/base/api.h"
#include "ufence/fence/fence.h"
#include "ufence/fence/fence_type.h"

namespace ufence {

/// Derive from it; the object's memory is its type's affair.
class UFENCE_API embedded_fence : public fence {
 public:
  [[nodiscard]] const fence_type& type() const noexcept { return *type_; }

  /// Of a fence that is known to be one.
  [[nodiscard]] static embedded_fence& of(fence& f) noexcept {
    return static_cast<embedded_fence&>(f);
  }
  [[nodiscard]] static const embedded_fence& of(const fence& f) noexcept {
    return static_cast<const embedded_fence&>(f);
  }
  /// The type of any fence, or null: one of the core's own.
  [[nodiscard]] static const fence_type* type_of(const fence& f) noexcept {
    return f.is_embedded() ? of(f).type_ : nullptr;
  }
  /// Is `f` an embedded fence of this type?
  [[nodiscard]] static bool is_of(const fence& f, const fence_type& type) noexcept {
    return f.is_embedded() && of(f).type_ == &type;
  }

 protected:
  constexpr embedded_fence() noexcept = default;
  ~embedded_fence() = default;

  /// Makes it a pending fence of this type.
  void init(const fence_type& type, std::uint64_t context, std::uint64_t seqno, backend* data,
            std::uint32_t refs, bool seqno_wraps = false) noexcept;
  /// The same as the next one of a timeline, whose names and a context of its own it has.
  void init_next(const fence_type& type, timeline_issuer& issuer, std::uint32_t refs) noexcept;
  /// It is known as fence::stub() is: signaled from the start, one of a kind.
  void set_signaled_at_birth(std::int64_t timestamp_ns) noexcept;

  // --- For foreign types, which decide and settle under a lock of their issuer ---

  /// Takes LOCK for a decision. False: it is signaled, and LOCK is not held. The decider then puts
  /// the result into error_ and timestamp_, and ends with one of the two below.
  [[nodiscard]] bool begin_decision() noexcept;
  /// Drops LOCK: it is signaled. Its callbacks, if there are any, are left to be run.
  void mark_decided() noexcept;
  /// The same, and runs its callbacks, of which there are some.
  void mark_and_call_back() noexcept;
  /// Queues it, which is decided and not settled, on this thread. Takes over a reference.
  void queue_settling() noexcept;

  using fence::callbacks;
  using fence::complete;
  using fence::decide_into;
  using fence::destroy;
  using fence::enter_op;
  using fence::error_;
  using fence::find_in_batch;
  using fence::is_inherited;
  using fence::leave_op;
  using fence::lock;
  using fence::owner_;
  using fence::push_unless_signaled;
  using fence::refs_;
  using fence::run_all_callbacks;
  using fence::saturate;
  using fence::state_;
  using fence::timestamp_;
  using fence::traced_context;
  using fence::unlock;
  using fence::wait_for;
  using fence::wait_for_settling;
  using fence::wait_until_returned;
  using fence::wake;

 private:
  friend struct detail::debug_access;

  const fence_type* type_ = nullptr;  // set before publish
};

}  // namespace ufence
