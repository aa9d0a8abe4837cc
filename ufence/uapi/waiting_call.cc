#include "ufence/uapi/waiting_call.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <vector>

#include "ufence/syncobj/chain_walk.h"

namespace ufence::uapi {

reply point_wait::begin(std::span<const syncobj_point> points, const options& how,
                        answer_function answer) {
  unique_fd event(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!event) return failed(ENOMEM);
  auto made = std::make_unique<point_wait>(std::move(event), how, std::move(answer));
  for (const syncobj_point& p : points) made->points_.emplace_back(*made, p.object);
  std::vector<std::size_t> order(points.size());
  order_for_walk(points, order);
  chain_walk walk;
  for (const std::size_t i : order) {
    watched& one = made->points_[i];
    result<fence_ref> found = walk.find(points[i]);
    const std::error_code e =
        found ? one.start(std::move(*found), how.available)
              : one.start(*points[i].object, points[i].point, how.available);
    if (e) return failed(e);
  }
  reply r;
  r.later = std::move(made);
  return r;
}

point_wait::~point_wait() {
  for (watched& one : points_) one.stop(*one.object);
}

// On whatever thread the fence is settled.
void point_wait::watched::on_end(syncobj_watch& watch, bool) noexcept {
  auto& self = static_cast<watched&>(watch);
  // relaxed, both: each says all there is to it, and is stored before the event tells to look
  self.has_come.store(true, mo::relaxed);
  self.wait.come_.fetch_add(1, mo::relaxed);
  const std::uint64_t one = 1;
  static_cast<void>(!::write(self.wait.event_.get(), &one, sizeof one));
}

bool point_wait::is_ready() noexcept {
  // A message that comes from now on makes it readable again.
  std::uint64_t count = 0;
  static_cast<void>(!::read(event_.get(), &count, sizeof count));
  // relaxed: read after the event
  return all_ ? come_.load(mo::relaxed) == points_.size() : first_come() != points_.size();
}

std::size_t point_wait::first_come() const noexcept {
  const auto first = std::ranges::find_if(points_, [](const watched& one) {
    return one.has_come.load(mo::relaxed);  // relaxed: says all there is to it
  });
  return static_cast<std::size_t>(first - points_.begin());
}

reply point_wait::finish(bool in_time) {
  if (!in_time) return answer_(failure(ETIME));
  return answer_(all_ ? 0 : first_come());
}

}  // namespace ufence::uapi
