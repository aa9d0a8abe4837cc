#include "ufence/debug/watchdog.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <new>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "ufence/base/clock.h"
#include "ufence/base/fd.h"
#include "ufence/base/fork.h"
#include "ufence/base/system_thread.h"
#include "ufence/debug/gather.h"
#include "ufence/debug/graph.h"
#include "ufence/debug/sightings.h"
#include "ufence/fence/report.h"
#include "ufence/fence/slab.h"
#include "ufence/issuer/job_record.h"

namespace ufence {

namespace {

void report_stuck(const stuck& what) noexcept {
  const std::vector<std::uint32_t> roots = roots_of(what.seen, what.waiter);
  const debug::node& about = what.seen.nodes[roots.empty() ? what.waiter : roots.front()];
  send_report({.kind = report_kind::stuck,
               .context = about.context,
               .seqno = about.seqno,
               .driver_name = about.driver,
               .timeline_name = about.timeline,
               .text = what.text});
}

}  // namespace

class watchdog::loop {
 public:
  loop(const watchdog_options& options, unique_fd stop) noexcept
      : options_(options), stop_(std::move(stop)) {}

  [[nodiscard]] int start() noexcept {
    return thread_.start(
        [](void* self) -> void* {
          static_cast<loop*>(self)->run();
          return nullptr;
        },
        this);
  }
  void stop() noexcept {
    const std::uint64_t one = 1;
    static_cast<void>(::write(stop_.get(), &one, sizeof one));
    while (!thread_.join(no_deadline)) {
    }
  }
  [[nodiscard]] bool is_inherited() const noexcept { return generation_ != fork_generation(); }

 private:
  // Of one wait: what kind of node it is, which one, and of a thread since when it sleeps.
  using wait_key = std::tuple<debug::node_kind, std::uint64_t, std::uint64_t>;

  static wait_key key_of(const debug::snapshot& seen, const debug::node& n) {
    if (n.kind == debug::node_kind::fence) return {n.kind, n.context, n.seqno};
    return {n.kind, static_cast<std::uint64_t>(n.id),
            static_cast<std::uint64_t>(seen.time_ns - n.age_ns)};
  }

  void run() noexcept {
    system_thread::name_this("ufence-watchdog");
    constexpr std::int64_t ms = 1'000'000, part_of_time = 50;
    const std::int64_t interval_ns = std::clamp<std::int64_t>(options_.limit_ns / 4, 20 * ms, 1000 * ms);
    std::int64_t next_ns = interval_ns;
    for (;;) {
      pollfd ended{.fd = stop_.get(), .events = POLLIN, .revents = 0};
      if (::poll(&ended, 1, static_cast<int>(next_ns / ms)) > 0) return;
      next_ns = std::max(interval_ns, look() * part_of_time);
    }
  }

  // Returns how long it took.
  std::int64_t look() noexcept try {
    debug::snapshot seen = debug::gather();
    sightings_.update(seen);
    const debug::graph waits(seen, true);
    std::set<wait_key> told;
    for (const std::uint32_t n : debug::waiters_in(seen)) {
      const wait_key key = key_of(seen, seen.nodes[n]);
      const bool is_late = seen.nodes[n].age_ns >= options_.limit_ns;
      if (!is_late && !told_.contains(key)) continue;
      const bool was_told = told_.contains(key) || told.contains(key);
      note_below(seen, waits, n, told);
      if (was_told) continue;
      tell(seen, n);
      if (options_.cancels_roots) cancel_roots(seen, n);
    }
    // A wait that is gone is forgotten.
    told_ = std::move(told);
    return seen.duration_ns;
  } catch (const std::exception&) {
    return 0;  // no memory: later perhaps
  }

  // The whole chain of a wait that is told.
  static void note_below(const debug::snapshot& seen, const debug::graph& waits, std::uint32_t start,
                         std::set<wait_key>& told) {
    std::vector<std::uint32_t> to_do{start};
    std::vector<bool> is_seen(seen.nodes.size(), false);
    is_seen[start] = true;
    while (!to_do.empty()) {
      const std::uint32_t n = to_do.back();
      to_do.pop_back();
      told.insert(key_of(seen, seen.nodes[n]));
      for (const debug::edge& e : waits.out(n)) {
        if (!is_seen[e.to]) {
          is_seen[e.to] = true;
          to_do.push_back(e.to);
        }
      }
    }
  }

