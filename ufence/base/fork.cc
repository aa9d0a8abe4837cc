#include "ufence/base/fork.h"

#include <pthread.h>

#include <array>
#include <cstddef>

#include "ufence/base/check.h"

namespace ufence {
namespace detail {

constinit std::uint32_t fork_generation = 0;

}  // namespace detail

namespace {

// The parts by rising place. Written while the library is loaded. They are copies: the objects that
// registered them are static ones of other sources, in whatever order these are initialized.
struct part {
  unsigned place;
  fork_part::functions functions;
};
constinit std::array<part, 32> parts{};
constinit std::size_t part_count = 0;

// The child has one thread, and what others read before they read in its parent. ThreadSanitizer
// takes those reads for a race with this write.
[[gnu::noinline, gnu::no_sanitize_thread]] void begin_generation() noexcept {
  ++detail::fork_generation;
}

// One registration for all: the order of several would be that in which the library was linked.
struct fork_handler {
  fork_handler() noexcept {
    pthread_atfork([] { fork_part::run_before(); },
                   [] { fork_part::run_after(&fork_part::functions::in_parent); },
                   [] {
                     begin_generation();
                     fork_part::run_after(&fork_part::functions::in_child);
                   });
  }
};
const fork_handler at_load;

}  // namespace

fork_part::fork_part(unsigned place, functions f) noexcept {
  UFENCE_CHECK(part_count < parts.size());
  std::size_t at = part_count++;
  for (; at != 0 && parts[at - 1].place > place; --at) parts[at] = parts[at - 1];
  parts[at] = {.place = place, .functions = f};
}

void fork_part::run_before() noexcept {
  for (std::size_t i = 0; i < part_count; ++i) parts[i].functions.before();
}

void fork_part::run_after(function functions::*which) noexcept {
  for (std::size_t i = part_count; i-- != 0;) (parts[i].functions.*which)();
}

}  // namespace ufence
