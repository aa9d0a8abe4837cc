#include "ufence/net/importer.h"

#include <algorithm>
#include <cerrno>

namespace ufence::detail {

bool importer::end(int error) noexcept {
  ended_ = error;
  return true;
}

bool importer::on_record(const value_record& record) noexcept {
  if (ended_ != 0 || record.timeline_id != options_.timeline_id) return false;
  if (!options_.timeline_name.empty() && record.timeline_name != options_.timeline_name)
    return false;
  if (!last_) {
    if (options_.epoch != 0 && record.epoch != options_.epoch) {
      return record.epoch > options_.epoch && end(-ESTALE);
    }
    last_ = record;
    has_hint_ = has_hint_ && record.value < wanted_point_;
    if (record.error != 0) ended_ = record.error;
    return true;
  }
  if (record.epoch > last_->epoch) return end(-EOWNERDEAD);
  if (record.epoch != last_->epoch || record.owner != last_->owner) return false;
  const bool is_news = record.value > last_->value || record.error != 0;
  if (record.value > last_->value) last_ = record;
  if (record.error != 0) ended_ = record.error;
  return is_news;
}

void importer::on_last(const std::optional<stored_value>& last, std::int64_t now_ns) noexcept {
  if (!last_) return;
  if (last && last->record && last->record->epoch == last_->epoch &&
      last->record->owner == last_->owner) {
    missing_ns_.reset();
  } else if (!missing_ns_) {
    missing_ns_ = now_ns;
  }
}

void importer::want(std::uint64_t point, std::int64_t deadline_ns) noexcept {
  if (ended_ != 0 || (last_ && last_->value >= point)) return;
  if (point <= wanted_point_ && deadline_ns >= wanted_by_ns_) return;
  wanted_point_ = std::max(wanted_point_, point);
  wanted_by_ns_ = std::min(wanted_by_ns_, deadline_ns);
  has_hint_ = true;
}

bool importer::tick(transport* to, std::uint64_t& attempts, std::int64_t heard_ns,
                    std::int64_t now_ns) {
  if (ended_ != 0) return false;
  if (!last_ && now_ns - began_ns_ > options_.find_within_ns) return end(-ENOENT);
  if (last_ && now_ns - heard_ns > std::max(times_.lease_ns, last_->lease_ns)) {
    return end(-EOWNERDEAD);
  }
  if (missing_ns_ && now_ns - *missing_ns_ > 2 * times_.audit_ns()) return end(-EOWNERDEAD);
  if (to == nullptr) return false;
  if (ask_due_ns_ <= now_ns) {
    // Somebody waits: what was lost must not take long.
    const bool is_awaited = last_ && wanted_point_ > last_->value;
    ask_due_ns_ = now_ns + (!last_       ? times_.answer_ns()
                            : is_awaited ? 2 * times_.lease_ns
                                         : times_.audit_ns());
    to->ask_last(options_.timeline_id, ++attempts);
  }
  if (has_hint_ && last_) {
    has_hint_ = false;
    to->send_hint({.timeline_id = options_.timeline_id,
                   .epoch = last_->epoch,
                   .point = wanted_point_,
                   .within_ns = wanted_by_ns_ == INT64_MAX
                                    ? -1
                                    : std::max<std::int64_t>(0, wanted_by_ns_ - now_ns)});
  }
  return false;
}

}  // namespace ufence::detail
