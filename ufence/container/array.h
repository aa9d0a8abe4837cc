// fence_array: a fence made of fences: signaled with the last of them, or with the first.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "ufence/base/api.h"
#include "ufence/base/atomic.h"
#include "ufence/base/result.h"
#include "ufence/fence/library_fence.h"
#include "ufence/rcu/rcu.h"

namespace ufence {

/// When an array is signaled.
enum class array_mode : std::uint8_t {
  all,  // with the last of its fences; its error is the first one that occurred
  any,  // with the first of its fences; its error is that fence's
};

/// Children may be containers themselves, to any depth: nothing here recurses.
/// It takes notice of its children once it is enabled: by a wait, a callback, or poll(), which
/// enables it and polls what is below. Source: Linux struct dma_fence_array; differs: nests; a
/// polled array keeps its children's errors
class UFENCE_API fence_array final : public library_fence, private backend, private rcu::deferred {
 public:
  /// @param fences   references are taken; the span stays the caller's
  /// @return  -EINVAL none, or a null one; -ENOMEM: nothing was taken
  /// Allocates: one block; may a thread, that frees others (rcu::reclaim()). Blocks: never.
  /// Context: not inside an RCU read section, not on the signalling path.
  /// Source: Linux dma_fence_array_create(); differs: does not consume, context and seqno 1 of its
  /// own
  [[nodiscard]] static result<fence_ref> create(std::span<const fence_ref> fences,
                                                array_mode mode = array_mode::all) noexcept;
  /// The same with a context and seqno of the caller's.
  [[nodiscard]] static result<fence_ref> create(std::span<const fence_ref> fences, array_mode mode,
                                                std::uint64_t context,
                                                std::uint64_t seqno) noexcept;
  /// As create(), but the caller's references become the array's: they are null afterwards, unless
  /// it fails.
  [[nodiscard]] static result<fence_ref> adopt(std::span<fence_ref> fences,
                                               array_mode mode = array_mode::all) noexcept;

  /// The array that `f` is, before and after signaling, or nullptr.
  /// Source: Linux to_dma_fence_array()
  [[nodiscard]] static fence_array* from(fence& f) noexcept {
    return is_of(f, type_of_arrays) ? static_cast<fence_array*>(&f) : nullptr;
  }

  [[nodiscard]] array_mode mode() const noexcept { return mode_; }
  [[nodiscard]] std::uint32_t size() const noexcept { return size_; }
  /// A child; stays valid as long as the array does.
  [[nodiscard]] fence& child(std::uint32_t i) const noexcept { return *children()[i]; }
  /// The child whose result the array has: with an error the first one that failed, of an `any`
  /// array the first one signaled; nullptr while there is none.
  [[nodiscard]] fence* deciding_child() const noexcept;

 private:
  // Behind the object: the children, then a node for each, which exist once the array is enabled.
  struct node : callback {
    fence_array* array = nullptr;
  };
  using child_word = fence*;  // owns a reference

  fence_array(array_mode mode, std::uint32_t size) noexcept;
  friend result<fence_ref> merge(std::span<const fence_ref> fences) noexcept;
  [[nodiscard]] static result<fence_ref> create_of(std::span<fence* const> fences) noexcept;
  [[nodiscard]] static bool are_valid(std::span<const fence_ref> fences) noexcept;
  friend struct detail::debug_access;
  template <class Fences, class Reference>
  [[nodiscard]] static result<fence_ref> make(const Fences& fences, array_mode mode,
                                              std::uint64_t context, std::uint64_t seqno,
                                              Reference reference_of) noexcept;
  static void release(fence& f) noexcept;
  static fence_ref child_of(fence& f, std::uint32_t i) noexcept;
  static int enable(backend* data) noexcept;
  static int poll(backend* data) noexcept;
  static void forward_deadline(backend* data, std::int64_t deadline_ns) noexcept;
  static void on_child(callback& node, fence& child) noexcept;

  void note(const node& n, bool is_lost = false) noexcept;
  [[nodiscard]] int result_now() const noexcept;
  [[nodiscard]] child_word* children() const noexcept {
    return reinterpret_cast<child_word*>(const_cast<fence_array*>(this) + 1);
  }
  [[nodiscard]] node* nodes() const noexcept;
  [[nodiscard]] static std::size_t bytes_before_nodes(std::size_t size) noexcept;
  [[nodiscard]] static std::size_t bytes_for(std::size_t size) noexcept;

  static const fence_type type_of_arrays;
  static const backend_ops ops_of_arrays;

  const array_mode mode_;
  const std::uint32_t size_;
  // Children whose callback did not run, and the thread that enables. The thread that makes it 0 drops the one
  // reference that all callbacks share.
  atomic<std::uint32_t> remaining_{0};
  // Index + 1 of the child that decides the result; 0 none. By CAS from 0.
  atomic<std::uint32_t> deciding_{0};
};

}  // namespace ufence
