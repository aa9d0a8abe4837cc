// Reading with threads and pread(), where there is no io_uring.
#pragma once

#include <mutex>

#include "drivers/uring/inbox.h"
#include "drivers/uring/work.h"
#include "ufence/driver.hpp"

namespace ufence::uring {

/// The work of such threads; the object that starts them calls run() from each.
class pool {
 public:
  pool(const driver::services& host, inbox& in) noexcept : host_(host), inbox_(in) {}

  /// Reads until the inbox is closed.
  void run();
  /// Makes threads that wait for a stream look whether their job is to be ended early.
  void interrupt();

 private:
  class stream_wait;

  [[nodiscard]] int perform(job& j);
  [[nodiscard]] int read_all(job& j);
  [[nodiscard]] std::int64_t read_stream(job& j, const span_left& left);

  const driver::services& host_;
  inbox& inbox_;
  std::mutex mutex_;                // guards what follows
  stream_wait* waiting_ = nullptr;  // a list
};

}  // namespace ufence::uring
