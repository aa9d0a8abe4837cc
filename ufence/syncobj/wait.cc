// Waiting for points of syncobjs: on the fences that are there, and on the submission of the
// others.
#include <array>
#include <cstddef>
#include <memory>
#include <new>

#include "ufence/base/alloc.h"
#include "ufence/fence/wait.h"
#include "ufence/syncobj/chain_walk.h"
#include "ufence/syncobj/point_waiter.h"
#include "ufence/syncobj/syncobj.h"

namespace ufence {
namespace {

constexpr std::size_t inline_points = 8;

/// An array of n default-made T: a few in place, more on the heap.
template <class T>
class scratch {
 public:
  explicit scratch(std::size_t n) noexcept : size_(n) {
    if (n <= inline_.size()) return;
    data_ = n <= SIZE_MAX / sizeof(T) ? static_cast<T*>(allocate(n * sizeof(T))) : nullptr;
    if (data_ != nullptr) std::uninitialized_value_construct_n(data_, n);
  }
  ~scratch() {
    if (data_ == nullptr || data_ == inline_.data()) return;
    std::destroy_n(data_, size_);
    deallocate(data_);
  }
  scratch(const scratch&) = delete;
  scratch& operator=(const scratch&) = delete;
  [[nodiscard]] bool is_there() const noexcept { return data_ != nullptr; }
  T& operator[](std::size_t i) noexcept { return data_[i]; }
  [[nodiscard]] T* data() noexcept { return data_; }

 private:
  std::array<T, inline_points> inline_{};
  T* data_ = inline_.data();
  const std::size_t size_;
};

}  // namespace

// One wait. A point that is not submitted yet has a point_waiter; then it has a fence that stays.
class syncobj_waiter {
 public:
  syncobj_waiter(std::span<const syncobj_point> points,
                 const syncobj_wait_options& options) noexcept
      : points_(points),
        options_(options),
        entries_(points.size()),
        subjects_(points.size()),
        index_of_(points.size()) {}
  ~syncobj_waiter() {
    if (!entries_.is_there()) return;
    for (std::size_t i = 0; i < points_.size(); ++i) {
      if (entries_[i].waited.told) points_[i].object->unqueue(entries_[i].waited);
    }
  }
  syncobj_waiter(const syncobj_waiter&) = delete;
  syncobj_waiter& operator=(const syncobj_waiter&) = delete;

  result<std::size_t> run(std::int64_t deadline_ns) noexcept {
    if (!entries_.is_there() || !subjects_.is_there() || !index_of_.is_there())
      return failure(ENOMEM);
    if (const std::error_code failed = pick_all()) return std::unexpected(failed);
    for (;;) {
      if (options_.available && !options_.all && first_picked_ != none) return first_picked_;
      if (options_.available && unpicked_ == 0) return 0;
      if (unpicked_ == 0 && options_.all) {
        collect(true, false);
        const std::error_code failed = wait_all({subjects_.data(), count_}, deadline_ns);
        if (failed) return std::unexpected(failed);
        return 0;
      }
      // With `all` there is nothing to gain from those that are there.
      collect(!options_.all, true);
      const result<std::size_t> woken = wait_any({subjects_.data(), count_}, deadline_ns);
      if (!woken) return woken;
      entry& e = entries_[index_of_[*woken]];
      if (e.fence) return index_of_[*woken];
      pick_submitted(index_of_[*woken]);
    }
  }

 private:
  struct entry {
    point_waiter waited;
    fence_ref fence;  // picked: null while it is not submitted
  };
  static constexpr std::size_t none = SIZE_MAX;

  std::error_code pick_all() noexcept {
    const bool may_be_absent = options_.for_submit || options_.available;
    const std::span order(index_of_.data(), points_.size());
    order_for_walk(points_, order);
    chain_walk walk;
    for (const std::size_t i : order) {
      result<fence_ref> f = walk.find(points_[i]);
      if (f) {
        picked(i, std::move(*f));
        continue;
      }
      if (f.error() != errno_code(EINVAL) || !may_be_absent) return f.error();
      point_waiter& s = entries_[i].waited;
      if (const std::error_code failed = s.prepare(points_[i].point)) return failed;
      points_[i].object->queue(s, points_[i].point);
      ++unpicked_;
    }
    return {};
  }

  void pick_submitted(std::size_t i) noexcept {
    point_waiter& s = entries_[i].waited;
    points_[i].object->unqueue(s);  // passes the lock that `found` was set under
    --unpicked_;
    picked(i, fence_of_point(std::move(s.found), points_[i].point));
  }

  void picked(std::size_t i, fence_ref f) noexcept {
    if (options_.hint_ns != no_deadline) f->set_deadline(options_.hint_ns);
    if (!options_.available) f->enable_signaling();
    entries_[i].fence = std::move(f);
    if (i < first_picked_) first_picked_ = i;
  }

  void collect(bool fences, bool submissions) noexcept {
    count_ = 0;
    for (std::size_t i = 0; i < points_.size(); ++i) {
      const entry& e = entries_[i];
      if (e.fence ? !fences : !submissions) continue;
      subjects_[count_] = e.fence ? e.fence : e.waited.told;
      index_of_[count_++] = i;
    }
  }

  const std::span<const syncobj_point> points_;
  const syncobj_wait_options& options_;
  scratch<entry> entries_;
  scratch<fence_ref> subjects_;  // what is slept on now: count_ of them
  scratch<std::size_t> index_of_;  // of subjects_; before, the order in which they are found
  std::size_t count_ = 0;
  std::size_t unpicked_ = 0;
  std::size_t first_picked_ = none;
};

result<std::size_t> wait(std::span<const syncobj_point> points, absolute_deadline deadline_ns,
                         const syncobj_wait_options& options) noexcept {
  if (points.empty()) return 0;
  for (const syncobj_point& p : points) {
    if (!p.object) return failure(EINVAL);
  }
  return syncobj_waiter(points, options).run(deadline_ns);
}

}  // namespace ufence
