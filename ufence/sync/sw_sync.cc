#include "ufence/sync/sw_sync.h"

#include <pthread.h>

#include <algorithm>
#include <array>
#include <climits>
#include <cstring>
#include <new>

#include "ufence/base/alloc.h"
#include "ufence/base/fork.h"
#include "ufence/base/lock.h"
#include "ufence/fence/library_fence.h"
#include "ufence/fence/reference_count.h"
#include "ufence/fence/timeline.h"
#include "ufence/rcu/rcu.h"

namespace ufence {
namespace detail {

class sw_point;

// The part of a software timeline that its fences share. Counted: the handle, and each fence.
//
// Values are counted in 64 bits here, the value of the timeline and those of pending points: they
// are never more than 2^31 apart. Lock: a leaf.
class sw_line {
 public:
  static result<ref<sw_line>> create(std::string_view name) noexcept;

  result<fence_ref> create_fence(std::uint32_t value) noexcept;
  // Signals the points up to the value that is `by` ahead; -ENOENT for all of them with close().
  void advance(std::uint32_t by) noexcept;
  void close() noexcept;
  [[nodiscard]] std::uint32_t value() const noexcept {
    scoped_lock guard(lock_);
    return static_cast<std::uint32_t>(value_);
  }
  [[nodiscard]] std::uint64_t context() const noexcept { return context_; }
  [[nodiscard]] bool is_inherited() const noexcept {
    return generation_ != ufence::fork_generation();
  }

  void get() noexcept { references_.get(counted); }
  void put() noexcept {
    if (!references_.put(counted)) return;
    this->~sw_line();
    deallocate(this);
  }

  // For its points.
  void forget(sw_point& p) noexcept;
  void note_deadline(sw_point& p, std::int64_t deadline_ns) noexcept;
  [[nodiscard]] std::int64_t deadline_of(const sw_point& p) const noexcept;
  [[nodiscard]] const fence_type& type_of_points() const noexcept { return type_of_points_; }

 private:
  explicit sw_line(std::string_view name) noexcept;
  [[nodiscard]] std::uint64_t extend(std::uint32_t value) const noexcept UFENCE_REQUIRES(lock_);
  // The fence of the point with this value, if it is not on its end; `before` becomes the last
  // point that is not later.
  fence_ref find(std::uint64_t value, sw_point*& before) noexcept UFENCE_REQUIRES(lock_);
  void link(sw_point& p, sw_point* before) noexcept UFENCE_REQUIRES(lock_);
  void unlink(sw_point& p) noexcept UFENCE_REQUIRES(lock_);
  sw_point* take_up_to(std::uint64_t value) noexcept UFENCE_REQUIRES(lock_);
  static void end_all(sw_point* first, int error) noexcept;

  mutable mutex lock_{lock_rank::leaf};
  std::uint64_t value_ UFENCE_GUARDED_BY(lock_) = 0;
  sw_point* first_ UFENCE_GUARDED_BY(lock_) = nullptr;  // pending, by rising value
  sw_point* last_ UFENCE_GUARDED_BY(lock_) = nullptr;
  static constexpr counted_object counted{.text = "a software timeline"};
  reference_count references_;
  const std::uint32_t generation_ = ufence::fork_generation();
  const std::uint64_t context_ = fence::allocate_contexts(1);
  std::array<char, 32> name_{};
  fence_type type_of_points_;  // with the name of this timeline
};

// A fence of a software timeline.
class sw_point final : public library_fence, private backend, private rcu::deferred {
 public:
  static result<fence_ref> create(sw_line& line, std::uint64_t value) noexcept;
  [[nodiscard]] static sw_point* from(fence& f) noexcept {
    const fence_type* const type = type_of(f);
    return type != nullptr && type->release == &sw_point::release ? static_cast<sw_point*>(&f)
                                                                  : nullptr;
  }
  // A reference, or null if the last one is being dropped. The timeline's lock is held, and the point
  // linked.
  [[nodiscard]] fence_ref try_get() noexcept {
    return fence::try_get() ? fence_ref::adopt(this) : nullptr;
  }
  void end(int error) noexcept { signal(error); }
  [[nodiscard]] sw_line& line() const noexcept { return *line_; }

