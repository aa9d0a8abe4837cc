// The rework of June 2026: the fence lock protects the fence's own state only. enable_signaling and
// check_signaled are called without it and return nothing: a driver that finds itself done signals.
#include "lab/designs/model/detached_fence.h"
#include "lab/designs/model/kernel_containers.h"

namespace ufence::lab {
namespace {

struct unlocked_callbacks : detached_fence {
  using detached_fence::detached_fence;

  bool poll() override {
    if (test(signaled_bit)) return true;
    driver* ops = enter_op();
    if (ops != nullptr && ops->has_poll() && ops->signaled(*data_) && signal(0)) {
      ops->signaled_won(*data_);
    }
    leave_op();
    return test(signaled_bit);
  }
  void enable_signaling() override {
    if (test_and_set(enabled_bit) || test(signaled_bit)) return;
    driver* ops = enter_op();
    if (ops != nullptr && ops->has_enable()) ops->enable_signaling(*data_);
    leave_op();
  }
  bool add_callback(consumer_callback& c) override {
    if (test(signaled_bit)) return false;
    enable_signaling();
    const holding guard(*lock_);
    if (test(signaled_bit)) return false;
    push(c);
    return true;
  }
};

}  // namespace

extern const design design_unlocked_callbacks{
    .name = "unlocked-callbacks",
    .summary = "enable and check run without the fence lock, and signal themselves",
    .column = 60,
    .make = [](const fence_options& o, unsigned) -> model_fence* {
      return new unlocked_callbacks(o);
    },
    .make_array = make_kernel_array,
    .make_slot = make_kernel_slot,
    .make_syncobj = make_kernel_syncobj,
    .make_forwarder = make_kernel_forwarder,
};

}  // namespace ufence::lab
