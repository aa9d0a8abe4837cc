// The objects behind a scheduler and behind an entity. Inside the layer only.
//
// Where an entity stands, changed under its scheduler's lock ("home"):
//
//   where      it has                                     left by
//   idle       no job that was pushed (of those in order)  list(): push
//   ready      a first job to look at; in the run queue    choose_locked(), on the worker
//   handled    the worker looks what the job waits for     examine(), on the worker
//   waiting    a callback on what the job waits for        dependency_done(), or force_locked()
//   draining   a first job that will not run, and jobs     jobs_ended_locked(): the last of these
//              of it in flight, which end before it
//
// An entity is *attached* to one scheduler from the arming of its first job until the last one is
// freed: the scheduler has a reference then, and a worker. Its jobs go through two lists:
// `incoming_`, guarded by the entity's lock, where arm() puts them; and from there, as soon as they
// and all before them are pushed, `first_`, guarded by the scheduler's lock. So who pushes and who
// chooses meet once for many jobs. `is_listed_` says, under the entity's lock, that the scheduler
// will look into `incoming_` again without being told.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "ufence/base/atomic.h"
#include "ufence/base/futex.h"
#include "ufence/base/lock.h"
#include "ufence/fence/reference_count.h"
#include "ufence/fence/settlement.h"
#include "ufence/fence/timeline.h"
#include "ufence/sched/run_queue.h"
#include "ufence/sched/scheduler.h"

namespace ufence {
struct thread_state;
}

namespace ufence::sched::detail {

/// An error that jobs may end with: a negative errno.
constexpr int checked_error(int error) noexcept {
  return error < 0 && ufence::detail::is_error_in_range(error) ? error : -EINVAL;
}

using entity_ref = ref<entity_core>;
using scheduler_ref = ref<scheduler_core>;

/// The schedulers that an entity may use, replaced as a whole.
struct home_list {
  scheduler_ref* homes = nullptr;
  std::size_t size = 0;

  home_list() noexcept = default;
  home_list(home_list&& other) noexcept
      : homes(std::exchange(other.homes, nullptr)), size(std::exchange(other.size, 0)) {}
  home_list& operator=(home_list&& other) noexcept {
    std::swap(homes, other.homes);
    std::swap(size, other.size);
    return *this;
  }
  ~home_list();
};

class entity_core {
 public:
  entity_core(const entity_core&) = delete;
  entity_core& operator=(const entity_core&) = delete;

  [[nodiscard]] static result<entity_ref> create(const entity_options& options) noexcept;
  /// References to what is behind the handles.
  [[nodiscard]] static result<home_list> homes_of(std::span<const scheduler* const> from) noexcept;

  [[nodiscard]] std::error_code arm(job& j, bool push) noexcept;
  void push_armed(job& j) noexcept;
  void kill(int error) noexcept;
  [[nodiscard]] std::error_code flush(std::int64_t deadline_ns) noexcept;
  void set_rank(const priority* rank, const std::uint32_t* weight) noexcept;
  void set_homes(home_list homes) noexcept;
  [[nodiscard]] entity_statistics statistics() noexcept;
  [[nodiscard]] bool was_idle() noexcept;
  [[nodiscard]] bool is_inherited() const noexcept;

  void get() noexcept { references_.get(counted); }
  void put() noexcept {
    if (references_.put(counted)) destroy();
  }

 private:
  friend class scheduler_core;
  friend class run_queue;
  friend class ufence::sched::job;
  friend class ufence::sched::entity;
  friend struct ufence::detail::debug_access;

  enum class where : std::uint8_t { idle, ready, handled, waiting, draining };

  struct node : callback {
    explicit node(entity_core& e) noexcept;
    entity_core& of;
  };

  entity_core(timeline_issuer scheduled, timeline_issuer finished,
              const entity_options& options) noexcept;
  ~entity_core();
  void destroy() noexcept;

