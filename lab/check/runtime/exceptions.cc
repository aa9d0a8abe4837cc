// C++ exceptions of the explored program. The unwinder is the system's: it walks the stack of the
// model thread as any other. Exceptions lie in the scenario's memory; which of them a thread has
// caught and not ended, libstdc++ keeps for each system thread, and so it is put in place for each
// of its calls.
#include <cxxabi.h>
#include <unwind.h>

#include <cstring>
#include <exception>

#include "lab/check/runtime/runtime.h"

using namespace ufence::lab::check;
using ufence::lab::failure;
namespace hooks = ufence::lab::hooks;

namespace {

// As the ABI has it.
struct caught_exceptions {
  void* newest;
  unsigned uncaught;
};
caught_exceptions& of_system_thread() noexcept {
  return *reinterpret_cast<caught_exceptions*>(abi::__cxa_get_globals());
}

void put_in_place() noexcept { of_system_thread() = {mine().caught, mine().uncaught}; }
void take_back() noexcept {
  mine().caught = of_system_thread().newest;
  mine().uncaught = of_system_thread().uncaught;
}

// In front of what libstdc++ has in front of an exception.
struct alignas(16) own_header {
  void (*destroy)(void*);
};
constexpr std::size_t library_header_bytes = 128;

own_header* header_of(void* exception) noexcept {
  return reinterpret_cast<own_header*>(static_cast<char*>(exception) - library_header_bytes) - 1;
}

void free_exception(void* exception) noexcept { hooks::deallocate(header_of(exception), {}); }

// Its last catch has ended. What destroys it may let other threads go first.
void end_exception(_Unwind_Reason_Code, _Unwind_Exception* e) {
  take_back();
  void* const exception = e + 1;
  if (header_of(exception)->destroy != nullptr) header_of(exception)->destroy(exception);
  free_exception(exception);
  put_in_place();
}

}  // namespace

UFENCE_LAB_EXPORT void* UFENCE_LAB_CALL(__cxa_allocate_exception)(std::size_t bytes) {
  const std::source_location where = UFENCE_LAB_HERE;
  if (!in_model()) fail_at(failure::not_explorable, "throws", where);
  const std::size_t in_front = sizeof(own_header) + library_header_bytes;
  auto* const block = static_cast<char*>(hooks::allocate(in_front + bytes, 16, where));
  std::memset(block, 0, in_front);
  return block + in_front;
}
UFENCE_LAB_EXPORT void UFENCE_LAB_CALL(__cxa_free_exception)(void* exception) {
  free_exception(exception);
}

UFENCE_LAB_EXPORT void UFENCE_LAB_CALL(__cxa_throw)(void* exception, std::type_info* type,
                                                    void (*destroy)(void*)) {
  header_of(exception)->destroy = destroy;
  auto* const header =
      reinterpret_cast<int*>(abi::__cxa_init_primary_exception(exception, type, nullptr));
  *header = 1;  // how many refer to it
  auto* const e = static_cast<_Unwind_Exception*>(exception) - 1;
  e->exception_cleanup = &end_exception;
  ++mine().uncaught;
  _Unwind_RaiseException(e);
  std::terminate();  // nobody catches it
}
UFENCE_LAB_EXPORT void UFENCE_LAB_CALL(__cxa_rethrow)() {
  put_in_place();
  ++mine().uncaught;
  abi::__cxa_rethrow();
}
UFENCE_LAB_EXPORT void* UFENCE_LAB_CALL(__cxa_begin_catch)(void* e) {
  put_in_place();
  void* const exception = abi::__cxa_begin_catch(e);
  take_back();
  hooks::clear_dead_stack();
  return exception;
}
UFENCE_LAB_EXPORT void UFENCE_LAB_CALL(__cxa_end_catch)() {
  put_in_place();
  abi::__cxa_end_catch();
  take_back();
}
UFENCE_LAB_EXPORT void* UFENCE_LAB_CALL(__cxa_get_exception_ptr)(void* e) {
  return abi::__cxa_get_exception_ptr(e);
}
UFENCE_LAB_EXPORT bool UFENCE_LAB_CALL(_ZSt18uncaught_exceptionv)() { return mine().uncaught != 0; }
UFENCE_LAB_EXPORT int UFENCE_LAB_CALL(_ZSt19uncaught_exceptionsv)() {
  return static_cast<int>(mine().uncaught);
}

void ufence::lab::check::notice_uncaught_exceptions() {
  std::set_terminate([] {
    if (!in_model()) std::abort();
    fail_at(failure::check_failed, "throws what nobody catches, or out of what must not throw",
            UFENCE_LAB_HERE);
  });
}
