// fence_type: what the fences of a layer above this one do, where they differ from the core's own.
//
// The core's own fences (plain, with ops, of a timeline) have their behaviour inline, in fence.h
// and fence.cc. All others are embedded fences (embedded_fence.h) and have a type, a constant that
// says what happens when somebody enables, polls, waits, signals, settles, drops or names one, or
// looks for fences inside it. There is one place for each of these questions in the core, and it
// asks the type.
#pragma once

#include <cstdint>
#include <string_view>

namespace ufence {

class fence;
template <class T>
class ref;

/// Null entries: the core does it, or it does not apply. is_complete() says which may be null.
struct fence_type {
  // --- Of each type ---

  /// The names of fences without a timeline; they stay as long as the fences do. Empty: they have one.
  std::string_view driver_name = {};
  std::string_view timeline_name = {};
  /// Somebody waits, or has a callback: make sure that the completion is noticed. The fence was
  /// pending, and not enabled, a moment ago; it was made in this process. The type elects who does
  /// it, by ENABLED.
  void (*enable)(fence&) noexcept = nullptr;
  /// The last reference is gone.
  void (*end)(fence&) noexcept = nullptr;

  // --- Of fences of the library (library_fence.h), whose other ops are those of their backend ---

  /// Called by `end`: drops what the fence holds, and frees it after a grace period. Any thread.
  void (*release)(fence&) noexcept = nullptr;
  /// It is signaled in another process, of which this one learns by poll() only.
  bool is_remote = false;

  // --- Of foreign fences (F16), which pin their issuer ---

  /// Decisions and callbacks are made under a lock of the issuer: the four below.
  bool is_foreign = false;
  /// The issuer's code sees it signaled by something that is set just before it is marked, and finds its
  /// result: so is it for everybody. Asks nobody. Null: there is nothing of the kind.
  bool (*shows_signaled)(const fence&) noexcept = nullptr;
  /// 0 pending or signaled, 1 complete, <0 complete with that error.
  int (*poll)(fence&) noexcept = nullptr;
  void (*set_deadline)(fence&, std::int64_t deadline_ns) noexcept = nullptr;
  /// Blocks. 0: the core waits, it is signaled already, or nobody is asked; else what wait()
  /// returns.
  int (*wait)(fence&, std::int64_t deadline_ns) noexcept = nullptr;
  /// signaler::signal(): takes over a reference. True: this call signaled it. Null: no signaler is
  /// made for such a fence.
  bool (*signal)(fence&, int error) noexcept = nullptr;
  /// Runs what a decision left to do. Drops a reference.
  void (*settle)(fence&) noexcept = nullptr;
  /// Names that may go before the fence does: calls `take` with them, valid until it returns.
  /// False: they have gone, and `names` has what stands for them. Any thread. Null: `names` are all
  /// there is.
  bool (*copy_names)(const fence&, void (*take)(void* to, const char* driver, const char* timeline),
                     void* to) noexcept = nullptr;

  /// Of a fence that stands for another one of this process: that one, which stays as long as it does; of
  /// others null. Null: there are none such.
  fence* (*original)(fence&) noexcept = nullptr;

  // --- Of containers ---

  /// The i-th fence inside, or null.
  ref<fence> (*child)(fence&, std::uint32_t i) noexcept = nullptr;
  /// Of the node of a chain: the node before it that is pending, or null; of others null.
  ref<fence> (*before)(fence&) noexcept = nullptr;
};

/// Does a type have all that goes with what it says of itself? Builds with debug checks look at
/// it whenever a fence is made.
[[nodiscard]] constexpr bool is_complete(const fence_type& t) noexcept {
  const bool has_asked_ops =
      t.poll != nullptr && t.set_deadline != nullptr && t.wait != nullptr && t.settle != nullptr;
  const bool has_foreign_ops = t.shows_signaled != nullptr || t.poll != nullptr || t.set_deadline != nullptr ||
                               t.wait != nullptr || t.signal != nullptr || t.settle != nullptr ||
                               t.copy_names != nullptr;
  return t.enable != nullptr && t.end != nullptr &&
         (t.is_foreign ? has_asked_ops && t.release == nullptr && !t.is_remote
                       : !has_foreign_ops && t.release != nullptr) &&
         (t.child != nullptr) == (t.before != nullptr);
}

}  // namespace ufence
