#include "ufence/issuer/device_scheduler.h"

#include <cstring>
#include <new>
#include <optional>
#include <utility>

#include "ufence/base/alloc.h"
#include "ufence/base/fork.h"
#include "ufence/base/lock.h"
#include "ufence/driver.h"
#include "ufence/fence/timeline.h"

namespace ufence {
namespace detail {
namespace {

/// A job, with its arguments behind it.
struct alignas(std::max_align_t) fed_job : sched::job {
  fed_job(device_feed& f, const device_job& what, without_device w, bool propagates) noexcept
      : job(what.credits),
        feed(f),
        opcode(what.opcode),
        when_gone(w),
        propagates_errors(propagates),
        args_size(what.args.size()) {
    if (args_size != 0) std::memcpy(args(), what.args.data(), args_size);
  }
  ~fed_job() = default;

  [[nodiscard]] std::byte* args() noexcept { return reinterpret_cast<std::byte*>(this + 1); }
  static fed_job& of(sched::job& j) noexcept { return static_cast<fed_job&>(j); }
  static void destroy(fed_job& j) noexcept {
    j.~fed_job();
    deallocate(&j);
  }

  device_feed& feed;
  const std::uint32_t opcode;
  const without_device when_gone;
  const bool propagates_errors;
  const std::size_t args_size;
  // Written and read on the worker.
  device_ref given_to;
  fence_ref device_fence;
};

}  // namespace

[[nodiscard]] static bool is_timeline(const device& d) noexcept {
  return (d.features() & UFENCE_F_TIMELINE) != 0;
}

/// Brings jobs to the instance that is there, and has the fence for the next one.
class device_feed {
 public:
  [[nodiscard]] static result<std::unique_ptr<device_feed>> create(
      const device_ref& d, const device_scheduler_options& options) noexcept;
  ~device_feed();
  static void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept {
    return allocate(bytes);
  }
  static void operator delete(void* memory) noexcept { deallocate(memory); }

  [[nodiscard]] std::error_code attach(device_ref next) noexcept;
  [[nodiscard]] device_ref attached() const noexcept {
    const scoped_lock hold(lock_);
    return device_;
  }

  static constexpr sched::scheduler_ops ops() noexcept {
    return {.run = &run, .timed_out = &timed_out, .cancel = &cancel, .free = &free};
  }

 private:
  device_feed(device_ref d, timeline_issuer line, new_fence next,
              const device_scheduler_options& options) noexcept
      : is_in_order_(is_timeline(*d)),
        timed_out_(options.timed_out),
        context_(options.context),
        line_(std::move(line)),
        device_(std::move(d)),
        next_(std::move(next)) {}

  static result<fence_ref> run(sched::job& j) noexcept;
  static sched::timeout_verdict timed_out(sched::job& j) noexcept;
  static void cancel(sched::job& j) noexcept;
  static void free(sched::job& j) noexcept { fed_job::destroy(fed_job::of(j)); }

  [[nodiscard]] fence_ref lose(const device_ref& d) noexcept;

