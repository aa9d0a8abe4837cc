#include "ufence/net/link_core.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

namespace ufence::detail {

std::shared_ptr<exporter> link_core::add_exporter(value_record first, std::int64_t now_ns) {
  const std::uint64_t timeline_id = first.timeline_id;
  if (const auto old = exporters_.find(timeline_id); old != exporters_.end()) {
    if (!old->second->is_released() && old->second->ended() == 0) return nullptr;
    exporters_.erase(old);
  }
  first.epoch = std::max(first.epoch, latest_epoch_ + 1);
  latest_epoch_ = first.epoch;
  check_contact(now_ns);
  if (!is_owner_of_any()) contact_ns_ = now_ns;  // nobody relied on it
  first.owner = owner_;
  first.lease_ns = times_.lease_ns;
  auto made = std::make_shared<exporter>(std::move(first), times_);
  return exporters_.emplace(timeline_id, std::move(made)).first->second;
}

bool link_core::is_owner_of_any() const {
  return std::ranges::any_of(exporters_, [](const auto& one) { return one.second->ended() == 0; });
}

void link_core::check_contact(std::int64_t now_ns) {
  if (now_ns - contact_ns_ <= times_.lease_ns || !is_owner_of_any()) return;
  for (auto& [id, one] : exporters_) one->cut_off();
  contact_ns_ = now_ns;
  // A number that nobody else has, made of one.
  std::array<char, sizeof owner_> bytes{};
  std::memcpy(bytes.data(), &owner_, sizeof owner_);
  owner_ = std::max<std::uint64_t>(1, name_number({bytes.data(), bytes.size()}));
}

importer& link_core::add_importer(importer_options options, std::int64_t now_ns) {
  auto& all = importers_[options.timeline_id];
  all.push_back(std::make_unique<importer>(std::move(options), times_, now_ns));
  return *all.back();
}

void link_core::remove(importer& gone) {
  std::erase(changed_, &gone);
  const auto all = importers_.find(gone.timeline_id());
  std::erase_if(all->second, [&](const auto& one) { return one.get() == &gone; });
  if (all->second.empty()) importers_.erase(all);
}

void link_core::note_changed(importer& one) {
  if (!one.is_noted) changed_.push_back(&one);
  one.is_noted = true;
}

std::vector<importer*> link_core::take_changed() {
  for (importer* one : changed_) one->is_noted = false;
  return std::exchange(changed_, {});
}

void link_core::on_connected() {
  is_connected_ = true;
  for (auto& [id, one] : exporters_) one->look_again();
  for (auto& [id, all] : importers_) {
    for (auto& one : all) one->look_again();
  }
}

void link_core::on_beat(const beat& sign, std::int64_t now_ns) {
  // One of the future is no beat of ours.
  if (sign.owner == owner_ && sign.sent_ns <= now_ns) {
    contact_ns_ = std::max(contact_ns_, sign.sent_ns);
  }
  if (const auto known = heard_.find(sign.owner); known != heard_.end()) known->second = now_ns;
}

void link_core::to_importers(const value_record& record, std::int64_t now_ns) {
  const auto all = importers_.find(record.timeline_id);
  if (all == importers_.end()) return;
  for (auto& one : all->second) {
    if (!one->on_record(record)) continue;
    note_changed(*one);
    // From now on its signs of life count.
    if (one->ended() == 0) heard_.try_emplace(one->owner(), now_ns);
  }
}

void link_core::on_record(const value_record& record, std::int64_t now_ns) {
  if (const auto known = heard_.find(record.owner); known != heard_.end()) known->second = now_ns;
  to_importers(record, now_ns);
}

void link_core::on_last(std::uint64_t timeline_id, std::uint64_t attempt,
                        const std::optional<stored_value>& last, std::int64_t now_ns) {
  if (const auto ours = exporters_.find(timeline_id); ours != exporters_.end()) {
    ours->second->on_last(attempt, last, now_ns);
    latest_epoch_ = std::max(latest_epoch_, ours->second->epoch());
  }
  if (last && last->record) to_importers(*last->record, now_ns);
  const auto all = importers_.find(timeline_id);
  if (all == importers_.end()) return;
  for (auto& one : all->second) one->on_last(last, now_ns);
}

void link_core::on_stored(std::uint64_t timeline_id, std::uint64_t attempt, std::uint64_t sequence,
                          std::int64_t now_ns) {
  const auto ours = exporters_.find(timeline_id);
  if (ours != exporters_.end()) ours->second->on_stored(attempt, sequence, now_ns);
}

void link_core::on_refused(std::uint64_t timeline_id, std::uint64_t attempt) {
  const auto ours = exporters_.find(timeline_id);
  if (ours != exporters_.end()) ours->second->on_refused(attempt);
}

void link_core::tick(std::int64_t now_ns) {
  // The silence of others counts only while this process could listen. Its own does always.
  const std::int64_t deaf_ns = now_ns - ticked_ns_ - times_.beat_ns();
  const std::int64_t forgiven_ns = deaf_ns > times_.beat_ns() ? deaf_ns : 0;
  ticked_ns_ = now_ns;
  for (auto& [owner, heard] : heard_) heard += forgiven_ns;
  check_contact(now_ns);
  transport* const to = engine();

  for (auto& [id, one] : exporters_) one->tick(to, attempts_, now_ns);
  std::erase_if(exporters_, [](const auto& one) { return one.second->is_done(); });
  std::unordered_map<std::uint64_t, std::int64_t> followed;
  for (auto& [id, all] : importers_) {
    for (auto& one : all) {
      one->forgive(forgiven_ns);
      const auto heard = heard_.find(one->owner());
      const std::int64_t heard_ns = heard != heard_.end() ? heard->second : now_ns;
      if (one->tick(to, attempts_, heard_ns, now_ns)) note_changed(*one);
      if (one->ended() == 0 && one->is_following()) followed.emplace(one->owner(), heard_ns);
    }
  }
  heard_ = std::move(followed);
  if (to != nullptr && is_owner_of_any()) to->send_beat({.owner = owner_, .sent_ns = now_ns});
}

std::int64_t link_core::tick(exporter& one, std::int64_t now_ns) {
  check_contact(now_ns);
  one.tick(engine(), attempts_, now_ns);
  return one.due_ns();
}

void link_core::tick(importer& one, std::int64_t now_ns) {
  const std::int64_t heard = heard_ns(one.owner()).value_or(now_ns);
  if (one.tick(engine(), attempts_, heard, now_ns)) note_changed(one);
}

std::optional<std::int64_t> link_core::heard_ns(std::uint64_t owner) const {
  const auto known = heard_.find(owner);
  return known == heard_.end() ? std::nullopt : std::optional(known->second);
}

}  // namespace ufence::detail