  /// Calls f(home) with the home's lock and this one held, or f(nullptr) with this one alone where
  /// the entity is not attached.
  template <class Function>
  void with_home(Function f) noexcept;
  [[nodiscard]] std::error_code arm_first(job& j, bool push) noexcept;
  [[nodiscard]] scheduler_ref pick_home() noexcept;
  [[nodiscard]] std::error_code make_fences_locked(job& j, const scheduler_core& home) noexcept
      UFENCE_REQUIRES(lock_);
  void link_locked(job& j, bool push) noexcept UFENCE_REQUIRES(lock_);
  /// Moves what is pushed to first_, which is empty. False: nothing is. The home's lock is held.
  bool take_incoming() noexcept UFENCE_EXCLUDES(lock_);
  [[nodiscard]] std::uint32_t weight() const noexcept;
  /// The first job waits for what only a job that runs waits for. The home's lock is held.
  [[nodiscard]] bool waits_to_run() const noexcept {
    return where_ == where::waiting && waits_for_ == first_->prepared_;
  }

  static constexpr counted_object counted{.text = "an entity of a scheduler"};
  reference_count references_;
  const std::uint32_t generation_;

  mutable mutex lock_{lock_rank::entity};
  timeline_issuer scheduled_line_, finished_line_;
  new_fence spare_ UFENCE_GUARDED_BY(lock_);  // a scheduled fence whose finished one failed
  job* incoming_first_ UFENCE_GUARDED_BY(lock_) = nullptr;
  job* incoming_last_ UFENCE_GUARDED_BY(lock_) = nullptr;
  std::uint64_t pushed_ UFENCE_GUARDED_BY(lock_) = 0;    // armed, ever
  std::uint32_t unpushed_ UFENCE_GUARDED_BY(lock_) = 0;  // of incoming_
  bool is_listed_ UFENCE_GUARDED_BY(lock_) = false;
  home_list homes_ UFENCE_GUARDED_BY(lock_);

  // Written with lock_ and the home's lock held, or lock_ alone while it is not attached; read with
  // either. The pointer is an atomic since others may compare it.
  atomic<scheduler_core*> home_{nullptr};  // null: not attached
  int killed_ = 0;                         // what its jobs end with
  priority rank_;
  std::uint32_t weight_;  // 0: of the priority

  // From here on: the home's lock, or lock_ while it is not attached.
  const bool propagates_errors_;
  const std::uint32_t error_budget_;
  where where_ = where::idle;
  std::uint32_t place_ = not_queued;  // in the run queue
  job* first_ = nullptr;
  job* last_ = nullptr;
  std::uint32_t in_flight_ = 0;  // running or in flight
  std::uint64_t taken_ = 0, ended_ = 0, freed_ = 0;
  std::uint64_t virtual_time_ = 0;
  std::uint64_t average_ns_ = 0;  // of its jobs' device time
  std::int64_t device_time_ns_ = 0;
  std::uint32_t timeouts_ = 0, faults_ = 0;
  int last_error_ = 0;
  failure_origin last_origin_;
  fence_ref waits_for_;          // while waiting
  node node_{*this};             // on it
  entity_core* next_ = nullptr;  // attached to the same scheduler
  entity_core* previous_ = nullptr;
};

class scheduler_core {
 public:
  scheduler_core(const scheduler_core&) = delete;
  scheduler_core& operator=(const scheduler_core&) = delete;

  [[nodiscard]] static result<scheduler_ref> create(const scheduler_options& options) noexcept;

  std::error_code fini(std::int64_t deadline_ns) noexcept;
  [[nodiscard]] result<std::size_t> run_ready(std::size_t jobs_max) noexcept;
  [[nodiscard]] std::int64_t next_timeout_ns() noexcept;
  std::error_code stop() noexcept;
  std::error_code start(in_flight rest, int error) noexcept;
  std::error_code set_paused(bool is_paused) noexcept;
  [[nodiscard]] std::int64_t suspend_timeout() noexcept;
  void resume_timeout(std::int64_t left_ns) noexcept;
  std::error_code fault() noexcept;
  [[nodiscard]] scheduler_statistics statistics() noexcept;
  [[nodiscard]] std::string_view name() const noexcept { return options_.name; }
  [[nodiscard]] std::uint32_t load() const noexcept {
    // relaxed: a hint
    return load_.load(mo::relaxed);
  }
  [[nodiscard]] bool is_inherited() const noexcept;

  void get() noexcept { references_.get(counted); }
  void put() noexcept {
    if (references_.put(counted)) destroy();
  }

 private:
  friend class entity_core;
  friend class ufence::sched::job;
  friend struct ufence::detail::debug_access;

