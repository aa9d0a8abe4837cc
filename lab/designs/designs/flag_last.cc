// "Signaled" is the last store of the signal (Philipp Stanner, June 2026), with the barriers B1 to
// B14 that this takes. A fence is ACTIVE, then SIGNALING once a signaller is elected, then DONE.
// Readers announce themselves around ops, and the thread that cleans up waits for those of this fence (hazard
// pointers). Each barrier can be left out: that is the order `relaxed`, or the weaker step that it
// replaces.
#include <array>

#include "lab/designs/model/kernel_containers.h"
#include "lab/designs/model/kernel_fence.h"
#include "lab/engine/hooks.h"
#include "lab/engine/scenario.h"

namespace ufence::lab {
namespace {

class flag_last;

// Which fence a thread's op is inside of.
std::array<atomic<const flag_last*>, scenario_threads> announced{};

class flag_last : public kernel_fence {
 public:
  flag_last(const fence_options& o, unsigned without) : kernel_fence(o), without_(without) {
    name(state_, "state");
    name(enabled_, "enabled");
    name(announced, "announced");
  }

  // B2 acquires what B1 released: error, timestamp, what callbacks did.
  bool is_signaled() override { return state_.load(order(2, mo::acquire)) == done; }

  // B3: the winner is elected by an RMW of its own. B5: ops are detached before the scan of the
  // readers. B7: the timestamp is there before it says so. B11: SIGNALING is set before ENABLED is
  // read; where nobody enabled, there is no callback. B1: DONE comes last.
  bool signal(int error, unsigned) override {
    if (error != 0) error_.store(error, mo::relaxed);  // set_error(), as ever
    if (!elect()) return false;
    timestamp_.set(signal_time);
    has_timestamp_.store(1, order(7, mo::release));
    ops_.store(nullptr, order(5, mo::seq_cst));
    if (enabled_.load(order(11, mo::seq_cst))) {
      const holding guard(*lock_);
      if (callbacks_.get() != nullptr) pay(cost::lock_over_callbacks);
      run_callbacks();
    }
    state_.store(done, order(1, mo::release));
    return true;
  }
  std::int64_t timestamp() override {
    await(has_timestamp_, 1U, 1U, order(7, mo::acquire));
    return timestamp_.get();
  }

  // B6: names look at the ops that they have loaded.
  void read_names() override {
    driver* ops = enter_op();
    if (has(6) ? ops != nullptr : state_.load(mo::relaxed) != done) called(ops).read_name();
    leave_op();
  }

  void enable_signaling() override {
    enabled_.exchange(true, order(11, mo::seq_cst));
    const holding guard(*lock_);
    if (!is_over_locked()) enable_once_locked();
  }
  bool add_callback(consumer_callback& c) override {
    if (is_signaled()) return false;
    enabled_.exchange(true, order(11, mo::seq_cst));
    const holding guard(*lock_);
    if (is_over_locked()) return false;
    enable_once_locked();
    push(c);
    return true;
  }
  // B10: callbacks run under the lock, so that taking it waits for them.
  bool remove_callback(consumer_callback& c) override {
    if (!has(10) && !c.is_queued.get()) return false;
    return kernel_fence::remove_callback(c);
  }

  // B9: the last one sees all uses before.
  void put() override {
    if (refs_.fetch_sub(1, order(9, mo::acq_rel)) == 1) release();
  }

  void wait_quiesced() override {
    pay(cost::waits_for_ops);
    const condition is_elsewhere{.mask = ~std::uint64_t{0},
                                 .wanted = reinterpret_cast<std::uintptr_t>(this),
                                 .equal = false};
    const unsigned self = this_thread();
    for (unsigned t = 0; t < announced.size(); ++t) {
      if (t == self) continue;  // an op of this thread that cleans up does not wait for itself
      hooks::await(announced[t].address(), sizeof(void*), is_elsewhere, order(5, mo::seq_cst),
                   std::source_location::current());
    }
  }
  void clean_up() override {
    wait_quiesced();
    kernel_fence::clean_up();
  }

 protected:
  // B5: announce, then read the ops: store buffering with detach and scan.
  driver* enter_op() override {
    pay(cost::announces);
    announced[this_thread()].store(this, order(5, mo::seq_cst));
    return ops_.load(order(5, mo::seq_cst));
  }
  void leave_op() override { announced[this_thread()].store(nullptr, mo::release); }

 private:
  enum : std::uint32_t { active, signaling, done };

