// The object behind host_link, exported_timeline and remote_timeline: link_core with an engine, a
// clock, a lock and a thread. Inside the layer only.
//
// One lock guards the protocol's state, the fences of imports that are pending, and what has to be
// sent. Under it fences are decided (F5), but nothing is sent and nothing foreign runs. In order:
// lock_, then the locks of fences; That a late value and the end of a lease
// meet is no race: both are decisions of one importer, under lock_. So there is no lock-free
// protocol here. No reference to an export or an import is dropped under it: it may be the last
// one.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include "ufence/base/fd.h"
#include "ufence/fence/fence.h"
#include "ufence/fence/timeline.h"
#include "ufence/net/awaited_points.h"
#include "ufence/net/host_link.h"
#include "ufence/net/link_core.h"
#include "ufence/net/lock.h"
#include "ufence/net/nats_engine.h"

namespace ufence::detail {

class link;

/// A fence of the layer's own, which waits for something under the link's lock.
struct awaited_value {
  std::uint64_t value;
  signaler right;
  int error = 0;
};

/// The function that is told of hints. The lock is held meanwhile, so that the call has returned when the export
/// is dropped; recursive: the call may drop it.
struct hint_sink {
  std::recursive_mutex lock;
  std::function<void(std::uint64_t, std::int64_t)> tell;
};

/// Behind exported_timeline.
class export_state {
 public:
  export_state(std::shared_ptr<link> of, timeline_issuer issuer, const export_options& options);

  const std::shared_ptr<link> link_;
  timeline_issuer issuer_;
  const std::shared_ptr<hint_sink> hint_;
  remote_point base_;                   // constant once it is exported
  natsSubscription* hints_ = nullptr;   // constant once it is exported
  fence_ref ended_;                     // constant
  std::shared_ptr<exporter> in_core_;   // what it points to: lock_
  signaler ended_right_;                // lock_
  std::vector<awaited_value> awaited_;  // lock_; the waiters for the stream to have a value
  bool is_news_ = false;                // news_lock_: it stands in news_
};

/// Behind remote_timeline.
class import_state : public std::enable_shared_from_this<import_state> {
 public:
  import_state(std::shared_ptr<link> of, importer& in_core);
  ~import_state();
  import_state(const import_state&) = delete;
  import_state& operator=(const import_state&) = delete;

  void want(std::uint64_t point, std::int64_t deadline_ns) noexcept;

  const std::shared_ptr<link> link_;
  importer& in_core_;  // lock_
  const std::uint64_t context_;
  fence_ref found_;                     // constant
  natsSubscription* values_ = nullptr;  // constant once it is imported
  natsSubscription* news_ = nullptr;    // constant once it is imported
  signaler found_right_;                // lock_
  awaited_points pending_;              // lock_
  std::int64_t arrival_ns_ = 0;         // lock_
};

class link final : public engine_events, public std::enable_shared_from_this<link> {
 public:
  [[nodiscard]] static result<std::shared_ptr<link>> connect(const host_link_options& options);
  link(const host_link_options& options, std::uint64_t owner);
  ~link() = default;

  [[nodiscard]] result<std::shared_ptr<export_state>> add_export(timeline_issuer issuer,
                                                                 std::string_view name,
                                                                 const export_options& options);
  [[nodiscard]] result<std::shared_ptr<import_state>> add_import(importer_options options);
  void drop(export_state& gone) noexcept;
  void drop(import_state& gone) noexcept;

  /// Its timeline is failed.
  void fail(export_state& one, int error) noexcept;
  /// The value of an export is another one.
  void has_news(export_state& one) noexcept;
  [[nodiscard]] result<fence_ref> when_stored(export_state& one);
  [[nodiscard]] result<fence_ref> fence_at(import_state& in, std::uint64_t point);
  void want(import_state& in, std::uint64_t point, std::int64_t deadline_ns);

  [[nodiscard]] std::uint32_t namespace_id() const noexcept {
    return static_cast<std::uint32_t>(name_number(options_.namespace_));
  }
  [[nodiscard]] result<std::vector<known_timeline>> look_around(std::int64_t listen_ns) {
    return engine_->look_around(listen_ns, namespace_id());
  }
  [[nodiscard]] bool was_connected();
  [[nodiscard]] host_link::counters counts();

