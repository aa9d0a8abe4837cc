// Calls into modules that take long are told while they last: by a thread that is there as long as there
// are such calls, since the thread that makes the call is inside of the module.
#pragma once

#include <cstdint>

namespace ufence::detail {

/// Watches a call for a scope. If it has not returned after 1 s, and again after 2 s, 4 s and so on,
/// `tell` is called by the watching thread, with no lock of ours held.
/// Threads: the one that makes it.  Blocks, at its end: while `tell` runs.
class overdue_watch {
 public:
  using function = void (*)(void* argument, const char* name, std::int64_t age_ns) noexcept;

  /// @param name  what people call it; it and the argument live longer than the watch
  overdue_watch(function tell, void* argument, const char* name) noexcept;
  ~overdue_watch();
  overdue_watch(const overdue_watch&) = delete;
  overdue_watch& operator=(const overdue_watch&) = delete;

 private:
  friend struct watch_list;

  const function tell_;
  void* const argument_;
  const char* const name_;
  const std::int64_t begin_ns_;
  const std::uint32_t generation_;  // of fork()s
  // Guarded by the list's lock.
  std::int64_t next_ns_;
  overdue_watch* next_ = nullptr;
};

}  // namespace ufence::detail
