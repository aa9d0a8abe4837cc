// The driver that each scenario has: a module with a lock of its own, and for each fence data with
// a destructor.
#pragma once

#include <cstddef>
#include <functional>

#include "lab/designs/model/spinlock.h"
#include "lab/engine/scenario.h"
#include "ufence/base/atomic.h"

namespace ufence::lab {

class driver;

/// The issuer's data of one fence.
struct job {
  /// The actions of an op on it.
  void use(std::source_location where = std::source_location::current()) const {
    static_cast<void>(registers.get(where));
  }
  cell<int> registers{0};
  spinlock ring_lock;
  // The driver's pending list: a plain doubly linked one, under its lock.
  cell<job*> next{nullptr};
  cell<job*> previous{nullptr};
  cell<bool> is_pending{false};
};

/// The module: `delete` unloads it. Whatever is called of it reads text_ first, so that a call into
/// an unloaded module is a use after free.
class driver {
  using site = std::source_location;

 public:
  // The functions that it implements; a scenario fills in those that it needs. Not called directly.
  std::function<void(job&)> on_enable;    // enable_signaling
  std::function<bool(job&)> on_poll;      // signaled: true, the hardware is done
  std::function<void(job&)> on_poll_won;  // its signaled op has signaled the fence itself
  std::function<void(job&)> on_deadline;  // set_deadline
  std::function<void(job&)> on_destroy;   // what the destructor does first

  // The functions that a design calls.
  [[nodiscard]] bool has_enable(site where = site::current()) const {
    return has(on_enable, where);
  }
  [[nodiscard]] bool has_poll(site where = site::current()) const { return has(on_poll, where); }
  [[nodiscard]] bool has_deadline(site where = site::current()) const {
    return has(on_deadline, where);
  }
  /// Ops that forbid detaching; this driver has none, but who asks reads its table.
  [[nodiscard]] bool has_release(site where = site::current()) const {
    return text_.get(where) != 1;
  }
  void enable_signaling(job& j, site where = site::current()) const {
    enter(where);
    remark("runs enable_signaling", where);
    on_enable(j);
    remark("leaves enable_signaling", where);
  }
  [[nodiscard]] bool signaled(job& j, site where = site::current()) const {
    enter(where);
    remark("runs signaled", where);
    const bool complete = on_poll(j);
    remark("leaves signaled", where);
    return complete;
  }
  void signaled_won(job& j, site where = site::current()) const {
    enter(where);
    if (on_poll_won) on_poll_won(j);
  }
  void set_deadline(job& j, site where = site::current()) const {
    enter(where);
    remark("runs set_deadline", where);
    on_deadline(j);
    remark("leaves set_deadline", where);
  }
  /// The names are constants of the module.
  void read_name(site where = site::current()) const { enter(where); }
  /// The destructor of a fence's data.
  void destroy(job& j, site where = site::current()) const {
    enter(where);
    remark("the driver destroys its data of the fence", where);
    if (on_destroy) on_destroy(j);
    delete &j;
  }

  /// For traces.
  void name_parts() const {
    name(lock, "driver lock");
    name(text_, "driver code");
    name(pending_, "pending list");
  }

  /// For a design that calls through a table of functions in the module.
  static constexpr std::size_t ops_room_bytes = 128;
  alignas(16) std::byte ops_room[ops_room_bytes]{};

  // --- Its own list of pending jobs. ---

  spinlock lock;
  void link_locked(job& j) {
    j.next.set(pending_.get());
    j.previous.set(nullptr);
    if (job* first = pending_.get()) first->previous.set(&j);
    pending_.set(&j);
    j.is_pending.set(true);
  }
  void unlink_locked(job& j) {
    if (!j.is_pending.get()) return;
    job* next = j.next.get();
    job* previous = j.previous.get();
    if (next != nullptr) next->previous.set(previous);
    previous != nullptr ? previous->next.set(next) : pending_.set(next);
    j.is_pending.set(false);
  }
  [[nodiscard]] job* first_pending_locked() const { return pending_.get(); }

 private:
  template <class Op>
  [[nodiscard]] bool has(const Op& op, site where) const {
    return text_.get(where) == 1 && op;
  }
  void enter(site where) const { static_cast<void>(text_.get(where)); }

  cell<int> text_{1};
  cell<job*> pending_{nullptr};
};

}  // namespace ufence::lab
