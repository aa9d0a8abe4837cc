// The functions that compilers call for -fsanitize=thread: functions, plain accesses, tables of virtual
// functions.
#include "lab/check/runtime/runtime.h"

using ufence::lab::failure;
using namespace ufence::lab::check;

namespace {

// A thread that reads plain data for ever would never let others go on.
void look_around(std::source_location where) noexcept {
  constexpr std::uint64_t often = 2000;
  constexpr std::uint64_t too_often = 4'000'000;
  run_counts& c = counts();
  if (const std::size_t events = m().order().size(); c.events != events)
    c = {events, 0, c.limits_surprises};
  if (++c.reads % often != 0) return;
  if (c.reads >= too_often) {
    fail_at(failure::not_explorable, "reads plain data 4,000,000 times and does nothing else",
            where);
  }
  ufence::lab::hooks::pause(where);
}

[[gnu::always_inline]] inline void plain_read(const void* at, std::size_t bytes,
                                              std::source_location where) noexcept {
  if (!in_model()) return;
  constexpr std::uintptr_t first_page = 4096;
  if (reinterpret_cast<std::uintptr_t>(at) < first_page) {
    fail_at(failure::bad_access, "reads through a null pointer", where);
  }
  read(at, bytes, where);
  look_around(where);
  ufence::lab::hooks::clear_dead_stack();
}
[[gnu::always_inline]] inline void plain_write(const void* at, std::size_t bytes,
                                               std::source_location where) noexcept {
  if (!in_model()) return;
  constexpr std::uintptr_t first_page = 4096;
  if (reinterpret_cast<std::uintptr_t>(at) < first_page) {
    fail_at(failure::bad_access, "writes through a null pointer", where);
  }
  write(at, bytes, where);
  ufence::lab::hooks::clear_dead_stack();
}

}  // namespace

UFENCE_LAB_EXPORT void __tsan_init() {}
UFENCE_LAB_EXPORT void __tsan_func_entry(void* from) { enter(from); }
UFENCE_LAB_EXPORT void __tsan_func_exit(void*) { leave(); }

#define UFENCE_LAB_PLAIN(bytes)                                                                   \
  UFENCE_LAB_EXPORT void __tsan_read##bytes(void* at) { plain_read(at, bytes, UFENCE_LAB_HERE); } \
  UFENCE_LAB_EXPORT void __tsan_write##bytes(void* at) {                                          \
    plain_write(at, bytes, UFENCE_LAB_HERE);                                                      \
  }                                                                                               \
  UFENCE_LAB_EXPORT void __tsan_unaligned_read##bytes(const void* at) {                           \
    plain_read(at, bytes, UFENCE_LAB_HERE);                                                       \
  }                                                                                               \
  UFENCE_LAB_EXPORT void __tsan_unaligned_write##bytes(void* at) {                                \
    plain_write(at, bytes, UFENCE_LAB_HERE);                                                      \
  }                                                                                               \
  UFENCE_LAB_EXPORT void __tsan_read_write##bytes(void* at) {                                     \
    plain_read(at, bytes, UFENCE_LAB_HERE);                                                       \
    plain_write(at, bytes, UFENCE_LAB_HERE);                                                      \
  }
UFENCE_LAB_PLAIN(1)
UFENCE_LAB_PLAIN(2)
UFENCE_LAB_PLAIN(4)
UFENCE_LAB_PLAIN(8)
UFENCE_LAB_PLAIN(16)

UFENCE_LAB_EXPORT void __tsan_vptr_update(void* at, void*) {
  plain_write(at, sizeof(void*), UFENCE_LAB_HERE);
}
UFENCE_LAB_EXPORT void __tsan_vptr_read(void* at) {
  plain_read(at, sizeof(void*), UFENCE_LAB_HERE);
}
UFENCE_LAB_EXPORT void __tsan_read_range(void* at, long bytes) {
  const std::source_location where = UFENCE_LAB_HERE;
  read_copied(at, static_cast<std::size_t>(bytes), where);
  ufence::lab::hooks::clear_dead_stack();
}
UFENCE_LAB_EXPORT void __tsan_write_range(void* at, long bytes) {
  plain_write(at, static_cast<std::size_t>(bytes), UFENCE_LAB_HERE);
}
