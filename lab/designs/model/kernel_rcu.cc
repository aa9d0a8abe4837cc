#include "lab/designs/model/kernel_rcu.h"

#include <array>
#include <cstdint>

#include "lab/designs/model/design.h"
#include "lab/engine/hooks.h"
#include "lab/engine/scenario.h"

namespace ufence::lab::kernel_rcu {
namespace {

using site = std::source_location;

// Each thread has a lock of its own: held in its read sections, passed through by grace periods.
// Both arrays are put back whenever an execution begins.
struct reader {
  std::uint32_t lock = 0;
  int nesting = 0;
};
std::array<reader, scenario_threads> readers{};

}  // namespace

void read_lock() noexcept {
  reader& mine = readers.at(this_thread());
  if (mine.nesting++ == 0) hooks::lock(&mine.lock, site::current());
}

void read_unlock() noexcept {
  reader& mine = readers.at(this_thread());
  if (--mine.nesting == 0) hooks::unlock(&mine.lock, site::current());
}

void name_all() noexcept { name(readers, "RCU readers"); }

void synchronize() noexcept {
  for (reader& r : readers) {
    hooks::lock(&r.lock, site::current());
    hooks::unlock(&r.lock, site::current());
  }
}

}  // namespace ufence::lab::kernel_rcu
