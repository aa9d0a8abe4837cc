#include "ufence/module/bounded_call.h"

#include <dlfcn.h>

#include <cerrno>
#include <new>

#include "ufence/base/check.h"
#include "ufence/base/clock.h"
#include "ufence/base/futex.h"
#include "ufence/base/futex_until.h"

namespace ufence::detail {

bounded_call::~bounded_call() { UFENCE_CHECK(!is_under_way_ && "a call has returned before it goes"); }

void* bounded_call::run(void* self) {
  auto& c = *static_cast<bounded_call*>(self);
  system_thread::name_this("ufence-unload");
  c.fn_(c.argument_);
  // relaxed: a caller that sees it joins the thread, which orders what it did
  c.has_returned_.store(1, mo::relaxed);
  futex_wake_all(c.has_returned_);
  return nullptr;
}

bool bounded_call::call(function fn, void* argument, std::int64_t deadline_ns) noexcept {
  if (is_under_way_) return wait(deadline_ns);
  fn_ = fn;
  argument_ = argument;
  // relaxed: the thread is started later
  has_returned_.store(0, mo::relaxed);
  if (deadline_ns == no_deadline || thread_.start(&run, this) != 0) {
    fn(argument);
    return true;
  }
  begun_ns_ = now_ns();
  is_under_way_ = true;
  return wait(deadline_ns);
}

bool bounded_call::wait(std::int64_t deadline_ns) noexcept {
  const bool has_returned =
      futex_wait_until(has_returned_, deadline_ns, [this](std::uint32_t& word) noexcept {
        word = has_returned_.load(mo::relaxed);  // relaxed: the join orders
        return word != 0;
      });
  if (!has_returned) return false;
  if (!thread_.join(deadline_ns)) return false;
  is_under_way_ = false;
  return true;
}

std::int64_t bounded_call::age_ns() const noexcept { return is_under_way_ ? now_ns() - begun_ns_ : 0; }

bool is_linker_locked() noexcept {
  constexpr std::int64_t moment_ns = 200'000'000;
  auto* const look = new (std::nothrow) bounded_call;
  if (look == nullptr) return false;
  const auto take_the_lock = [](void*) {
    if (void* const program = ::dlopen(nullptr, RTLD_LAZY | RTLD_NOLOAD)) ::dlclose(program);
  };
  // A look that waits for the lock outlives this call; its few bytes stay.
  if (!look->call(take_the_lock, nullptr, deadline_after(moment_ns))) return true;
  delete look;
  return false;
}

}  // namespace ufence::detail
