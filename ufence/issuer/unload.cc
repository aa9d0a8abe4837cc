// The eight steps of an unload. Each either is done, or says what holds it up; then it is the first
// one of the next attempt.
#include <algorithm>
#include <array>
#include <exception>
#include <string>
#include <utility>

#include "ufence/base/fork.h"
#include "ufence/base/futex.h"
#include "ufence/fence/thread_state.h"
#include "ufence/issuer/device_impl.h"
#include "ufence/issuer/module_scope.h"
#include "ufence/issuer/process_end.h"
#include "ufence/module/overdue.h"
#include "ufence/rcu/rcu.h"
#include "ufence/trace/hooks.h"

namespace ufence {

using detail::job_op;
using detail::job_phase;
using detail::job_record;
using detail::violation;

namespace {

constexpr std::size_t pins_max = 8;  // told by name; the rest is counted

const char* name_of(job_op op) noexcept {
  switch (op) {
    case job_op::submit: return "submit()";
    case job_op::enable_signaling: return "enable_signaling()";
    case job_op::poll: return "poll()";
    case job_op::set_deadline: return "set_deadline()";
    case job_op::cancel: return "cancel()";
    case job_op::wait: return "wait()";
  }
  return "an op";
}

std::string counted(std::uint64_t n, const char* one, const char* many) {
  return std::to_string(n) + " " + (n == 1 ? one : many);
}

class unload_attempt {
 public:
  unload_attempt(device::impl& d, const unload_options& options) noexcept
      : d_(d), report_(d.report), options_(options) {}

  /// Goes on where the last attempt stopped.
  void run(int last_step = 8) noexcept {
    using step = bool (unload_attempt::*)() noexcept;
    static constexpr std::array<step, 8> steps = {
        &unload_attempt::check_pins, &unload_attempt::refuse_new,
        &unload_attempt::end_jobs,   &unload_attempt::end_callbacks,
        &unload_attempt::stop,       &unload_attempt::wait_until_out,
        &unload_attempt::exit,       &unload_attempt::unmap};
    report_.pins.clear();
    // relaxed, as all of next_step: this thread has the claim
    int step_no = d_.next_step.load(mo::relaxed);
    for (bool is_done = true; is_done && step_no <= last_step;) {
      report_.last_step = step_no;
      step_deadline_ns_ = deadline_after(options_.give_up_ns);
      is_done = (this->*steps[static_cast<std::size_t>(step_no) - 1])();
      d_.violations.flush(d_);
      d_.record(trace::event::module_step, step_no, is_done ? 0 : -EBUSY);
      if (is_done) d_.next_step.store(++step_no, mo::relaxed);
    }
    // relaxed: the jobs have ended, or go on counting
    report_.jobs_drained = d_.unload_drained.load(mo::relaxed);
    report_.jobs_cancelled = d_.unload_cancelled.load(mo::relaxed);
    try {
      report_.kept = d_.module->kept();
      if (step_no <= 8 && !report_.pins.empty()) {
        d_.module->tell_of_unload("its unload stopped at step " + std::to_string(step_no) + ": " +
                                  report_.pins.front());
      }
    } catch (const std::exception&) {  // no memory: the report is shorter
    }
  }

  /// The process ends, and nothing that pins can stop that: the device is quieted all the same.
  void quiet() noexcept;

 private:
  // Adds what a function says; without memory the report is shorter, nothing else.
  template <class Text>
  void pin(Text text) noexcept {
    try {
      report_.pins.push_back(text());
    } catch (const std::exception&) {
    }
  }
  bool pinned() noexcept {
    report_.state = unload_state::pinned;
    return false;
  }

  template <class Text>
  void pin_records(Text text) noexcept {
    const scoped_lock hold(d_.lock);
    std::size_t n = 0;
    for (job_record* r = d_.jobs.first(); r != nullptr; r = r->next) {
      // [ISSUER.7] acquire: the record is complete; pairs with [ISSUER.8], [ISSUER.11]
      if (r->phase.load(mo::acquire) == job_phase::preparing || n++ >= pins_max) continue;
      pin([&] { return name_of_fence(*r) + text(*r); });
    }
    if (n > pins_max)
      pin([&] { return "and " + counted(n - pins_max, "fence", "fences") + " more"; });
  }
  std::string name_of_fence(const job_record& r) const {
    const std::uint64_t seqno = r.seqno.get();
    return "fence " + std::to_string(d_.context_of_job(seqno)) + ":" + std::to_string(seqno) + " " +
           d_.timeline_name + " " + d_.driver_name + ": ";
  }

