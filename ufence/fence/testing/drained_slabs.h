// For tests that are built with the double of ufence/base/alloc.h: makes the next fence need pages.
#pragma once

#include <functional>
#include <system_error>
#include <utility>
#include <vector>

#include "ufence/base/alloc.h"
#include "ufence/base/result.h"
#include "ufence/fence/fence.h"

namespace ufence::testing {

/// Holds all free slots, so that the next fence needs pages.
class drained_slabs {
 public:
  explicit drained_slabs(std::function<result<new_fence>()> create) {
    allocations::refuse_all = 1;
    for (;;) {
      result<new_fence> made = create();
      if (!made) break;
      held_.push_back(std::move(*made));
    }
    allocations::refuse_all = 0;
  }
  ~drained_slabs() {
    for (new_fence& made : held_) made.signal.signal();
  }

 private:
  std::vector<new_fence> held_;
};

template <class T>
std::error_code error_of(const result<T>& r) {
  return r ? std::error_code() : r.error();
}

}  // namespace ufence::testing
