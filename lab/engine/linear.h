// Runs one execution step by step: a chooser says who goes next, what a load reads, where a store
// stands.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "lab/engine/graph.h"
#include "lab/engine/machine.h"

namespace ufence::lab {

/// How an execution ended.
enum class ending : std::uint8_t {
  complete,  // all threads ended
  blocked,   // some wait, for nothing that counts as a failure (a deadline)
  pruned,    // given up: another execution stands for it
  failed,    // machine::found() says what
};

class chooser {
 public:
  virtual ~chooser() = default;
  /// One of the threads in the mask.
  virtual unsigned thread(const machine& m, unsigned ready) = 0;
  /// The store to read, or to stand behind: an index into options, which begin with the newest
  /// store.
  virtual std::size_t store(const machine& m, const std::vector<event_id>& options,
                            std::size_t newest_rank) = 0;
  /// 0 to n-1.
  virtual std::uint64_t number(std::uint64_t n) = 0;
  /// Whether a weak compare-exchange fails that need not.
  virtual bool fails() { return false; }
  /// Whether thread() also wants to know those that go round in a loop, and would only look again
  /// at what they saw.
  [[nodiscard]] virtual bool wants_all() const { return false; }
  /// A thread is started: its number, which is usually `usual`; or 0, and the machine has one.
  virtual unsigned started(unsigned usual) {
    static_cast<void>(usual);
    return 0;
  }
  /// Before thread(): one that waits, to look at what is there now; or max_threads.
  virtual unsigned looks(const machine&) { return max_threads; }
  /// An operation is done.
  virtual void done() {}
  /// The execution is not wanted any more.
  [[nodiscard]] virtual bool gives_up() const { return false; }
};

/// Clears the graph and runs one execution.
/// @param trace  if not null, gets the threads' steps
ending run_linear(machine& m, chooser& choose, std::string* trace = nullptr);

/// The awaited word or lock of each waiting thread; says what kind of failure it is.
/// @param spinning  a bit for each thread that goes round in a loop
[[nodiscard]] problem describe_deadlock(machine& m, unsigned spinning);

/// The threads' steps of an execution, to be repeated by a replay chooser: a letter for the thread;
/// a number for how many newer stores a load or store leaves aside, for a choice, or for an unusual
/// number of a thread that is started; a ! where a
/// weak compare-exchange fails though it need not. A capital: a
/// thread that waits looks at what is there, and waits for something newer.
/// @param undone  loads of waiting threads that only stand in the graph
[[nodiscard]] std::string trace_of(machine& m, const std::vector<event_id>& undone = {});

}  // namespace ufence::lab
