// library_fence: a fence of the library's upper layers, in memory of its own: containers, which
// hold other fences, imported sync files, points of software timelines.
#pragma once

#include <cstdint>

#include "ufence/base/api.h"
#include "ufence/fence/embedded_fence.h"

namespace ufence {

/// Derive from it. Its ops are the library's own: they get the backend that init() was given, which
/// lives as long as the object. Those of one are enabled, and end, one after the other, however
/// deep they are nested.
class UFENCE_API library_fence : public embedded_fence {
 protected:
  library_fence() noexcept = default;
  ~library_fence() = default;

  /// Makes it pending, with one reference: the maker's.
  void init(const fence_type& type, std::uint64_t context, std::uint64_t seqno,
            backend* data, bool seqno_wraps = false) noexcept;
  /// Signals it, if it is not: decides and settles. The caller has a reference.
  /// @param timestamp_ns  when it was signaled; 0: now
  void signal(int error, std::int64_t timestamp_ns = 0) noexcept;

  /// For its type: fence_type::enable and end.
  static void enable(fence& f) noexcept;
  static void end(fence& f) noexcept;

 private:
  // Once: by the thread that won ENABLED; then by the one that dropped the last reference.
  library_fence* next_ = nullptr;
  backend* data_ = nullptr;
  int enable_result_ = 0;
};

}  // namespace ufence
