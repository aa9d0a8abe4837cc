// importer: what one import of a timeline of another host makes of what it hears. It follows one
// epoch, and ends with it. Pure: no clock, no thread, no engine of its own.
//
//   searching --a record--> following --error, a later epoch, no sign of life--> ended: for ever
//
// Values of the epoch only grow here, so what comes twice, late or out of order changes nothing.
// Inside the layer only.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "ufence/net/transport.h"

namespace ufence::detail {

struct importer_options {
  std::uint64_t timeline_id = 0;
  std::string timeline_name = {};   // empty: whatever its records say
  std::uint64_t epoch = 0;          // 0: the first one that it hears of
  std::int64_t find_within_ns = 0;  // else it ends with -ENOENT
};

/// Threads: one at a time (host_link's lock).
class importer {
 public:
  importer(importer_options options, const link_times& times, std::int64_t now_ns) noexcept
      : options_(std::move(options)), times_(times), began_ns_(now_ns) {}

  /// A record of this timeline, fresh or from the stream.
  /// @return  true value() or ended() is another one
  bool on_record(const value_record& record) noexcept;
  /// The stream's answer: nothing, or a record that on_record() was told of as well. An owner that
  /// lives stores its state again where it is missing. If it does not, it is no owner any more.
  void on_last(const std::optional<stored_value>& last, std::int64_t now_ns) noexcept;
  /// Somebody waits for a point here: the owner is told.
  /// @param deadline_ns  no_deadline, or when it has to be reached
  void want(std::uint64_t point, std::int64_t deadline_ns) noexcept;
  /// The link is up again: something may have been missed.
  void look_again() noexcept {
    ask_due_ns_ = 0;
    missing_ns_.reset();
  }

  /// Sends what is due, and ends what has to.
  /// @param to  null: the engine is not connected
  /// @param heard_ns  the last sign of life of owner()
  /// @return  true ended() is another one
  bool tick(transport* to, std::uint64_t& attempts, std::int64_t heard_ns, std::int64_t now_ns);
  /// This process could not listen for that long.
  void forgive(std::int64_t by_ns) noexcept { began_ns_ += by_ns; }

  [[nodiscard]] bool is_following() const noexcept { return last_.has_value(); }
  /// 0: none yet.
  [[nodiscard]] std::uint64_t owner() const noexcept { return last_ ? last_->owner : 0; }
  [[nodiscard]] std::uint64_t epoch() const noexcept {
    return last_ ? last_->epoch : options_.epoch;
  }
  [[nodiscard]] std::uint64_t value() const noexcept { return last_ ? last_->value : 0; }
  /// 0; the owner's error; -EOWNERDEAD no sign of life for a lease, or another owner came,
  /// or the owner does not keep the timeline any more; -ESTALE the
  /// epoch that was asked for is over; -ENOENT there is no such timeline.
  [[nodiscard]] int ended() const noexcept { return ended_; }
  /// The latest of the epoch, if there is one.
  [[nodiscard]] const std::optional<value_record>& last() const noexcept { return last_; }
  [[nodiscard]] std::uint64_t timeline_id() const noexcept { return options_.timeline_id; }

  bool is_noted = false;  // link_core's: it stands in the list of those that have changed

 private:
  bool end(int error) noexcept;

  const importer_options options_;
  const link_times times_;
  std::int64_t began_ns_;
  std::optional<value_record> last_;
  int ended_ = 0;
  std::int64_t ask_due_ns_ = 0;
  std::optional<std::int64_t> missing_ns_;  // since when the stream does not have the epoch
  std::uint64_t wanted_point_ = 0;
  std::int64_t wanted_by_ns_ = INT64_MAX;
  bool has_hint_ = false;
};

}  // namespace ufence::detail
