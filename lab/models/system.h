// The system around the sync layer's sources in scenarios (doubles/system.cc): processes are model
// threads that share a page; descriptors are numbers; what the library starts or watches is run and
// handled by threads of the scenario.
#pragma once

#include "ufence/sync/shared_page.h"
#include "ufence/sync/shared_timeline.h"

namespace ufence::lab {

/// The page of all shared timelines while it lives.
class timeline_page {
 public:
  timeline_page() noexcept;
  ~timeline_page();
  timeline_page(const timeline_page&) = delete;
  timeline_page& operator=(const timeline_page&) = delete;

  /// The timeline as another process has it, which may signal it.
  [[nodiscard]] shared_timeline_ref import();
  /// The kernel's work once the owner is killed.
  void kill_owner();

 private:
  shared_page page_;
};

/// Runs the thread that the library starts, once it does.
void run_own_thread();
/// How many it has started so far.
[[nodiscard]] int own_threads_started();

}  // namespace ufence::lab
