// The parts of scenarios over the product's sources.
#pragma once

#include <cstdint>
#include <source_location>

#include "lab/engine/hooks.h"
#include "lab/engine/scenario.h"
#include "ufence/base/atomic.h"
#include "ufence/fence/fence.h"

namespace ufence::lab {

/// settings::prelude for them: memory for fences, and what else the library sets up when it is
/// first used.
inline void warm_up() {
  new_fence made = fence::create(fence::allocate_contexts(1), 1).value();
  made.signal.signal();
}

/// The issuer's or the consumer's own lock: without a rank, as it is not one of ours.
class user_lock {
 public:
  void lock(std::source_location where = std::source_location::current()) {
    hooks::lock(&word_, where);
  }
  void unlock(std::source_location where = std::source_location::current()) {
    hooks::unlock(&word_, where);
  }

 private:
  std::uint32_t word_ = 0;
};

/// A pending fence.
inline new_fence make_fence(backend* data = nullptr) {
  new_fence made = fence::create(7, 1, data).value();
  name(*made.fence, "fence");
  return made;
}

/// An issuer's data. Ops look at `is_alive`, so that one that meets freed or retired data is found.
struct issuer_data : backend {
  explicit issuer_data(const backend_ops& table) : backend{&table} {}
  cell<bool> is_alive{true};

  static issuer_data& of(backend* data) { return *static_cast<issuer_data*>(data); }
};

/// A callback that counts its runs, and may free itself then.
struct counting : callback {
  counting(cell<int>& runs, bool frees_itself)
      : callback(&counting::run), runs_(runs), frees_itself_(frees_itself) {}
  static void run(callback& node, fence&) noexcept {
    auto& self = static_cast<counting&>(node);
    self.runs_.set(self.runs_.get() + 1);
    if (self.frees_itself_) delete &self;
  }

 private:
  cell<int>& runs_;
  const bool frees_itself_;
};

}  // namespace ufence::lab
