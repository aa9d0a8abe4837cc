// Who has how much of what the broker has for everybody: its descriptors.
//
// A client is a process that has connected. It may take more as long as it has no more than it leaves
// to all others: one greedy client gets half, two a third each, and what is left is for those who come
// next. What is taken goes back when what it was taken for has gone.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "ufence/base/atomic.h"

namespace ufence::uapi {

/// What one process has. Threads: the count any, concurrently; all else the broker's.
class client {
 public:
  [[nodiscard]] std::size_t held() const noexcept {
    return held_.load(mo::relaxed);  // relaxed: only a number
  }
  /// A sync file that the broker exports for it, known by its cookie, is counted while it is exported.
  /// May throw std::bad_alloc.
  void add_file(std::uint64_t cookie);
  /// Counts the files anew that are still there.
  void forget_files() noexcept;

 private:
  friend class charge;
  void change(std::ptrdiff_t by) noexcept {
    // relaxed: only a number
    held_.fetch_add(static_cast<std::size_t>(by), mo::relaxed);
  }

  atomic<std::size_t> held_{0};
  std::vector<std::uint64_t> files_;
};
using client_ref = std::shared_ptr<client>;

/// So many descriptors of a client, as long as it lives.
class charge {
 public:
  charge() noexcept = default;
  charge(client_ref to, std::size_t count) noexcept : to_(std::move(to)), count_(count) {
    if (to_) to_->change(static_cast<std::ptrdiff_t>(count_));
  }
  charge(charge&& other) noexcept
      : to_(std::move(other.to_)), count_(std::exchange(other.count_, 0)) {}
  charge& operator=(charge&& other) noexcept {
    std::swap(to_, other.to_);
    std::swap(count_, other.count_);
    return *this;
  }
  ~charge() {
    if (to_) to_->change(-static_cast<std::ptrdiff_t>(count_));
  }

 private:
  client_ref to_;
  std::size_t count_ = 0;
};

/// Threads: the broker's alone. May throw std::bad_alloc.
class shares {
 public:
  /// The process at the other end of a connection.
  [[nodiscard]] client_ref client_of(int connection);
  /// May it take so many more?
  [[nodiscard]] bool may_take(client& who, std::size_t count) noexcept;

 private:
  [[nodiscard]] std::size_t all_held() noexcept;

  std::map<std::int64_t, client_ref> clients_;  // by number of the process
  std::size_t forget_at_ = 64;                  // so many of them: those that have nothing go
};

}  // namespace ufence::uapi
