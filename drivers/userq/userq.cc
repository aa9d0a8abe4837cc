// The driver `userq`: see userq.h for its jobs, and README.md.
#include "drivers/userq/userq.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <map>
#include <mutex>
#include <utility>

#include "drivers/common/crew.h"
#include "ufence/driver.hpp"

namespace ufence::userq {
namespace {

using driver::job;
using driver::job_list;

constexpr std::chrono::milliseconds look_every{1};

class descriptor {
 public:
  descriptor() noexcept = default;
  explicit descriptor(int fd) noexcept : fd_(fcntl(fd, F_DUPFD_CLOEXEC, 0)) {}
  descriptor(descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  descriptor& operator=(descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  [[nodiscard]] int get() const noexcept { return fd_; }

 private:
  int fd_ = -1;
};

struct queue {
  descriptor page, process;
  std::int64_t timeout_ns = INT64_MAX;
  std::int64_t moved_ns = 0;  // when a fence was emitted first, or the number moved
  job_list pending;           // in the order of their numbers
  ufence_userq_state state{};
};

// A pending fence has its queue in driver_private[2] and its number in [3].
queue* queue_of(const job& j) noexcept { return static_cast<queue*>(j.driver_private[2]); }
std::uint64_t number_of(const job& j) noexcept {
  return reinterpret_cast<std::uintptr_t>(j.driver_private[3]);
}

class queues {
 public:
  explicit queues(driver::services host) noexcept : host_(host) {}

  int start() { return crew_.hire<&queues::watch>(host_, "userq", *this); }
  int submit(job& j);
  int poll(job& j);
  void cancel(job& j);
  void stop() { crew_.dismiss(); }

 private:
  int create_locked(const ufence_userq_create& args);
  int emit_locked(job& j, queue& q);
  void destroy_locked(queue& q, driver::settlement& later);
  void read_locked(queue& q) noexcept;
  void look_locked(queue& q, driver::settlement& later);
  static void unlink_locked(queue& q, job& j) noexcept;
  void end_locked(queue& q, job& j, int error, driver::settlement& later);
  void end_all_locked(queue& q, int error, driver::settlement& later);
  void watch() noexcept;

  const driver::services host_;
  driver::crew crew_;  // its mutex guards what follows
  std::map<std::uint64_t, queue> queues_;
  std::uint64_t emitted_ = 0;  // by all queues, ever
};

int queues::submit(job& j) {
  driver::settlement later = host_.later();
  const std::scoped_lock lock(crew_.mutex);
  if (j.opcode == UFENCE_USERQ_CREATE) {
    const auto* const args = driver::args_of<ufence_userq_create>(j);
    const int error = args != nullptr ? create_locked(*args) : -EINVAL;
    if (error == 0) host_.decide(j, 0, later);
    return error;
  }
  if (j.opcode < UFENCE_USERQ_FENCE || j.opcode > UFENCE_USERQ_QUERY) return -EINVAL;
  const auto* const args = driver::args_of<ufence_userq_queue>(j);
  if (args == nullptr) return -EINVAL;
  const auto found = queues_.find(args->queue);
  if (found == queues_.end()) return -ENOENT;
  queue& q = found->second;
  switch (j.opcode) {
    case UFENCE_USERQ_FENCE: return emit_locked(j, q);
    case UFENCE_USERQ_DESTROY:
      destroy_locked(q, later);
      queues_.erase(found);
      break;
    default: {
      const auto* const query = driver::args_of<ufence_userq_query>(j);
      if (query == nullptr || query->state == nullptr) return -EINVAL;
      *query->state = q.state;
    }
  }
  host_.decide(j, 0, later);
  return 0;
}

int queues::create_locked(const ufence_userq_create& args) {
  if (args.timeout_ns <= 0) return -EINVAL;
  if (queues_.contains(args.queue)) return -EEXIST;
  descriptor page(args.page_fd), process;
  if (page.get() < 0) return -errno;
  // Memory only: a file of other kinds may keep a reader waiting.
  if (fcntl(page.get(), F_GET_SEALS) < 0) return -EINVAL;
  if (args.pidfd != -1) {
    process = descriptor(args.pidfd);
    if (process.get() < 0) return -errno;
  }
  queue& q = queues_[args.queue];
  q.page = std::move(page);
  q.process = std::move(process);
  q.timeout_ns = args.timeout_ns;
  return 0;
}

int queues::emit_locked(job& j, queue& q) {
  if (q.pending.empty()) q.moved_ns = host_.now_ns();
  j.driver_private[2] = &q;
  j.driver_private[3] = reinterpret_cast<void*>(static_cast<std::uintptr_t>(++q.state.emitted));
  q.pending.push_back(j);
  ++emitted_;
  crew_.changed.notify_all();
  return 0;
}

// A page that is mapped could be truncated by its owner, and reading it would end this process.
void queues::read_locked(queue& q) noexcept {
  std::uint64_t number = 0;
  if (pread(q.page.get(), &number, sizeof number, 0) != sizeof number) return;
  if (number == q.state.read) return;
  if (number < q.state.read || number > q.state.emitted) {
    ++q.state.lies;
    return;
  }
  q.state.read = number;
  q.moved_ns = host_.now_ns();
}

void queues::look_locked(queue& q, driver::settlement& later) {
  if (q.pending.empty()) return;
  // First whether it has ended, then what it had written by then.
  pollfd ended{.fd = q.process.get(), .events = POLLIN, .revents = 0};
  const bool is_dead = ended.fd >= 0 && ::poll(&ended, 1, 0) == 1;
  read_locked(q);
  while (job* const j = q.pending.front()) {
    if (number_of(*j) > q.state.read) break;
    end_locked(q, *j, 0, later);
  }
  if (q.pending.empty()) return;
  if (is_dead) {
    end_all_locked(q, -EOWNERDEAD, later);
  } else if (host_.now_ns() - q.moved_ns >= q.timeout_ns) {
    ++q.state.hangs;
    end_all_locked(q, -ETIMEDOUT, later);
  }
}

void queues::unlink_locked(queue& q, job& j) noexcept {
  q.pending.remove(j);
  j.driver_private[2] = nullptr;
}

void queues::end_locked(queue& q, job& j, int error, driver::settlement& later) {
  unlink_locked(q, j);
  host_.decide(j, error, later);
}

void queues::end_all_locked(queue& q, int error, driver::settlement& later) {
  while (job* const j = q.pending.front()) end_locked(q, *j, error, later);
}

void queues::destroy_locked(queue& q, driver::settlement& later) {
  look_locked(q, later);
  end_all_locked(q, -ECANCELED, later);
}

// A thread that looks sees what the process has written, without waiting for the watch.
int queues::poll(job& j) {
  const std::scoped_lock lock(crew_.mutex);
  queue* const q = queue_of(j);
  if (q == nullptr) return 0;
  read_locked(*q);
  if (number_of(j) > q->state.read) return 0;
  // The host decides it now, and that is the last use of a job without a retire() (D-10).
  unlink_locked(*q, j);
  return 1;
}

void queues::cancel(job& j) {
  driver::settlement later = host_.later();
  const std::scoped_lock lock(crew_.mutex);
  if (queue* const q = queue_of(j)) end_locked(*q, j, -ECANCELED, later);
}

void queues::watch() noexcept {
  std::unique_lock lock(crew_.mutex);
  while (!crew_.stopping) {
    bool is_busy = false;
    const std::uint64_t seen = emitted_;
    driver::settlement later = host_.later();
    for (auto& [number, q] : queues_) {
      look_locked(q, later);
      is_busy = is_busy || !q.pending.empty();
    }
    lock.unlock();
    later.settle();
    lock.lock();
    if (is_busy) {
      crew_.changed.wait_for(lock, look_every, [this] { return crew_.stopping; });
    } else {
      // A fence may have been emitted while the lock was dropped.
      crew_.changed.wait(lock, [&] { return crew_.stopping || emitted_ != seen; });
    }
  }
  crew_.leave();
}

}  // namespace
}  // namespace ufence::userq

UFENCE_CPP_DRIVER(ufence::userq::queues, "userq", "user queue", "queues of other processes");
