// Gives jobs to the modules and keeps the books of their fences.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "tools/ufence/run/client_queues.h"
#include "tools/ufence/run/instance.h"
#include "ufence/base/result.h"
#include "ufence/fence/fence.h"
#include "ufence/issuer/host.h"

namespace ufence::tool {

/// A fence of the run and the instance that issued it. Give it back with job_issuer::drop().
struct issued_fence {
  fence_ref fence;
  instance* from = nullptr;
  bool is_awaited = false;  // somebody was queued on it while it was pending

  explicit operator bool() const noexcept { return static_cast<bool>(fence); }
};

/// A fence held to the end, with the result that was seen in time.
struct held_fence {
  fence_ref fence;
  const instance* from;
  int error;
};

/// The arguments of a job as a device takes them.
template <class Args>
[[nodiscard]] job_request request_of(std::uint32_t opcode, const Args& args,
                                     std::span<const fence_ref> in_fences = {}) {
  return {.opcode = opcode, .args = std::as_bytes(std::span(&args, 1)), .in_fences = in_fences};
}

/// Threads: the main one.
class job_issuer {
 public:
  /// @param holds  keep every fence to the end
  /// @param queues  where jobs wait for their turn; null: the modules get them at once
  explicit job_issuer(bool holds, client_queues* queues = nullptr)
      : holds_(holds), queues_(queues) {}
  ~job_issuer();
  job_issuer(const job_issuer&) = delete;
  job_issuer& operator=(const job_issuer&) = delete;

  /// From now on jobs go to this instance.
  void use(std::unique_ptr<instance> fresh);
  /// The instance that gets jobs; null while there is none.
  [[nodiscard]] instance* current(driver d) const { return current_[index_of(d)].get(); }
  /// False from the moment a module refused a job because it is being unloaded until use(). With
  /// queues that does not happen.
  [[nodiscard]] bool is_available(driver d) const { return available_[index_of(d)]; }

  /// Gives a job to the driver's current instance, or queues it for a client.
  /// @return  -ENODEV it is being unloaded: again after use(); -ENOMEM
  [[nodiscard]] result<issued_fence> submit(driver d, const job_request& request,
                                            std::size_t client = 0);
  /// Takes a fence that came from a reader process.
  [[nodiscard]] issued_fence adopt(fence_ref f, instance& from);
  /// The driver's reader process has ended: nobody takes jobs until use().
  /// @return  how many of its fences have outlived it
  std::uint64_t retire(driver d);
  /// Counts a fence as one that somebody was queued on.
  void note_awaited(issued_fence& f);
  /// The fence is not needed any more; leaves `f` empty.
  void drop(issued_fence& f);

  /// The fence ended with an error because its module was unloaded, not because of what it did.
  [[nodiscard]] static bool was_cancelled_by_unload(const issued_fence& f, int error);

  [[nodiscard]] const std::vector<held_fence>& held() const { return held_; }
  [[nodiscard]] std::uint64_t fences_issued() const { return fences_issued_; }
  [[nodiscard]] std::uint64_t fences_awaited() const { return fences_awaited_; }
  /// Of those, how many were handed out when their module was unmapped already.
  [[nodiscard]] std::uint64_t fences_born_late() const { return fences_born_late_; }

 private:
  void sweep();

  const bool holds_;
  client_queues* const queues_;
  std::array<std::unique_ptr<instance>, all_drivers.size()> current_;
  std::array<bool, all_drivers.size()> available_{};
  std::vector<std::unique_ptr<instance>> replaced_;  // with fences that are still referred to
  std::vector<held_fence> held_;
  std::uint64_t fences_issued_ = 0, fences_awaited_ = 0, fences_born_late_ = 0;
};

}  // namespace ufence::tool