 private:
  friend class sw_line;
  sw_point(sw_line& line) noexcept : backend{&ops_of_points}, line_(ref<sw_line>::take(line)) {}
  static void release(fence& f) noexcept;
  static int enable(backend*) noexcept { return 0; }  // who moves the timeline needs no notice
  static void hint(backend* data, std::int64_t deadline_ns) noexcept {
    auto& self = *static_cast<sw_point*>(data);
    self.line_->note_deadline(self, deadline_ns);
  }
  static const backend_ops ops_of_points;
  // The functions of its type: as for all fences of the library.
  static constexpr auto* enable_point = &library_fence::enable;
  static constexpr auto* end_point = &library_fence::end;

  const ref<sw_line> line_;
  // The timeline's lock; once it was taken off the list, the thread that took it.
  sw_point* previous_ = nullptr;
  sw_point* next_ = nullptr;
  bool is_linked_ = false;
  std::int64_t deadline_ns_ = no_deadline;
};

const backend_ops sw_point::ops_of_points{.enable_signaling = &sw_point::enable,
                                          .set_deadline = &sw_point::hint};

result<fence_ref> sw_point::create(sw_line& line, std::uint64_t value) noexcept {
  rcu::reclaim();
  void* memory = allocate_aligned(alignof(sw_point), sizeof(sw_point));
  if (memory == nullptr) return failure(ENOMEM);
  auto* const made = ::new (memory) sw_point(line);
  made->init(line.type_of_points(), line.context(), value, made);
  return fence_ref::adopt(made);
}

void sw_point::release(fence& f) noexcept {
  auto& self = static_cast<sw_point&>(f);
  self.line_->forget(self);
  rcu::defer(self, [](rcu::deferred* d) noexcept {
    auto* const dead = static_cast<sw_point*>(d);
    dead->~sw_point();
    deallocate(dead);
  });
}

// --- The timeline ---

sw_line::sw_line(std::string_view name) noexcept
    : type_of_points_{.driver_name = "sw_sync",
                      .enable = sw_point::enable_point,
                      .end = sw_point::end_point,
                      .release = &sw_point::release} {
  if (name.empty()) {
    ::pthread_getname_np(::pthread_self(), name_.data(), name_.size());
  } else {
    std::copy_n(name.data(), std::min(name.size(), name_.size() - 1), name_.data());
  }
  type_of_points_.timeline_name = name_.data();
}

result<ref<sw_line>> sw_line::create(std::string_view name) noexcept {
  void* memory = allocate(sizeof(sw_line));
  if (memory == nullptr) return failure(ENOMEM);
  return ref<sw_line>::adopt(::new (memory) sw_line(name));
}

// The 64-bit value of a pending point; of a passed one, something to show.
std::uint64_t sw_line::extend(std::uint32_t value) const noexcept {
  const auto now = static_cast<std::uint32_t>(value_);
  if (is_later(value, now)) return value_ + (value - now);
  const std::uint32_t back = now - value;
  return back <= value_ ? value_ - back : value;
}

fence_ref sw_line::find(std::uint64_t value, sw_point*& before) noexcept {
  before = last_;
  while (before != nullptr && is_later(before->seqno(), value)) before = before->previous_;
  // Of several with this value all but one are on their end.
  for (sw_point* p = before; p != nullptr && p->seqno() == value; p = p->previous_) {
    if (fence_ref f = p->try_get()) return f;
  }
  return nullptr;
}

void sw_line::link(sw_point& p, sw_point* before) noexcept {
  p.previous_ = before;
  p.next_ = before == nullptr ? first_ : before->next_;
  (before == nullptr ? first_ : before->next_) = &p;
  (p.next_ == nullptr ? last_ : p.next_->previous_) = &p;
  p.is_linked_ = true;
}

void sw_line::unlink(sw_point& p) noexcept {
  (p.previous_ == nullptr ? first_ : p.previous_->next_) = p.next_;
  (p.next_ == nullptr ? last_ : p.next_->previous_) = p.previous_;
  p.is_linked_ = false;
}

result<fence_ref> sw_line::create_fence(std::uint32_t value) noexcept {
  std::uint64_t wide = 0;
  bool is_passed = false;
  {
    scoped_lock guard(lock_);
    wide = extend(value);
    is_passed = !is_later(value, static_cast<std::uint32_t>(value_));
    sw_point* before = nullptr;
    if (fence_ref f = is_passed ? nullptr : find(wide, before)) return f;
  }
  result<fence_ref> made = sw_point::create(*this, wide);
  if (!made) return made;
  auto& point = static_cast<sw_point&>(**made);
  fence_ref others;
  if (!is_passed) {
    scoped_lock guard(lock_);
    is_passed = !is_later(wide, value_);
    sw_point* before = nullptr;
    if (!is_passed && !(others = find(wide, before))) link(point, before);
  }
  if (is_passed) point.end(0);
  return others ? std::move(others) : std::move(*made);
}

// Takes what is not later off the list, chained by next_, each with a reference.
sw_point* sw_line::take_up_to(std::uint64_t value) noexcept {
  sw_point* taken = nullptr;
  sw_point** end = &taken;
  while (first_ != nullptr && !is_later(first_->seqno(), value)) {
    sw_point& p = *first_;
    unlink(p);
    p.next_ = nullptr;
    fence_ref f = p.try_get();
    if (!f) continue;
    static_cast<void>(f.release());
    *end = &p;
    end = &p.next_;
  }
  return taken;
}

void sw_line::end_all(sw_point* first, int error) noexcept {
  while (first != nullptr) {
    const fence_ref f = fence_ref::adopt(first);
    sw_point& p = *first;
    first = p.next_;
    p.end(error);
  }
}

void sw_line::advance(std::uint32_t by) noexcept {
  while (by != 0) {
    const std::uint32_t step = std::min(by, static_cast<std::uint32_t>(INT_MAX));
    by -= step;
    sw_point* reached = nullptr;
    {
      scoped_lock guard(lock_);
      value_ += step;
      reached = take_up_to(value_);
    }
    end_all(reached, 0);
  }
}

void sw_line::close() noexcept {
  sw_point* left = nullptr;
  {
    scoped_lock guard(lock_);
    left = take_up_to(UINT64_MAX);
  }
  end_all(left, -ENOENT);
}

void sw_line::forget(sw_point& p) noexcept {
  // A child of fork() has no business with the list of its parent.
  if (is_inherited()) return;
  scoped_lock guard(lock_);
  if (p.is_linked_) unlink(p);
}

void sw_line::note_deadline(sw_point& p, std::int64_t deadline_ns) noexcept {
  scoped_lock guard(lock_);
  p.deadline_ns_ = std::min(p.deadline_ns_, deadline_ns);
}

std::int64_t sw_line::deadline_of(const sw_point& p) const noexcept {
  scoped_lock guard(lock_);
  return p.deadline_ns_;
}

}  // namespace detail

// --- The handle ---

sw_sync::sw_sync(ref<detail::sw_line> line) noexcept : line_(std::move(line)) {}

result<sw_sync> sw_sync::create(std::string_view name) noexcept {
  result<ref<detail::sw_line>> line = detail::sw_line::create(name);
  if (!line) return std::unexpected(line.error());
  return sw_sync(std::move(*line));
}

sw_sync::sw_sync(sw_sync&& other) noexcept : line_(std::move(other.line_)) {}

sw_sync& sw_sync::operator=(sw_sync&& other) noexcept {
  close();
  line_ = std::move(other.line_);
  return *this;
}

sw_sync::~sw_sync() { close(); }

void sw_sync::close() noexcept {
  if (line_ && !line_->is_inherited()) line_->close();
  line_.reset();
}

result<fence_ref> sw_sync::create_fence(std::uint32_t value) noexcept {
  if (line_->is_inherited()) return failure(EOWNERDEAD);
  return line_->create_fence(value);
}

void sw_sync::increment(std::uint32_t by) noexcept {
  const ref<detail::sw_line> line = line_;  // a callback may close this
  if (!line->is_inherited()) line->advance(by);
}

std::uint32_t sw_sync::value() const noexcept { return line_->value(); }
std::uint64_t sw_sync::context() const noexcept { return line_->context(); }

result<std::int64_t> sw_sync_deadline(const fence_ref& f) noexcept {
  detail::sw_point* point = f ? detail::sw_point::from(*f) : nullptr;
  if (point == nullptr) return failure(EINVAL);
  const std::int64_t deadline_ns = point->line().deadline_of(*point);
  if (deadline_ns == no_deadline) return failure(ENOENT);
  return deadline_ns;
}

}  // namespace ufence