  /// Holds lock_; when it goes, and the caller's loop is to be told, calls options_.wake.
  class UFENCE_SCOPED_CAPABILITY guard {
   public:
    explicit guard(scheduler_core& c) noexcept UFENCE_ACQUIRE(c.lock_) : core_(c) {
      c.lock_.lock();
    }
    ~guard() UFENCE_RELEASE() { core_.unlock_and_tell(); }
    guard(const guard&) = delete;
    guard& operator=(const guard&) = delete;

   private:
    scheduler_core& core_;
  };
  void unlock_and_tell() noexcept UFENCE_RELEASE(lock_);

  scheduler_core(const scheduler_options& options, char* names) noexcept;
  ~scheduler_core() = default;
  void destroy() noexcept;

  // entity.cc, queue.cc
  /// As entity_core::arm(), of an entity that is not attached; -EALREADY: look again, it may be, or
  /// this scheduler has ended.
  [[nodiscard]] std::error_code arm_first_locked(entity_core& e, job& j, bool push) noexcept
      UFENCE_REQUIRES(lock_);
  [[nodiscard]] std::error_code wait_for_entity(entity_core& e, std::uint64_t ended,
                                                std::int64_t deadline_ns) noexcept
      UFENCE_EXCLUDES(lock_);
  void list(entity_core& e) noexcept UFENCE_EXCLUDES(lock_);
  void list_locked(entity_core& e) noexcept UFENCE_REQUIRES(lock_);
  [[nodiscard]] bool detach_if_done_locked(entity_core& e) noexcept UFENCE_REQUIRES(lock_);
  [[nodiscard]] run_key key_of(const entity_core& e) const noexcept UFENCE_REQUIRES(lock_);
  void update_key_locked(entity_core& e) noexcept UFENCE_REQUIRES(lock_);
  /// The entity's lock is held too.
  void note_killed_locked(entity_core& e, int error) noexcept UFENCE_REQUIRES(lock_);
  void deadline_moved(job& j) noexcept UFENCE_EXCLUDES(lock_);

  // running -> stopping (stop(), a reset) -> stopped -> starting (start()) -> running. But for the
  // first, nothing is chosen, and no job in flight has a callback that could complete it, once it
  // is stopped.
  enum class pace : std::uint8_t { running, stopping, stopped, starting };

  // A thread in wait_locked(), woken when it has what it waits for, or may work itself.
  struct waiter {
    bool (*is_so)(const void* of) noexcept;  // asked with lock_ held
    const void* of;
    waiter* next = nullptr;
    atomic<std::uint32_t> is_woken{0};  // a futex word, changed with lock_ held
  };

  // The next step of the worker: a job to give, or an entity whose first job is to be examined.
  struct choice {
    job* give = nullptr;
    entity_core* examine = nullptr;
  };
  [[nodiscard]] choice choose_locked() noexcept UFENCE_REQUIRES(lock_);
  [[nodiscard]] choice pass_over_locked() noexcept UFENCE_REQUIRES(lock_);
  [[nodiscard]] choice look_at_locked(entity_core& e) noexcept UFENCE_REQUIRES(lock_);
  [[nodiscard]] bool fits_locked(const job& j) const noexcept UFENCE_REQUIRES(lock_);
  job& take_locked(entity_core& e) noexcept UFENCE_REQUIRES(lock_);

  // examine.cc
  void examine(entity_core& e) noexcept UFENCE_EXCLUDES(lock_);
  [[nodiscard]] bool waits(entity_core& e, const fence_ref& f) noexcept UFENCE_EXCLUDES(lock_);
  [[nodiscard]] fence_ref resolve(const entity_core& e, const fence_ref& f, bool runs) noexcept;
  static void dependency_done(callback& node, fence& f) noexcept;
  void release_killed_locked() noexcept UFENCE_REQUIRES(lock_);
  void stop_waiting_locked(entity_core& e) noexcept UFENCE_REQUIRES(lock_);