  // A call into the module, by a name that people know; true: it has returned. Else the module is
  // pinned, and the next attempt waits for the same call.
  bool returns(const char* name, detail::bounded_call::function call) noexcept {
    // A call that takes no time is not given up, however short the limit.
    constexpr std::int64_t moment_ns = 20'000'000;
    const std::int64_t until = options_.bounds_calls
                                   ? std::max(step_deadline_ns_, deadline_after(moment_ns))
                                   : no_deadline;
    {
      const detail::overdue_watch watch(&detail::report_overdue, &d_, name);
      if (d_.slow_call.call(call, &d_, until)) return true;
    }
    pin([&] {
      const std::int64_t tenths = d_.slow_call.age_ns() / 100'000'000;
      return std::string(name) + " has not returned for " + std::to_string(tenths / 10) + "." +
             std::to_string(tenths % 10) + " s";
    });
    return pinned();
  }

  // stop() and exit() may close it.
  void keep_what_it_opened() noexcept {
    try {
      d_.module->keep_what_it_opened();
    } catch (const std::exception&) {  // no memory: it is closed as it always was
    }
  }

  bool cancel_returns() noexcept {
    if (!d_.slow_call.is_under_way() && (!d_.has(UFENCE_F_CANCEL) || d_.pending.count() == 0)) {
      return true;
    }
    return returns("cancel()", [](void* d) { static_cast<device::impl*>(d)->ask_to_cancel(); });
  }

  bool check_pins() noexcept;
  bool refuse_new() noexcept;
  bool end_jobs() noexcept;
  bool end_callbacks() noexcept;
  bool stop() noexcept;
  bool wait_until_out() noexcept;
  bool exit() noexcept;
  bool unmap() noexcept;
  bool drain() noexcept;
  void tell_who_is_inside() noexcept;
  void tell_threads() noexcept;
  static void call_stop(void* of);
  static void call_exit(void* of);
  static void call_unmap(void* of);