  [[nodiscard]] bool has(unsigned barrier) const { return without_ != barrier; }
  [[nodiscard]] std::memory_order order(unsigned barrier, std::memory_order o) const {
    return has(barrier) ? o : mo::relaxed;
  }
  bool elect() {
    if (!has(3)) {
      if (state_.load(mo::relaxed) != active) return false;
      state_.store(signaling, mo::relaxed);
      return true;
    }
    std::uint32_t expected = active;
    return state_.compare_exchange(expected, signaling, has(11) ? mo::seq_cst : mo::acq_rel,
                                   mo::relaxed);
  }
  // B4: what counts under the lock is SIGNALING, not DONE.
  [[nodiscard]] bool is_over_locked() const {
    const std::uint32_t s = state_.load(order(11, mo::seq_cst));
    return has(4) ? s != active : s == done;
  }
  void enable_once_locked() {
    if (was_enabled_.get()) return;
    was_enabled_.set(true);
    driver* ops = enter_op();
    if (ops != nullptr && ops->has_enable()) {
      pay(cost::lock_over_driver_code);
      ops->enable_signaling(*data_);
    }
    leave_op();
  }

  atomic<std::uint32_t> state_{active};
  atomic<bool> enabled_{false};
  atomic<std::uint32_t> has_timestamp_{0};
  cell<bool> was_enabled_{false};  // under the lock
  const unsigned without_;
};

// A slot over memory that holds fences for ever: a fence that is gone may be another one at the
// next look. B8: counting comes before looking at the slot again. B13: the slot is filled before it
// counts.
class recycling_slot : public model_slot {
 public:
  explicit recycling_slot(unsigned without) : without_(without) {}

  void write() override {
    slot_.store(&first_, mo::relaxed);
    count_.store(1, without_ == 13 ? mo::relaxed : mo::release);
    slot_.store(&second_, mo::release);
    if (!put(first_)) return;
    first_.number.store(3, mo::relaxed);
    first_.refs.store(1, mo::release);
  }
  std::uint64_t read() override {
    if (count_.load(without_ == 13 ? mo::relaxed : mo::acquire) == 0) return 0;
    for (;;) {
      numbered* f = nullptr;
      while ((f = try_get()) == nullptr) spin_pause();
      const bool stays = slot_.load(order(mo::acquire)) == f;
      const std::uint64_t number = f->number.load(mo::relaxed);
      put(*f);
      if (stays) return number;
    }
  }

 private:
  struct numbered {
    explicit numbered(std::uint64_t n) : number(n) {}
    atomic<int> refs{1};
    atomic<std::uint64_t> number;
  };
  [[nodiscard]] std::memory_order order(std::memory_order o) const {
    return without_ == 8 ? mo::relaxed : o;
  }
  numbered* try_get() {
    numbered* f = slot_.load(order(mo::acquire));
    if (f == nullptr) goes_wrong("wrong-result: a slot below the count is empty");
    int refs = f->refs.load(mo::relaxed);
    do {
      if (refs == 0) return nullptr;
    } while (!f->refs.compare_exchange_weak(refs, refs + 1, order(mo::acq_rel), mo::relaxed));
    return f;
  }
  static bool put(numbered& f) { return f.refs.fetch_sub(1, mo::acq_rel) == 1; }

  numbered first_{1};
  numbered second_{2};
  atomic<numbered*> slot_{nullptr};
  atomic<int> count_{0};
  const unsigned without_;
};

// B12: the count of pending children, and the threads that decrement it. B14: deadline against parent.
container_orders orders_without(unsigned barrier) {
  container_orders with;
  with.full_fence_for_deadlines = barrier != 14;
  if (barrier == 12) with.array_read = with.array_decrement = mo::relaxed;
  return with;
}

}  // namespace

extern const design design_flag_last{
    .name = "flag-last",
    .summary = "signaled is set after the callbacks; readers announce themselves",
    .column = 40,
    .barriers = 14,
    .make = [](const fence_options& o, unsigned without) -> model_fence* {
      return new flag_last(o, without);
    },
    .make_array = [](model_fence& a, model_fence& b,
                     unsigned without) { return make_array_of(a, b, orders_without(without)); },
    .make_slot = [](unsigned without) -> std::unique_ptr<model_slot> {
      return std::make_unique<recycling_slot>(without);
    },
    .make_syncobj = make_kernel_syncobj,
    .make_forwarder = [](unsigned without) { return make_forwarder_of(orders_without(without)); },
};

}  // namespace ufence::lab
