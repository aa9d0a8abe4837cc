#include "ufence/module/process_end.h"

#include <cxxabi.h>

// Of the C++ ABI, as __cxa_atexit() is; <cxxabi.h> leaves it out.
extern "C" void __cxa_finalize(void* owner);  // NOLINT(bugprone-reserved-identifier)
extern "C" int __cxa_atexit(void (*function)(void*), void* argument,  // NOLINT(bugprone-reserved-identifier)
                            void* owner) noexcept;

namespace ufence::detail {

bool at_process_end(void (*function)(void*), void* argument, void* owner) noexcept {
  return ::__cxa_atexit(function, argument, owner) == 0;
}

void forget_process_end(void* owner) noexcept { ::__cxa_finalize(owner); }

}  // namespace ufence::detail