  // worker.cc
  void work_locked(std::size_t jobs_max, std::size_t& ran) noexcept UFENCE_REQUIRES(lock_);
  [[nodiscard]] bool do_asked_locked(bool look_at_clock) noexcept UFENCE_REQUIRES(lock_);
  void enter_locked() noexcept UFENCE_REQUIRES(lock_);  // this thread is the worker
  void leave_locked() noexcept UFENCE_REQUIRES(lock_);
  [[nodiscard]] job* give(job& j) noexcept UFENCE_EXCLUDES(lock_);
  void put_back(job& j) noexcept UFENCE_EXCLUDES(lock_);
  [[nodiscard]] fence_ref last_in_flight_of(const entity_core& e) noexcept UFENCE_EXCLUDES(lock_);
  void put_in_flight(job& j, fence_ref device) noexcept UFENCE_EXCLUDES(lock_);
  void complete(job& j, int error) noexcept UFENCE_EXCLUDES(lock_);
  void end_locked(job& j, int error, settlement& later) noexcept UFENCE_REQUIRES(lock_);
  void ended_locked(job& j) noexcept UFENCE_REQUIRES(lock_);
  void unlink_in_flight_locked(job& j) noexcept UFENCE_REQUIRES(lock_);
  void stop_locked() noexcept UFENCE_REQUIRES(lock_);
  void give_back_locked(job& j) noexcept UFENCE_REQUIRES(lock_);
  void bury(job& j) noexcept UFENCE_EXCLUDES(lock_);
  void bury_locked(job& j) noexcept UFENCE_REQUIRES(lock_);
  [[nodiscard]] bool ensure_worker_locked() noexcept UFENCE_REQUIRES(lock_);
  static void* run_worker(void* self) noexcept;
  void worker() noexcept;
  void wake_locked() noexcept UFENCE_REQUIRES(lock_);
  void progress_locked() noexcept UFENCE_REQUIRES(lock_);
  void note_load_locked() noexcept UFENCE_REQUIRES(lock_);
  void sleep_locked(waiter& self, std::int64_t deadline_ns) noexcept UFENCE_REQUIRES(lock_);
  template <class Predicate>
  [[nodiscard]] bool wait_locked(Predicate is_so, std::int64_t deadline_ns) noexcept
      UFENCE_REQUIRES(lock_);
  [[nodiscard]] bool is_mine() const noexcept UFENCE_REQUIRES(lock_);

  // reset.cc
  [[nodiscard]] std::int64_t next_timeout_locked() const noexcept UFENCE_REQUIRES(lock_);
  void time_out_locked() noexcept UFENCE_REQUIRES(lock_);
  void report_late(const job& j, std::string_view what) noexcept UFENCE_EXCLUDES(lock_);
  void detach_callbacks_locked() noexcept UFENCE_REQUIRES(lock_);
  void restart_locked(in_flight rest, int error) noexcept UFENCE_REQUIRES(lock_);
  void restart_one_locked(job& j, in_flight rest, int error) noexcept UFENCE_REQUIRES(lock_);
  void end_and_settle_locked(job& j, int error) noexcept UFENCE_REQUIRES(lock_);
  void lose_device_locked() noexcept UFENCE_REQUIRES(lock_);
  void kill_all_locked(int error) noexcept UFENCE_REQUIRES(lock_);
  void cancel_locked() noexcept UFENCE_REQUIRES(lock_);
  void force_locked() noexcept UFENCE_REQUIRES(lock_);

  static constexpr counted_object counted{.text = "a scheduler"};
  reference_count references_;
  const std::uint32_t generation_;
  scheduler_options options_;  // constant; the names lie behind this object

  atomic<std::uint32_t> load_{0};        // written with lock_ held
  atomic<std::uint32_t> is_open_{1};     // the same; may still be armed on
  atomic<std::uint64_t> next_stamp_{1};  // of pushes, for fifo and deadline

  mutable mutex lock_{lock_rank::scheduler};
  run_queue ready_ UFENCE_GUARDED_BY(lock_);
  entity_core* entities_ UFENCE_GUARDED_BY(lock_) = nullptr;  // attached
  std::uint32_t entity_count_ UFENCE_GUARDED_BY(lock_) = 0;
  job* oldest_ UFENCE_GUARDED_BY(lock_) = nullptr;  // in flight, in the order of run()
  job* newest_ UFENCE_GUARDED_BY(lock_) = nullptr;
  std::uint32_t in_flight_count_ UFENCE_GUARDED_BY(lock_) = 0;
  job* done_ UFENCE_GUARDED_BY(lock_) = nullptr;  // ended: the scheduler's use is to be given back
  job* dead_ UFENCE_GUARDED_BY(lock_) = nullptr;  // no use is left: to be freed
  std::uint64_t credits_used_ UFENCE_GUARDED_BY(lock_) = 0;
  std::uint64_t virtual_time_ UFENCE_GUARDED_BY(lock_) = 0;  // of the entity that was chosen last
  std::int64_t last_end_ns_ UFENCE_GUARDED_BY(lock_) = 0;
  std::int64_t oldest_since_ns_ UFENCE_GUARDED_BY(lock_) = 0;
  scheduler_statistics statistics_ UFENCE_GUARDED_BY(lock_);

