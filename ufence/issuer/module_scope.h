// Module code that runs on this thread: known by name; no exception leaves it, nor pthread_exit(), and it
// is not cancelled there.
#pragma once

#include <cxxabi.h>
#include <pthread.h>

#include <cstdint>
#include <cstdint>
#include <exception>
#include <string_view>
#include <typeinfo>
#include <utility>

#include "ufence/base/tls.h"
#include "ufence/issuer/host.h"

namespace ufence::detail {

/// Marks that this thread is inside the code of a device's module. Frames nest; an owner is its thread.
class module_scope {
 public:
  /// Whose thread runs the code: one of the host's is not cancelled inside, for nobody would leave.
  enum class thread_of : std::uint8_t { host, module };

  explicit module_scope(device::impl& of, thread_of whose = thread_of::host) noexcept
      : of_(of), outer_(top::get()), protects_(outer_ == nullptr && whose == thread_of::host) {
    if (protects_) ::pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &could_cancel_);
    top::get() = this;
  }
  ~module_scope() {
    top::get() = outer_;
    if (protects_) ::pthread_setcancelstate(could_cancel_, nullptr);
  }
  module_scope(const module_scope&) = delete;
  module_scope& operator=(const module_scope&) = delete;

  /// The device whose module called us, or nullptr.
  [[nodiscard]] static device::impl* innermost() noexcept {
    return top::get() != nullptr ? &top::get()->of_ : nullptr;
  }
  /// Where this thread is; null: in no module.
  [[nodiscard]] static const module_scope* current() noexcept { return top::get(); }
  /// Is this thread inside that device's module, at any depth?
  [[nodiscard]] static bool is_inside(const device::impl& of) noexcept { return is_inside(of, current()); }
  /// The same of a thread that stands still.
  /// @param at  where it is
  [[nodiscard]] static bool is_inside(const device::impl& of, const module_scope* at) noexcept {
    for (const module_scope* s = at; s != nullptr; s = s->outer_) {
      if (&s->of_ == &of) return true;
    }
    return false;
  }

 private:
  struct tag;
  using top = per_thread<tag, const module_scope*>;

  device::impl& of_;
  const module_scope* const outer_;
  const bool protects_;
  int could_cancel_ = PTHREAD_CANCEL_ENABLE;  // what this thread had
};

/// Tells that an entry of a module threw (D-4), and what.
/// @param what  of the exception; null: it is none of the standard's
void report_exception(const device::impl& of, std::string_view entry, const std::type_info* type,
                      const char* what) noexcept;
/// Tells that an entry of a module called pthread_exit().
void report_thread_exit(const device::impl& of, std::string_view entry) noexcept;

/// In a handler that has caught the unwinding of pthread_exit(): lets the thread live on. Without it the
/// C library ends the process at the handler's end.
void survive_thread_exit() noexcept;

/// Calls an entry of a module; what it throws is reported and becomes `otherwise`. (The unwinding of a
/// thread has no object: g++ binds the reference that catches it to nothing.)
template <class Result, class Call>
__attribute__((no_sanitize("undefined"))) Result call_module(device::impl& of,
                                                             std::string_view entry,
                                                             Result otherwise,
                                                             Call call) noexcept {
  const module_scope scope(of);
  try {
    return std::forward<Call>(call)();
  } catch (abi::__forced_unwind&) {
    survive_thread_exit();
    report_thread_exit(of, entry);
  } catch (const std::exception& e) {
    report_exception(of, entry, abi::__cxa_current_exception_type(), e.what());
  } catch (...) {
    report_exception(of, entry, abi::__cxa_current_exception_type(), nullptr);
  }
  return otherwise;
}
template <class Call>
void call_module(device::impl& of, std::string_view entry, Call call) noexcept {
  static_cast<void>(call_module(of, entry, 0, [&call] { return call(), 0; }));
}

}  // namespace ufence::detail
