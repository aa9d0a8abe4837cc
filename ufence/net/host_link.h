// host_link: timelines that other hosts wait for, over NATS with JetStream.
//
// The owner exports a timeline under a name, others import it by that name or by a remote_point,
// and have fences for its points: fences like all others. What is promised, and how it is kept, is
// in the layer's README: a point is reached elsewhere only if its owner signaled it; an owner that
// is gone ends what it owed with -EOWNERDEAD a lease later; what has ended stays so.
//
// Threads: one for each link, `ufence-net`, which sends, and looks after the leases; and those of
// the client library (a reader for each connection, its timers, and its pool that delivers
// messages). Callbacks of imported fences run on any of these. A link ends with the last of its
// handles, exports and imports. In a child of fork() nothing of a parent's link works.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ufence/base/api.h"
#include "ufence/base/clock.h"
#include "ufence/base/result.h"
#include "ufence/fence/fence.h"
#include "ufence/fence/timeline.h"
#include "ufence/net/remote_point.h"

namespace ufence {

namespace detail {
class link;
class import_state;
class export_state;
}  // namespace detail

/// How a link reaches its server, and the user that it says it is. At most one of user, nkey_seed_file and
/// credentials_file.
struct host_link_options {
  std::vector<std::string> servers = {};  // "nats://HOST:PORT"; empty: nats://127.0.0.1:4222
  std::string namespace_ = "ufence";      // is_net_namespace()
  std::string user = {};
  std::string password = {};
  std::string nkey_seed_file = {};  // with nkey_public
  std::string nkey_public = {};
  std::string credentials_file = {};  // a user's JWT and seed
  bool tls = false;
  std::string ca_file = {};  // with tls: those that sign the server's certificate; empty: the system's
  std::string certificate_file = {};  // with tls: this host's, and key_file
  std::string key_file = {};
  /// How long a host may be silent before it counts as gone: 50 ms to 60 s. Of an owner and an
  /// importer the longer one counts.
  std::int64_t lease_ns = 3'000'000'000;
  std::string host_name = {};  // empty: this host's
  /// How many servers of a cluster keep the values: 1, 3 or 5. Counts when a namespace is used for
  /// the first time.
  std::uint32_t replicas = 1;
};

/// Whose timeline it is.
struct remote_origin {
  std::string host;
  std::uint32_t process = 0;
  std::string driver;
  std::string timeline;
  std::int64_t owner_time_ns = 0;  // CLOCK_REALTIME of the owner, at the last value or at the error
  std::int64_t arrival_time_ns = 0;  // CLOCK_MONOTONIC of this host, when it arrived
};

struct export_options {
  /// How long export_timeline() may take.
  std::int64_t within_ns = 10'000'000'000;
  /// An importer waits for a point, or wants it by then (CLOCK_MONOTONIC; no_deadline: whenever). A
  /// hint: anybody in the namespace may give it. Runs on a thread of the client library, and has
  /// returned when the export is dropped.
  std::function<void(std::uint64_t point, std::int64_t deadline_ns)> on_hint = {};
};

/// A timeline of this process that others may import. It has the issuing handle: what is signaled
/// here is signaled on all hosts. A fence of another issuer travels as a point: let a callback of
/// it signal that. Dropped before fail(): fails with -ECANCELED. Threads: any, concurrently.
class UFENCE_API exported_timeline {
 public:
  exported_timeline(exported_timeline&&) noexcept;
  exported_timeline& operator=(exported_timeline&&) noexcept;
  ~exported_timeline();

  /// The next fence here. timeline_issuer::emit().
  [[nodiscard]] result<fence_ref> emit() noexcept;
  /// timeline_issuer::signal_up_to(); other hosts are told soon after, of the last value alone.
  /// Blocks: for a short lock of ours. Allocates: never. Callbacks of fences here run here.
  void signal_up_to(std::uint64_t point) noexcept;
  /// timeline_issuer::fail(); other hosts get the error, after the last value.
  void fail(int error) noexcept;
  /// The timeline here.
  [[nodiscard]] const timeline_ref& line() const noexcept;
  /// A point of it, to be sent to others by whatever way.
  /// @return  -EINVAL beyond remote_point::point_max
  [[nodiscard]] result<remote_point> at(std::uint64_t point) const noexcept;
  /// Signaled when others are not told any more: 0 after fail() or drop; -ESTALE another owner has
  /// exported the name; -ENOLINK the engine did not hear this process for a lease, and importers
  /// took it for dead. The timeline here is not changed by that; to be heard again, export one
  /// anew.
  [[nodiscard]] const fence_ref& ended() const noexcept;
  /// Waits until the engine has stored all that was signaled before.
  /// @return  0; -ETIME; the error of ended()
  [[nodiscard]] std::error_code flush(absolute_deadline deadline_ns = no_deadline) noexcept;

 private:
  friend class host_link;
  explicit exported_timeline(std::shared_ptr<detail::export_state> state) noexcept;
  void drop() noexcept;
  std::shared_ptr<detail::export_state> state_;
};

struct import_options {
  /// For how long it may look for an owner; then it ends with -ENOENT. no_deadline: for ever.
  std::int64_t find_within_ns = 3'000'000'000;
};

/// A timeline of another process, or of this one: one epoch of it, the first that it hears of.
/// Dropped: its pending fences end with -ECANCELED. Threads: any, concurrently.
class UFENCE_API remote_timeline {
 public:
  remote_timeline(remote_timeline&&) noexcept;
  remote_timeline& operator=(remote_timeline&&) noexcept;
  ~remote_timeline();

