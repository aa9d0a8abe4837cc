#include "lab/designs/model/kernel_containers.h"

#include "lab/designs/model/kernel_rcu.h"
#include "lab/engine/scenario.h"
#include "ufence/base/clock.h"
#include "ufence/base/futex.h"

namespace ufence::lab {
namespace {

// --- dma_fence_array ---

class kernel_array : public model_array {
 public:
  kernel_array(model_fence& a, model_fence& b, const container_orders& with)
      : children_{{*this, a}, {*this, b}}, with_(with) {}

  void enable_signaling() override {
    enabled_.exchange(true, mo::seq_cst);  // test_and_set_bit(ENABLE_SIGNAL) by the core
    for (child& c : children_) {
      if (!c.fence.add_callback(c)) one_is_signaled();
    }
  }
  // num_pending first, then the flag: counting by oneself goes with the count before enabling only.
  bool is_signaled() override {
    int pending = pending_.load(with_.array_read);
    if (enabled_.load(mo::relaxed)) return pending <= 0;
    for (child& c : children_) {
      if (c.fence.is_signaled() && --pending == 0) return true;
    }
    return false;
  }

 private:
  struct child : consumer_callback {
    child(kernel_array& a, model_fence& f)
        : consumer_callback(
              [](consumer_callback& c) { static_cast<child&>(c).array.one_is_signaled(); }),
          array(a),
          fence(f) {}
    kernel_array& array;
    model_fence& fence;
  };
  void one_is_signaled() { pending_.fetch_sub(1, with_.array_decrement); }

  child children_[2];
  atomic<int> pending_{2};
  atomic<bool> enabled_{false};
  const container_orders with_;
};

// --- dma_resv ---

class kernel_slot : public model_slot {
 public:
  explicit kernel_slot(const container_orders& with) : with_(with) {}
  ~kernel_slot() override { put(slot_.load(mo::relaxed)); }

  void write() override {
    slot_.store(new numbered(1), mo::relaxed);
    count_.store(1, with_.count_publish);
    numbered* old = slot_.exchange(new numbered(2), mo::acq_rel);
    put(old);
    put(new numbered(3));
  }
  // Counted references are dropped outside of the section: the last put waits for a grace period here.
  std::uint64_t read() override {
    for (;;) {
      numbered* f = nullptr;
      bool stays = false;
      {
        const kernel_rcu::read_section section;
        if (count_.load(with_.count_read) == 0) return 0;
        while ((f = try_get()) == nullptr) spin_pause();
        stays = slot_.load(mo::acquire) == f;
      }
      const std::uint64_t number = f->number.get();
      put(f);
      if (stays) return number;
    }
  }

 private:
  struct numbered {
    explicit numbered(std::uint64_t n) : number(n) {}
    atomic<int> refs{1};
    cell<std::uint64_t> number;
  };
  numbered* try_get() {
    numbered* f = slot_.load(mo::acquire);
    if (f == nullptr) goes_wrong("wrong-result: a slot below the count is empty");
    int refs = f->refs.load(mo::relaxed);
    do {
      if (refs == 0) return nullptr;
    } while (!f->refs.compare_exchange_weak(refs, refs + 1, mo::acq_rel, mo::relaxed));
    return f;
  }
  static void put(numbered* f) {
    if (f == nullptr || f->refs.fetch_sub(1, mo::acq_rel) != 1) return;
    kernel_rcu::synchronize();
    delete f;
  }

  atomic<numbered*> slot_{nullptr};
  atomic<int> count_{0};
  const container_orders with_;
};

// --- drm_syncobj ---

// A sleeper's word; it is woken under the lock of the thread that wakes it.
struct sleeper {
  atomic<std::uint32_t> word{0};

  void wake() {
    word.store(1, mo::release);
    futex_wake_all(word);
  }
  void sleep() {
    while (word.load(mo::acquire) == 0) futex_wait(word, 0, no_deadline);
  }
};

class kernel_syncobj : public model_syncobj {
 public:
  void install(model_fence& f) override {
    const holding guard(lock_);
    fence_.store(&f, mo::release);
    if (sleeper* waiting = waiting_.get()) waiting->wake();
  }
  void wait() override {
    model_fence* f = fence_.load(mo::acquire);
    if (f == nullptr) f = wait_for_install();
    wait_for_signal(*f);
  }

 private:
  // The look is repeated under the lock, or an install in between would be missed.
  model_fence* wait_for_install() {
    sleeper mine;
    {
      const holding guard(lock_);
      if (model_fence* f = fence_.load(mo::relaxed)) return f;
      waiting_.set(&mine);
    }
    mine.sleep();
    const holding guard(lock_);
    waiting_.set(nullptr);
    return fence_.load(mo::relaxed);
  }
  static void wait_for_signal(model_fence& f) {
    struct waiter : consumer_callback, sleeper {
      waiter() : consumer_callback([](consumer_callback& c) { static_cast<waiter&>(c).wake(); }) {}
    } mine;
    if (!f.add_callback(mine)) return;
    mine.sleep();
    f.remove_callback(mine);
  }

  spinlock lock_;
  atomic<model_fence*> fence_{nullptr};
  cell<sleeper*> waiting_{nullptr};
};

// --- drm_sched_fence ---

class kernel_forwarder : public model_forwarder {
 public:
  explicit kernel_forwarder(const container_orders& with) : with_(with) {}

  void set_parent() override {
    parent_.store(true, mo::release);
    full_fence();
    if (has_deadline_.load(mo::relaxed)) forward();
  }
  void set_deadline() override {
    {
      const holding guard(lock_);
      has_deadline_.store(true, mo::relaxed);
    }
    full_fence();
    if (parent_.load(mo::acquire)) forward();
  }
  bool was_forwarded() override { return forwarded_.load(mo::relaxed); }

 private:
  void full_fence() const {
    if (with_.full_fence_for_deadlines) thread_fence(mo::seq_cst);
  }
  void forward() { forwarded_.store(true, mo::relaxed); }

  spinlock lock_;
  atomic<bool> parent_{false};
  atomic<bool> has_deadline_{false};
  atomic<bool> forwarded_{false};
  const container_orders with_;
};

}  // namespace

std::unique_ptr<model_array> make_array_of(model_fence& a, model_fence& b,
                                           const container_orders& with) {
  return std::make_unique<kernel_array>(a, b, with);
}
std::unique_ptr<model_slot> make_slot_of(const container_orders& with) {
  return std::make_unique<kernel_slot>(with);
}
std::unique_ptr<model_syncobj> make_syncobj_of() { return std::make_unique<kernel_syncobj>(); }
std::unique_ptr<model_forwarder> make_forwarder_of(const container_orders& with) {
  return std::make_unique<kernel_forwarder>(with);
}

std::unique_ptr<model_array> make_kernel_array(model_fence& a, model_fence& b, unsigned) {
  return make_array_of(a, b, {});
}
std::unique_ptr<model_slot> make_kernel_slot(unsigned) { return make_slot_of({}); }
std::unique_ptr<model_syncobj> make_kernel_syncobj(unsigned) { return make_syncobj_of(); }
std::unique_ptr<model_forwarder> make_kernel_forwarder(unsigned) { return make_forwarder_of({}); }

}  // namespace ufence::lab
