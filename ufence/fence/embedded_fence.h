// embedded_fence: a fence at the front of an object of the library's upper layers, in memory of its
// own: containers, which hold other fences.
#pragma once

#include <cstdint>
#include <string_view>

#include "ufence/base/api.h"
#include "ufence/fence/fence.h"

namespace ufence {

class embedded_fence;

/// What an embedded fence is. Constant; told apart by its address, before and after signaling.
struct embedded_type {
  std::string_view driver_name;
  std::string_view timeline_name;
  /// The last reference is gone: drop what it holds, free it after a grace period. Any thread; it
  /// may drop references to other embedded fences: those end after it has returned, however long
  /// the chain.
  void (*release)(embedded_fence&) noexcept;
  /// It is signaled in another process, of which this one learns by poll() only.
  bool is_remote = false;
  bool seqno_wraps = false;
};

/// Derive from it; the object's memory is its type's affair. Its ops are the library's own: they
/// get the backend that init() was given, which lives as long as the object.
class UFENCE_API embedded_fence : public fence {
 public:
  [[nodiscard]] const embedded_type& type() const noexcept { return *type_; }
  [[nodiscard]] static embedded_fence& of(fence& f) noexcept {
    return static_cast<embedded_fence&>(f);
  }
  [[nodiscard]] static const embedded_fence& of(const fence& f) noexcept {
    return static_cast<const embedded_fence&>(f);
  }
  /// Is `f` an embedded fence of this type?
  [[nodiscard]] static bool is_of(const fence& f, const embedded_type& type) noexcept {
    return f.is_embedded() && of(f).type_ == &type;
  }

 protected:
  explicit embedded_fence(const embedded_type& type) noexcept : type_(&type) {}
  ~embedded_fence() = default;

  /// Makes it pending, with one reference: the maker's.
  void init(std::uint64_t context, std::uint64_t seqno, backend* data) noexcept;
  /// Signals it, if it is not: decides and settles. The caller has a reference.
  /// @param timestamp_ns  when it was signaled; 0: now
  void complete_embedded(int error, std::int64_t timestamp_ns = 0) noexcept;

 private:
  friend class fence;
  friend struct detail::debug_access;
  void enable_embedded() noexcept;
  void end() noexcept;

  const embedded_type* const type_;
  // Once: by the thread that won ENABLED; then by the one that dropped the last reference.
  embedded_fence* next_ = nullptr;
  backend* data_ = nullptr;
  int enable_result_ = 0;
};

}  // namespace ufence
