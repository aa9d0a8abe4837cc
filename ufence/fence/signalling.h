// Marks the code that has to run for a fence to signal: it must not wait for fences, nor allocate.
#pragma once

#include "ufence/base/api.h"

namespace ufence {

/// Marks the signalling path of an issuer for a scope, from publishing a fence to deciding it: in debug
/// builds of the library a wait for a fence, and an allocation of a fence, timeline or descriptor
/// inside is reported (report_kind::signalling_path) and goes on. Nests.
/// Threads: owner. Blocks: never. Allocates: never.
/// Source: Linux dma_fence_begin_signalling(), dma_fence_end_signalling()
class UFENCE_API signalling_section {
 public:
  signalling_section() noexcept;
  ~signalling_section();
  signalling_section(const signalling_section&) = delete;
  signalling_section& operator=(const signalling_section&) = delete;
};

namespace detail {
/// A section whose ends are no scope: begin and end on one thread.
void begin_signalling() noexcept;
void end_signalling() noexcept;
/// Reports, in debug builds, that this thread waits or allocates inside a signalling section.
/// check_may_wait(): also that it waits for a fence with locks held that are taken in such sections
/// (lock_order.h).
#if defined(UFENCE_DEBUG_CHECKS) && UFENCE_DEBUG_CHECKS
void check_not_signalling(const char* what) noexcept;
void check_may_wait() noexcept;
/// For a scope this thread is in no section: a report's handler is on nobody's signalling path.
class signalling_pause {
 public:
  signalling_pause() noexcept;
  ~signalling_pause();
  signalling_pause(const signalling_pause&) = delete;
  signalling_pause& operator=(const signalling_pause&) = delete;

 private:
  const unsigned depth_;
};
#else
inline void check_not_signalling(const char*) noexcept {}
inline void check_may_wait() noexcept {}
struct signalling_pause {
  signalling_pause() noexcept {}
};
#endif
}  // namespace detail

}  // namespace ufence
