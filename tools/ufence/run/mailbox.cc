#include "tools/ufence/run/mailbox.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <ctime>
#include <system_error>
#include <utility>

#include "ufence/base/clock.h"

namespace ufence::tool {

void watch::deliver(callback& node, fence& /*f*/) noexcept {
  watch& event = static_cast<watch&>(node);
  event.box->push(event);
}

mailbox::mailbox() : wake_fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  if (!wake_fd_) throw std::system_error(errno, std::generic_category(), "eventfd");
}

void mailbox::wake() const noexcept {
  const std::uint64_t one = 1;
  if (::write(wake_fd_.get(), &one, sizeof one) < 0) {
    // It is full of wake-ups already.
  }
}

void mailbox::push(watch& event) noexcept {
  bool wakes = false;
  {
    const std::scoped_lock lock(mutex_);
    event.next_ = nullptr;
    (last_ != nullptr ? last_->next_ : first_) = &event;
    last_ = &event;
    ++count_;
    wakes = wake_at_ != 0 && count_ >= wake_at_;
    if (wakes) wake_at_ = 0;
  }
  // The event may be gone by now.
  if (wakes) wake();
}

void mailbox::post(news what) {
  {
    const std::scoped_lock lock(mutex_);
    reloads_.push_back(std::move(what));
    wake_at_ = 0;
  }
  wake();
}

mailbox::contents mailbox::take_all() {
  const std::scoped_lock lock(mutex_);
  contents taken{.events = std::exchange(first_, nullptr), .reloads = std::move(reloads_)};
  reloads_.clear();
  last_ = nullptr;
  count_ = 0;
  return taken;
}

void mailbox::wait(std::size_t events_min, std::int64_t deadline_ns, int other_fd) {
  {
    const std::scoped_lock lock(mutex_);
    if (count_ >= events_min || !reloads_.empty()) return;
    wake_at_ = events_min;
  }
  std::array<pollfd, 2> readable{{{.fd = wake_fd_.get(), .events = POLLIN, .revents = 0},
                                  {.fd = other_fd, .events = POLLIN, .revents = 0}}};
  timespec timeout{};
  const timespec* limit = nullptr;
  if (deadline_ns != no_deadline) {
    const std::int64_t left = std::max<std::int64_t>(0, deadline_ns - now_ns());
    timeout = {.tv_sec = left / 1'000'000'000, .tv_nsec = left % 1'000'000'000};
    limit = &timeout;
  }
  if (::ppoll(readable.data(), readable.size(), limit, nullptr) > 0 && readable[0].revents != 0) {
    std::uint64_t wakeups = 0;
    if (::read(wake_fd_.get(), &wakeups, sizeof wakeups) < 0) {
      // Somebody else has read it: none does.
    }
  }
  const std::scoped_lock lock(mutex_);
  wake_at_ = 0;
}

}  // namespace ufence::tool
