#include "ufence/issuer/module_scope.h"

#include <unwind.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <memory>

#include "ufence/issuer/device_impl.h"
#include "ufence/issuer/violations.h"

namespace ufence::detail {
namespace {

// The words that the C++ ABI puts before an exception's unwinding header, and the first word of what
// __cxa_get_globals() returns: the exception that is being handled, by its beginning.
struct abi_exception {
  std::type_info* type;
  void (*destructor)(void*);
  void (*unexpected)();
  void (*terminate)();
  void* next;
  int handlers;
  int selector;
  const unsigned char* action;
  const unsigned char* data;
  void* landing;
  void* adjusted;
  _Unwind_Exception header;
};
struct abi_globals {
  abi_exception* caught;
};

struct freed {
  void operator()(char* text) const noexcept { std::free(text); }
};

}  // namespace

void survive_thread_exit() noexcept {
  const auto* const globals = reinterpret_cast<const abi_globals*>(abi::__cxa_get_globals());
  // The C library's function for an unwinding that somebody stopped: it ends the process.
  globals->caught->header.exception_cleanup = nullptr;
}

void report_exception(const device::impl& of, std::string_view entry, const std::type_info* type,
                      const char* what) noexcept {
  int failed = 0;
  const std::unique_ptr<char, freed> name(
      type != nullptr ? abi::__cxa_demangle(type->name(), nullptr, nullptr, &failed) : nullptr);
  const char* const shown = name           ? name.get()
                            : type != nullptr ? type->name()
                                              : "of another language";
  std::array<char, 512> text;
  std::snprintf(text.data(), text.size(), "D-4: %.*s threw an exception (%s)%s%s",
                static_cast<int>(entry.size()), entry.data(), shown, what != nullptr ? ": " : "",
                what != nullptr ? what : "");
  report_driver(of, 0, text.data());
}

void report_thread_exit(const device::impl& of, std::string_view entry) noexcept {
  std::array<char, 256> text;
  std::snprintf(text.data(), text.size(),
                "D-24: %.*s called pthread_exit() on a thread of the host: the call failed, the thread "
                "goes on",
                static_cast<int>(entry.size()), entry.data());
  report_driver(of, 0, text.data());
}

}  // namespace ufence::detail
