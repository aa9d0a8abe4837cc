#include "ufence/rcu/readers.h"

#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

#define URCU_API_MAP
#include <urcu/urcu-bp.h>

#include <array>
#include <cstddef>

#include "ufence/base/atomic.h"

namespace ufence::rcu::detail {

namespace {

// Where a reader's count of nested sections is. Not the reader itself: liburcu aligns it less than its type
// asks for.
using section_count = unsigned long;
static_assert(offsetof(struct urcu_bp_reader, ctr) == 0);

// The counts of as many threads as ever read at once. Of more than fit some are not known, and then only
// a grace period of liburcu's tells whether they have passed.
constexpr std::size_t known_max = 512;
constinit std::array<atomic<const section_count*>, known_max> readers{};
constinit atomic<std::size_t> reader_count{0};

const struct urcu_bp_reader not_noted{};

// The barrier that liburcu has on the side that waits: its readers have no barrier where the kernel has
// membarrier().
bool barrier_of_all() noexcept {
  if (urcu_bp_has_sys_membarrier != 0) {
    return ::syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) == 0;
  }
  cmm_smp_mb();
  return true;
}

// The order that matters is between the barriers of the thread that frees and what a reader's thread does one after
// the other: it is counted, its place is filled, it begins a section. A place that is not filled yet is of a
// thread that has no section yet.
bool are_quiet() noexcept {
  // relaxed: as said
  const std::size_t n = reader_count.load(mo::relaxed);
  if (n > known_max) return false;
  for (std::size_t i = 0; i < n; ++i) {
    // [RCU.14] acquire: the memory that liburcu has made for the count; pairs with [RCU.13]
    const section_count* reader = readers[i].load(mo::acquire);
    if (reader != nullptr && (CMM_LOAD_SHARED(*reader) & URCU_BP_GP_CTR_NEST_MASK) != 0) {
      return false;
    }
  }
  return true;
}

// Was the place noted by a thread that had it before?
bool is_noted(const section_count* place) noexcept {
  // relaxed: liburcu's lock is between that thread and this one
  const std::size_t n = reader_count.load(mo::relaxed);
  for (std::size_t i = 0; i < n && i < known_max; ++i) {
    if (readers[i].load(mo::relaxed) == place) return true;
  }
  return false;
}

}  // namespace

__thread const struct urcu_bp_reader* known_reader = &not_noted;

void note_reader() noexcept {
  if (URCU_TLS(urcu_bp_reader) == nullptr) urcu_bp_register();
  const auto* mine = reinterpret_cast<const section_count*>(URCU_TLS(urcu_bp_reader));
  if (!is_noted(mine)) {
    // relaxed: are_quiet()
    const std::size_t at = reader_count.fetch_add(1, mo::relaxed);
    // [RCU.13] release: the memory that liburcu has made for the count; pairs with [RCU.14]
    if (at < known_max) readers[at].store(mine, mo::release);
  }
  known_reader = URCU_TLS(urcu_bp_reader);
}

bool seem_quiet() noexcept { return are_quiet(); }

// An object that this thread took out of reach before is not reached by a section that begins after the first
// barrier, and a section that began before it is seen here. What was done in a section whose end is seen
// here is before the second.
bool have_passed() noexcept { return barrier_of_all() && are_quiet() && barrier_of_all(); }

}  // namespace ufence::rcu::detail
