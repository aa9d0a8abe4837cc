// A driver of a scenario. Its code finds out if it runs while the module is not mapped; its globals
// are on the lab's heap from init() to exit().
#pragma once

#include <cerrno>
#include <cstdint>
#include <new>
#include <optional>

#include "lab/models/product.h"
#include "ufence/base/clock.h"
#include "ufence/base/futex.h"
#include "ufence/driver.h"
#include "ufence/issuer/host.h"
#include "ufence/module/loader.h"

namespace ufence::lab {

/// The globals of a model_driver. It keeps at most one job, and one callback on a fence of others.
struct driver_globals {
  driver_globals(const ufence_host& h, ufence_device* d) : host(h), device(d) {}

  const ufence_host& host;
  ufence_device* const device;
  cell<bool> is_alive{true};
  user_lock lock;
  cell<ufence_job*> held;  // with the device; under the lock, as the next three
  cell<std::int64_t> deadline{no_deadline};
  cell<int> enables, cancels;
  cell<int> stops;  // by one thread
  ufence_callback node{};
  cell<int> node_runs;
  cell<int> thread_turns;         // the thread's, until it has ended
  atomic<std::uint32_t> told{0};  // what the thread is to do

  /// The device completes the job that it has.
  void complete(int error) {
    ufence_settlement later = UFENCE_SETTLEMENT_INIT;
    decide(error, later);
    host.settle(&later);
  }
  void decide(int error, ufence_settlement& later) {
    lock.lock();
    if (ufence_job* const job = held.get()) {
      held.set(nullptr);
      host.decide(job, error, &later);
    }
    lock.unlock();
  }
};

/// The module. One at a time. Loads from "driver".
class model_driver {
 public:
  static constexpr std::uint64_t any_order = UFENCE_F_ENABLE | UFENCE_F_POLL | UFENCE_F_DEADLINE |
                                             UFENCE_F_RETIRE | UFENCE_F_CANCEL | UFENCE_F_OBSERVE;
  static constexpr std::uint64_t in_order = UFENCE_F_TIMELINE | UFENCE_F_CANCEL;

  struct plan {
    std::uint64_t features = any_order;
    int deferrals = 0;                          // of the unmapping
    void (*thread)(driver_globals&) = nullptr;  // of a thread that init() starts
  };

  explicit model_driver(plan p)
      : plan_(p), table_(table_of(p)), file_("driver", table_, p.deferrals) {
    current_ = this;
  }
  model_driver() : model_driver(plan{}) {}

  /// While the module is loaded, for what the device does.
  [[nodiscard]] driver_globals& globals() { return *globals_; }
  [[nodiscard]] bool is_mapped() const { return file_.is_mapped(); }

  /// For plan::thread: completes jobs that it is told of until stop().
  static void serve(driver_globals& g) {
    for (;;) {
      const std::uint32_t told = g.told.load(mo::acquire);
      if ((told & stop_told) != 0) break;
      if ((told & job_told) == 0) {
        futex_wait(g.told, told, no_deadline);
        continue;
      }
      g.told.fetch_and(~job_told, mo::relaxed);
      g.complete(0);
    }
    g.thread_turns.set(g.thread_turns.get() + 1);
  }

 private:
  static constexpr std::uint32_t job_told = 1;
  static constexpr std::uint32_t stop_told = 2;

  // What the driver keeps for a job.
  struct job_data {
    cell<bool> is_prepared;
  };

  static driver_globals& enter(void* state) {
    current_->file_.use();
    auto& g = *static_cast<driver_globals*>(state);
    LAB_CHECK(g.is_alive.get());
    return g;
  }
  static void enter(void* state, const ufence_job& job) {
    enter(state);
    LAB_CHECK(static_cast<job_data*>(job.driver_private[0])->is_prepared.get());
  }
  static void tell(driver_globals& g, std::uint32_t what) {
    g.told.fetch_or(what, mo::release);
    futex_wake_all(g.told);
  }

