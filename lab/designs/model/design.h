// The questions that a design of fences has to answer to be compared: one file in designs/ for each.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "lab/designs/model/driver.h"
#include "lab/designs/model/verdict.h"
#include "ufence/base/atomic.h"

namespace ufence::lab {

/// Of a scenario, main too. Threads that have not begun are waited for like others: by when they
/// begin is not told.
inline constexpr unsigned scenario_threads = 4;

/// A consumer's callback; the consumer owns its memory.
struct consumer_callback {
  explicit consumer_callback(void (*f)(consumer_callback&)) : function(f) {}

  void (*const function)(consumer_callback&);
  // For designs: a link of a singly linked list, or room for a node of another kind.
  cell<consumer_callback*> next{nullptr};
  cell<bool> is_queued{false};
  alignas(16) std::byte room[80]{};
};

/// A fence of the design under test. The caller of each function has a reference.
class model_fence {
 public:
  virtual ~model_fence() = default;

  // --- Consumers ---

  /// Looks, without asking the driver.
  virtual bool is_signaled() = 0;
  /// Whether the callbacks have run, too: another question, or the same.
  virtual bool is_done() { return is_signaled(); }
  /// Asks the driver (`signaled`), and signals if it is done.
  virtual bool poll() = 0;
  /// Once signaled.
  virtual int error() = 0;
  virtual std::int64_t timestamp() = 0;
  /// As a debug file or SYNC_IOC_FILE_INFO does.
  virtual void read_names() = 0;
  virtual void set_deadline() = 0;
  virtual void enable_signaling() = 0;
  /// False: signaled already (-ENOENT), it will not run.
  virtual bool add_callback(consumer_callback& c) = 0;
  /// On return it does not run, and never will. True: it did not.
  virtual bool remove_callback(consumer_callback& c) = 0;
  /// The question by which a driver finds its own fences among others.
  virtual bool is_issued_by(const driver& d) = 0;
  virtual void get() = 0;
  virtual void put() = 0;

  // --- The issuer ---

  /// True: this call signaled it. Locks of the driver may be held.
  /// @param who  which of fence_options::signallers
  virtual bool signal(int error, unsigned who = 0) = 0;
  /// After signal() said true, with no lock held: the driver's data is destroyed when it returns,
  /// or by itself as soon as that is allowed.
  virtual void clean_up() = 0;
  /// Waits until no op of this fence runs, if the design has a way to.
  virtual void wait_quiesced() {}
  /// Waits until the module's code can go; all its fences are signaled and cleaned up.
  virtual void wait_before_unload() = 0;
  /// A lock that the driver's set_deadline may take: the fence's, where drivers share it.
  virtual spinlock& lock_for_drivers() = 0;
  /// amdgpu's TLB sequence: somebody without a reference finds the fence where it is published, and
  /// waits until its signaller does not run callbacks. The thread that unpublishes it may then drop the
  /// last reference.
  virtual void publish() = 0;
  virtual void unpublish() = 0;
  virtual void wait_for_signaller() = 0;
  /// By mistake the issuer lets go of the fence, unsignaled, and of its data.
  virtual void lose() = 0;

  /// The scenario is over; the last reference is gone.
  virtual void dispose() {}
};

/// A fence of two others, all of which must be signaled.
class model_array {
 public:
  virtual ~model_array() = default;
  virtual void enable_signaling() = 0;
  virtual bool is_signaled() = 0;
};

/// A slot of a reservation object: a writer replaces its fence and drops the old one; others take
/// references without a lock. Fences are numbered 1, 2, ...; nobody else has references to them.
class model_slot {
 public:
  virtual ~model_slot() = default;
  /// Adds the first fence, then replaces it by the second, then makes a third one.
  virtual void write() = 0;
  /// The number that a fence found in the slot gives; nothing found: 0.
  virtual std::uint64_t read() = 0;
};

/// A handle that fences are put into while others wait for one to come and to be signaled.
class model_syncobj {
 public:
  virtual ~model_syncobj() = default;
  virtual void install(model_fence& f) = 0;
  virtual void wait() = 0;
};

/// A scheduler's fence that forwards deadlines to the hardware's fence once that is known.
class model_forwarder {
 public:
  virtual ~model_forwarder() = default;
  virtual void set_parent() = 0;
  virtual void set_deadline() = 0;
  [[nodiscard]] virtual bool was_forwarded() = 0;
};

struct fence_options {
  driver* issuer = nullptr;
  job* data = nullptr;
  /// The driver's ring lock, in its data, is to be the fence's lock.
  bool uses_drivers_lock = false;
  unsigned signallers = 1;
};

struct candidate;
struct report;
struct settings;

/// A protocol that somebody argues for.
struct design {
  std::string_view name;
  std::string_view summary;
  /// Where its column stands.
  unsigned column = 100;
  /// How many of the barriers B1, B2, ... can be left out, to see what they are for.
  unsigned barriers = 0;
  /// @param without  a barrier that is left out, or 0
  model_fence* (*make)(const fence_options& o, unsigned without);
  // Where it has these; nullptr: the hazards of those are not applicable.
  std::unique_ptr<model_array> (*make_array)(model_fence& a, model_fence& b, unsigned without);
  std::unique_ptr<model_slot> (*make_slot)(unsigned without);
  std::unique_ptr<model_syncobj> (*make_syncobj)(unsigned without);
  std::unique_ptr<model_forwarder> (*make_forwarder)(unsigned without);
  /// Runs once before all executions: what a library sets up when it is first used.
  void (*prelude)() = nullptr;
  /// Where it is no C++ of the lab's own: what its exploration needs, and how to read what came
  /// out.
  void (*adjust)(const candidate& c, settings& with) = nullptr;
  void (*explain)(report& found) = nullptr;
};

/// All designs, in the order of their columns.
[[nodiscard]] const std::vector<const design*>& all_designs();

/// A design, maybe with a barrier left out: "flag-last", "flag-last-B5".
struct candidate {
  const design* of = nullptr;
  unsigned without = 0;

  [[nodiscard]] std::string name() const;
};
/// @return  a candidate without design if there is none of that name
[[nodiscard]] candidate find_candidate(std::string_view name);

}  // namespace ufence::lab