  void tell(const debug::snapshot& seen, std::uint32_t n) {
    const std::string text = line_about(seen, n) + "\n" + explain(seen, n);
    const stuck what{.seen = seen, .waiter = n, .text = text};
    if (options_.told != nullptr) {
      options_.told(what, options_.context);
    } else {
      report_stuck(what);
    }
  }

  // Asks for the end of the jobs that this wait hangs on.
  static void cancel_roots(const debug::snapshot& seen, std::uint32_t n) noexcept {
    for (const std::uint32_t root : roots_of(seen, n)) {
      const debug::node& r = seen.nodes[root];
      if (r.kind != debug::node_kind::fence || r.type != "job of a driver module") continue;
      if (const fence_ref f = find_pending(r.context, r.seqno)) static_cast<void>(detail::cancel_job_of(*f));
    }
  }

  static fence_ref find_pending(std::uint64_t context, std::uint64_t seqno) noexcept {
    struct search {
      std::uint64_t context, seqno;
      fence_ref found = {};
    } wanted{.context = context, .seqno = seqno};
    detail::visit_fences(
        [](fence& slot, void* of) {
          auto& s = *static_cast<search*>(of);
          if (s.found || !slot.try_get()) return;
          fence_ref f = fence_ref::adopt(&slot);
          if (f->context() == s.context && f->seqno() == s.seqno) s.found = std::move(f);
        },
        &wanted);
    return std::move(wanted.found);
  }

  const watchdog_options options_;
  const unique_fd stop_;
  const std::uint32_t generation_ = fork_generation();
  system_thread thread_;
  debug::sightings sightings_;
  std::set<wait_key> told_;
};

result<watchdog> watchdog::start(const watchdog_options& options) noexcept try {
  if (options.limit_ns <= 0) return failure(EINVAL);
  unique_fd stop(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!stop) return failure(errno);
  auto made = std::make_unique<loop>(options, std::move(stop));
  if (const int failed = made->start()) return failure(failed);
  return watchdog(std::move(made));
} catch (const std::bad_alloc&) {
  return failure(ENOMEM);
}

watchdog::watchdog(std::unique_ptr<loop> running) noexcept : loop_(std::move(running)) {}
watchdog::watchdog(watchdog&& other) noexcept = default;

watchdog& watchdog::operator=(watchdog&& other) noexcept {
  if (this != &other) {
    stop();
    loop_ = std::move(other.loop_);
  }
  return *this;
}

watchdog::~watchdog() { stop(); }

void watchdog::stop() noexcept {
  if (loop_ == nullptr) return;
  if (loop_->is_inherited()) {
    // The parent's thread may have been in the middle of what it has: it stays as it is.
    static_cast<void>(loop_.release());
    return;
  }
  loop_->stop();
  loop_.reset();
}

namespace {

// As the environment asks. It runs as long as the process.
struct watchdog_environment {
  watchdog_environment() noexcept {
    const char* const wanted = ::secure_getenv("UFENCE_WATCHDOG");
    if (wanted == nullptr) return;
    constexpr std::int64_t second = 1'000'000'000, seconds_max = 1'000'000;
    std::int64_t seconds = 0;
    const char* const end = wanted + std::strlen(wanted);
    const auto [rest, error] = std::from_chars(wanted, end, seconds);
    if (error != std::errc() || rest != end || seconds <= 0 || seconds > seconds_max) {
      static_cast<void>(std::fprintf(stderr, "ufence: UFENCE_WATCHDOG=SECONDS, not %s\n", wanted));
      return;
    }
    result<watchdog> started = watchdog::start({.limit_ns = seconds * second});
    if (!started) {
      static_cast<void>(std::fprintf(stderr, "ufence: no watchdog (UFENCE_WATCHDOG): %s\n",
                                     std::strerror(started.error().value())));
      return;
    }
    // It is not ended with the static objects of the process, which it might look at.
    static_cast<void>(new (std::nothrow) watchdog(std::move(*started)));
  }
};
const watchdog_environment watchdog_at_load;

}  // namespace
}  // namespace ufence
