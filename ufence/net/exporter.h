// exporter: what the owner of one timeline does. Pure: no clock, no thread, no engine of its own.
//
//   looking --the last one is ours or nobody's--> idle <--stored-- storing     ended: for ever
//      ^                                            | |               |
//      +-------- no answer, refused, link is up ----+-+---------------+
//
// One store is under way at a time, so that each names the sequence of the one before. A refusal is
// no verdict: the answer to a store may have been lost. So it looks who is there: the later epoch
// stays, the other one ends and never stores again.
// Inside the layer only.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "ufence/net/transport.h"

namespace ufence::detail {

/// Threads: one at a time (host_link's lock).
class exporter {
 public:
  /// @param first  names, owner, lease; the epoch that it tries first, and the first value
  exporter(value_record first, const link_times& times) noexcept
      : times_(times), news_(std::move(first)) {}

  /// Points up to this one are reached. Smaller ones change nothing.
  void set_value(std::uint64_t value, std::int64_t owner_time_ns) noexcept;
  /// Later points end with this negative errno. The first one counts.
  void fail(int error, std::int64_t owner_time_ns) noexcept;

  /// The answer to ask_last(). Another attempt's is ignored.
  void on_last(std::uint64_t attempt, const std::optional<stored_value>& last, std::int64_t now_ns);
  /// The answers to store(). Another attempt's are ignored.
  void on_stored(std::uint64_t attempt, std::uint64_t sequence, std::int64_t now_ns) noexcept;
  void on_refused(std::uint64_t attempt) noexcept;
  /// The link is up again: what was under way may be lost, and the stream may be another one.
  void look_again() noexcept;

  /// Sends what is due.
  /// @param to  null: the engine is not connected
  void tick(transport* to, std::uint64_t& attempts, std::int64_t now_ns);
  /// The engine has not heard the link for a lease: importers may have taken the owner for dead.
  void cut_off() noexcept;
  /// When tick() has something to do, if nothing else happens: a time in the past, at once.
  [[nodiscard]] std::int64_t due_ns() const noexcept;

  /// 0; -ESTALE another owner has the timeline; -ENOLINK the engine could not be reached for longer
  /// than the lease, and importers took the owner for dead. It does not store any more.
  [[nodiscard]] int ended() const noexcept { return ended_; }
  /// It was stored under this epoch, or tried to: from then on the epoch stays.
  [[nodiscard]] bool has_claimed() const noexcept { return has_claimed_; }
  [[nodiscard]] std::uint64_t epoch() const noexcept { return news_.epoch; }
  /// The state that the owner has told, and the number of its timeline.
  [[nodiscard]] const value_record& news() const noexcept { return news_; }
  /// All that was said is in the stream.
  [[nodiscard]] bool is_stored() const noexcept { return step_ == step::idle && !has_news(); }

  /// The stream has this value, and this error unless it is 0.
  [[nodiscard]] bool has_stored(std::uint64_t value, int error) const noexcept {
    return is_kept_ && kept_value_ >= value && (error == 0 || kept_error_ == error);
  }

  /// A question was not answered in time: there may be no stream.
  [[nodiscard]] bool is_unanswered() const noexcept { return is_unanswered_; }

  /// Its owner has dropped it, after fail(): it is kept until its last word is stored.
  void release() noexcept { is_released_ = true; }
  [[nodiscard]] bool is_released() const noexcept { return is_released_; }
  [[nodiscard]] bool is_done() const noexcept {
    return is_released_ && (ended_ != 0 || is_stored());
  }

 private:
  enum class step : std::uint8_t { looking, idle, storing };

  [[nodiscard]] bool has_news() const noexcept {
    return !is_kept_ || kept_value_ != news_.value || kept_error_ != news_.error;
  }

  const link_times times_;
  value_record news_;
  step step_ = step::looking;
  int ended_ = 0;
  bool has_claimed_ = false;
  bool is_released_ = false;
  bool is_unanswered_ = false;
  std::uint64_t attempt_ = 0;       // the one under way; 0: none
  std::int64_t answer_due_ns_ = 0;  // looking, storing
  std::int64_t next_value_ns_ = 0;  // idle
  bool is_told_ = false;            // importers were told of a value since the last store
  std::int64_t audit_ns_ = 0;       // idle
  std::uint64_t expected_ = 0;      // the sequence of the last one in the stream
  bool is_kept_ = false;            // the last one in the stream is ours, and says kept_
  std::uint64_t kept_value_ = 0;
  int kept_error_ = 0;
  std::uint64_t sent_value_ = 0;  // storing
  int sent_error_ = 0;
};

}  // namespace ufence::detail
