// The part that the kernel's designs have in common: struct dma_fence with its flags, lock, callback list
// and count, and the course of signalling. As it stands here it is Linux 7.0; each design overrides
// what it does otherwise.
#pragma once

#include "lab/designs/model/design.h"
#include "lab/designs/model/kernel_rcu.h"

namespace ufence::lab {

class kernel_fence : public model_fence {
 public:
  explicit kernel_fence(const fence_options& o);

  bool is_signaled() override { return test(signaled_bit); }
  bool poll() override;
  int error() override { return error_.load(mo::relaxed); }
  std::int64_t timestamp() override;
  void read_names() override;
  void set_deadline() override;
  void enable_signaling() override;
  bool add_callback(consumer_callback& c) override;
  bool remove_callback(consumer_callback& c) override;
  bool is_issued_by(const driver& d) override;
  void get() override { refs_.fetch_add(1, mo::relaxed); }
  void put() override;

  bool signal(int error, unsigned who = 0) override;
  void lose() override;
  void clean_up() override;
  /// Rule 5 of issuer independence: one grace period after the last signal.
  void wait_before_unload() override;
  spinlock& lock_for_drivers() override { return *lock_; }
  void publish() override;
  void unpublish() override;
  void wait_for_signaller() override;

 protected:
  static constexpr std::uint32_t signaled_bit = 1;
  static constexpr std::uint32_t timestamp_bit = 2;
  static constexpr std::uint32_t enabled_bit = 4;

  /// test_bit() orders nothing; test_and_set_bit() is a full barrier on both sides.
  [[nodiscard]] bool test(std::uint32_t bit) const { return (flags_.load(mo::relaxed) & bit) != 0; }
  bool test_and_set(std::uint32_t bit);

  // Around each op: what a design does to get at the driver. Returns nullptr if it is detached.
  virtual driver* enter_op() { return ops_.load(mo::relaxed); }
  virtual void leave_op() {}
  // The same where the fence lock is held.
  virtual driver* enter_op_locked() { return enter_op(); }
  virtual void leave_op_locked() { leave_op(); }

  /// In the signal core, after SIGNALED was set.
  virtual void detach() {}
  bool signal_locked();
  /// False: signaled.
  bool enable_locked();
  /// A bug of the driver's if there is none: what an oops looks like here.
  static driver& called(driver* ops);

  void push(consumer_callback& c);
  bool unlink(consumer_callback& c);
  void run_callbacks();
  /// The last reference is gone.
  void release();
  /// kfree_rcu().
  void free_fence();

  atomic<std::uint32_t> flags_{0};
  atomic<driver*> ops_;
  atomic<std::uint32_t> refs_{1};
  atomic<int> error_{0};
  spinlock inline_lock_;
  spinlock* lock_;
  cell<std::int64_t> timestamp_{0};
  cell<consumer_callback*> callbacks_{nullptr};
  driver* const issuer_;  // who cleans up knows itself
  job* const data_;
};

/// The time of every signal, in scenarios.
inline constexpr std::int64_t signal_time = 77;

}  // namespace ufence::lab
