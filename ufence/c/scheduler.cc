#include <iterator>
#include <memory>
#include <new>
#include <utility>

#include "ufence/c/convert.h"
#include "ufence/c/handles.h"
#include "ufence/issuer/device_scheduler.h"

using namespace ufence;
using namespace ufence::c;

struct ufence_scheduler {
  int (*timed_out)(const ufence_late_job*, void*) = nullptr;
  void (*wake)(void*) = nullptr;
  void* data = nullptr;
  std::unique_ptr<device_scheduler> jobs;  // made last, and goes first: it calls the functions above
};

struct ufence_entity {
  device_entity queue;
};

namespace {

static_assert(static_cast<int>(sched::policy::fair) == UFENCE_SCHEDULE_FAIR);
static_assert(static_cast<int>(sched::policy::fifo) == UFENCE_SCHEDULE_FIFO);
static_assert(static_cast<int>(sched::policy::deadline) == UFENCE_SCHEDULE_DEADLINE);
static_assert(static_cast<int>(sched::timeout_verdict::reset) == UFENCE_TIMEOUT_RESET);
static_assert(static_cast<int>(sched::timeout_verdict::gone) == UFENCE_TIMEOUT_GONE);
static_assert(static_cast<int>(sched::timeout_verdict::no_hang) == UFENCE_TIMEOUT_NO_HANG);
static_assert(static_cast<int>(sched::timeout_verdict::handled) == UFENCE_TIMEOUT_HANDLED);

// 0 is what most users want, so the numbers are others than in C++.
constexpr sched::priority ranks[] = {sched::priority::normal, sched::priority::kernel,
                                     sched::priority::high, sched::priority::low};
static_assert(ranks[UFENCE_PRIORITY_KERNEL] == sched::priority::kernel);
static_assert(ranks[UFENCE_PRIORITY_HIGH] == sched::priority::high);
static_assert(ranks[UFENCE_PRIORITY_LOW] == sched::priority::low);

void wake(void* context) noexcept {
  const auto& s = *static_cast<ufence_scheduler*>(context);
  s.wake(s.data);
}

sched::timeout_verdict timed_out(void* context, const late_job& late) noexcept {
  const auto& s = *static_cast<ufence_scheduler*>(context);
  const ufence_late_job told = {.size = sizeof told,
                                .fence = to_c(late.fence.get()),
                                .finished = to_c(late.finished.get())};
  const int verdict = s.timed_out(&told, s.data);
  // A value that is no verdict changes nothing: the job goes on.
  if (verdict < UFENCE_TIMEOUT_RESET || verdict > UFENCE_TIMEOUT_HANDLED) {
    return sched::timeout_verdict::no_hang;
  }
  return static_cast<sched::timeout_verdict>(verdict);
}

}  // namespace

int ufence_scheduler_create(ufence_module* module, const ufence_scheduler_options* given,
                            ufence_scheduler** made) {
  ufence_scheduler_options options;
  if (module == nullptr || !read_options(given, options) ||
      options.order > UFENCE_SCHEDULE_DEADLINE || options.timeout_ns < 0) {
    return -EINVAL;
  }
  std::unique_ptr<ufence_scheduler> handle(new (std::nothrow) ufence_scheduler);
  if (handle == nullptr) return -ENOMEM;
  handle->timed_out = options.timed_out;
  handle->wake = options.wake;
  handle->data = options.data;
  device_scheduler_options wanted{.name = text_of(options.name),
                                  .order = static_cast<sched::policy>(options.order),
                                  .resubmits = options.fails_after_reset == 0,
                                  .has_thread = options.own_loop == 0,
                                  .wake = options.wake != nullptr ? &wake : nullptr,
                                  .timed_out = options.timed_out != nullptr ? &timed_out : nullptr,
                                  .context = handle.get()};
  if (options.credit_limit != 0) wanted.credit_limit = options.credit_limit;
  if (options.timeout_ns != 0) wanted.timeout_ns = options.timeout_ns;
  if (options.passes_max != 0) {
    wanted.passes_max = options.passes_max == UFENCE_NO_PASSES ? 0 : options.passes_max;
  }
  result<device_scheduler> jobs = device_scheduler::create(module->device, wanted);
  if (!jobs) return negative(jobs.error());
  handle->jobs.reset(new (std::nothrow) device_scheduler(*std::move(jobs)));
  if (handle->jobs == nullptr) return -ENOMEM;
  *made = handle.release();
  return 0;
}

