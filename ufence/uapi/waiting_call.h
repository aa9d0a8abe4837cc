// Calls that are answered later: when something happened, or when their time is over.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "ufence/base/atomic.h"
#include "ufence/base/clock.h"
#include "ufence/base/fd.h"
#include "ufence/base/result.h"
#include "ufence/syncobj/syncobj.h"
#include "ufence/syncobj/watch.h"
#include "ufence/uapi/call.h"

namespace ufence::uapi {

/// Ends with its caller: nothing is left then. Threads: the broker's alone. May throw
/// std::bad_alloc.
class waiting_call {
 public:
  explicit waiting_call(std::int64_t deadline_ns) noexcept : deadline_ns_(deadline_ns) {}
  waiting_call(const waiting_call&) = delete;
  waiting_call& operator=(const waiting_call&) = delete;
  virtual ~waiting_call() = default;

  /// Readable when is_ready() should be asked; the same one as long as the call waits.
  [[nodiscard]] virtual int event() const noexcept = 0;
  [[nodiscard]] virtual bool is_ready() noexcept = 0;
  /// The answer. `in_time`: it is ready.
  [[nodiscard]] virtual reply finish(bool in_time) = 0;
  [[nodiscard]] std::int64_t deadline_ns() const noexcept { return deadline_ns_; }

 private:
  const std::int64_t deadline_ns_;
};

/// For points of syncobjs, with one descriptor for all of them.
class point_wait final : public waiting_call {
 public:
  struct options {
    bool all = false;
    bool available = false;  // submitted is enough
    std::int64_t deadline_ns = no_deadline;
  };
  /// Makes the answer from the index of the first point that has come (0 of all), or -ETIME.
  using answer_function = std::function<reply(result<std::size_t>)>;

  /// A reply that comes later.
  /// @return  ENOMEM, as the kernel for want of anything; EOWNERDEAD
  [[nodiscard]] static reply begin(std::span<const syncobj_point> points, const options& how,
                                   answer_function answer);

  point_wait(unique_fd event, const options& how, answer_function answer)
      : waiting_call(how.deadline_ns),
        event_(std::move(event)),
        all_(how.all),
        answer_(std::move(answer)) {}
  ~point_wait() override;

  [[nodiscard]] int event() const noexcept override { return event_.get(); }
  [[nodiscard]] bool is_ready() noexcept override;
  [[nodiscard]] reply finish(bool in_time) override;

 private:
  struct watched : syncobj_watch {
    watched(point_wait& by, syncobj_ref what) noexcept
        : syncobj_watch(&watched::on_end), wait(by), object(std::move(what)) {}
    static void on_end(syncobj_watch& watch, bool is_there) noexcept;
    point_wait& wait;
    const syncobj_ref object;  // one that is gone is never submitted
    atomic<bool> has_come{false};
  };

  [[nodiscard]] std::size_t first_come() const noexcept;

  const unique_fd event_;  // an eventfd
  const bool all_;
  const answer_function answer_;
  atomic<std::size_t> come_{0};
  std::deque<watched> points_;
};

}  // namespace ufence::uapi
