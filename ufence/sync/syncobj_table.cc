#include "ufence/sync/syncobj_table.h"

#include <algorithm>
#include <new>
#include <utility>

#include "ufence/base/clock.h"
#include "ufence/base/fork.h"
#include "ufence/sync/sync_file.h"
#include "ufence/sync/syncobj_file.h"
#include "ufence/syncobj/chain_walk.h"

namespace ufence {
namespace {

constexpr std::int64_t submit_patience_ns = 5'000'000'000;

}  // namespace

syncobj_table::syncobj_table() noexcept : generation_(fork_generation()) {}

// Its lock, and the list halfway changed, may be another thread's that is not here.
bool syncobj_table::is_inherited() const noexcept { return generation_ != fork_generation(); }

// --- Handles ---

result<syncobj_table::handle> syncobj_table::create(std::uint32_t flags) noexcept {
  if ((flags & ~syncobj_flag::create_signaled) != 0) return failure(EINVAL);
  result<syncobj_ref> made = syncobj::create((flags & syncobj_flag::create_signaled) != 0);
  if (!made) return std::unexpected(made.error());
  return insert(std::move(*made));
}

result<syncobj_table::handle> syncobj_table::insert(syncobj_ref object) noexcept {
  if (!object) return failure(EINVAL);
  if (is_inherited()) return failure(EOWNERDEAD);
  const scoped_lock hold(lock_);
  auto slot = std::ranges::find(objects_, syncobj_ref());
  if (slot == objects_.end()) {
    try {
      slot = objects_.emplace(slot);
    } catch (const std::bad_alloc&) {
      return failure(ENOMEM);
    }
  }
  *slot = std::move(object);
  return static_cast<handle>(slot - objects_.begin() + 1);
}

syncobj_ref syncobj_table::find(handle h) const noexcept {
  if (is_inherited()) return nullptr;
  const scoped_lock hold(lock_);
  return h != 0 && h <= objects_.size() ? objects_[h - 1] : nullptr;
}

std::error_code syncobj_table::destroy(handle h) noexcept {
  if (is_inherited()) return errno_code(EOWNERDEAD);
  syncobj_ref old;  // dropped without the lock
  const scoped_lock hold(lock_);
  if (h == 0 || h > objects_.size() || !objects_[h - 1]) return errno_code(EINVAL);
  old = std::exchange(objects_[h - 1], nullptr);
  return {};
}

std::size_t syncobj_table::size() const noexcept {
  if (is_inherited()) return 0;
  const scoped_lock hold(lock_);
  return objects_.size() - static_cast<std::size_t>(std::ranges::count(objects_, syncobj_ref()));
}

result<std::vector<syncobj_point>> syncobj_table::look_up(handles hs, points ps) const noexcept {
  if (!ps.empty() && ps.size() != hs.size()) return failure(EINVAL);
  if (is_inherited()) return failure(EOWNERDEAD);
  std::vector<syncobj_point> found;
  try {
    found.reserve(hs.size());
  } catch (const std::exception&) {
    return failure(ENOMEM);
  }
  for (std::size_t i = 0; i < hs.size(); ++i) {
    syncobj_ref object = find(hs[i]);
    if (!object) return failure(ENOENT);
    found.push_back({.object = std::move(object), .point = ps.empty() ? 0 : ps[i]});
  }
  return found;
}

// --- Operations ---

result<std::size_t> syncobj_table::wait(handles hs, points ps, bool timeline, std::uint32_t flags,
                                        std::int64_t timeout_ns,
                                        std::int64_t hint_ns) const noexcept {
  using namespace syncobj_flag;
  const std::uint32_t known =
      wait_all | wait_for_submit | wait_deadline | (timeline ? wait_available : 0);
  if ((flags & ~known) != 0) return failure(EINVAL);
  const result<std::vector<syncobj_point>> found = look_up(hs, ps);
  if (!found) return std::unexpected(found.error());
  return ufence::wait(*found, timeout_ns,
                      {.all = (flags & wait_all) != 0,
                       .for_submit = (flags & wait_for_submit) != 0,
                       .available = (flags & wait_available) != 0,
                       .hint_ns = (flags & wait_deadline) != 0 ? hint_ns : no_deadline});
}

std::error_code syncobj_table::reset(handles hs) noexcept {
  if (hs.empty()) return errno_code(EINVAL);
  const result<std::vector<syncobj_point>> found = look_up(hs, {});
  if (!found) return found.error();
  for (const syncobj_point& p : *found) {
    if (const std::error_code failed = p.object->reset()) return failed;
  }
  return {};
}

std::error_code syncobj_table::signal(handles hs) noexcept {
  if (hs.empty()) return errno_code(EINVAL);
  const result<std::vector<syncobj_point>> found = look_up(hs, {});
  if (!found) return found.error();
  for (const syncobj_point& p : *found) {
    if (const std::error_code failed = p.object->signal()) return failed;
  }
  return {};
}

std::error_code syncobj_table::signal_points(handles hs, points ps, std::uint32_t flags) noexcept {
  if (flags != 0 || hs.empty()) return errno_code(EINVAL);
  const result<std::vector<syncobj_point>> found = look_up(hs, ps);
  if (!found) return found.error();
  // All that can fail comes first.
  std::vector<fence_chain::room> rooms;
  std::vector<std::size_t> order;
  try {
    rooms.reserve(found->size());
    order.resize(found->size());
  } catch (const std::exception&) {
    return errno_code(ENOMEM);
  }
  for (const syncobj_point& p : *found) {
    if (p.object->is_inherited()) return errno_code(EOWNERDEAD);
    result<fence_chain::room> room = fence_chain::reserve();
    if (!room) return room.error();
    rooms.push_back(std::move(*room));
  }
  for (std::size_t i = 0; i < found->size(); ++i) {
    (*found)[i].object->add_point_untold(std::move(rooms[i]), fence::stub(), (*found)[i].point);
  }
  // Each syncobj's waiters are told once, and its chain is walked once.
  order_for_walk(*found, order);
  const syncobj* told = nullptr;
  for (const std::size_t i : order) {
    syncobj& object = *(*found)[i].object;
    if (&object != told) object.tell_of_points();
    told = &object;
  }
  return {};
}

std::error_code syncobj_table::query(handles hs, std::span<std::uint64_t> values,
                                     std::uint32_t flags) const noexcept {
  if ((flags & ~syncobj_flag::last_submitted) != 0 || hs.empty() || values.size() != hs.size()) {
    return errno_code(EINVAL);
  }
  const result<std::vector<syncobj_point>> found = look_up(hs, {});
  if (!found) return found.error();
  std::vector<std::size_t> order;
  try {
    order.resize(hs.size());
  } catch (const std::exception&) {
    return errno_code(ENOMEM);
  }
  // A syncobj that is named more than once is asked once.
  order_for_walk(*found, order);
  const syncobj* asked = nullptr;
  result<std::uint64_t> value = 0;
  for (const std::size_t i : order) {
    const syncobj& object = *(*found)[i].object;
    if (&object != asked) {
      value =
          (flags & syncobj_flag::last_submitted) != 0 ? object.last_submitted() : object.query();
    }
    if (!value) return value.error();
    asked = &object;
    values[i] = *value;
  }
  return {};
}

std::error_code syncobj_table::transfer(handle from, std::uint64_t from_point, handle to,
                                        std::uint64_t to_point, std::uint32_t flags) noexcept {
  if (is_inherited()) return errno_code(EOWNERDEAD);
  const syncobj_ref destination = find(to);
  if (!destination) return errno_code(ENOENT);
  const syncobj_ref source = find(from);
  if (!source) return errno_code(ENOENT);
  if ((flags & ~syncobj_flag::wait_for_submit) != 0) return errno_code(EINVAL);
  return ufence::transfer({.object = source, .point = from_point},
                          {.object = destination, .point = to_point},
                          flags != 0 ? deadline_after(submit_patience_ns) : 0);
}

std::error_code syncobj_table::notify(handle h, std::uint64_t point, std::uint32_t flags,
                                      int event_fd) noexcept {
  if ((flags & ~syncobj_flag::wait_available) != 0) return errno_code(EINVAL);
  if (is_inherited()) return errno_code(EOWNERDEAD);
  const syncobj_ref object = find(h);
  return object ? object->notify(event_fd, point, flags != 0) : errno_code(ENOENT);
}

// --- Descriptors ---

result<unique_fd> syncobj_table::to_fd(handle h, std::uint32_t flags,
                                       std::uint64_t point) const noexcept {
  using namespace syncobj_flag;
  if ((flags & ~(sync_file | at_point)) != 0) return failure(EINVAL);
  if (is_inherited()) return failure(EOWNERDEAD);
  const syncobj_ref object = find(h);
  if ((flags & sync_file) == 0) {
    if (point != 0 || !object) return failure(EINVAL);
    return syncobj_export(object);
  }
  if (!object) return failure(ENOENT);
  const result<fence_ref> f = object->find_fence((flags & at_point) != 0 ? point : 0);
  if (!f) return std::unexpected(f.error());
  return sync_file_create(*f);
}

result<syncobj_table::handle> syncobj_table::from_fd(int fd, std::uint32_t flags, handle into,
                                                     std::uint64_t point) noexcept {
  using namespace syncobj_flag;
  if ((flags & ~(sync_file | at_point)) != 0) return failure(EINVAL);
  if ((flags & sync_file) == 0) {
    if (point != 0) return failure(EINVAL);
    result<syncobj_ref> object = syncobj_import(fd);
    if (!object) return std::unexpected(object.error());
    return insert(std::move(*object));
  }
  if (is_inherited()) return failure(EOWNERDEAD);
  const result<fence_ref> f = sync_file_get_fence(fd);
  // A descriptor that is none is not a sync file either.
  if (!f) return f.error() == errno_code(EBADF) ? failure(EINVAL) : std::unexpected(f.error());
  const syncobj_ref object = find(into);
  if (!object) return failure(ENOENT);
  const bool is_point = (flags & at_point) != 0 && point != 0;
  const std::error_code failed =
      is_point ? object->add_point(*f, point) : object->replace_fence(*f);
  if (failed) return std::unexpected(failed);
  return into;
}

}  // namespace ufence
