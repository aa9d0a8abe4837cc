// The driver `uring`: see uring.h for its jobs.
//
// One thread serves the ring (ring.h). If the kernel refuses it, or a job asks for it, that thread
// becomes the first of those that read with pread() (pool.h). Jobs go from submit() to the readers
// through the inbox, linked through their own memory.
#include "drivers/uring/uring.h"

#include <array>
#include <cerrno>
#include <condition_variable>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <mutex>
#include <utility>

#include "drivers/uring/inbox.h"
#include "drivers/uring/pool.h"
#include "drivers/uring/ring.h"
#include "drivers/uring/work.h"
#include "ufence/driver.hpp"

namespace ufence::uring {
namespace {

constexpr std::uint32_t threads_default = 4;  // of the pool, if nobody said how many

class uring_driver {
 public:
  explicit uring_driver(driver::services host) noexcept : host_(host), pool_(host_, inbox_) {}

  int start();
  int submit(job& j);
  void cancel(job& j);
  void stop();

 private:
  int configure(job& j);
  int query(job& j);
  void serve_ring() noexcept;
  void serve_pool() noexcept;
  void set_backend(ufence_uring_backend backend);
  int start_pool_threads(std::uint32_t wanted);
  bool is_stopping();

  const driver::services host_;
  inbox inbox_;
  pool pool_;
  std::mutex growing_;  // one at a time starts threads
  std::mutex mutex_;    // guards what follows; taken after growing_
  std::condition_variable left_;
  ufence_uring_backend backend_ = UFENCE_URING_STARTING;
  job* configuring_ = nullptr;  // a job that waits for another backend
  std::uint32_t threads_ = 0;   // that serve
  std::uint32_t inside_ = 0;    // threads that may touch this object
  bool is_stopping_ = false;
};

int uring_driver::start() {
  const int error = inbox_.open_wake_fd();
  if (error != 0) return error;
  inside_ = threads_ = 1;
  const int refused = host_.start_thread<&uring_driver::serve_ring>("ufence-uring", *this);
  if (refused != 0) inside_ = 0;
  return refused;
}

int uring_driver::submit(job& j) {
  switch (j.opcode) {
    case UFENCE_URING_READ:
    case UFENCE_URING_READ_FILE: return begin(j) == nullptr ? -EINVAL : inbox_.push(j);
    case UFENCE_URING_CONFIGURE: return configure(j);
    case UFENCE_URING_QUERY: return query(j);
    default: return -EINVAL;
  }
}

void uring_driver::cancel(job& j) {
  if (j.opcode != UFENCE_URING_READ && j.opcode != UFENCE_URING_READ_FILE) return;
  if (inbox_.withdraw(j)) {
    host_.signal(j, -ECANCELED);
  } else {
    pool_.interrupt();
  }
}

void uring_driver::stop() {
  driver::settlement later = host_.later();
  inbox_.close(host_, later);
  pool_.interrupt();
  std::unique_lock lock(mutex_);
  is_stopping_ = true;
  left_.wait(lock, [this] { return inside_ == 0; });
  if (configuring_ != nullptr) {
    host_.decide(*std::exchange(configuring_, nullptr), -ECANCELED, later);
  }
}

int uring_driver::configure(job& j) {
  const auto* const args = driver::args_of<ufence_uring_configure>(j);
  if (args == nullptr || args->threads > UFENCE_URING_THREADS_MAX) return -EINVAL;
  const bool to_threads = args->backend == UFENCE_URING_THREADS;
  if (!to_threads && args->backend != UFENCE_URING_RING) return -EINVAL;
  bool is_later = false;
  {
    const std::scoped_lock lock(mutex_);
    if (is_stopping_) return -ESHUTDOWN;
    if (configuring_ != nullptr) return -EBUSY;
    if (!to_threads && backend_ == UFENCE_URING_THREADS) return -EOPNOTSUPP;
    is_later = backend_ == UFENCE_URING_STARTING || (to_threads && backend_ == UFENCE_URING_RING);
    if (is_later) configuring_ = &j;  // from here on serve_ring() decides it, or stop()
  }
  if (is_later) {
    if (to_threads) inbox_.ask_to_leave_ring();
    return 0;
  }
  const int error = to_threads ? start_pool_threads(args->threads) : 0;
  if (error != 0) return error;
  host_.signal(j, 0);
  return 0;
}

int uring_driver::query(job& j) {
  const auto* const args = driver::args_of<ufence_uring_query>(j);
  if (args == nullptr || args->counters == nullptr) return -EINVAL;
  *args->counters = inbox_.counters();
  {
    const std::scoped_lock lock(mutex_);
    args->counters->backend = static_cast<std::uint32_t>(backend_);
    args->counters->threads = threads_;
  }
  host_.signal(j, 0);
  return 0;
}

// The first thread: the ring's, and without a ring the first of the pool's.
void uring_driver::serve_ring() noexcept {
  {
    ring r(host_, inbox_);
    const int error = r.open();
    if (error == 0) {
      set_backend(UFENCE_URING_RING);
      r.run();
    } else {
      std::array<char, 96> text{};
      const char* const name = ::strerrorname_np(-error);
      std::snprintf(text.data(), text.size(),
                    "io_uring is refused (%s): reading with threads and pread()",
                    name != nullptr ? name : "?");
      host_.report(text.data());
    }
  }
  if (!is_stopping()) set_backend(UFENCE_URING_THREADS);
  serve_pool();
}

void uring_driver::serve_pool() noexcept {
  pool_.run();
  const std::scoped_lock lock(mutex_);
  --inside_;
  left_.notify_all();
}

// The backend is in place, but for further threads of the pool: starts them, answers the job that
// waits for it.
void uring_driver::set_backend(ufence_uring_backend backend) {
  job* waiting = nullptr;
  std::uint32_t threads = threads_default;
  int error = 0;
  {
    const std::scoped_lock lock(mutex_);
    backend_ = backend;
    if (configuring_ != nullptr) {
      const auto& args = *driver::args_of<ufence_uring_configure>(*configuring_);
      if (args.threads != 0) threads = args.threads;
      if (args.backend != UFENCE_URING_RING && backend == UFENCE_URING_RING) return;  // not yet
      if (args.backend == UFENCE_URING_RING && backend != UFENCE_URING_RING) error = -EOPNOTSUPP;
      waiting = std::exchange(configuring_, nullptr);
    }
  }
  if (backend == UFENCE_URING_THREADS) {
    const int refused = start_pool_threads(threads);
    if (error == 0) error = refused;
  }
  if (waiting != nullptr) host_.signal(*waiting, error);
}

int uring_driver::start_pool_threads(std::uint32_t wanted) {
  const std::scoped_lock one_at_a_time(growing_);
  std::unique_lock lock(mutex_);
  while (threads_ < wanted) {
    ++threads_;
    ++inside_;
    lock.unlock();
    const int error = host_.start_thread<&uring_driver::serve_pool>("ufence-pread", *this);
    lock.lock();
    if (error == 0) continue;
    --threads_;
    --inside_;
    left_.notify_all();
    return error;
  }
  return 0;
}

bool uring_driver::is_stopping() {
  const std::scoped_lock lock(mutex_);
  return is_stopping_;
}

}  // namespace
}  // namespace ufence::uring

UFENCE_CPP_DRIVER(ufence::uring::uring_driver, "uring", "read",
                  "reads files by io_uring, or by threads where the kernel refuses it");
