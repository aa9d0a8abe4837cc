#include "ufence/uapi/preload/supervise_wait.h"

#include <poll.h>

#include "ufence/uapi/preload/descriptors.h"

namespace ufence::uapi {
namespace {

constexpr std::int64_t no_end = -1;
constexpr std::int64_t second_ns = 1'000'000'000;

// The events that a call waits for, by descriptors of this process.
class waited_for {
 public:
  static constexpr std::uint64_t count_max = 4096;

  explicit waited_for(std::uint64_t room_for) noexcept
      : room_(static_cast<std::size_t>(room_for) * sizeof(pollfd)),
        all_(reinterpret_cast<pollfd*>(room_.get())) {}
  waited_for(const waited_for&) = delete;
  waited_for& operator=(const waited_for&) = delete;
  ~waited_for() {
    for (std::size_t i = 0; i < count_; ++i) {
      if (all_[i].fd >= 0) system::close(all_[i].fd);
    }
  }

  [[nodiscard]] bool has_room() const noexcept { return all_ != nullptr; }
  void add(asking& a, int theirs, short events) noexcept {
    pollfd& one = all_[count_++];
    one = {.fd = a.take(theirs), .events = events, .revents = 0};
    is_emulated_ = is_emulated_ || (one.fd >= 0 && kind_of(one.fd) != file_kind::other);
    if (one.fd < 0 && theirs >= 0) one.fd = not_open;
    is_wrong_ = is_wrong_ || one.fd == not_open;
  }
  // The kernel knows all others.
  [[nodiscard]] bool is_emulated() const noexcept { return is_emulated_; }
  // One is not open: the kernel does not wait then.
  [[nodiscard]] bool is_wrong() const noexcept { return is_wrong_; }
  [[nodiscard]] short events(std::size_t i) const noexcept {
    return all_[i].fd == not_open ? short{POLLNVAL} : all_[i].revents;
  }

  // @return  how many have events, or -errno
  [[nodiscard]] int wait(const asking& a, std::int64_t timeout_ns) noexcept {
    const std::int64_t until = is_wrong_ ? 0 : timeout_ns < 0 ? INT64_MAX : now() + timeout_ns;
    for (;;) {
      const std::int64_t left = until - now();
      const std::int64_t part = left < 0 ? 0 : left < slice_ns ? left : slice_ns;
      const timespec time{.tv_sec = 0, .tv_nsec = static_cast<long>(part)};
      const int ready = ::ppoll(all_, count_, &time, nullptr);
      if (ready < 0) return -errno;
      if (ready != 0 || part == left || left <= 0 || !a.is_there()) break;
      if (a.is_interrupted()) return -EINTR;
    }
    return count_events();
  }

 private:
  static constexpr int not_open = -2;  // poll() says nothing of it

  [[nodiscard]] int count_events() const noexcept {
    int ready = 0;
    for (std::size_t i = 0; i < count_; ++i) ready += events(i) != 0 ? 1 : 0;
    return ready;
  }

  room room_;
  pollfd* const all_;
  std::size_t count_ = 0;
  bool is_emulated_ = false;
  bool is_wrong_ = false;
};

// Sets that have something emulated in them; the kernel knows all others.
verdict poll_in_time(asking& a, std::int64_t timeout_ns) noexcept {
  const std::uint64_t count = a.argument(1);
  if (count == 0 || count > waited_for::count_max) return leave_to_kernel;
  const std::size_t size = static_cast<std::size_t>(count) * sizeof(pollfd);
  const room theirs(size);
  auto* const told = reinterpret_cast<pollfd*>(theirs.get());
  waited_for all(count);
  if (told == nullptr || !all.has_room() || !a.read(told, a.argument(0), size)) {
    return leave_to_kernel;
  }
  for (std::size_t i = 0; i < count; ++i) all.add(a, told[i].fd, told[i].events);
  if (!all.is_emulated()) return leave_to_kernel;
  const int ready = all.wait(a, timeout_ns);
  if (ready < 0) return refuse(-ready);
  for (std::size_t i = 0; i < count; ++i) told[i].revents = all.events(i);
  return a.write(a.argument(0), told, size) ? verdict{.value = ready, .is_the_kernels = false}
                                            : refuse(EFAULT);
}

// The three sets of select(), as they are in the caller.
class selected_sets {
 public:
  // Up to as many as the kernel looks at; false: not to be had.
  bool fetch(const asking& a) noexcept {
    const auto count = static_cast<std::int32_t>(a.argument(0));
    if (count <= 0 || count > static_cast<std::int32_t>(waited_for::count_max)) return false;
    count_ = count;
    size_ = (static_cast<std::size_t>(count) + 63) / 64 * 8;
    for (int i = 0; i < 3; ++i) {
      const std::uint64_t at = a.argument(i + 1);
      if (at != 0 && !a.read(sets_[i], at, size_)) return false;
    }
    return true;
  }
  // The events that poll() is asked for; 0: it is in none.
  [[nodiscard]] short events_of(int fd) const noexcept {
    short events = 0;
    for (int i = 0; i < 3; ++i) {
      if (has(i, fd)) events = static_cast<short>(events | asked[i]);
    }
    return events;
  }
  // Leaves those in that are ready. @return  how many
  int keep(int fd, short events) noexcept {
    int kept = 0;
    for (int i = 0; i < 3; ++i) {
      if (!has(i, fd)) continue;
      if ((events & means[i]) != 0) {
        ++kept;
      } else {
        sets_[i][fd / 64] &= ~bit(fd);
      }
    }
    return kept;
  }
  bool give_back(const asking& a) const noexcept {
    for (int i = 0; i < 3; ++i) {
      const std::uint64_t at = a.argument(i + 1);
      if (at != 0 && !a.write(at, sets_[i], size_)) return false;
    }
    return true;
  }
  [[nodiscard]] int count() const noexcept { return count_; }