int ufence_scheduler_destroy(ufence_scheduler* s, int64_t deadline_ns) {
  if (s == nullptr) return 0;
  const int ended = negative(s->jobs->fini(deadline_ns));
  if (ended != -EDEADLK) delete s;
  return ended;
}

int ufence_scheduler_attach(ufence_scheduler* s, ufence_module* module) {
  return negative(module != nullptr ? s->jobs->attach(module->device) : s->jobs->detach());
}

long ufence_scheduler_run_ready(ufence_scheduler* s, size_t jobs_max) {
  const result<std::size_t> ran = s->jobs->run_ready(jobs_max);
  return ran ? static_cast<long>(*ran) : negative(ran.error());
}

int64_t ufence_scheduler_next_timeout_ns(const ufence_scheduler* s) {
  return s->jobs->next_timeout_ns();
}

int ufence_scheduler_get_stats(const ufence_scheduler* s, ufence_scheduler_stats* to) {
  if (s == nullptr || !has_room(to)) return -EINVAL;
  const sched::scheduler_statistics from = s->jobs->statistics();
  write_known({.size = to->size,
               .jobs_run = from.jobs_run,
               .jobs_ended = from.jobs_ended,
               .passes = from.passes,
               .timeouts = from.timeouts,
               .resets = from.resets,
               .credits_used = from.credits_used,
               .in_flight = from.in_flight,
               .entities = from.entities},
              to);
  return 0;
}

int ufence_entity_create(ufence_scheduler* s, const ufence_entity_options* given,
                         ufence_entity** made) {
  ufence_entity_options options;
  if (s == nullptr || !read_options(given, options) || options.priority >= std::size(ranks)) {
    return -EINVAL;
  }
  device_entity_options wanted{
      .name = text_of(options.name),
      .rank = ranks[options.priority],
      .weight = options.weight,
      .propagates_errors = options.propagates_errors != 0,
      .when_gone = options.ends_without_device != 0 ? without_device::end : without_device::wait};
  if (options.errors_max != 0) wanted.error_budget = options.errors_max;
  result<device_entity> queue = device_entity::create(*s->jobs, wanted);
  if (!queue) return negative(queue.error());
  auto* const handle = new (std::nothrow) ufence_entity{*std::move(queue)};
  if (handle == nullptr) return -ENOMEM;
  *made = handle;
  return 0;
}

void ufence_entity_destroy(ufence_entity* e) { delete e; }

int ufence_entity_push(ufence_entity* e, const ufence_job_request* given, uint32_t credits,
                       ufence_fence** scheduled, ufence_fence** finished) {
  ufence_job_request request;
  if (given == nullptr || finished == nullptr || !read_options(given, request)) return -EINVAL;
  result<device_job_fences> pushed = e->queue.push(
      {.opcode = request.opcode,
       .args = {static_cast<const std::byte*>(request.args), request.args_size},
       .credits = credits != 0 ? credits : 1,
       .in_fences = lent(request.in_fences, request.in_fence_count)});
  if (!pushed) return negative(pushed.error());
  if (scheduled != nullptr) *scheduled = to_c(pushed->scheduled.release());
  *finished = to_c(pushed->finished.release());
  return 0;
}

int ufence_entity_kill(ufence_entity* e, int error) { return negative(e->queue.kill(error)); }

int ufence_entity_flush(ufence_entity* e, int64_t deadline_ns) {
  return negative(e->queue.flush(deadline_ns));
}

int ufence_entity_set_priority(ufence_entity* e, uint32_t priority) {
  if (priority >= std::size(ranks)) return -EINVAL;
  return negative(e->queue.set_priority(ranks[priority]));
}

int ufence_entity_set_weight(ufence_entity* e, uint32_t weight) {
  return negative(e->queue.set_weight(weight));
}

int ufence_entity_get_stats(const ufence_entity* e, ufence_entity_stats* to) {
  if (e == nullptr || !has_room(to)) return -EINVAL;
  const sched::entity_statistics from = e->queue.statistics();
  write_known({.size = to->size,
               .jobs_pushed = from.jobs_pushed,
               .jobs_ended = from.jobs_ended,
               .device_time_ns = from.device_time_ns,
               .timeouts = from.timeouts,
               .last_error = from.last_error},
              to);
  return 0;
}
