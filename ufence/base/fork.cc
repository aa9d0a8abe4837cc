#include "ufence/base/fork.h"

#include <pthread.h>

namespace ufence {
namespace detail {

constinit std::uint32_t fork_generation = 0;

}  // namespace detail

namespace {

// The parts by rising place. Written while the library is loaded.
constinit fork_part* first_part = nullptr;
constinit fork_part* last_part = nullptr;

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

fork_part::fork_part(unsigned place, functions f) noexcept : place_(place), functions_(f) {
  previous_ = last_part;
  while (previous_ != nullptr && previous_->place_ > place) previous_ = previous_->previous_;
  next_ = previous_ != nullptr ? previous_->next_ : first_part;
  (previous_ != nullptr ? previous_->next_ : first_part) = this;
  (next_ != nullptr ? next_->previous_ : last_part) = this;
}

void fork_part::run_before() noexcept {
  for (const fork_part* p = first_part; p != nullptr; p = p->next_) p->functions_.before();
}

void fork_part::run_after(function functions::*which) noexcept {
  for (const fork_part* p = last_part; p != nullptr; p = p->previous_) (p->functions_.*which)();
}

}  // namespace ufence
