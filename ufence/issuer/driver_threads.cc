#include "ufence/issuer/driver_threads.h"

#include <cxxabi.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <new>

#include "ufence/base/alloc.h"
#include "ufence/base/check.h"
#include "ufence/base/futex_until.h"
#include "ufence/base/system_thread.h"
#include "ufence/base/tls.h"
#include "ufence/issuer/module_scope.h"

namespace ufence::detail {
namespace {

constexpr std::size_t name_max = 15;  // what the kernel keeps

struct this_thread;  // tag of the driver's thread that runs here

}  // namespace

struct driver_threads::thread {
  driver_threads* owner = nullptr;
  void (*function)(void*) = nullptr;
  void* argument = nullptr;
  std::array<char, name_max + 1> name{};
  system_thread system;
  thread* next = nullptr;              // guarded by the owner's lock
  atomic<std::uint32_t> has_ended{0};  // the function has; its thread_local objects may remain
};

namespace {

const void*& running_here() noexcept { return per_thread<this_thread, const void*>::get(); }

}  // namespace

driver_threads::~driver_threads() {
  UFENCE_CHECK(first_ == nullptr && "a driver's threads are joined before it goes");
}

void* driver_threads::run(void* argument) {
  thread& t = *static_cast<thread*>(argument);
  system_thread::name_this(t.name.data());
  running_here() = &t;
  struct end {
    thread& of;
    ~end() {
      // relaxed: a caller that sees it joins the thread, which orders what it did
      of.has_ended.store(1, mo::relaxed);
      futex_wake_all(of.has_ended);
    }
  } at_end{t};
  const module_scope scope(t.owner->of_, module_scope::thread_of::module);
  try {
    t.function(t.argument);
  } catch (abi::__forced_unwind&) {  // pthread_exit()
    throw;
  } catch (const std::exception& e) {
    report_exception(t.owner->of_, "a thread", abi::__cxa_current_exception_type(), e.what());
  } catch (...) {
    report_exception(t.owner->of_, "a thread", abi::__cxa_current_exception_type(), nullptr);
  }
  return nullptr;
}

int driver_threads::start(const char* name, void (*function)(void*), void* argument) noexcept {
  if (function == nullptr) return -EINVAL;
  join_ended();
  void* const memory = allocate(sizeof(thread));
  if (memory == nullptr) return -ENOMEM;
  auto* const t = ::new (memory) thread;
  t->owner = this;
  t->function = function;
  t->argument = argument;
  if (name != nullptr) std::strncpy(t->name.data(), name, name_max);
  int failed = 0;
  {
    const scoped_lock hold(lock_);
    if (is_closed_) {
      failed = ESHUTDOWN;
    } else {
      failed = t->system.start(&run, t);
    }
    if (failed == 0) {
      t->next = first_;
      first_ = t;
      return 0;
    }
  }
  t->~thread();
  deallocate(t);
  return -failed;
}

void driver_threads::close() noexcept {
  const scoped_lock hold(lock_);
  is_closed_ = true;
}

void driver_threads::remove(thread& t) noexcept {
  const scoped_lock hold(lock_);
  thread** at = &first_;
  while (*at != &t) at = &(*at)->next;
  *at = t.next;
}

// Drivers that start and end threads all the time do not pile them up.
void driver_threads::join_ended() noexcept {
  thread* ended = nullptr;
  {
    const scoped_lock hold(lock_);
    if (is_closed_) return;  // who unloads joins them
    for (thread** at = &first_; *at != nullptr;) {
      thread* const t = *at;
      if (!t->system.try_join()) {
        at = &t->next;
        continue;
      }
      *at = t->next;
      t->next = ended;
      ended = t;
    }
  }
  while (ended != nullptr) {
    thread* const t = ended;
    ended = t->next;
    t->~thread();
    deallocate(t);
  }
}

bool driver_threads::join(thread& t, std::int64_t deadline_ns) noexcept {
  const bool has_ended = futex_wait_until(t.has_ended, deadline_ns, [&t](std::uint32_t& ended) {
    // relaxed: the join orders
    ended = t.has_ended.load(mo::relaxed);
    return ended != 0;
  });
  // A destructor may hang as well as a function.
  return has_ended && t.system.join(deadline_ns);
}

bool driver_threads::join_all(std::int64_t deadline_ns) noexcept {
  for (;;) {
    thread* t = nullptr;
    {
      const scoped_lock hold(lock_);
      t = first_;
      if (t != nullptr && t == running_here()) t = t->next;
    }
    if (t == nullptr) return true;
    if (!join(*t, deadline_ns)) return false;
    remove(*t);
    t->~thread();
    deallocate(t);
  }
}

void driver_threads::abandon() noexcept {
  const scoped_lock hold(lock_);
  for (const thread* t = first_; t != nullptr; t = t->next) t->system.detach();
}

std::vector<std::string> driver_threads::names() const {
  const scoped_lock hold(lock_);
  std::vector<std::string> all;
  for (const thread* t = first_; t != nullptr; t = t->next) all.emplace_back(t->name.data());
  return all;
}

}  // namespace ufence::detail
