// The functions that the body of a scenario is written with. It runs on model threads, many times; it must do the
// same whenever the explorer decides the same: no real time, no random numbers, no addresses
// compared but those of the scenario. It may use new, delete and the standard containers: their
// memory is the scenario's. Data that threads share is atomic<T> or cell<T>; the explorer sees no
// other.
#pragma once

#include <atomic>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <source_location>
#include <utility>

#include "lab/engine/operation.h"

namespace ufence::lab {

namespace detail {
unsigned start_thread(const char* name, void (*run)(void*), void* argument,
                      std::source_location where);
void join_thread(unsigned thread, std::source_location where);
void await(const void* at, unsigned bytes, condition until, std::memory_order order,
           std::source_location where);
void observe(std::initializer_list<std::int64_t> values);
[[noreturn]] void check_failed(const char* condition, std::source_location where);
}  // namespace detail

/// A model thread. Only the main thread of the scenario may start some.
template <class Function>
class thread {
 public:
  thread(const char* name, Function function,
         std::source_location where = std::source_location::current())
      : function_(std::move(function)),
        number_(detail::start_thread(
            name, [](void* self) { static_cast<thread*>(self)->function_(); }, this, where)) {}
  ~thread() { join(); }
  thread(const thread&) = delete;
  thread& operator=(const thread&) = delete;

  void join(std::source_location where = std::source_location::current()) {
    if (!std::exchange(joined_, true)) detail::join_thread(number_, where);
  }

 private:
  Function function_;
  unsigned number_;
  bool joined_ = false;
};

/// Any of 0 to n-1: all of them are explored.
std::uint64_t choose(std::uint64_t n, std::source_location where = std::source_location::current());

/// A stand-alone fence: for models of designs that use them; the product does not.
void thread_fence(std::memory_order order,
                  std::source_location where = std::source_location::current());

/// A load that is done once the value is (or is not) `wanted`, seen through a mask.
/// The effect of a loop around a load, without its turns.
template <class Atomic, class Value>
void await(const Atomic& a, Value mask, Value wanted, std::memory_order order,
           std::source_location where = std::source_location::current()) {
  static_assert(sizeof(Atomic) == sizeof(Value));
  condition until;
  std::memcpy(&until.mask, &mask, sizeof mask);
  std::memcpy(&until.wanted, &wanted, sizeof wanted);
  detail::await(a.address(), sizeof(Value), until, order, where);
}

/// The outcome of this execution; report::outcomes counts them.
template <class... Values>
void observe(Values... values) {
  detail::observe({static_cast<std::int64_t>(values)...});
}

/// The number of the model thread that runs; main is 0.
[[nodiscard]] unsigned this_thread();

/// Says in traces what begins here; `text` is a literal.
void remark(const char* text, std::source_location where = std::source_location::current());

/// Names an object in traces.
void name(const void* at, std::size_t bytes, const char* name);
template <class T>
void name(const T& object, const char* as) {
  name(&object, sizeof object, as);
}

}  // namespace ufence::lab

/// A condition that must hold; if not, the execution is shown.
#define LAB_CHECK(...)        \
  ((__VA_ARGS__)              \
       ? static_cast<void>(0) \
       : ::ufence::lab::detail::check_failed(#__VA_ARGS__, std::source_location::current()))
