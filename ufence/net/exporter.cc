#include "ufence/net/exporter.h"

#include <cerrno>

namespace ufence::detail {

void exporter::set_value(std::uint64_t value, std::int64_t owner_time_ns) noexcept {
  if (news_.error != 0 || value <= news_.value || value > remote_point::point_max) return;
  news_.value = value;
  news_.owner_time_ns = owner_time_ns;
}

void exporter::fail(int error, std::int64_t owner_time_ns) noexcept {
  if (news_.error != 0) return;
  news_.error = error < 0 && error >= -4095 ? error : -EINVAL;
  news_.owner_time_ns = owner_time_ns;
}

void exporter::on_last(std::uint64_t attempt, const std::optional<stored_value>& last,
                       std::int64_t now_ns) {
  if (ended_ != 0 || step_ != step::looking || attempt != attempt_) return;
  attempt_ = 0;
  is_unanswered_ = false;
  expected_ = last ? last->sequence : 0;
  is_kept_ = false;
  if (last && last->record) {
    const value_record& there = *last->record;
    if (there.epoch == news_.epoch && there.owner == news_.owner) {
      is_kept_ = true;
      kept_value_ = there.value;
      kept_error_ = there.error;
    } else if (there.epoch >= news_.epoch) {
      if (has_claimed_ || there.epoch == remote_point::epoch_max) {
        ended_ = -ESTALE;
        return;
      }
      news_.epoch = there.epoch + 1;
    }
  }
  step_ = step::idle;
  audit_ns_ = now_ns + times_.audit_ns();
}

void exporter::on_stored(std::uint64_t attempt, std::uint64_t sequence,
                         std::int64_t now_ns) noexcept {
  if (ended_ != 0 || step_ != step::storing || attempt != attempt_) return;
  attempt_ = 0;
  expected_ = sequence;
  is_kept_ = true;
  kept_value_ = sent_value_;
  kept_error_ = sent_error_;
  step_ = step::idle;
  audit_ns_ = now_ns + times_.audit_ns();
}

void exporter::on_refused(std::uint64_t attempt) noexcept {
  if (step_ == step::storing && attempt == attempt_) look_again();
}

void exporter::look_again() noexcept {
  step_ = step::looking;
  attempt_ = 0;
  answer_due_ns_ = 0;
}

void exporter::cut_off() noexcept {
  if (ended_ == 0) ended_ = -ENOLINK;
}

void exporter::tick(transport* to, std::uint64_t& attempts, std::int64_t now_ns) {
  if (to == nullptr || due_ns() > now_ns) return;
  if (step_ != step::idle || !has_news()) {
    is_unanswered_ = attempt_ != 0;
    step_ = step::looking;
    attempt_ = ++attempts;
    answer_due_ns_ = now_ns + times_.answer_ns();
    to->ask_last(news_.timeline_id, attempt_);
    return;
  }
  next_value_ns_ = now_ns + times_.value_interval_ns;
  // First to importers: an engine that also stores a record passes it on later.
  if (!is_told_ && is_kept_ && news_.error == 0) {
    is_told_ = true;
    to->tell(news_);
    return;
  }
  step_ = step::storing;
  attempt_ = ++attempts;
  answer_due_ns_ = now_ns + times_.answer_ns();
  is_told_ = false;
  has_claimed_ = true;
  sent_value_ = news_.value;
  sent_error_ = news_.error;
  to->store(news_, expected_, attempt_);
}

std::int64_t exporter::due_ns() const noexcept {
  if (ended_ != 0) return INT64_MAX;
  if (step_ != step::idle) return answer_due_ns_;
  return has_news() ? next_value_ns_ : audit_ns_;
}

}  // namespace ufence::detail