 private:
  static constexpr short asked[] = {POLLIN, POLLOUT, POLLPRI};
  static constexpr short means[] = {POLLIN | POLLHUP | POLLERR, POLLOUT | POLLERR, POLLPRI};

  static std::uint64_t bit(int fd) noexcept { return std::uint64_t{1} << fd % 64; }
  [[nodiscard]] bool has(int i, int fd) const noexcept {
    return (sets_[i][fd / 64] & bit(fd)) != 0;
  }

  std::uint64_t sets_[3][waited_for::count_max / 64] = {};
  std::size_t size_ = 0;
  int count_ = 0;
};

// @param timeout_ns  what is not slept of it is left there
verdict select_in_time(asking& a, std::int64_t& timeout_ns) noexcept {
  selected_sets sets;
  if (!sets.fetch(a)) return leave_to_kernel;
  std::uint64_t used = 0;
  for (int fd = 0; fd < sets.count(); ++fd) used += sets.events_of(fd) != 0 ? 1U : 0U;
  waited_for all(used);
  if (used == 0 || !all.has_room()) return leave_to_kernel;
  for (int fd = 0; fd < sets.count(); ++fd) {
    if (const short events = sets.events_of(fd)) all.add(a, fd, events);
  }
  if (!all.is_emulated()) return leave_to_kernel;
  if (all.is_wrong()) return refuse(EBADF);
  const std::int64_t begin = now();
  const int ready = all.wait(a, timeout_ns);
  if (timeout_ns > 0) {
    const std::int64_t slept = now() - begin;
    timeout_ns = slept < timeout_ns ? timeout_ns - slept : 0;
  }
  if (ready < 0) return refuse(-ready);
  int kept = 0;
  std::size_t next = 0;
  for (int fd = 0; fd < sets.count(); ++fd) {
    if (sets.events_of(fd) != 0) kept += sets.keep(fd, all.events(next++));
  }
  return sets.give_back(a) ? verdict{.value = kept, .is_the_kernels = false} : refuse(EFAULT);
}

}  // namespace

verdict poll_for(asking& a) noexcept {
  const auto timeout_ms = static_cast<int>(a.argument(2));
  return poll_in_time(a, timeout_ms < 0 ? no_end : timeout_ms * std::int64_t{1'000'000});
}

verdict ppoll_for(asking& a) noexcept {
  timespec t{};
  if (a.argument(2) == 0) return poll_in_time(a, no_end);
  if (!a.read(&t, a.argument(2), sizeof t) || t.tv_sec < 0 || t.tv_nsec < 0) return leave_to_kernel;
  const bool is_long = t.tv_sec > INT32_MAX;
  return poll_in_time(a, is_long ? no_end : t.tv_sec * second_ns + t.tv_nsec);
}

// The time that is left is told.
verdict select_for(asking& a, std::int64_t unit_ns) noexcept {
  struct {
    std::int64_t seconds;
    std::int64_t parts;
  } time{};
  std::int64_t left = no_end;
  if (a.argument(4) != 0) {
    if (!a.read(&time, a.argument(4), sizeof time) || time.seconds < 0 || time.parts < 0) {
      return leave_to_kernel;
    }
    if (time.seconds <= INT32_MAX && time.parts <= INT32_MAX) {
      left = time.seconds * second_ns + time.parts * unit_ns;
    }
  }
  const bool is_timed = left >= 0;
  const verdict v = select_in_time(a, left);
  if (v.is_the_kernels || !is_timed) return v;
  time = {.seconds = left / second_ns, .parts = left % second_ns / unit_ns};
  // Where it can't be told the call has its result all the same, as in the kernel.
  static_cast<void>(a.write(a.argument(4), &time, sizeof time));
  return v;
}

}  // namespace ufence::uapi
