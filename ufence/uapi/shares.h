// How much each client has of what the broker has for all: its descriptors, objects, and memory of
// buffers.
//
// A client is a process that has connected. It may take more as long as it has no more than it
// leaves to all others: one greedy client gets half, two a third each, and what is left is for
// those who come next. What is taken goes back when what it was taken for has gone.
#pragma once

#include <sys/types.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "ufence/base/atomic.h"

namespace ufence::uapi {

/// The amounts that there are for all clients. Objects: syncobjs, their pending points, handles of buffers.
/// Connections: those that are kept between calls.
enum class resource : unsigned char { descriptors, objects, bytes, connections };

/// The amounts that one process has, or all together. relaxed, all: only numbers.
class holdings {
 public:
  [[nodiscard]] std::size_t of(resource what) const noexcept {
    return held_[static_cast<std::size_t>(what)].load(mo::relaxed);
  }
  void change(resource what, std::ptrdiff_t by) noexcept {
    held_[static_cast<std::size_t>(what)].fetch_add(static_cast<std::size_t>(by), mo::relaxed);
  }

 private:
  std::array<atomic<std::size_t>, 4> held_{};
};

/// One process. Threads: the numbers any, concurrently; all else the broker's.
class client {
 public:
  explicit client(std::shared_ptr<holdings> all) noexcept : all_(std::move(all)) {}

  [[nodiscard]] std::size_t held() const noexcept { return own_.of(resource::descriptors); }
  /// May it have so many more objects, or bytes?
  [[nodiscard]] bool may_have(resource what, std::uint64_t count) const noexcept;
  /// A sync file that the broker exports for it, or has imported, known by its cookie, is counted
  /// while it is exported, or pending. May throw std::bad_alloc.
  void add_file(std::uint64_t cookie);
  /// Counts the files anew that are still there.
  void forget_files() noexcept;

 private:
  friend class charge;
  void change(resource what, std::ptrdiff_t by) noexcept {
    own_.change(what, by);
    all_->change(what, by);
  }

  const std::shared_ptr<holdings> all_;
  holdings own_;
  std::vector<std::uint64_t> files_;
};
/// Does the broker have a descriptor for the sync file with this cookie?
[[nodiscard]] bool has_file(std::uint64_t cookie) noexcept;
using client_ref = std::shared_ptr<client>;

/// So much of a client, as long as it lives.
class charge {
 public:
  charge() noexcept = default;
  charge(client_ref to, std::size_t count, resource what = resource::descriptors) noexcept
      : to_(std::move(to)), count_(count), what_(what) {
    if (to_) to_->change(what_, static_cast<std::ptrdiff_t>(count_));
  }
  charge(charge&& other) noexcept
      : to_(std::move(other.to_)), count_(std::exchange(other.count_, 0)), what_(other.what_) {}
  charge& operator=(charge&& other) noexcept {
    std::swap(to_, other.to_);
    std::swap(count_, other.count_);
    std::swap(what_, other.what_);
    return *this;
  }
  ~charge() {
    if (to_) to_->change(what_, -static_cast<std::ptrdiff_t>(count_));
  }
  explicit operator bool() const noexcept { return to_ != nullptr; }

 private:
  client_ref to_;
  std::size_t count_ = 0;
  resource what_ = resource::descriptors;
};

/// Threads: the broker's alone. May throw std::bad_alloc.
class shares {
 public:
  /// The client of a process; those who have no number here (0) share what one of them may have.
  [[nodiscard]] client_ref client_of(pid_t process);
  /// May it take so many more?
  [[nodiscard]] bool may_take(client& who, std::size_t count) noexcept;

 private:
  std::shared_ptr<holdings> all_ = std::make_shared<holdings>();
  std::map<std::int64_t, client_ref> clients_;  // by number of the process
  std::size_t forget_at_ = 64;                  // so many of them: those that have nothing go
};

}  // namespace ufence::uapi
