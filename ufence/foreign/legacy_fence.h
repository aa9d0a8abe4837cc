// A legacy fence (legacy.h): the fence, and its issuer's ops and data.
#pragma once

#include "ufence/foreign/foreign_fence.h"
#include "ufence/foreign/legacy.h"

namespace ufence {

class legacy_fence : public foreign_fence {
 public:
  /// The legacy fence that `f` is, or nullptr.
  [[nodiscard]] static const legacy_fence* from(const fence& f) noexcept {
    return is_of(f, type_of_legacy_fences) ? static_cast<const legacy_fence*>(&f) : nullptr;
  }
  [[nodiscard]] const legacy_ops& ops() const noexcept { return *ops_; }
  [[nodiscard]] void* data() const noexcept { return data_; }

  /// As create_legacy_fence(), with ops that are complete.
  [[nodiscard]] static result<new_fence> create(timeline_issuer& issuer, const legacy_ops& ops,
                                                void* data) noexcept;
  /// As signal_locked() and signaler::signal(). Takes over a reference.
  bool signal(int error, bool lock_is_held) noexcept;

 private:
  friend class foreign_fence;
  static const fence_type type_of_legacy_fences;
  static constexpr bool is_in_issuers_memory = false;

  void lock_issuer() noexcept { ops_->lock(data_); }
  void unlock_issuer() noexcept { ops_->unlock(data_); }
  [[nodiscard]] static bool was_signaled() noexcept { return false; }  // LOCK says it
  [[nodiscard]] int ask_to_enable() noexcept;
  [[nodiscard]] int ask_whether_complete() noexcept;
  void tell_deadline(std::int64_t deadline_ns) noexcept;
  [[nodiscard]] int ask_to_wait(std::int64_t deadline_ns) noexcept;
  static void end(fence& f) noexcept;

  const legacy_ops* ops_ = nullptr;  // set before publish, as below
  void* data_ = nullptr;
};

}  // namespace ufence
