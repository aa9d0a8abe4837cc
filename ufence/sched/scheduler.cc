#include "ufence/sched/scheduler.h"

#include <cstring>
#include <new>

#include "ufence/base/alloc.h"
#include "ufence/base/fork.h"
#include "ufence/sched/core.h"

namespace ufence::sched {
namespace {

constexpr std::int64_t end_within_ns = 1'000'000'000;

}  // namespace

scheduler::scheduler(ref<detail::scheduler_core> core) noexcept : core_(std::move(core)) {}
scheduler::scheduler(scheduler&& other) noexcept = default;
scheduler& scheduler::operator=(scheduler&& other) noexcept {
  if (this != &other) {
    if (core_) core_->fini(deadline_after(end_within_ns));
    core_ = std::move(other.core_);
  }
  return *this;
}
scheduler::~scheduler() {
  if (core_) core_->fini(deadline_after(end_within_ns));
}

result<scheduler> scheduler::create(const scheduler_options& options) noexcept {
  if (options.ops == nullptr || options.ops->run == nullptr || options.ops->free == nullptr ||
      options.credit_limit == 0) {
    return failure(EINVAL);
  }
  result<ref<detail::scheduler_core>> core = detail::scheduler_core::create(options);
  if (!core) return std::unexpected(core.error());
  return scheduler(*std::move(core));
}

std::error_code scheduler::fini(absolute_deadline deadline_ns) noexcept {
  return core_->fini(deadline_ns);
}
result<std::size_t> scheduler::run_ready(std::size_t jobs_max) noexcept {
  return core_->run_ready(jobs_max);
}
std::int64_t scheduler::next_timeout_ns() const noexcept { return core_->next_timeout_ns(); }
std::error_code scheduler::stop() noexcept { return core_->stop(); }
std::error_code scheduler::start(in_flight rest, int error) noexcept {
  return core_->start(rest, error);
}
std::error_code scheduler::pause() noexcept { return core_->set_paused(true); }
std::error_code scheduler::resume() noexcept { return core_->set_paused(false); }
std::int64_t scheduler::suspend_timeout() noexcept { return core_->suspend_timeout(); }
void scheduler::resume_timeout(std::int64_t left_ns) noexcept { core_->resume_timeout(left_ns); }
std::error_code scheduler::fault() noexcept { return core_->fault(); }
scheduler_statistics scheduler::statistics() const noexcept { return core_->statistics(); }
std::uint32_t scheduler::load() const noexcept { return core_->load(); }
std::string_view scheduler::name() const noexcept { return core_->name(); }

namespace detail {

scheduler_core::scheduler_core(const scheduler_options& options, char* names) noexcept
    : generation_(fork_generation()), options_(options) {
  const auto keep = [&](std::string_view& name) {
    if (!name.empty()) std::memcpy(names, name.data(), name.size());
    name = {names, name.size()};
    names += name.size();
  };
  keep(options_.name);
  keep(options_.device_name);
  keep(options_.module_name);
}

result<scheduler_ref> scheduler_core::create(const scheduler_options& options) noexcept {
  const std::size_t names =
      options.name.size() + options.device_name.size() + options.module_name.size();
  void* memory = allocate_aligned(64, sizeof(scheduler_core) + names);
  if (memory == nullptr) return failure(ENOMEM);
  return scheduler_ref::adopt(
      ::new (memory) scheduler_core(options, static_cast<char*>(memory) + sizeof(scheduler_core)));
}

void scheduler_core::destroy() noexcept {
  this->~scheduler_core();
  deallocate(this);
}

bool scheduler_core::is_inherited() const noexcept { return generation_ != fork_generation(); }

void scheduler_core::note_load_locked() noexcept {
  // relaxed: a hint
  load_.store(entity_count_ + in_flight_count_, mo::relaxed);
}

scheduler_statistics scheduler_core::statistics() noexcept {
  if (is_inherited()) return {};
  const guard at(*this);
  scheduler_statistics s = statistics_;
  s.credits_used = static_cast<std::uint32_t>(credits_used_);
  s.in_flight = in_flight_count_;
  s.entities = entity_count_;
  return s;
}

}  // namespace detail
}  // namespace ufence::sched
