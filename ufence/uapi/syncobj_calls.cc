#include "ufence/uapi/syncobj_calls.h"

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <new>
#include <optional>

#include "ufence/container/chain.h"
#include "ufence/sync/sync_file.h"
#include "ufence/syncobj/tell_event.h"
#include "ufence/uapi/ioctls.h"
#include "ufence/uapi/waiting_call.h"

namespace ufence::uapi {
namespace {

constexpr std::uint32_t export_sync_file = 1;       // to_fd
constexpr std::uint32_t import_sync_file_flag = 1;  // from_fd
constexpr std::uint32_t at_point = 2;               // of a timeline, both
// So long a transfer waits for its source, as in the kernel.
constexpr std::int64_t submit_patience_ns = 5'000'000'000;

// A syncobj as a descriptor, which any node takes in.
class syncobj_file final : public device {
 public:
  explicit syncobj_file(syncobj_ref object) noexcept : object_(std::move(object)) {}
  [[nodiscard]] device_kind kind() const noexcept override { return device_kind::syncobj; }
  [[nodiscard]] reply control(const call&) override { return failed(ENOTTY); }
  [[nodiscard]] const syncobj_ref& object() const noexcept { return object_; }

 private:
  syncobj_ref object_;
};

}  // namespace

reply syncobj_calls::control(const call& c) {
  switch (_IOC_NR(c.code)) {
    case _IOC_NR(drm::syncobj_create): return create(c);
    case _IOC_NR(drm::syncobj_destroy): return destroy(c);
    case _IOC_NR(drm::syncobj_to_fd): return to_fd(c);
    case _IOC_NR(drm::syncobj_from_fd): return from_fd(c);
    case _IOC_NR(drm::syncobj_wait): return wait<drm_syncobj_wait>(c, false);
    case _IOC_NR(drm::syncobj_timeline_wait): return wait<drm_syncobj_timeline_wait>(c, true);
    case _IOC_NR(drm::syncobj_reset): return reset_or_signal(c, false);
    case _IOC_NR(drm::syncobj_signal): return reset_or_signal(c, true);
    case _IOC_NR(drm::syncobj_timeline_signal): return signal_points(c);
    case _IOC_NR(drm::syncobj_query): return query(c);
    case _IOC_NR(drm::syncobj_transfer): return transfer(c);
    case _IOC_NR(drm::syncobj_eventfd): return notify(c);
    default: return failed(EINVAL);
  }
}

// --- Handles and descriptors ---

// Of a call that makes it. The argument of each begins with the handle.
reply syncobj_calls::add_handle(const call& c, result<std::uint32_t> handle) {
  if (!handle) return failed(handle.error());
  try {
    if (c.caller) costs_[*handle].object = charge(c.caller, 1, resource::objects);
  } catch (...) {
    static_cast<void>(table_.destroy(*handle));
    throw;
  }
  return {};
}

namespace {

std::size_t count_pending(const syncobj_ref& object) noexcept {
  std::size_t n = 0;
  const result<fence_ref> newest = object->current();
  fence_ref at = newest ? *newest : nullptr;
  for (; at; at = fence_chain::walk(*at)) ++n;
  return n;
}

}  // namespace

// Points are counted anew when there may be twice as many as the last time: most of them are
// signaled by then, and gone.
bool syncobj_calls::may_add(const call& c, std::uint32_t handle, std::size_t count) {
  constexpr std::size_t few = 1024;
  const syncobj_ref object = table_.find(handle);
  if (!c.caller || !object) return true;
  cost& of = costs_[handle];
  const auto take = [&](std::size_t points) {
    of.count = points;
    of.points = charge(c.caller, points, resource::objects);
  };
  const bool is_much = of.count + count > std::max(few, 2 * of.counted);
  if (is_much || !c.caller->may_have(resource::objects, count)) {
    of.counted = count_pending(object);
    take(of.counted);
    if (!c.caller->may_have(resource::objects, count)) return false;
  }
  take(of.count + count);
  return true;
}

reply syncobj_calls::create(const call& c) {
  auto a = c.argument_as<drm_handle>();
  if (c.caller && !c.caller->may_have(resource::objects, 1)) return failed(ENOMEM);
  const result<std::uint32_t> handle = table_.create(a.flags);
  if (reply r = add_handle(c, handle); r.error != 0) return r;
  a.handle = *handle;
  return answer(c, a);
}

reply syncobj_calls::destroy(const call& c) {
  const auto a = c.argument_as<drm_handle>();
  if (a.flags != 0) return failed(EINVAL);  // the field is a pad here
  if (const std::error_code e = table_.destroy(a.handle)) return failed(e);
  costs_.erase(a.handle);
  return answer(c, a);
}

reply syncobj_calls::to_fd(const call& c) {
  const auto a = c.argument_as<drm_syncobj_fd>();
  if ((a.flags & ~(export_sync_file | at_point)) != 0 || a.pad != 0) return failed(EINVAL);
  const syncobj_ref object = table_.find(a.handle);
  result<unique_fd> fd = failure(EINVAL);
  if ((a.flags & export_sync_file) != 0) {
    if (!object) return failed(ENOENT);
    const result<fence_ref> f = object->find_fence((a.flags & at_point) != 0 ? a.point : 0);
    if (!f || !*f) return failed(EINVAL);
    fd = sync_file_create(*f);
  } else {
    if (a.point != 0 || !object) return failed(EINVAL);
    fd = devices_.publish(std::make_unique<syncobj_file>(object), c.caller);
  }
  if (!fd) return failed(fd.error());
  return answer(c, a, std::move(*fd), offsetof(drm_syncobj_fd, fd));
}

reply syncobj_calls::from_fd(const call& c) {
  auto a = c.argument_as<drm_syncobj_fd>();
  if ((a.flags & ~(import_sync_file_flag | at_point)) != 0 || a.pad != 0) return failed(EINVAL);
  if ((a.flags & import_sync_file_flag) != 0) return import_sync_file(c);
  if (a.point != 0 || !c.other) return failed(EINVAL);
  const auto* const file = dynamic_cast<syncobj_file*>(devices_.find(c.other.get()));
  if (file == nullptr) return failed(EINVAL);
  if (c.caller && !c.caller->may_have(resource::objects, 1)) return failed(ENOMEM);
  const result<std::uint32_t> handle = table_.insert(file->object());
  if (reply r = add_handle(c, handle); r.error != 0) return r;
  a.handle = *handle;
  return answer(c, a);
}

reply syncobj_calls::import_sync_file(const call& c) {
  const auto a = c.argument_as<drm_syncobj_fd>();
  if (!c.other) return failed(EINVAL);
  result<fence_ref> f = sync_file_get_fence(c.other.get());
  if (!f) return failed(EINVAL);
  const syncobj_ref object = table_.find(a.handle);
  if (!object) return failed(ENOENT);
  const bool adds = (a.flags & at_point) != 0 && a.point != 0;
  if (adds && !may_add(c, a.handle, 1)) return failed(ENOMEM);
  const std::error_code e =
      adds ? object->add_point(*f, a.point) : object->replace_fence(std::move(*f));
  return e ? failed(e) : answer(c, a);
}

// --- Several at once ---

namespace {

// The handles, and behind them the points if there are any.
template <class Arrays>
std::optional<Arrays> arrays_of(const call& c, std::uint32_t count) {
  const std::size_t handles_size = std::size_t{count} * sizeof(std::uint32_t);
  const std::size_t points_size = std::size_t{count} * sizeof(std::uint64_t);
  Arrays all;
  if (c.data.size() != handles_size && c.data.size() != handles_size + points_size) {
    return std::nullopt;
  }
  all.handles = c.data_as<std::uint32_t>(0, count);
  if (c.data.size() > handles_size) {
    all.points = c.data_as<std::uint64_t>(handles_size, count);
  }
  return all;
}

}  // namespace

template <class Arguments>
reply syncobj_calls::wait(const call& c, bool timeline) {
  auto a = c.argument_as<Arguments>();
  const std::optional<arrays> what = arrays_of<arrays>(c, a.count);
  if (!what) return failed(EINVAL);
  wait_request w{.what = *what, .timeline = timeline, .flags = a.flags, .timeout_ns = a.timeout_ns};
  if ((a.flags & syncobj_flag::wait_deadline) != 0) {
    w.hint_ns = static_cast<std::int64_t>(a.deadline_ns);
  }
  auto finish = [code = c.code, bytes = std::vector(c.argument.begin(), c.argument.end()),
                 a](result<std::size_t> first) mutable -> reply {
    if (!first) return failed(first.error());
    a.first_signaled = static_cast<std::uint32_t>(*first);
    call again;
    again.code = code;
    again.argument = bytes;
    return answer(again, a);
  };
  const result<std::size_t> first =
      table_.wait(w.what.handles, w.what.points, timeline, a.flags, 0, w.hint_ns);
  if (first || first.error() != errno_code(ETIME) || a.timeout_ns <= now_ns()) {
    return finish(first);
  }
  return wait_later(w, finish);
}

// The answer for each point is about the fence that is there now, or comes first.
template <class Finish>
reply syncobj_calls::wait_later(const wait_request& w, Finish finish) {
  std::vector<syncobj_point> points;
  for (std::size_t i = 0; i < w.what.handles.size(); ++i) {
    points.push_back({.object = table_.find(w.what.handles[i]),
                      .point = w.what.points.empty() ? 0 : w.what.points[i]});
  }
  return point_wait::begin(points,
                           {.all = (w.flags & syncobj_flag::wait_all) != 0,
                            .available = (w.flags & syncobj_flag::wait_available) != 0,
                            .deadline_ns = w.timeout_ns},
                           std::move(finish));
}

reply syncobj_calls::reset_or_signal(const call& c, bool signals) {
  const auto a = c.argument_as<drm_syncobj_array>();
  if (a.pad != 0) return failed(EINVAL);
  const std::optional<arrays> what = arrays_of<arrays>(c, a.count);
  if (!what) return failed(EINVAL);
  const std::error_code e = signals ? table_.signal(what->handles) : table_.reset(what->handles);
  return e ? failed(e) : answer(c, a);
}

reply syncobj_calls::signal_points(const call& c) {
  const auto a = c.argument_as<drm_syncobj_points>();
  const std::optional<arrays> what = arrays_of<arrays>(c, a.count);
  if (!what) return failed(EINVAL);
  for (const std::uint32_t handle : what->handles) {
    if (!may_add(c, handle, 1)) return failed(ENOMEM);
  }
  const std::error_code e = table_.signal_points(what->handles, what->points, a.flags);
  return e ? failed(e) : answer(c, a);
}

reply syncobj_calls::query(const call& c) {
  const auto a = c.argument_as<drm_syncobj_points>();
  const std::optional<arrays> what = arrays_of<arrays>(c, a.count);
  if (!what) return failed(EINVAL);
  std::vector<std::uint64_t> values(a.count);
  if (const std::error_code e = table_.query(what->handles, values, a.flags)) return failed(e);
  reply r = answer(c, a);
  const auto bytes = std::as_bytes(std::span(values));
  r.data.assign(bytes.begin(), bytes.end());
  return r;
}

reply syncobj_calls::transfer(const call& c) {
  const auto a = c.argument_as<drm_syncobj_transfer>();
  if (a.pad != 0) return failed(EINVAL);
  if ((a.flags & ~syncobj_flag::wait_for_submit) != 0) return failed(EINVAL);
  if (a.destination_point != 0 && !may_add(c, a.destination, 1)) return failed(ENOMEM);
  const std::error_code now =
      table_.transfer(a.source, a.source_point, a.destination, a.destination_point);
  const bool may_wait = (a.flags & syncobj_flag::wait_for_submit) != 0;
  if (now != errno_code(EINVAL) || !may_wait) return now ? failed(now) : answer(c, a);

  // Not submitted yet. What is found when it is does not depend on the handles any more.
  const syncobj_ref from = table_.find(a.source);
  const syncobj_ref to = table_.find(a.destination);
  const syncobj_point source{.object = from, .point = a.source_point};
  auto finish = [source, to, a](result<std::size_t> submitted) {
    if (!submitted) return failed(submitted.error());
    return failed(ufence::transfer(source, {.object = to, .point = a.destination_point}));
  };
  return point_wait::begin({&source, 1},
                           {.available = true, .deadline_ns = deadline_after(submit_patience_ns)},
                           std::move(finish));
}

reply syncobj_calls::notify(const call& c) {
  const auto a = c.argument_as<drm_syncobj_eventfd>();
  if ((a.flags & ~syncobj_flag::wait_available) != 0 || a.pad != 0) return failed(EINVAL);
  const syncobj_ref object = table_.find(a.handle);
  if (!object) return failed(ENOENT);
  if (!c.other) return failed(EBADF);
  // Counted until it has been told.
  auto of_caller = std::make_unique<charge>(c.caller, 1);
  const detail::event_end ended{.run = [](void* of) noexcept { delete static_cast<charge*>(of); },
                                .argument = of_caller.get()};
  const std::error_code e = detail::notify(*object, c.other.get(), a.point, a.flags != 0, ended);
  if (e) return failed(e);
  static_cast<void>(of_caller.release());
  return answer(c, a);
}

}  // namespace ufence::uapi
