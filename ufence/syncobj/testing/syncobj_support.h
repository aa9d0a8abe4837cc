// What the tests of syncobjs share.
#pragma once

#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <future>
#include <thread>
#include <utility>

#include "ufence/base/fd.h"
#include "ufence/fence/fence.h"
#include "ufence/fence/testing/support.h"
#include "ufence/syncobj/syncobj.h"

namespace ufence::testing {

inline const std::error_code timed_out = errno_code(ETIME);
inline const std::error_code not_there = errno_code(EINVAL);

/// Something that blocks, on a thread of its own.
template <class Result>
class blocked_call {
 public:
  template <class Body>
  explicit blocked_call(Body body)
      : thread_([this, body] {
          tid_ = ::gettid();
          result_.set_value(body());
        }) {}
  /// Waits until the thread sleeps, for more than a lock (or is through).
  void until_asleep() {
    int looks = 0;
    EXPECT_TRUE(eventually([&] {
      looks = tid_ != 0 && is_asleep(tid_) ? looks + 1 : 0;
      return is_done() || looks == 20;
    }));
  }
  [[nodiscard]] bool is_done() const {
    return future_.wait_for(std::chrono::seconds(0)) == std::future_status::ready;
  }
  [[nodiscard]] Result get() { return future_.get(); }

 private:
  std::promise<Result> result_;
  std::future<Result> future_ = result_.get_future();
  std::atomic<pid_t> tid_ = 0;
  std::jthread thread_;
};

struct event_counter {
  unique_fd fd{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
  /// What was added since the last look.
  [[nodiscard]] std::uint64_t take() const {
    std::uint64_t value = 0;
    return ::read(fd.get(), &value, sizeof value) == sizeof value ? value : 0;
  }
};

}  // namespace ufence::testing
