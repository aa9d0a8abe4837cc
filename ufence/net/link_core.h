// link_core: one link's exporters and importers, and the leases between links. Pure, as they are:
// host_link is this with an engine, a clock, a lock and a thread; the simulation is this with all
// of them seeded.
//
// A link shows that it lives by beats. It hears its own as well: the sending time of the newest
// that came back is its contact, up to which the engine has certainly heard it. If that is longer
// ago than the lease, importers may have taken the owner for dead: its exporters end before they
// send anything (the process was stopped, or cut off in either direction). The link goes on as
// another owner, so that its further beats are none of the old one, and importers that still heard
// that see it end as well. Inside the layer only.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "ufence/net/exporter.h"
#include "ufence/net/importer.h"
#include "ufence/net/transport.h"

namespace ufence::detail {

/// Throws std::bad_alloc. Threads: one at a time (host_link's lock).
class link_core {
 public:
  /// @param owner  of this link alone: a random number, not 0
  link_core(transport& to, std::uint64_t owner, const link_times& times, std::int64_t now_ns)
      : to_(to), owner_(owner), times_(times), contact_ns_(now_ns), ticked_ns_(now_ns) {}

  /// @return  null: this link exports a timeline with this number. One that was released or has
  /// ended gives way.
  std::shared_ptr<exporter> add_exporter(value_record first, std::int64_t now_ns);
  importer& add_importer(importer_options options, std::int64_t now_ns);
  void remove(importer& gone);

  /// The engine was connected again. What was sent before may be lost.
  void on_connected();
  void on_disconnected() noexcept { is_connected_ = false; }
  void on_beat(const beat& sign, std::int64_t now_ns);
  /// A record that was passed on.
  void on_record(const value_record& record, std::int64_t now_ns);
  void on_last(std::uint64_t timeline_id, std::uint64_t attempt,
               const std::optional<stored_value>& last, std::int64_t now_ns);
  void on_stored(std::uint64_t timeline_id, std::uint64_t attempt, std::uint64_t sequence,
                 std::int64_t now_ns);
  void on_refused(std::uint64_t timeline_id, std::uint64_t attempt);

  /// Beats, leases, questions that are due: of all. Exporters that are done are gone afterwards.
  void tick(std::int64_t now_ns);
  /// The same for one that has news. @return when it wants to be called again
  std::int64_t tick(exporter& one, std::int64_t now_ns);
  /// The same for one that is new, or that somebody waits for.
  void tick(importer& one, std::int64_t now_ns);
  /// When tick() has to be called next.
  [[nodiscard]] std::int64_t next_tick_ns() const noexcept { return ticked_ns_ + times_.beat_ns(); }

  /// The importers of which value() or ended() has changed, since the last call.
  [[nodiscard]] std::vector<importer*> take_changed();

  /// Another one after the link was cut off.
  [[nodiscard]] std::uint64_t owner() const noexcept { return owner_; }
  [[nodiscard]] std::int64_t contact_ns() const noexcept { return contact_ns_; }
  [[nodiscard]] const link_times& times() const noexcept { return times_; }
  /// The last sign of life of an owner that is followed.
  [[nodiscard]] std::optional<std::int64_t> heard_ns(std::uint64_t owner) const;

 private:
  void to_importers(const value_record& record, std::int64_t now_ns);
  void note_changed(importer& one);
  void check_contact(std::int64_t now_ns);
  [[nodiscard]] bool is_owner_of_any() const;
  [[nodiscard]] transport* engine() noexcept { return is_connected_ ? &to_ : nullptr; }

  transport& to_;
  std::uint64_t owner_;
  const link_times times_;
  bool is_connected_ = true;
  std::uint64_t attempts_ = 0;
  std::uint64_t latest_epoch_ =
      0;  // of any exporter here: none has it again, whatever the clock says
  std::int64_t contact_ns_;
  std::int64_t ticked_ns_;
  std::unordered_map<std::uint64_t, std::shared_ptr<exporter>> exporters_;  // by timeline
  std::unordered_map<std::uint64_t, std::vector<std::unique_ptr<importer>>> importers_;
  std::unordered_map<std::uint64_t, std::int64_t> heard_;  // of owners that are followed
  std::vector<importer*> changed_;
};

}  // namespace ufence::detail