  net_mutex lock_;
  net_mutex news_lock_;  // a leaf

 private:
  // The part that exports, imports and host_link share: the link is shut down with the last of them.
  // Callbacks of the client library hold the link itself for a moment, and must not be what ends
  // it.
  struct users {
    std::shared_ptr<link> of;
    ~users() { of->shut_down(); }
  };
  // How the thread sleeps, is woken, and ends.
  struct sleep {
    unique_fd wake;
    std::thread thread;
    std::weak_ptr<link> of;
    net_mutex lock;
    std::shared_ptr<link> dying UFENCE_GUARDED_BY(lock);
    bool is_over UFENCE_GUARDED_BY(lock) = false;
  };
  void shut_down() noexcept;
  [[nodiscard]] std::shared_ptr<link> user() const;
  static bool has_ended(sleep& box);
  static void run(const std::shared_ptr<sleep>& box);
  [[nodiscard]] std::error_code start_thread();
  std::int64_t work();  // returns when it has to be called again
  void wake() noexcept;
  [[nodiscard]] bool goes_to_sleep() noexcept UFENCE_EXCLUDES(news_lock_);

  void connected() override;
  void disconnected() override;
  void lost_messages() override;
  void not_permitted() override;
  void value_arrived(std::uint64_t timeline_id, std::span<const std::byte> bytes) override;
  void beat_arrived(std::uint64_t owner, std::span<const std::byte> bytes) override;
  void hint_arrived(std::uint64_t timeline_id, std::span<const std::byte> bytes) override;
  void last_arrived(std::uint64_t timeline_id, std::uint64_t attempt, std::uint64_t sequence,
                    std::span<const std::byte> bytes) override;
  void stored(std::uint64_t timeline_id, std::uint64_t attempt, std::uint64_t sequence) override;
  void refused(std::uint64_t timeline_id, std::uint64_t attempt) override;
  void stream_created() override;

  // After each event: what it has changed goes to fences; true: the thread has something to do.
  bool finish_locked(settlement& later) UFENCE_REQUIRES(lock_);
  void advance_locked(import_state& in, settlement& later) UFENCE_REQUIRES(lock_);
  void look_at_export_locked(export_state& one, settlement& later) UFENCE_REQUIRES(lock_);
  void look_at_exports_locked(settlement& later) UFENCE_REQUIRES(lock_);
  void attend_locked(std::uint64_t timeline_id) UFENCE_REQUIRES(lock_);
  void take_news_locked() UFENCE_REQUIRES(lock_);
  [[nodiscard]] value_record first_record(const timeline& line, std::string_view name) const;

  const host_link_options options_;
  std::string host_name_;
  outbox outbox_ UFENCE_GUARDED_BY(lock_);
  link_core core_ UFENCE_GUARDED_BY(lock_);
  std::unordered_map<std::uint64_t, export_state*> exports_ UFENCE_GUARDED_BY(lock_);
  std::unordered_map<const importer*, import_state*> imports_ UFENCE_GUARDED_BY(lock_);
  std::vector<std::shared_ptr<exporter>> busy_
      UFENCE_GUARDED_BY(lock_);  // the thread attends to them
  std::int64_t created_stream_ns_ UFENCE_GUARDED_BY(lock_) = 0;
  bool wants_stream_ UFENCE_GUARDED_BY(lock_) = false;
  bool is_connected_ UFENCE_GUARDED_BY(lock_) = true;
  bool was_not_permitted_ UFENCE_GUARDED_BY(lock_) = false;
  host_link::counters counts_ UFENCE_GUARDED_BY(lock_);
  std::vector<export_state*> news_ UFENCE_GUARDED_BY(news_lock_);
  bool is_asleep_ UFENCE_GUARDED_BY(news_lock_) = false;
  bool has_work_ UFENCE_GUARDED_BY(news_lock_) = false;
  std::unique_ptr<nats_engine> engine_;  // constant after connect()
  std::shared_ptr<sleep> sleep_;         // constant after connect()
  std::weak_ptr<users> users_;           // constant after connect()
};

}  // namespace ufence::detail
