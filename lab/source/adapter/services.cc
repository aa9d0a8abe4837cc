// The functions that service/service.h calls: locks, RCU, work in interrupts, warnings. The program's objects
// call these under the names of lab/check (UFENCE_LAB_CALL).
#include <array>
#include <string>

#include "lab/check/runtime/runtime.h"
#include "lab/designs/model/design.h"
#include "lab/designs/model/kernel_rcu.h"
#include "lab/engine/scenario.h"
#include "lab/source/adapter/services.h"

namespace ufence::lab::kernel_source {
namespace {

using check::fail_at;

// Put back whenever an execution begins.
struct thread_services {
  struct call {
    void (*run)(void*);
    void* argument;
  };
  static constexpr std::size_t calls_max = 16;
  unsigned spinlocks = 0;
  unsigned sections = 0;
  bool runs_calls = false;
  std::array<call, calls_max> works{};  // of interrupts
  std::size_t work_count = 0;
  std::array<call, calls_max> frees{};  // behind a grace period
  std::size_t free_count = 0;
};
std::array<thread_services, scenario_threads> all_services{};

thread_services& mine() { return all_services.at(check::in_model() ? check::m().current() : 0); }

void add(std::array<thread_services::call, thread_services::calls_max>& to, std::size_t& count,
         thread_services::call added, std::source_location where) {
  if (count == to.size()) fail_at(failure::not_explorable, "puts off too many calls", where);
  to[count++] = added;
}

// Interrupts come once the thread holds no spinlock; a grace period can't end before it has left
// its read sections. It then waits for that itself: there is no thread of RCU's own.
void run_what_waits() {
  thread_services& t = mine();
  if (t.runs_calls || t.spinlocks != 0) return;
  t.runs_calls = true;
  while (t.work_count != 0 || (t.free_count != 0 && t.sections == 0)) {
    if (t.work_count != 0) {
      const thread_services::call work = t.works[0];
      for (std::size_t i = 1; i < t.work_count; ++i) t.works[i - 1] = t.works[i];
      t.works[--t.work_count] = {};
      work.run(work.argument);
      continue;
    }
    const thread_services::call last = t.frees[--t.free_count];
    t.frees[t.free_count] = {};
    if (check::in_model()) kernel_rcu::synchronize();
    last.run(last.argument);
  }
  t.runs_calls = false;
}

}  // namespace

bool holds_spinlock() { return mine().spinlocks != 0; }

}  // namespace ufence::lab::kernel_source

using namespace ufence::lab;
using kernel_source::mine;

UFENCE_LAB_EXPORT void UFENCE_LAB_CALL(kernel_lock)(unsigned* word) {
  hooks::lock(word, UFENCE_LAB_HERE);
  ++mine().spinlocks;
}
UFENCE_LAB_EXPORT void UFENCE_LAB_CALL(kernel_unlock)(unsigned* word) {
  hooks::unlock(word, UFENCE_LAB_HERE);
  if (--mine().spinlocks == 0) kernel_source::run_what_waits();
}
UFENCE_LAB_EXPORT void UFENCE_LAB_CALL(kernel_mutex_lock)(unsigned* word) {
  hooks::lock(word, UFENCE_LAB_HERE);
}
UFENCE_LAB_EXPORT void UFENCE_LAB_CALL(kernel_mutex_unlock)(unsigned* word) {
  hooks::unlock(word, UFENCE_LAB_HERE);
}
UFENCE_LAB_EXPORT void UFENCE_LAB_CALL(kernel_rcu_read_lock)() {
  ++mine().sections;
  if (check::in_model()) kernel_rcu::read_lock();
}
UFENCE_LAB_EXPORT void UFENCE_LAB_CALL(kernel_rcu_read_unlock)() {
  if (check::in_model()) kernel_rcu::read_unlock();
  if (--mine().sections == 0) kernel_source::run_what_waits();
}
UFENCE_LAB_EXPORT void UFENCE_LAB_CALL(kernel_synchronize_rcu)() {
  if (check::in_model()) kernel_rcu::synchronize();
}
UFENCE_LAB_EXPORT void UFENCE_LAB_CALL(kernel_call_rcu)(void (*run)(void*), void* argument) {
  auto& t = mine();
  kernel_source::add(t.frees, t.free_count, {run, argument}, UFENCE_LAB_HERE);
  kernel_source::run_what_waits();
}
UFENCE_LAB_EXPORT void UFENCE_LAB_CALL(kernel_queue_work)(void (*run)(void*), void* argument) {
  auto& t = mine();
  kernel_source::add(t.works, t.work_count, {run, argument}, UFENCE_LAB_HERE);
  kernel_source::run_what_waits();
}
UFENCE_LAB_EXPORT void UFENCE_LAB_CALL(kernel_pause)() { hooks::pause(UFENCE_LAB_HERE); }
UFENCE_LAB_EXPORT void UFENCE_LAB_CALL(kernel_warn)(const char* condition) {
  remark(condition, UFENCE_LAB_HERE);
}
UFENCE_LAB_EXPORT void UFENCE_LAB_CALL(kernel_bug)(const char* condition) {
  check::fail_at(failure::check_failed, std::string("wrong-result: ") + condition, UFENCE_LAB_HERE);
}
