#include "tools/ufence/run/client_queues.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <exception>
#include <string>
#include <utility>

#include "ufence/base/clock.h"

namespace ufence::tool {
namespace {

// So many reads may be under way, and hash jobs for each worker: enough that nobody waits for a
// scheduler, and few enough that it decides who is next.
constexpr std::uint32_t reads_max = 128;
constexpr std::uint32_t hashes_for_each_worker = 16;

// How many jobs a module's thread gives to a module in one go: it has other work.
constexpr std::size_t jobs_in_one_go = 32;

// This thread is inside run() for these.
thread_local std::array<bool, all_drivers.size()> is_running{};

}  // namespace

client_queues::client_queues(std::span<const client_share> clients, std::uint64_t timeout_ms,
                             unsigned workers, int wake_fd)
    : clients_(clients.begin(), clients.end()),
      timeout_ms_(timeout_ms),
      workers_(workers),
      wake_fd_(wake_fd) {
  for (const driver d : all_drivers) {
    lanes_[index_of(d)].all = this;
    lanes_[index_of(d)].of = d;
  }
}

client_queues::~client_queues() { set_replace(nullptr); }

std::error_code client_queues::use(driver d, const device_ref& fresh) {
  lane& l = lanes_[index_of(d)];
  if (l.scheduler) return l.scheduler->attach(fresh);
  const std::uint32_t credits = d == driver::uring ? reads_max : workers_ * hashes_for_each_worker;
  const std::int64_t timeout_ns =
      timeout_ms_ == 0 ? no_deadline : static_cast<std::int64_t>(timeout_ms_) * 1'000'000;
  auto made = device_scheduler::create(fresh, {.name = name_of(d),
                                               .credit_limit = credits,
                                               .timeout_ns = timeout_ns,
                                               .has_thread = timeout_ms_ != 0,
                                               .wake = &client_queues::run,
                                               .timed_out = &client_queues::timed_out,
                                               .context = &l});
  if (!made) return made.error();
  for (std::size_t i = 0; i < clients_.size(); ++i) {
    const std::string name = fmt::format("{}{}", client_name, i + 1);
    auto entity = device_entity::create(*made, {.name = name,
                                                .rank = clients_[i].rank,
                                                .weight = clients_[i].weight,
                                                .propagates_errors = true});
    if (!entity) return entity.error();
    l.entities.push_back(*std::move(entity));
  }
  l.scheduler.emplace(*std::move(made));
  return {};
}

result<fence_ref> client_queues::push(driver d, std::size_t client, const job_request& what) {
  auto pushed = lanes_[index_of(d)].entities[client].push(
      {.opcode = what.opcode, .args = what.args, .in_fences = what.in_fences});
  if (!pushed) return std::unexpected(pushed.error());
  return std::move(pushed->finished);
}

// Any thread: there is something to run. Where another thread is at it, that one looks again.
void client_queues::run(void* context) noexcept {
  lane& l = *static_cast<lane*>(context);
  if (std::this_thread::get_id() == l.all->main_) {
    static_cast<void>(l.scheduler->run_ready());
    return;
  }
  bool& is_inside = is_running[index_of(l.of)];
  if (!is_inside) {
    is_inside = true;
    static_cast<void>(l.scheduler->run_ready(jobs_in_one_go));
    is_inside = false;
    return;
  }
  // The call above has left something, and says so on its way out.
  // relaxed: see lane
  l.is_left.store(true, mo::relaxed);
  const std::uint64_t one = 1;
  if (::write(l.all->wake_fd_, &one, sizeof one) < 0) {
    // It is full of wake-ups already.
  }
}

void client_queues::run_ready() {
  for (lane& l : lanes_) {
    // relaxed: see lane
    if (l.is_left.load(mo::relaxed) && l.is_left.exchange(false, mo::relaxed)) {
      static_cast<void>(l.scheduler->run_ready());
    }
  }
}

void client_queues::set_replace(replace_function replace) {
  const std::scoped_lock lock(mutex_);
  replace_ = std::move(replace);
}

// On the scheduler of the module.
sched::timeout_verdict client_queues::timed_out(void* context, const late_job& late) noexcept {
  lane& l = *static_cast<lane*>(context);
  const std::scoped_lock lock(l.all->mutex_);
  // Somebody may have replaced the module just now.
  if (!l.all->replace_ || late.fence->is_signaled()) return sched::timeout_verdict::no_hang;
  static_cast<void>(l.scheduler->stop());
  try {
    const device_ref next = l.all->replace_(l.of, late.at);
    if (next && !l.scheduler->attach(next)) return sched::timeout_verdict::reset;
  } catch (const std::exception&) {  // no memory: as if it were gone
  }
  return sched::timeout_verdict::gone;
}

void client_queues::kill() {
  for (lane& l : lanes_) {
    for (device_entity& e : l.entities) static_cast<void>(e.kill(-ECANCELED));
  }
}

std::vector<std::int64_t> client_queues::device_time_ns() const {
  std::vector<std::int64_t> times;
  for (const device_entity& e : lanes_[index_of(driver::cpu)].entities) {
    times.push_back(e.statistics().device_time_ns);
  }
  return times;
}

late_totals client_queues::late() const {
  late_totals sum;
  for (const lane& l : lanes_) {
    if (!l.scheduler) continue;
    const sched::scheduler_statistics s = l.scheduler->statistics();
    sum.timeouts += s.timeouts;
    sum.resets += s.resets;
  }
  return sum;
}

}  // namespace ufence::tool
