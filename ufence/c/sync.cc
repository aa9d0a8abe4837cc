#include <new>
#include <vector>

#include "ufence/c/convert.h"
#include "ufence/sync/shared_timeline.h"
#include "ufence/sync/sync_file.h"
#include "ufence/sync/syncobj_file.h"
#include "ufence/syncobj/syncobj.h"

using namespace ufence;
using namespace ufence::c;

namespace {

syncobj& object_of(ufence_syncobj* object) noexcept { return *reinterpret_cast<syncobj*>(object); }

int hand_over_object(result<syncobj_ref> made, ufence_syncobj** to) noexcept {
  if (!made) return negative(made.error());
  *to = reinterpret_cast<ufence_syncobj*>(made->release());
  return 0;
}

int hand_over_number(result<std::uint64_t> number, std::uint64_t* to) noexcept {
  if (!number) return negative(number.error());
  *to = *number;
  return 0;
}

shared_timeline& shared_of(ufence_shared_timeline* timeline) noexcept {
  return *reinterpret_cast<shared_timeline*>(timeline);
}
const shared_timeline& shared_of(const ufence_shared_timeline* timeline) noexcept {
  return *reinterpret_cast<const shared_timeline*>(timeline);
}

int hand_over_shared(result<shared_timeline_ref> made, ufence_shared_timeline** to) noexcept {
  if (!made) return negative(made.error());
  *to = reinterpret_cast<ufence_shared_timeline*>(made->release());
  return 0;
}

}  // namespace

// --- Sync files ---

int ufence_sync_file_export(ufence_fence* f, const char* name) {
  return hand_over(sync_file_create(borrowed(f), text_of(name)));
}

int ufence_sync_file_import(int file, ufence_fence** f) {
  return hand_over(sync_file_get_fence(file), f);
}

int ufence_sync_file_merge(int a, int b, const char* name) {
  return hand_over(sync_file_merge(a, b, text_of(name)));
}

int ufence_sync_file_get_info(int file, sync_file_info* info) {
  return negative(sync_file_get_info(file, *info));
}

int ufence_sync_file_set_deadline(int file, int64_t deadline_ns) {
  return negative(sync_file_set_deadline(file, deadline_ns));
}

// --- Syncobjs ---

int ufence_syncobj_create(int signaled, ufence_syncobj** object) {
  return hand_over_object(syncobj::create(signaled != 0), object);
}

ufence_syncobj* ufence_syncobj_get(ufence_syncobj* object) {
  object_of(object).get();
  return object;
}

void ufence_syncobj_put(ufence_syncobj* object) {
  if (object != nullptr) object_of(object).put();
}

int ufence_syncobj_replace_fence(ufence_syncobj* object, ufence_fence* f) {
  return negative(object_of(object).replace_fence(borrowed(f)));
}

int ufence_syncobj_add_point(ufence_syncobj* object, ufence_fence* f, uint64_t point) {
  return negative(f != nullptr ? object_of(object).add_point(borrowed(f), point)
                               : object_of(object).signal_point(point));
}

int ufence_syncobj_find_fence(ufence_syncobj* object, uint64_t point, ufence_fence** f) {
  return hand_over(object_of(object).find_fence(point), f);
}

int ufence_syncobj_find_fence_by(ufence_syncobj* object, uint64_t point, int64_t deadline_ns,
                                 ufence_fence** f) {
  return hand_over(object_of(object).find_fence_by(point, deadline_ns), f);
}

int ufence_syncobj_transfer(ufence_syncobj* from, uint64_t from_point, ufence_syncobj* to,
                            uint64_t to_point, int64_t submit_by_ns) {
  if (from == nullptr || to == nullptr) return -EINVAL;
  return negative(transfer({.object = syncobj_ref::take(object_of(from)), .point = from_point},
                           {.object = syncobj_ref::take(object_of(to)), .point = to_point},
                           submit_by_ns));
}

int ufence_syncobj_notify(ufence_syncobj* object, int event_fd, uint64_t point,
                          int when_available) {
  return negative(object_of(object).notify(event_fd, point, when_available != 0));
}

int ufence_syncobj_query(ufence_syncobj* object, uint64_t* signaled) {
  return hand_over_number(object_of(object).query(), signaled);
}

int ufence_syncobj_last_submitted(ufence_syncobj* object, uint64_t* submitted) {
  return hand_over_number(object_of(object).last_submitted(), submitted);
}