  const bool is_in_order_;
  sched::timeout_verdict (*const timed_out_)(void*, const late_job&) noexcept;
  void* const context_;
  const std::uint32_t made_in_ = ufence::fork_generation();
  timeline_issuer line_;  // of next_
  mutable mutex lock_{lock_rank::leaf};
  device_ref device_ UFENCE_GUARDED_BY(lock_);  // null: none is there
  // Pending: signaled when the next instance is attached. Made ahead, since run() may not fail for
  // it.
  new_fence next_ UFENCE_GUARDED_BY(lock_);
};

namespace {

// The fences that the device itself has to wait for, of jobs that it has; or those that failed: it knows
// what that means.
std::span<const fence_ref> in_fences_of(const sched::job& j) noexcept {
  for (const fence_ref& f : j.dependencies()) {
    if (!f->is_signaled() || f->error() != 0) return j.dependencies();
  }
  return {};
}

}  // namespace

result<std::unique_ptr<device_feed>> device_feed::create(
    const device_ref& d, const device_scheduler_options& options) noexcept {
  if (!d) return failure(EINVAL);
  result<timeline_issuer> line =
      timeline_issuer::create({.driver_name = d->driver_name(), .timeline_name = "next instance"});
  if (!line) return std::unexpected(line.error());
  result<new_fence> next = line->create_unordered();
  if (!next) return std::unexpected(next.error());
  auto* feed = new (std::nothrow) device_feed(d, *std::move(line), *std::move(next), options);
  if (feed == nullptr) {
    next->signal.signal(-ECANCELED);
    return failure(ENOMEM);
  }
  return std::unique_ptr<device_feed>(feed);
}

device_feed::~device_feed() UFENCE_NO_TSA {
  if (made_in_ == ufence::fork_generation()) next_.signal.signal(-ENODEV);
}

std::error_code device_feed::attach(device_ref next) noexcept {
  if (next && is_in_order_ && !is_timeline(*next)) return errno_code(EINVAL);
  result<new_fence> fresh = line_.create_unordered();
  if (!fresh) return fresh.error();
  {
    const scoped_lock hold(lock_);
    std::swap(device_, next);
    // Jobs that found no device wait for the fence that was there: they may try again in either
    // case.
    std::swap(next_, *fresh);
  }
  fresh->signal.signal();
  return {};
}

// The device refuses jobs: there is none until the next one is attached. What to wait for then;
// null: it is attached already.
fence_ref device_feed::lose(const device_ref& d) noexcept {
  device_ref dropped;
  const scoped_lock hold(lock_);
  if (device_ == d) dropped = std::move(device_);
  return device_ == nullptr ? next_.fence : nullptr;
}

result<fence_ref> device_feed::run(sched::job& j) noexcept {
  fed_job& mine = fed_job::of(j);
  device_feed& self = mine.feed;
  fence_ref until;
  for (device_ref d = self.attached();; d = self.attached()) {
    if (d) {
      result<fence_ref> given = d->submit({.opcode = mine.opcode,
                                           .args = {mine.args(), mine.args_size},
                                           .in_fences = in_fences_of(j),
                                           .run_after_failed_in_fence = !mine.propagates_errors});
      if (given) {
        mine.given_to = std::move(d);
        mine.device_fence = *given;
        return given;
      }
      if (given.error() == errno_code(EAGAIN)) {
        const result<fence_ref> room = d->room();
        if (room) {
          j.put_back(*room);
          return failure(EAGAIN);
        }
        given = std::unexpected(room.error());
      }
      if (given.error() != errno_code(ENODEV)) return given;
    }
    until = self.lose(d);
    if (until) break;
  }
  if (mine.when_gone == without_device::wait) j.put_back(std::move(until));
  return failure(ENODEV);
}

sched::timeout_verdict device_feed::timed_out(sched::job& j) noexcept {
  fed_job& mine = fed_job::of(j);
  if (!mine.device_fence) return sched::timeout_verdict::handled;  // it is in the way of nothing
  const device_ref at = mine.given_to;
  const fence_ref f = mine.device_fence;
  const device_feed& self = mine.feed;
  if (self.timed_out_ != nullptr) {
    return self.timed_out_(self.context_, {.at = *at, .fence = f, .finished = j.finished()});
  }
  cancel(j);
  return sched::timeout_verdict::handled;
}

void device_feed::cancel(sched::job& j) noexcept {
  const fed_job& mine = fed_job::of(j);
  // One that can't be cancelled, or has ended, ends by itself.
  if (mine.device_fence) static_cast<void>(mine.given_to->cancel(mine.device_fence));
}

}  // namespace detail

namespace {
constexpr sched::scheduler_ops feed_ops = detail::device_feed::ops();
}  // namespace

// --- device_scheduler ---

device_scheduler::device_scheduler(std::unique_ptr<detail::device_feed> feed,
                                   sched::scheduler s) noexcept
    : feed_(std::move(feed)), scheduler_(std::move(s)) {}
device_scheduler::device_scheduler(device_scheduler&& other) noexcept = default;
device_scheduler& device_scheduler::operator=(device_scheduler&& other) noexcept {
  // The scheduler that is replaced uses its feed until it has ended.
  scheduler_ = std::move(other.scheduler_);
  feed_ = std::move(other.feed_);
  return *this;
}
device_scheduler::~device_scheduler() = default;

result<device_scheduler> device_scheduler::create(
    const device_ref& d, const device_scheduler_options& options) noexcept {
  auto feed = detail::device_feed::create(d, options);
  if (!feed) return std::unexpected(feed.error());
  result<sched::scheduler> made =
      sched::scheduler::create({.ops = &feed_ops,
                                .name = options.name.empty() ? d->timeline_name() : options.name,
                                .device_name = d->driver_name(),
                                .module_name = d->path(),
                                .credit_limit = options.credit_limit,
                                .order = options.order,
                                .timeout_ns = options.timeout_ns,
                                .passes_max = options.passes_max,
                                .resubmits = options.resubmits,
                                .is_in_order = detail::is_timeline(*d),
                                .has_thread = options.has_thread,
                                .wake = options.wake,
                                .wake_context = options.context});
  if (!made) return std::unexpected(made.error());
  return device_scheduler(*std::move(feed), *std::move(made));
}

std::error_code device_scheduler::attach(const device_ref& next) noexcept {
  return next ? feed_->attach(next) : errno_code(EINVAL);
}
std::error_code device_scheduler::detach() noexcept { return feed_->attach(nullptr); }
device_ref device_scheduler::attached() const noexcept { return feed_->attached(); }

std::error_code device_scheduler::fini(absolute_deadline deadline_ns) noexcept {
  return scheduler_.fini(deadline_ns);
}
result<std::size_t> device_scheduler::run_ready(std::size_t jobs_max) noexcept {
  return scheduler_.run_ready(jobs_max);
}
std::int64_t device_scheduler::next_timeout_ns() const noexcept {
  return scheduler_.next_timeout_ns();
}
std::error_code device_scheduler::stop() noexcept { return scheduler_.stop(); }
std::error_code device_scheduler::start(sched::in_flight rest, int error) noexcept {
  return scheduler_.start(rest, error);
}
std::error_code device_scheduler::pause() noexcept { return scheduler_.pause(); }
std::error_code device_scheduler::resume() noexcept { return scheduler_.resume(); }
std::error_code device_scheduler::fault() noexcept { return scheduler_.fault(); }
sched::scheduler_statistics device_scheduler::statistics() const noexcept {
  return scheduler_.statistics();
}
std::string_view device_scheduler::name() const noexcept { return scheduler_.name(); }

// --- device_entity ---

device_entity::device_entity(sched::entity e, detail::device_feed& feed,
                             const device_entity_options& o) noexcept
    : sched::entity(std::move(e)),
      feed_(&feed),
      when_gone_(o.when_gone),
      propagates_errors_(o.propagates_errors) {}

result<device_entity> device_entity::create(const device_scheduler& at,
                                            const device_entity_options& options) noexcept {
  const sched::scheduler* const home[] = {&at.scheduler_};
  result<sched::entity> made =
      sched::entity::create({.schedulers = home,
                             .name = options.name,
                             .rank = options.rank,
                             .weight = options.weight,
                             .error_budget = options.error_budget,
                             .propagates_errors = options.propagates_errors});
  if (!made) return std::unexpected(made.error());
  return device_entity(*std::move(made), *at.feed_, options);
}

namespace {

std::error_code add_dependencies(sched::job& j, const device_job& what) noexcept {
  for (const fence_ref& f : what.in_fences) {
    if (!f) return errno_code(EINVAL);
    if (const std::error_code failed = j.add_dependency(f)) return failed;
  }
  for (const job_point& p : what.in_points) {
    if (const std::error_code failed = j.add_dependency(p.of, p.point)) return failed;
  }
  for (const job_buffer& b : what.in_buffers) {
    if (const std::error_code failed = j.add_dependencies(b.of, b.usage)) return failed;
  }
  return {};
}

}  // namespace

result<device_job_fences> device_entity::push(const device_job& what) noexcept {
  if (what.args.size() > SIZE_MAX / 2) return failure(ENOMEM);
  void* const memory = allocate(sizeof(detail::fed_job) + what.args.size());
  if (memory == nullptr) return failure(ENOMEM);
  auto* const j = ::new (memory) detail::fed_job(*feed_, what, when_gone_, propagates_errors_);
  std::error_code failed = add_dependencies(*j, what);
  if (!failed) {
    result<sched::armed_job> armed = arm(*j);
    if (armed)
      return device_job_fences{.scheduled = armed->scheduled(), .finished = armed->finished()};
    failed = armed.error();
  }
  detail::fed_job::destroy(*j);
  return std::unexpected(failed);
}

}  // namespace ufence
