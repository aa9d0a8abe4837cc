// Where the program is: in the explorer itself, in a prelude, or on a model thread.
#pragma once

#include <cstdint>

namespace ufence::lab {

class machine;

namespace mode {

enum class place : std::uint8_t {
  outside,  // the explorer, the test: the doubles act on real memory
  prelude,  // as outside, but what is allocated belongs to the scenario
  model,    // on a model thread: each access goes to the machine
};
using enum place;

// Constant initialized; the same whenever an execution begins, when static data is put back.
extern place now;
extern machine* running;

/// The explorer at work on the stack of a model thread: what it allocates is its own.
class outside_scope {
 public:
  outside_scope() noexcept : before_(now) { now = outside; }
  ~outside_scope() { now = before_; }
  outside_scope(const outside_scope&) = delete;
  outside_scope& operator=(const outside_scope&) = delete;

 private:
  place before_;
};

}  // namespace mode
}  // namespace ufence::lab
