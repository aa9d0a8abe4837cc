#include "drivers/uring/inbox.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

namespace ufence::uring {

inbox::~inbox() {
  if (wake_fd_ >= 0) ::close(wake_fd_);
}

int inbox::open_wake_fd() noexcept {
  wake_fd_ = ::eventfd(0, EFD_CLOEXEC);
  return wake_fd_ >= 0 ? 0 : -errno;
}

int inbox::push(job& j) {
  std::unique_lock lock(mutex_);
  if (is_closed_) return -ESHUTDOWN;
  queue_.push_back(j);
  wake(std::move(lock), false);
  return 0;
}

bool inbox::withdraw(job& j) {
  std::unique_lock lock(mutex_);
  progress& p = progress_of(j);
  if (p.at == place::queued) {
    queue_.remove(j);
    p.at = place::taken;
    ++counters_.cancelled;
    return true;
  }
  p.at = place::cancel_asked;
  cancels_ = true;
  wake(std::move(lock), true);
  return false;
}

void inbox::close(const driver::services& host, driver::settlement& later) {
  std::unique_lock lock(mutex_);
  is_closed_ = true;
  while (job* const j = queue_.pop_front()) {
    ++counters_.cancelled;
    progress_of(*j).at = place::taken;
    host.decide(*j, -ECANCELED, later);
  }
  wake(std::move(lock), true);
}

void inbox::ask_to_leave_ring() {
  std::unique_lock lock(mutex_);
  leave_ring_ = true;
  wake(std::move(lock), true);
}

ufence_uring_counters inbox::counters() {
  const std::scoped_lock lock(mutex_);
  return counters_;
}

inbox::orders inbox::receive(driver::job_list& into, std::uint64_t jobs_max, bool may_sleep) {
  std::unique_lock lock(mutex_);
  if (may_sleep) news_.wait(lock, [this] { return has_news_locked(); });
  while (jobs_max-- > 0 && !queue_.empty()) {
    job& j = *queue_.pop_front();
    progress_of(j).at = place::taken;
    into.push_back(j);
  }
  is_leaving_told_ = leave_ring_;
  return {.is_stopping = is_closed_,
          .leave_ring = leave_ring_,
          .cancels = std::exchange(cancels_, false)};
}

bool inbox::begin_kernel_sleep(const orders& known, bool wants_jobs) {
  const std::scoped_lock lock(mutex_);
  const bool has_news = (wants_jobs && !queue_.empty()) || cancels_ ||
                        is_closed_ != known.is_stopping || leave_ring_ != known.leave_ring;
  is_in_kernel_ = !has_news;
  return is_in_kernel_;
}

void inbox::end_kernel_sleep() {
  const std::scoped_lock lock(mutex_);
  is_in_kernel_ = false;
}

bool inbox::was_cancel_asked(job& j) {
  const std::scoped_lock lock(mutex_);
  return is_closed_ || progress_of(j).at == place::cancel_asked;
}

void inbox::wake(std::unique_lock<std::mutex> lock, bool everybody) {
  const bool is_in_kernel = std::exchange(is_in_kernel_, false);
  lock.unlock();
  if (is_in_kernel) {
    static_cast<void>(::eventfd_write(wake_fd_, 1));
  } else if (everybody) {
    news_.notify_all();
  } else {
    news_.notify_one();  // no system call if nobody sleeps
  }
}

void inbox::count(const ufence_uring_counters& counted) {
  const std::scoped_lock lock(mutex_);
  counters_.reads += counted.reads;
  counters_.files += counted.files;
  counters_.bytes += counted.bytes;
  counters_.failed += counted.failed;
  counters_.cancelled += counted.cancelled;
  counters_.continued += counted.continued;
  counters_.ring_enters += counted.ring_enters;
  counters_.ring_requests += counted.ring_requests;
}

}  // namespace ufence::uring
