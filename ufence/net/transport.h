// The interface that the protocol asks of an engine. Inside the layer only.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>

#include "ufence/net/wire.h"

namespace ufence::detail {

/// The message that the stream has of a timeline.
struct stored_value {
  std::uint64_t sequence = 0;          // of its message in the stream
  std::optional<value_record> record;  // none: it is not readable
};

/// An engine that keeps the last value of each timeline, numbers what it stores, and passes
/// messages on. It may lose, repeat, delay and reorder all of them. None of these calls blocks or
/// calls back.
class transport {
 public:
  transport() = default;
  transport(const transport&) = delete;
  transport& operator=(const transport&) = delete;

  /// Passes the record on to all importers of its timeline, sooner than store() does.
  virtual void tell(const value_record& record) = 0;
  /// Passes the record on to all importers of its timeline; and keeps it as the last one, if the
  /// last one's sequence is `expected` (0: there is none). Answered by link_core::on_stored() or
  /// on_refused().
  virtual void store(const value_record& record, std::uint64_t expected, std::uint64_t attempt) = 0;
  /// Answered by link_core::on_last().
  virtual void ask_last(std::uint64_t timeline_id, std::uint64_t attempt) = 0;
  /// To all links of the namespace, also the sender's.
  virtual void send_beat(const beat& sign) = 0;
  /// To the owner of the timeline.
  virtual void send_hint(const point_hint& hint) = 0;

 protected:
  ~transport() = default;
};

/// Times of the protocol, all from the lease.
struct link_times {
  std::int64_t lease_ns = 3'000'000'000;

  /// Between signs of life; and between looks at what is due.
  [[nodiscard]] std::int64_t beat_ns() const noexcept { return lease_ns / 6; }
  /// A question without an answer is asked again: in time for the lease, and soon in any case,
  /// since servers of a cluster lose what comes while they elect one of them.
  [[nodiscard]] std::int64_t answer_ns() const noexcept {
    return std::min<std::int64_t>(lease_ns / 3, 2'000'000'000);
  }
  /// Owner and importers look at what the stream has, in case it was wiped or something was lost.
  [[nodiscard]] std::int64_t audit_ns() const noexcept { return 10 * lease_ns; }
  /// The least time between two values of one timeline: 2,000 messages a second. What is signaled
  /// meanwhile goes with the next one.
  std::int64_t value_interval_ns = 500'000;
};

}  // namespace ufence::detail