  pace pace_ UFENCE_GUARDED_BY(lock_) = pace::running;
  bool is_paused_ UFENCE_GUARDED_BY(lock_) = false;   // pause(); not once it ends
  bool is_untimed_ UFENCE_GUARDED_BY(lock_) = false;  // suspend_timeout()
  bool is_closing_ UFENCE_GUARDED_BY(lock_) = false;  // fini()
  bool is_forced_ UFENCE_GUARDED_BY(lock_) = false;   // nothing is waited for any more
  // Requests to the worker.
  bool must_start_ UFENCE_GUARDED_BY(lock_) = false;
  in_flight start_with_ UFENCE_GUARDED_BY(lock_) = in_flight::keep;
  int start_error_ UFENCE_GUARDED_BY(lock_) = 0;
  bool must_time_out_ UFENCE_GUARDED_BY(lock_) = false;
  // run() is called for a job: not in flight yet, it counts as the oldest one if there is no other.
  bool is_giving_ UFENCE_GUARDED_BY(lock_) = false;
  bool is_resumed_ UFENCE_GUARDED_BY(lock_) =
      false;  // what resume_timeout() said is meant for that job
  bool must_cancel_ UFENCE_GUARDED_BY(lock_) = false;
  bool must_release_ UFENCE_GUARDED_BY(lock_) = false;  // an entity was killed that waits to run
  bool must_force_ UFENCE_GUARDED_BY(lock_) = false;

  const thread_state* worker_ UFENCE_GUARDED_BY(lock_) =
      nullptr;                                        // the thread inside work_locked()
  bool has_worker_ UFENCE_GUARDED_BY(lock_) = false;  // the thread is there
  bool is_asleep_ UFENCE_GUARDED_BY(lock_) = false;
  bool was_told_ UFENCE_GUARDED_BY(lock_) = false;   // options_.wake was called since run_ready()
  bool must_tell_ UFENCE_GUARDED_BY(lock_) = false;  // who unlocks calls options_.wake
  std::uint32_t telling_ UFENCE_GUARDED_BY(lock_) = 0;  // threads inside options_.wake
  waiter* waiters_ UFENCE_GUARDED_BY(lock_) = nullptr;
  std::int64_t clock_ns_ = 0;  // the worker's: a recent look at the clock, 0: look
  atomic<std::uint32_t> wakes_{0};  // a futex word, changed with lock_ held: the worker sleeps on it
};

// Waits until it is so; where there is no thread, works meanwhile. False: not by the deadline.
template <class Predicate>
bool scheduler_core::wait_locked(Predicate is_so, std::int64_t deadline_ns) noexcept UFENCE_NO_TSA {
  waiter self{.is_so = [](const void* p) noexcept { return (*static_cast<const Predicate*>(p))(); },
              .of = &is_so};
  for (;;) {
    if (!options_.has_thread && worker_ == nullptr) {
      std::size_t ran = 0;
      enter_locked();
      work_locked(SIZE_MAX, ran);
      leave_locked();
    }
    if (is_so()) return true;
    if (deadline_ns <= now_ns()) return false;
    const std::int64_t until =
        options_.has_thread ? deadline_ns : std::min(deadline_ns, next_timeout_locked());
    sleep_locked(self, until);
  }
}

template <class Function>
void entity_core::with_home(Function f) noexcept UFENCE_NO_TSA {
  for (;;) {
    scheduler_ref home;
    {
      const scoped_lock hold(lock_);
      scheduler_core* const now = home_.load(mo::relaxed);  // relaxed: the lock
      if (now == nullptr) return f(nullptr);
      home = scheduler_ref::take(*now);
    }
    const scheduler_core::guard at_home(*home);
    const scoped_lock hold(lock_);
    if (home_.load(mo::relaxed) == home.get()) return f(home.get());  // relaxed: both locks
  }
}

}  // namespace ufence::sched::detail