  device::impl& d_;
  unload_report& report_;
  const unload_options& options_;
  std::int64_t step_deadline_ns_ = 0;
};

// 1. What pins, or a policy that refuses. With the same lock held nothing new is accepted from here
// on.
bool unload_attempt::check_pins() noexcept {
  bool is_refused = false;
  {
    const scoped_lock hold(d_.lock);
    is_refused = (d_.is_legacy() && d_.unretired.count() != 0) ||
                 (options_.policy == unload_policy::refuse && d_.pending.count() != 0);
    if (!is_refused) {
      d_.is_accepting = false;
      // relaxed: a callback registered meanwhile is removed in step 4, which closes their group
      d_.refuses_callbacks.store(1, mo::relaxed);
    }
  }
  if (!is_refused) return true;
  report_.state = unload_state::refused;
  pin_records([this](const job_record& r) -> std::string {
    const bool is_decided = r.phase_now() >= job_phase::decided;
    if (!is_decided) return "pending";
    return d_.is_legacy() ? "still referenced, and not independent of its driver" : "not retired";
  });
  return false;
}

// 2. Nothing new; threads on the way in come out.
bool unload_attempt::refuse_new() noexcept {
  d_.close_room();
  if (d_.submitters.wait_zero(step_deadline_ns_) == 0) return true;
  pin([] { return std::string("submit() of the device has not returned"); });
  tell_who_is_inside();
  return pinned();
}

// 3. The jobs end by themselves, or are asked to.
bool unload_attempt::end_jobs() noexcept {
  if (options_.policy == unload_policy::drain && drain()) return true;
  d_.give_up_waiting();
  // Jobs whose in-fences are done are on their way to the driver.
  if (d_.submitters.wait_zero(step_deadline_ns_) != 0) {
    tell_who_is_inside();
    return pinned();
  }
  if (!cancel_returns()) return false;
  // Jobs that it does not end are ended by the host after stop(): nothing is in flight then.
  if (d_.has(UFENCE_F_CANCEL)) static_cast<void>(d_.wait_for_jobs(step_deadline_ns_));
  return true;
}

bool unload_attempt::drain() noexcept {
  // A device may report a completion only if it was asked to.
  try {
    const std::vector<fence_ref> fences = d_.pending_fences();
    if (!d_.is_timeline()) {
      for (const fence_ref& f : fences) f->enable_signaling();
    } else {
      // The last one first: the others are complete then.
      for (auto f = fences.rbegin(); f != fences.rend(); ++f) {
        if ((*f)->wait(options_.drain_deadline_ns)) break;
      }
    }
  } catch (const std::exception&) {  // no memory: those that are not asked for end by a cancel
  }
  return d_.wait_for_jobs(options_.drain_deadline_ns);
}

// 4. The module's callbacks on fences of others.
bool unload_attempt::end_callbacks() noexcept {
  std::size_t removed = 0;
  const std::error_code failed = d_.callbacks.close(&removed, step_deadline_ns_);
  report_.callbacks_removed += removed;
  if (!failed) return true;
  pin([] {
    return std::string("a callback of the module on a fence of somebody else has not returned");
  });
  return pinned();
}

// 5. No op enters any more; the device is quiet, the threads have ended; the host ends what is
// pending.
bool unload_attempt::stop() noexcept {
  d_.gate.close();
  d_.threads.close();
  // relaxed: this thread's own
  if (d_.is_stopped.load(mo::relaxed) == 0) {
    if (!d_.slow_call.is_under_way() && d_.module->was_changed_in_place()) {
      detail::report_driver(
          d_, 0,
          "its file was changed in place since it was loaded: its code may not be what "
          "was checked, and stop() and exit() are called in it");
    }
    if (!d_.slow_call.is_under_way()) keep_what_it_opened();
    if (!returns("stop()", &call_stop)) return false;
    d_.is_stopped.store(1, mo::relaxed);
  }
  if (!d_.threads.join_all(step_deadline_ns_)) {
    tell_threads();
    return pinned();
  }
  if (!d_.slow_call.is_under_way() && d_.pending.count() == 0) {
    d_.fail_pending();
    return true;
  }
  return returns("retire()", [](void* d) { static_cast<device::impl*>(d)->fail_pending(); });
}

// A thread that ends waits for the dynamic linker, if it has thread_local objects. That is no fault
// of the driver where somebody unloads under its lock: in a constructor or destructor of a library.
void unload_attempt::tell_threads() noexcept {
  const bool is_locked = detail::is_linker_locked();
  try {
    for (const std::string& name : d_.threads.names()) {
      pin([&] {
        return (is_locked ? "thread " : "D-8: thread ") + name + " has not ended after stop()" +
               (is_locked
                    ? ": it may wait for the dynamic linker's lock, which is held, as it is in "
                      "constructors and destructors of libraries"
                    : "");
      });
    }
  } catch (const std::exception&) {
  }
}

void unload_attempt::tell_who_is_inside() noexcept {
  if (const std::uint32_t inside = d_.gate.inside(); inside != 0) {
    pin([&] { return counted(inside, "thread is", "threads are") + " inside the module"; });
  }
  pin_records([](const job_record& r) -> std::string {
    std::string names;
    for (std::uint32_t i = 0; i < detail::job_op_count; ++i) {
      const auto op = static_cast<job_op>(i);
      if (!r.inside.has(op)) continue;
      if (!names.empty()) names += ", ";
      names += name_of(op);
    }
    if (!names.empty()) return names + " has not returned";
    return r.phase_now() < job_phase::decided ? "pending"
                                              : "decided, but its settlement has not run";
  });
}

// 6. Nobody is inside, and all data is retired.
bool unload_attempt::wait_until_out() noexcept {
  if (d_.gate.wait_empty(step_deadline_ns_) != 0 ||
      d_.unretired.wait_zero(step_deadline_ns_) != 0 ||
      d_.submitters.wait_zero(step_deadline_ns_) != 0) {
    tell_who_is_inside();
    return pinned();
  }
  const scoped_lock hold(d_.lock);
  d_.jobs.for_newest_vacant([this](job_record& r) {
    if (!r.is_poison_intact()) d_.violations.note(violation::wrote_after_decision, r.seqno.get());
    r.is_poisoned = false;
    if (!r.is_private_intact()) d_.violations.note(violation::wrote_after_retire, r.seqno.get());
    r.poison_private();
  });
  return true;
}

// 7. Readers of RCU have left; the module frees its globals.
bool unload_attempt::exit() noexcept {
  if (!d_.slow_call.is_under_way()) rcu::synchronize();
  if (!returns("exit()", &call_exit)) return false;
  d_.driver = nullptr;
  d_.ops = nullptr;
  d_.state = nullptr;
  d_.device_word = nullptr;
  const scoped_lock hold(d_.lock);
  d_.jobs.clear();
  return true;
}

void unload_attempt::call_stop(void* of) {
  auto& d = *static_cast<device::impl*>(of);
  detail::call_module(d, "stop()", [&d] { d.driver->stop(d.state); });
}
void unload_attempt::call_exit(void* of) {
  auto& d = *static_cast<device::impl*>(of);
  detail::call_module(d, "exit()", [&d] { d.driver->exit(d.state); });
}

void unload_attempt::call_unmap(void* of) {
  auto& d = *static_cast<device::impl*>(of);
  try {
    d.last_mapping = d.module->unload();
  } catch (const std::exception&) {  // no memory to read the list of mappings
    d.last_mapping = mapping::pinned;
  }
}

// 8. The mapping.
bool unload_attempt::unmap() noexcept {
  mapping m = mapping::pinned;
  try {
    const std::vector<std::string> left = d_.module->left_behind();
    for (const std::string& what : left) {
      pin([&] { return what; });
    }
    if (!left.empty()) return pinned();
    // The time goes to the destructors of its static objects.
    if (!d_.module->has_static_objects()) {
      d_.last_mapping = d_.module->unload();
    } else if (!returns("a destructor of a static object", &call_unmap)) {
      return false;
    }
    m = d_.last_mapping;
    if (m != mapping::unmapped) pin([this] { return d_.module->why_mapped(); });
  } catch (const std::exception&) {  // no memory to read the list of mappings
  }
  report_.state = m == mapping::unmapped   ? unload_state::unmapped
                  : m == mapping::deferred ? unload_state::deferred
                                           : unload_state::pinned;
  return m == mapping::unmapped;
}

void unload_attempt::quiet() noexcept {
  step_deadline_ns_ = deadline_after(options_.give_up_ns);
  {
    const scoped_lock hold(d_.lock);
    d_.is_accepting = false;
  }
  // relaxed: a thread that registers a callback now and is not seen is stopped with the device
  d_.refuses_callbacks.store(1, mo::relaxed);
  d_.close_room();
  d_.give_up_waiting();
  if (cancel_returns() && stop()) return;
  std::string text = "the process ends while its module is busy";
  try {
    for (const std::string& what : report_.pins) text += "; " + what;
  } catch (const std::exception&) {
  }
  detail::report_driver(d_, 0, text);
}

// The thread that has the claim unloads the device; others are told that it is busy.
class unload_claim {
 public:
  explicit unload_claim(atomic<std::uint32_t>& flag) noexcept
      // [ISSUER.15] acquire: the last attempt's state; pairs with [ISSUER.16]
      : flag_(flag), is_mine_(flag.exchange(1, mo::acquire) == 0) {}
  ~unload_claim() {
    // [ISSUER.16] release: this attempt's state; pairs with [ISSUER.15]
    if (is_mine_) flag_.store(0, mo::release);
  }
  unload_claim(const unload_claim&) = delete;
  unload_claim& operator=(const unload_claim&) = delete;
  explicit operator bool() const noexcept { return is_mine_; }