long ufence_syncobj_wait(const ufence_syncobj_point* points, size_t n, unsigned int flags,
                         int64_t deadline_ns) {
  constexpr unsigned int known =
      UFENCE_SYNCOBJ_WAIT_ALL | UFENCE_SYNCOBJ_WAIT_FOR_SUBMIT | UFENCE_SYNCOBJ_WAIT_AVAILABLE;
  if ((flags & ~known) != 0) return -EINVAL;
  std::vector<syncobj_point> waited;
  try {
    waited.reserve(n);
  } catch (const std::exception&) {
    return -ENOMEM;
  }
  for (std::size_t i = 0; i < n; ++i) {
    if (points[i].object == nullptr) return -EINVAL;
    waited.push_back(
        {.object = syncobj_ref::take(object_of(points[i].object)), .point = points[i].point});
  }
  const result<std::size_t> done =
      wait(waited, deadline_ns,
           {.all = (flags & UFENCE_SYNCOBJ_WAIT_ALL) != 0,
            .for_submit = (flags & UFENCE_SYNCOBJ_WAIT_FOR_SUBMIT) != 0,
            .available = (flags & UFENCE_SYNCOBJ_WAIT_AVAILABLE) != 0});
  return done ? static_cast<long>(*done) : negative(done.error());
}

int ufence_syncobj_export(ufence_syncobj* object) {
  if (object == nullptr) return -EINVAL;
  return hand_over(syncobj_export(syncobj_ref::take(object_of(object))));
}

int ufence_syncobj_import(int fd, ufence_syncobj** object) {
  return hand_over_object(syncobj_import(fd), object);
}

// --- Shared timelines ---

int ufence_shared_timeline_create(const ufence_shared_timeline_options* given,
                                  ufence_shared_timeline** timeline) {
  ufence_shared_timeline_options options;
  if (!read_options(given, options)) return -EINVAL;
  return hand_over_shared(
      shared_timeline::create({.name = text_of(options.name),
                               .initial_point = options.initial_point,
                               .peers_may_signal = options.peers_may_signal != 0}),
      timeline);
}

int ufence_shared_timeline_import(int fd, ufence_shared_timeline** timeline) {
  return hand_over_shared(shared_timeline::import(fd), timeline);
}

ufence_shared_timeline* ufence_shared_timeline_get(ufence_shared_timeline* timeline) {
  shared_of(timeline).get();
  return timeline;
}

void ufence_shared_timeline_put(ufence_shared_timeline* timeline) {
  if (timeline != nullptr) shared_of(timeline).put();
}

int ufence_shared_timeline_export(ufence_shared_timeline* timeline, int may_signal) {
  return hand_over(
      shared_of(timeline).export_fd(may_signal != 0 ? shared_access::signal : shared_access::wait));
}

int ufence_shared_timeline_is_owner(const ufence_shared_timeline* timeline) {
  return shared_of(timeline).is_owner() ? 1 : 0;
}

int ufence_shared_timeline_may_signal(const ufence_shared_timeline* timeline) {
  return shared_of(timeline).may_signal() ? 1 : 0;
}

size_t ufence_shared_timeline_name(const ufence_shared_timeline* timeline, char* buffer,
                                   size_t size) {
  return copy_out(shared_of(timeline).name(), buffer, size);
}

uint64_t ufence_shared_timeline_value(const ufence_shared_timeline* timeline) {
  return shared_of(timeline).value();
}

int ufence_shared_timeline_error(const ufence_shared_timeline* timeline) {
  return shared_of(timeline).error();
}

int ufence_shared_timeline_signal(ufence_shared_timeline* timeline, uint64_t point) {
  return negative(shared_of(timeline).signal(point));
}

int ufence_shared_timeline_fail(ufence_shared_timeline* timeline, int error) {
  return negative(shared_of(timeline).fail(error));
}

int ufence_shared_timeline_wait(ufence_shared_timeline* timeline, uint64_t point,
                                int64_t deadline_ns) {
  return negative(shared_of(timeline).wait(point, deadline_ns));
}

int ufence_shared_timeline_fence_at(ufence_shared_timeline* timeline, uint64_t point,
                                    ufence_fence** f) {
  return hand_over(shared_of(timeline).fence_at(point), f);
}
