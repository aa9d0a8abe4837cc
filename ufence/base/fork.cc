#include "ufence/base/fork.h"

#include <pthread.h>

namespace ufence {
namespace detail {

constinit std::uint32_t fork_generation = 0;

}  // namespace detail

namespace {

struct fork_handler {
  fork_handler() noexcept {
    pthread_atfork(nullptr, nullptr, [] { ++detail::fork_generation; });
  }
};
const fork_handler at_load;

}  // namespace
}  // namespace ufence
