// Module code that runs on this thread: known by name, and no exception leaves it.
#pragma once

#include <cxxabi.h>

#include <string_view>
#include <typeinfo>
#include <utility>

#include "ufence/base/tls.h"
#include "ufence/issuer/host.h"

namespace ufence::detail {

/// Marks that this thread is inside the code of a device's module. Frames nest; an owner is its thread.
class module_scope {
 public:
  explicit module_scope(device::impl& of) noexcept : of_(of), outer_(top::get()) {
    top::get() = this;
  }
  ~module_scope() { top::get() = outer_; }
  module_scope(const module_scope&) = delete;
  module_scope& operator=(const module_scope&) = delete;

  /// The device whose module called us, or nullptr.
  [[nodiscard]] static device::impl* innermost() noexcept {
    return top::get() != nullptr ? &top::get()->of_ : nullptr;
  }
  /// Is this thread inside that device's module, at any depth?
  [[nodiscard]] static bool is_inside(const device::impl& of) noexcept {
    for (const module_scope* s = top::get(); s != nullptr; s = s->outer_) {
      if (&s->of_ == &of) return true;
    }
    return false;
  }

 private:
  struct tag;
  using top = per_thread<tag, const module_scope*>;

  device::impl& of_;
  const module_scope* const outer_;
};

/// Tells that an entry of a module threw (D-4).
void report_exception(const device::impl& of, std::string_view entry,
                      const std::type_info* type) noexcept;

/// Calls an entry of a module; what it throws is reported and becomes `otherwise`.
template <class Result, class Call>
Result call_module(device::impl& of, std::string_view entry, Result otherwise, Call call) noexcept {
  const module_scope scope(of);
  try {
    return std::forward<Call>(call)();
  } catch (...) {
    report_exception(of, entry, abi::__cxa_current_exception_type());
    return otherwise;
  }
}
template <class Call>
void call_module(device::impl& of, std::string_view entry, Call call) noexcept {
  static_cast<void>(call_module(of, entry, 0, [&call] { return call(), 0; }));
}

}  // namespace ufence::detail
