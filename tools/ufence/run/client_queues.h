// The clients of a run and their queues for the modules: each gets its share of a module's time.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <span>
#include <string_view>
#include <system_error>
#include <thread>
#include <vector>

#include "tools/ufence/run/instance.h"
#include "tools/ufence/run/run_options.h"
#include "ufence/base/atomic.h"
#include "ufence/base/result.h"
#include "ufence/issuer/device_scheduler.h"

namespace ufence::tool {

/// Of each client, and so of the timelines of its fences: the begin of the name.
inline constexpr std::string_view client_name = "client ";

/// How often jobs were late, and modules were loaded again for it.
struct late_totals {
  std::uint64_t timeouts = 0, resets = 0;
};

/// A scheduler for each module of this process, and an entity of each client on it. A job waits
/// there while its module is being replaced.
/// A scheduler has no thread of its own: the thread that makes a job ready gives it to the module, be it
/// the main thread, which pushes, or a module's, which ends another one; that one gives some, and
/// leaves the rest to the main thread. With a timeout it has a thread, since no module can be
/// replaced on one of its own. Threads: the main one, where nothing else is said.
class client_queues {
 public:
  /// Replaces the module that has a late job. Null: it is gone for good. Called on the module's
  /// scheduler, which is stopped meanwhile.
  using replace_function = std::function<device_ref(driver d, const device& late)>;

  /// Made on the main thread.
  /// @param workers  threads of `cpu`
  /// @param wake_fd  an eventfd: the main thread is to call run_ready()
  client_queues(std::span<const client_share> clients, std::uint64_t timeout_ms, unsigned workers,
                int wake_fd);
  ~client_queues();
  client_queues(const client_queues&) = delete;
  client_queues& operator=(const client_queues&) = delete;

  /// From now on jobs of the driver go to this instance.
  /// @return  -ENOMEM
  [[nodiscard]] std::error_code use(driver d, const device_ref& fresh);
  [[nodiscard]] bool has(driver d) const { return lanes_[index_of(d)].scheduler.has_value(); }
  /// Queues a job. @return  its finished fence; what device_entity::push() says
  [[nodiscard]] result<fence_ref> push(driver d, std::size_t client, const job_request& what);

  /// Does what other threads have left to this one.
  void run_ready();

  /// Sets the action for late jobs from now on; null: nothing. Waits for a call that is under way.
  void set_replace(replace_function replace);
  /// Nothing more is queued, and what is queued ends with -ECANCELED.
  void kill();

  /// The time of `cpu` that each client has had so far.
  [[nodiscard]] std::vector<std::int64_t> device_time_ns() const;
  [[nodiscard]] late_totals late() const;

 private:
  struct lane {
    client_queues* all = nullptr;
    driver of{};
    std::optional<device_scheduler> scheduler;
    std::vector<device_entity> entities;  // by client
    // relaxed: the eventfd is written to after it
    atomic<bool> is_left{false};  // there is something to run, for the main thread
  };
  static void run(void* context) noexcept;
  static sched::timeout_verdict timed_out(void* context, const late_job& late) noexcept;

  const std::vector<client_share> clients_;
  const std::uint64_t timeout_ms_;
  const unsigned workers_;
  const int wake_fd_;
  const std::thread::id main_ = std::this_thread::get_id();
  std::array<lane, all_drivers.size()> lanes_;
  std::mutex mutex_;  // guards replace_; held while it is called
  replace_function replace_;
};

}  // namespace ufence::tool
