// Double of ufence/base/system_thread.h for the lab: a model thread. As all of them it is started
// by the main thread of the scenario.
#pragma once

#include <cstdint>

#include "lab/engine/scenario.h"
#include "ufence/base/atomic.h"

namespace ufence {

class system_thread {
 public:
  [[nodiscard]] int start(void* (*function)(void*), void* argument) noexcept {
    function_ = function;
    argument_ = argument;
    number_ = lab::detail::start_thread("driver's", &run, this, std::source_location::current());
    return 0;
  }
  static void name_this(const char*) noexcept {}
  static void yield() noexcept {}

  [[nodiscard]] bool try_join() noexcept {
    // The question is whether the thread has gone.
    return has_gone_.load(mo::acquire) != 0 && join(INT64_MAX);
  }
  [[nodiscard]] bool join(std::int64_t) noexcept {
    lab::detail::join_thread(number_, std::source_location::current());
    return true;
  }
  void detach() const noexcept {}

 private:
  static void run(void* self) {
    auto& t = *static_cast<system_thread*>(self);
    t.function_(t.argument_);
    t.has_gone_.store(1, mo::release);
  }

  void* (*function_)(void*) = nullptr;
  void* argument_ = nullptr;
  unsigned number_ = 0;
  atomic<std::uint32_t> has_gone_{0};
};

}  // namespace ufence
