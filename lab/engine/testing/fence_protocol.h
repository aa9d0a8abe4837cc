// The protocol of one fence, written down apart from the product, small and with each memory order
// as a parameter: references, result, callbacks with blocking removal, backend gate, retire. Other
// model checkers have explored it; the explorer has to come to the same verdicts.
#pragma once

#include <atomic>
#include <cstdint>

#include "lab/engine/scenario.h"
#include "ufence/base/atomic.h"

namespace ufence::lab::protocol {

struct orders {
  std::memory_order lock = mo::acquire, unlock = mo::release;
  std::memory_order decide = mo::acq_rel, leave = mo::acq_rel, enter = mo::acq_rel;
  std::memory_order looks = mo::acquire, settled = mo::release, waits_settled = mo::acquire;
  std::memory_order retired = mo::release, quiesces = mo::acquire;
  std::memory_order runs = mo::release, has_run = mo::release, waits_running = mo::acquire;
  std::memory_order put = mo::acq_rel;
};

struct node {
  explicit node(cell<int>& counter, bool frees) : ran(counter), frees_itself(frees) {}
  cell<node*> next, previous;
  cell<bool> queued;
  cell<int>& ran;
  const bool frees_itself;
};

struct driver_data {
  cell<int> alive{1};
};

class fence {
 public:
  fence(const orders& o, int references) : o_(o), references_(references) {
    word_.store(reinterpret_cast<std::uintptr_t>(new driver_data), mo::relaxed);
  }

  void put() {
    if (references_.fetch_sub(1, o_.put) == 1) {
      LAB_CHECK((state_.load(mo::relaxed) & signaled) != 0);
      delete this;
    }
  }

  // 0 lost; 1 won; 2 won, and settled in the same step.
  int decide(int error, bool fast) {
    lock();
    if ((state_.load(mo::relaxed) & signaled) != 0) {
      unlock();
      return 0;
    }
    error_.set(error);
    if (fast && head_.get() == nullptr) {
      if (state_.fetch_xor(locked | signaled | settled, o_.decide) / one_op != 0) clear_word();
      return 2;
    }
    if (state_.fetch_or(signaled, o_.decide) / one_op != 0) clear_word();
    unlock();
    return 1;
  }

  void settle(int how) {
    auto* data = reinterpret_cast<driver_data*>(word_.load(mo::relaxed));
    clear_word();
    if (data != nullptr) retire(data);
    if (how == 2) return;
    lock();
    while (node* c = head_.get()) {
      unlink(*c);
      word_.store(reinterpret_cast<std::uintptr_t>(c), o_.runs);
      unlock();
      c->ran.set(c->ran.get() + 1);
      if (c->frees_itself) delete c;
      lock();
      word_.store(0, o_.has_run);
    }
    state_.fetch_xor(locked | settled, o_.settled);
  }

  bool add(node& c) {
    lock();
    const bool pending = (state_.load(mo::relaxed) & signaled) == 0;
    if (pending) push(c);
    unlock();
    return pending;
  }

  bool remove(node& c) {
    lock();
    if (c.queued.get()) {
      unlink(c);
      unlock();
      return true;
    }
    unlock();
    while (word_.load(o_.waits_running) == reinterpret_cast<std::uintptr_t>(&c)) spin_pause();
    return false;
  }

  driver_data* enter() {
    std::uint32_t s = state_.load(mo::relaxed);
    driver_data* data = nullptr;
    do {
      if ((s & signaled) != 0) return nullptr;
      data = reinterpret_cast<driver_data*>(word_.load(mo::relaxed));
    } while (!state_.compare_exchange_weak(s, s + one_op, o_.enter, mo::relaxed));
    return data;
  }
  void leave(driver_data* data) {
    const std::uint32_t old = state_.fetch_sub(one_op, o_.leave);
    if ((old & signaled) != 0 && old / one_op == 1) retire(data);
  }

  bool is_signaled() { return (state_.load(o_.looks) & signaled) != 0; }
  int error() { return error_.get(); }
  void wait_quiesced() { await(state_, retired, retired, o_.quiesces); }
  void wait_settled() { await(state_, settled, settled, o_.waits_settled); }
  [[nodiscard]] int retires() const { return retires_.get(); }

 private:
  static constexpr std::uint32_t locked = 1, signaled = 2, settled = 4, retired = 8, one_op = 256;

  void lock() {
    for (;;) {
      std::uint32_t s = state_.load(mo::relaxed);
      if ((s & locked) == 0 && state_.compare_exchange_weak(s, s | locked, o_.lock, mo::relaxed)) {
        return;
      }
      spin_pause();
    }
  }
  void unlock() { state_.fetch_and(~locked, o_.unlock); }
  void clear_word() { word_.store(0, mo::relaxed); }

  void retire(driver_data* data) {
    retires_.set(retires_.get() + 1);
    LAB_CHECK(retires_.get() == 1);
    data->alive.set(0);
    delete data;
    state_.fetch_or(retired, o_.retired);
  }
  void push(node& c) {
    c.queued.set(true);
    node* head = head_.get();
    if (head == nullptr) {
      c.next.set(&c);
      c.previous.set(&c);
      head_.set(&c);
      return;
    }
    c.next.set(head);
    c.previous.set(head->previous.get());
    head->previous.get()->next.set(&c);
    head->previous.set(&c);
  }
  void unlink(node& c) {
    c.queued.set(false);
    if (c.next.get() == &c) {
      head_.set(nullptr);
      return;
    }
    c.next.get()->previous.set(c.previous.get());
    c.previous.get()->next.set(c.next.get());
    if (head_.get() == &c) head_.set(c.next.get());
  }

  const orders& o_;
  atomic<std::uint32_t> state_{0};
  atomic<int> references_;
  cell<int> error_;
  cell<node*> head_;
  atomic<std::uintptr_t> word_{0};
  cell<int> retires_;
};

}  // namespace ufence::lab::protocol