  static int init(const ufence_host* host, ufence_device* device, void** state) {
    auto* const g = new driver_globals(*host, device);
    current_->globals_ = g;
    *state = g;
    return current_->plan_.thread != nullptr ? host->thread_start(device, "worker", &run, g) : 0;
  }
  static void run(void* state) {
    driver_globals& g = enter(state);
    current_->plan_.thread(g);
    enter(state);
  }
  static void stop(void* state) {
    driver_globals& g = enter(state);
    g.stops.set(g.stops.get() + 1);
    LAB_CHECK(g.stops.get() == 1);
    g.lock.lock();
    g.held.set(nullptr);
    g.lock.unlock();
    tell(g, stop_told);
  }
  static void exit(void* state) {
    driver_globals& g = enter(state);
    LAB_CHECK(g.held.get() == nullptr);
    LAB_CHECK(g.thread_turns.get() == (current_->plan_.thread == &serve ? 1 : 0));
    g.is_alive.set(false);
    delete &g;
  }

  static int submit(void* state, ufence_job* job) {
    driver_globals& g = enter(state);
    if (current_->plan_.features == any_order) {
      auto* const data = new job_data;
      data->is_prepared.set(true);
      job->driver_private[0] = data;
    }
    g.lock.lock();
    g.held.set(job);
    g.lock.unlock();
    tell(g, job_told);
    return 0;
  }
  static int enable_signaling(void* state, ufence_job* job) {
    enter(state, *job);
    driver_globals& g = enter(state);
    g.lock.lock();
    g.enables.set(g.enables.get() + 1);
    g.lock.unlock();
    return 0;
  }
  static int poll(void* state, ufence_job* job) {
    enter(state, *job);
    return 0;
  }
  static void set_deadline(void* state, ufence_job* job, std::int64_t deadline_ns) {
    enter(state, *job);
    driver_globals& g = enter(state);
    g.lock.lock();
    if (deadline_ns < g.deadline.get()) g.deadline.set(deadline_ns);
    g.lock.unlock();
  }
  // An op may have brought the job back after the decision: it is taken off here.
  static void retire(void* state, ufence_job* job) {
    enter(state, *job);
    driver_globals& g = enter(state);
    g.lock.lock();
    if (g.held.get() == job) g.held.set(nullptr);
    g.lock.unlock();
    delete static_cast<job_data*>(job->driver_private[0]);
  }
  static void cancel(void* state, ufence_job*) {
    driver_globals& g = enter(state);
    g.lock.lock();
    g.cancels.set(g.cancels.get() + 1);
    g.lock.unlock();
    g.complete(-ECANCELED);
  }
  static int observe(void* state, ufence_fence* f) {
    driver_globals& g = enter(state);
    g.node.fn = &on_fence;
    return g.host.callback_add(g.device, f, &g.node);
  }
  static void on_fence(ufence_callback* node, ufence_fence*) {
    driver_globals& g = enter(current_->globals_);
    LAB_CHECK(node == &g.node);
    g.node_runs.set(g.node_runs.get() + 1);
    enter(&g);
  }

  static ufence_driver table_of(const plan& p) {
    static constinit ufence_device_ops ops{};
    const bool all = p.features == any_order;
    ops = {.size = sizeof ops,
           .reserved = 0,
           .submit = &submit,
           .enable_signaling = all ? &enable_signaling : nullptr,
           .poll = all ? &poll : nullptr,
           .set_deadline = all ? &set_deadline : nullptr,
           .retire = all ? &retire : nullptr,
           .cancel = &cancel,
           .request_notify = nullptr,
           .retire_timeline = nullptr,
           .lock = nullptr,
           .unlock = nullptr,
           .wait = nullptr,
           .release = nullptr,
           .observe = all ? &observe : nullptr};
    return {.size = sizeof(ufence_driver),
            .abi_version = UFENCE_ABI_VERSION,
            .features = p.features,
            .name = "model",
            .timeline = nullptr,
            .description = nullptr,
            .ops = &ops,
            .init = &init,
            .stop = &stop,
            .exit = &exit};
  }

  const plan plan_;
  const ufence_driver table_;
  module_file file_;
  driver_globals* globals_ = nullptr;
  static inline constinit model_driver* current_ = nullptr;
};

}  // namespace ufence::lab
