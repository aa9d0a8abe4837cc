// The SYNCOBJ ioctls of one opened node.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <vector>

#include "ufence/sync/syncobj_table.h"
#include "ufence/uapi/call.h"
#include "ufence/uapi/device_table.h"

namespace ufence::uapi {

/// Threads: the broker's alone. May throw std::bad_alloc.
class syncobj_calls {
 public:
  explicit syncobj_calls(device_table& devices) noexcept : devices_(devices) {}

  /// @return  EINVAL also for what is no ioctl of syncobjs
  [[nodiscard]] reply control(const call& c);

 private:
  struct arrays {
    std::vector<std::uint32_t> handles;
    std::vector<std::uint64_t> points;
  };
  struct wait_request {
    arrays what;
    bool timeline = false;
    std::uint32_t flags = 0;
    std::int64_t timeout_ns = 0;
    std::int64_t hint_ns = no_deadline;
  };

  // The price of a handle for the client that made it.
  struct cost {
    charge object;
    charge points;            // pending ones that were added by it
    std::size_t count = 0;    // of them, at most
    std::size_t counted = 0;  // the same, when they were counted the last time
  };

  [[nodiscard]] reply add_handle(const call& c, result<std::uint32_t> handle);
  [[nodiscard]] bool may_add(const call& c, std::uint32_t handle, std::size_t count);

  [[nodiscard]] reply create(const call& c);
  [[nodiscard]] reply destroy(const call& c);
  [[nodiscard]] reply to_fd(const call& c);
  [[nodiscard]] reply from_fd(const call& c);
  [[nodiscard]] reply import_sync_file(const call& c);
  template <class Arguments>
  [[nodiscard]] reply wait(const call& c, bool timeline);
  template <class Finish>
  [[nodiscard]] reply wait_later(const wait_request& w, Finish finish);
  [[nodiscard]] reply reset_or_signal(const call& c, bool signals);
  [[nodiscard]] reply signal_points(const call& c);
  [[nodiscard]] reply query(const call& c);
  [[nodiscard]] reply transfer(const call& c);
  [[nodiscard]] reply notify(const call& c);

  device_table& devices_;
  syncobj_table table_;
  std::map<std::uint32_t, cost> costs_;  // by handle
};

}  // namespace ufence::uapi
