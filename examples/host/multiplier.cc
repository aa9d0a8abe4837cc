// A driver in C++ with a thread of its own, which works through a queue. Jobs can be cancelled while they are
// in it.
#include <ufence/driver.hpp>

#include <condition_variable>
#include <mutex>

#include "job.h"

namespace {

class multiplier {
 public:
  explicit multiplier(ufence::driver::services host) : host_(host) {}

  int start() { return host_.start_thread<&multiplier::work>("multiplier", *this); }

  int submit(ufence::driver::job& job) {
    if (ufence::driver::args_of<job_args>(job) == nullptr) return -EINVAL;
    const std::lock_guard hold(lock_);
    queue_.push_back(job);
    changed_.notify_one();
    return 0;
  }

  void cancel(ufence::driver::job& job) {
    ufence::driver::settlement later = host_.later();  // ends after the lock is dropped
    const std::lock_guard hold(lock_);
    for (auto* queued = queue_.front(); queued != nullptr; queued = queue_.next(*queued)) {
      if (queued != &job) continue;
      queue_.remove(job);
      host_.decide(job, -ECANCELED, later);
      return;
    }
  }

  // Returns when nothing is in flight (D-9): the thread ends what it has, and is joined by the host.
  void stop() {
    const std::lock_guard hold(lock_);
    is_stopping_ = true;
    changed_.notify_one();
  }

 private:
  void work() noexcept {
    std::unique_lock hold(lock_);
    for (;;) {
      changed_.wait(hold, [this] { return is_stopping_ || !queue_.empty(); });
      ufence::driver::job* const job = queue_.pop_front();
      if (job == nullptr) return;
      hold.unlock();
      const auto& args = *ufence::driver::args_of<job_args>(*job);
      *args.result = *args.a * *args.b;
      host_.signal(*job, 0);
      hold.lock();
    }
  }

  ufence::driver::services host_;
  std::mutex lock_;
  std::condition_variable changed_;
  ufence::driver::job_list queue_;  // guarded by lock_, as is_stopping_
  bool is_stopping_ = false;
};

}  // namespace

UFENCE_CPP_DRIVER(multiplier, "multiplier", nullptr, "multiplies two numbers");