  /// A fence that is signaled when the point is reached, or with the error of error(). Waiting for
  /// it, and its deadlines, are hints for the owner. All fences of an import are of one context.
  /// @return  -EINVAL beyond remote_point::point_max; -ENOMEM
  [[nodiscard]] result<fence_ref> fence_at(std::uint64_t point) noexcept;
  /// The same for a point that its owner told.
  /// @return  -EXDEV of another timeline or namespace; -ESTALE of another epoch; as above
  [[nodiscard]] result<fence_ref> fence_at(const remote_point& point) noexcept;

  /// The last point that is reached, as far as it is known here.
  [[nodiscard]] std::uint64_t value() const noexcept;
  /// 0; the error that the owner failed it with; -EOWNERDEAD no sign of life for a lease, or
  /// another owner has come; -ESTALE the epoch that was asked for is over; -ENOENT no owner was
  /// found.
  [[nodiscard]] int error() const noexcept;
  /// Waits until its owner is known, or it has ended.
  /// @return  0; -ETIME; the error of error()
  [[nodiscard]] std::error_code wait_found(absolute_deadline deadline_ns = no_deadline) noexcept;
  /// Of the owner, once it is known; throws std::bad_alloc.
  [[nodiscard]] remote_origin origin() const;
  /// A point of it, once its owner is known.
  /// @return  -EINVAL beyond remote_point::point_max; -ENOENT no owner yet
  [[nodiscard]] result<remote_point> at(std::uint64_t point) const noexcept;

 private:
  friend class host_link;
  explicit remote_timeline(std::shared_ptr<detail::import_state> state) noexcept;
  std::shared_ptr<detail::import_state> state_;
};

/// A timeline that the stream of a namespace has, as look_around() found it.
struct known_timeline {
  remote_origin origin;
  remote_point at;  // the last point that is reached
  int error = 0;    // of later points; 0: none
  std::int64_t lease_ns = 0;
  bool has_beat = false;  // its owner was heard
  /// How long the last value that came while it listened was under way: from its signal, by the
  /// owner's clock, until it arrived, by this host's (CLOCK_REALTIME). None came: nothing.
  std::optional<std::int64_t> lag_ns = {};
};

/// A connection to the servers of a namespace: a handle, to be copied. Threads: any, concurrently.
class UFENCE_API host_link {
 public:
  /// Connects. From then on it reconnects for ever, waiting up to a second between attempts.
  /// @return  -EINVAL the options; -ECONNREFUSED no server can be reached; -EACCES refused; -EAGAIN
  /// no
  ///          thread; -EMFILE; -ENOMEM
  /// Blocks: up to two seconds for each server.
  [[nodiscard]] static result<host_link> connect(const host_link_options& options) noexcept;

  /// Makes the timeline known under a name. An earlier exporter is replaced: its importers
  /// end with -EOWNERDEAD, its export with -ESTALE.
  /// @param issuer  taken over; on failure it is dropped, which fails the timeline (F12)
  /// @return  -EINVAL the name; -EEXIST this link exports it; -ETIME the server did not answer in
  /// time;
  ///          -EACCES it refused; -ENOMEM
  [[nodiscard]] result<exported_timeline> export_timeline(
      timeline_issuer issuer, std::string_view name, const export_options& options = {}) noexcept;
  /// Follows the timeline of that name, from its first epoch that it hears of.
  /// @return  -EINVAL the name; -ENOMEM; -ENOTCONN the connection is closed
  [[nodiscard]] result<remote_timeline> import_timeline(
      std::string_view name, const import_options& options = {}) noexcept;
  /// Follows the timeline of a point, in the point's epoch alone.
  /// @return  -EXDEV of another namespace; as above
  [[nodiscard]] result<remote_timeline> import_point(const remote_point& point,
                                                     const import_options& options = {}) noexcept;

  /// All timelines of the namespace, by name, those of all owners: for people.
  /// @param listen_ns  how long it listens for owners and values, beside the answers that it waits
  ///                   for
  /// @return  -EACCES, -ETIME the server; -ENOTCONN; -EIO; -ENOMEM
  /// Blocks: so long, and up to two seconds for each answer.
  [[nodiscard]] result<std::vector<known_timeline>> look_around(std::int64_t listen_ns) noexcept;

  /// Is there a connection at this moment?
  [[nodiscard]] bool was_connected() const noexcept;
  /// Messages of values that this link has sent, and that have reached it.
  struct counters {
    std::uint64_t sent = 0;
    std::uint64_t received = 0;
    std::uint64_t refused = 0;  // what came was not readable
    std::uint64_t reconnects = 0;
  };
  [[nodiscard]] counters counts() const noexcept;

 private:
  explicit host_link(std::shared_ptr<detail::link> link) noexcept;
  std::shared_ptr<detail::link> link_;
};

}  // namespace ufence
