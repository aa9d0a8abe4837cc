#include "ufence/net/host_link.h"

#include <new>
#include <utility>

#include "ufence/fence/wait.h"
#include "ufence/net/link.h"
#include "ufence/net/nats_connection.h"

namespace ufence {
namespace {

bool is_right(const host_link_options& o) noexcept {
  return is_net_namespace(o.namespace_) && detail::is_one_identity(o) &&
         o.lease_ns >= detail::lease_ns_min && o.lease_ns <= detail::lease_ns_max &&
         (o.replicas == 1 || o.replicas == 3 || o.replicas == 5);
}

}  // namespace

// --- The link ---

host_link::host_link(std::shared_ptr<detail::link> link) noexcept : link_(std::move(link)) {}

result<host_link> host_link::connect(const host_link_options& options) noexcept try {
  if (!is_right(options)) return failure(EINVAL);
  auto made = detail::link::connect(options);
  if (!made) return std::unexpected(made.error());
  return host_link(*std::move(made));
} catch (const std::bad_alloc&) {
  return failure(ENOMEM);
}

result<exported_timeline> host_link::export_timeline(timeline_issuer issuer, std::string_view name,
                                                     const export_options& options) noexcept try {
  if (!is_net_name(name)) return failure(EINVAL);
  auto made = link_->add_export(std::move(issuer), name, options);
  if (!made) return std::unexpected(made.error());
  return exported_timeline(*std::move(made));
} catch (const std::bad_alloc&) {
  return failure(ENOMEM);
}

result<remote_timeline> host_link::import_timeline(std::string_view name,
                                                   const import_options& options) noexcept try {
  if (!is_net_name(name)) return failure(EINVAL);
  auto made = link_->add_import({.timeline_id = detail::name_number(name),
                                 .timeline_name = std::string(name),
                                 .epoch = 0,
                                 .find_within_ns = options.find_within_ns});
  if (!made) return std::unexpected(made.error());
  return remote_timeline(*std::move(made));
} catch (const std::bad_alloc&) {
  return failure(ENOMEM);
}

result<remote_timeline> host_link::import_point(const remote_point& point,
                                                const import_options& options) noexcept try {
  if (point.namespace_id != link_->namespace_id()) return failure(EXDEV);
  auto made = link_->add_import({.timeline_id = point.timeline_id,
                                 .timeline_name = {},
                                 .epoch = point.epoch,
                                 .find_within_ns = options.find_within_ns});
  if (!made) return std::unexpected(made.error());
  return remote_timeline(*std::move(made));
} catch (const std::bad_alloc&) {
  return failure(ENOMEM);
}

bool host_link::was_connected() const noexcept { return link_->was_connected(); }

host_link::counters host_link::counts() const noexcept { return link_->counts(); }

// --- Exports ---

exported_timeline::exported_timeline(std::shared_ptr<detail::export_state> state) noexcept
    : state_(std::move(state)) {}

exported_timeline::exported_timeline(exported_timeline&&) noexcept = default;

exported_timeline& exported_timeline::operator=(exported_timeline&& other) noexcept {
  drop();
  state_ = std::move(other.state_);
  return *this;
}

exported_timeline::~exported_timeline() { drop(); }

void exported_timeline::drop() noexcept {
  if (state_) state_->link_->drop(*state_);
  state_.reset();
}

result<fence_ref> exported_timeline::emit() noexcept { return state_->issuer_.emit(); }

void exported_timeline::signal_up_to(std::uint64_t point) noexcept {
  state_->issuer_.signal_up_to(point);
  state_->link_->has_news(*state_);
}

void exported_timeline::fail(int error) noexcept {
  state_->issuer_.fail(error);
  state_->link_->fail(*state_, error);
}

const timeline_ref& exported_timeline::line() const noexcept { return state_->issuer_.line(); }

result<remote_point> exported_timeline::at(std::uint64_t point) const noexcept {
  if (point > remote_point::point_max) return failure(EINVAL);
  remote_point made = state_->base_;
  made.point = point;
  return made;
}

const fence_ref& exported_timeline::ended() const noexcept { return state_->ended_; }

std::error_code exported_timeline::flush(absolute_deadline deadline_ns) noexcept try {
  const auto stored = state_->link_->when_stored(*state_);
  return stored ? (*stored)->wait_result(deadline_ns) : stored.error();
} catch (const std::bad_alloc&) {
  return errno_code(ENOMEM);
}

// --- Imports ---

remote_timeline::remote_timeline(std::shared_ptr<detail::import_state> state) noexcept
    : state_(std::move(state)) {}
remote_timeline::remote_timeline(remote_timeline&&) noexcept = default;
remote_timeline& remote_timeline::operator=(remote_timeline&&) noexcept = default;
remote_timeline::~remote_timeline() = default;

result<fence_ref> remote_timeline::fence_at(std::uint64_t point) noexcept try {
  if (point > remote_point::point_max) return failure(EINVAL);
  return state_->link_->fence_at(*state_, point);
} catch (const std::bad_alloc&) {
  return failure(ENOMEM);
}

result<fence_ref> remote_timeline::fence_at(const remote_point& point) noexcept {
  const auto here = at(0);
  const bool is_ours = point.namespace_id == state_->link_->namespace_id() &&
                       point.timeline_id == state_->in_core_.timeline_id();
  if (!is_ours) return failure(EXDEV);
  if (here && point.epoch != here->epoch) return failure(ESTALE);
  return fence_at(point.point);
}

std::uint64_t remote_timeline::value() const noexcept {
  const detail::net_lock hold(state_->link_->lock_);
  return state_->in_core_.value();
}

int remote_timeline::error() const noexcept {
  const detail::net_lock hold(state_->link_->lock_);
  return state_->in_core_.ended();
}

std::error_code remote_timeline::wait_found(absolute_deadline deadline_ns) noexcept {
  return state_->found_->wait_result(deadline_ns);
}

remote_origin remote_timeline::origin() const {
  const detail::net_lock hold(state_->link_->lock_);
  const auto& last = state_->in_core_.last();
  if (!last) return {};
  return {.host = last->origin.host,
          .process = last->origin.process,
          .driver = last->origin.driver,
          .timeline = last->timeline_name,
          .owner_time_ns = last->owner_time_ns,
          .arrival_time_ns = state_->arrival_ns_};
}

result<remote_point> remote_timeline::at(std::uint64_t point) const noexcept {
  if (point > remote_point::point_max) return failure(EINVAL);
  const detail::net_lock hold(state_->link_->lock_);
  if (!state_->in_core_.is_following()) return failure(ENOENT);
  return remote_point{.namespace_id = state_->link_->namespace_id(),
                      .timeline_id = state_->in_core_.timeline_id(),
                      .epoch = state_->in_core_.epoch(),
                      .point = point};
}

}  // namespace ufence
