#include "lab/designs/model/kernel_fence.h"

#include <cerrno>
#include <new>

#include "lab/engine/scenario.h"

namespace ufence::lab {
namespace {

constinit atomic<kernel_fence*> published{nullptr};

}  // namespace

kernel_fence::kernel_fence(const fence_options& o)
    : ops_(o.issuer),
      lock_(o.uses_drivers_lock ? &o.data->ring_lock : &inline_lock_),
      issuer_(o.issuer),
      data_(o.data) {
  name(flags_, "flags");
  name(ops_, "ops");
  name(refs_, "refs");
  name(error_, "error");
  name(timestamp_, "timestamp");
  name(callbacks_, "callbacks");
  name(*lock_, "fence lock");
  name(*this, "fence");
  kernel_rcu::name_all();
}

bool kernel_fence::test_and_set(std::uint32_t bit) {
  thread_fence(mo::seq_cst);
  const bool was_set = (flags_.fetch_or(bit, mo::relaxed) & bit) != 0;
  thread_fence(mo::seq_cst);
  return was_set;
}

driver& kernel_fence::called(driver* ops) {
  if (ops == nullptr) goes_wrong("null-call: an op is called through ops that are NULL");
  return *ops;
}

// --- Consumers ---

bool kernel_fence::poll() {
  if (is_signaled()) return true;
  driver* ops = enter_op();
  const bool complete = ops != nullptr && ops->has_poll() && ops->signaled(*data_);
  leave_op();
  if (complete) signal(0);
  return complete;
}

// The bit tells that the value is there, but orders nothing.
std::int64_t kernel_fence::timestamp() {
  await(flags_, timestamp_bit, timestamp_bit, mo::relaxed);
  return timestamp_.get();
}

// By the flag: ops stay for ever.
void kernel_fence::read_names() {
  const kernel_rcu::read_section section;
  if (!test(signaled_bit)) called(ops_.load(mo::relaxed)).read_name();
}

void kernel_fence::set_deadline() {
  if (is_signaled()) return;
  driver* ops = enter_op();
  if (ops != nullptr && ops->has_deadline()) ops->set_deadline(*data_);
  leave_op();
}

void kernel_fence::enable_signaling() {
  const holding guard(*lock_);
  enable_locked();
}

bool kernel_fence::enable_locked() {
  const bool was_enabled = test_and_set(enabled_bit);
  if (test(signaled_bit)) return false;
  if (was_enabled) return true;
  driver* ops = enter_op_locked();
  if (ops != nullptr && ops->has_enable()) {
    pay(cost::lock_over_driver_code);
    ops->enable_signaling(*data_);
  }
  leave_op_locked();
  return true;
}

bool kernel_fence::add_callback(consumer_callback& c) {
  if (test(signaled_bit)) return false;
  const holding guard(*lock_);
  if (!enable_locked()) return false;
  push(c);
  return true;
}

bool kernel_fence::remove_callback(consumer_callback& c) {
  const holding guard(*lock_);
  return unlink(c);
}

bool kernel_fence::is_issued_by(const driver& d) { return ops_.load(mo::relaxed) == &d; }

// The last one asks the ops whether there is a release, and what still waits is told -EDEADLK.
void kernel_fence::put() {
  if (refs_.fetch_sub(1, mo::acq_rel) == 1) release();
}

void kernel_fence::release() {
  if (callbacks_.get() != nullptr && !is_signaled()) signal(-EDEADLK);
  if (driver* ops = enter_op(); ops != nullptr) static_cast<void>(ops->has_release());
  leave_op();
  free_fence();
}

// Destructors are left out: memory that is gone must not change once more.
void kernel_fence::free_fence() {
  kernel_rcu::synchronize();
  ::operator delete(static_cast<void*>(this));
}

// --- The issuer ---

// set_error() is a step of its own, before the signal.
bool kernel_fence::signal(int error, unsigned) {
  if (error != 0) error_.store(error, mo::relaxed);
  const holding guard(*lock_);
  return signal_locked();
}

bool kernel_fence::signal_locked() {
  if (test_and_set(signaled_bit)) return false;
  detach();
  consumer_callback* const first = callbacks_.get();
  timestamp_.set(signal_time);
  flags_.fetch_or(timestamp_bit, mo::relaxed);
  if (first != nullptr) {
    pay(cost::lock_over_callbacks);
    run_callbacks();
  }
  return true;
}

void kernel_fence::lose() {
  driver& issuer = *issuer_;
  job& data = *data_;
  put();
  issuer.destroy(data);
}

void kernel_fence::clean_up() { issuer_->destroy(*data_); }

void kernel_fence::wait_before_unload() { kernel_rcu::synchronize(); }

void kernel_fence::publish() { published.store(this, mo::release); }

void kernel_fence::unpublish() { published.store(nullptr, mo::release); }

// The pointer to the lock is used after the read section that protected it.
void kernel_fence::wait_for_signaller() {
  spinlock* lock = nullptr;
  {
    const kernel_rcu::read_section section;
    if (const kernel_fence* f = published.load(mo::acquire)) lock = f->lock_;
  }
  if (lock == nullptr) return;
  lock->lock();
  lock->unlock();
}

// --- The list, under the lock ---

void kernel_fence::push(consumer_callback& c) {
  c.next.set(nullptr);
  c.is_queued.set(true);
  consumer_callback* last = callbacks_.get();
  if (last == nullptr) return callbacks_.set(&c);
  while (consumer_callback* next = last->next.get()) last = next;
  last->next.set(&c);
}

bool kernel_fence::unlink(consumer_callback& c) {
  if (!c.is_queued.get()) return false;
  consumer_callback* next = c.next.get();
  if (callbacks_.get() == &c) {
    callbacks_.set(next);
  } else {
    consumer_callback* before = callbacks_.get();
    while (before->next.get() != &c) before = before->next.get();
    before->next.set(next);
  }
  c.is_queued.set(false);
  return true;
}

void kernel_fence::run_callbacks() {
  while (consumer_callback* first = callbacks_.get()) {
    unlink(*first);
    first->function(*first);
  }
}

}  // namespace ufence::lab