 private:
  atomic<std::uint32_t>& flag_;
  const bool is_mine_;
};

}  // namespace

result<unload_report> device::impl::unload(const unload_options& options) noexcept {
  if (generation != fork_generation()) return failure(EOWNERDEAD);
  const thread_state& thread = thread_state::mine();
  if (detail::module_scope::is_inside(*this) || thread.involves(context) ||
      thread.runs_one_of(callbacks)) {
    return failure(EDEADLK);
  }
  const unload_claim claim(is_unloading);
  if (!claim) return failure(EBUSY);
  if (is_gone()) return failure(ENODEV);
  const std::int64_t begin = now_ns();
  unload_attempt(*this, options).run();
  if (is_gone()) detail::forget_at_process_end(*this);
  report.duration_ns += now_ns() - begin;
  try {
    return report;
  } catch (const std::exception&) {
    return failure(ENOMEM);  // the unload has gone as far as it has
  }
}

bool device::impl::retry_unmapping() noexcept {
  const unload_claim claim(is_unloading);
  // relaxed: this thread has the claim
  if (!claim || next_step.load(mo::relaxed) != 8) return false;
  unload_attempt(*this, {}).run();
  if (is_gone()) detail::forget_at_process_end(*this);
  return is_gone();
}

void device::impl::end_with_process(const thread_state& caller, const detail::module_scope* at) noexcept {
  constexpr std::int64_t patience_ns = 2'000'000'000;
  constexpr std::int64_t look_again_ns = 1'000'000;
  if (generation != fork_generation()) return;
  const bool is_inside = detail::module_scope::is_inside(*this, at) || caller.involves(context) ||
                         caller.runs_one_of(callbacks);
  const std::int64_t give_up_at = deadline_after(patience_ns);
  for (;;) {
    const unload_claim claim(is_unloading);
    if (!claim) {  // somebody unloads it: perhaps to the end
      if (is_inside || now_ns() >= give_up_at) return;
      futex_wait(is_unloading, 1, deadline_after(look_again_ns));
      continue;
    }
    if (is_gone()) return;
    has_ended.store(1, mo::relaxed);  // relaxed: a thread that sees it leaves the device alone
    const unload_options options{
        .policy = unload_policy::cancel, .give_up_ns = patience_ns, .bounds_calls = true};
    unload_attempt attempt(*this, options);
    if (!is_inside) attempt.run(7);
    // relaxed: this thread has the claim
    if (is_inside || next_step.load(mo::relaxed) < 5) attempt.quiet();
    return;
  }
}

}  // namespace ufence
