// The protocol's transport over the client library of NATS. Inside the layer only.
//
//   ufence.NAMESPACE.value.TIMELINE   the last one is kept by the stream UFENCE_NAMESPACE
//   ufence.NAMESPACE.beat.OWNER       ufence.NAMESPACE.hint.TIMELINE      passed on, not kept
//
// (TIMELINE, OWNER: 16 digits, hexadecimal.) A value goes to its importers directly, and to the
// stream, whose answer tells the owner. Nothing waits in the client library's buffers while it is
// not connected: what has to be sent is what the exporters know.
#pragma once

#include <nats/nats.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "ufence/base/result.h"
#include "ufence/net/host_link.h"
#include "ufence/net/transport.h"

namespace ufence::detail {

/// Calls that come from the engine, on its threads. Their arguments are not checked.
class engine_events {
 public:
  engine_events() = default;
  engine_events(const engine_events&) = delete;
  engine_events& operator=(const engine_events&) = delete;

  virtual void connected() = 0;
  virtual void disconnected() = 0;
  virtual void lost_messages() = 0;
  virtual void not_permitted() = 0;
  virtual void value_arrived(std::uint64_t timeline_id, std::span<const std::byte> bytes) = 0;
  virtual void beat_arrived(std::uint64_t owner, std::span<const std::byte> bytes) = 0;
  virtual void hint_arrived(std::uint64_t timeline_id, std::span<const std::byte> bytes) = 0;
  /// sequence: 0, there is none
  virtual void last_arrived(std::uint64_t timeline_id, std::uint64_t attempt,
                            std::uint64_t sequence, std::span<const std::byte> bytes) = 0;
  virtual void stored(std::uint64_t timeline_id, std::uint64_t attempt, std::uint64_t sequence) = 0;
  virtual void refused(std::uint64_t timeline_id, std::uint64_t attempt) = 0;
  virtual void stream_created() = 0;

 protected:
  ~engine_events() = default;
};

/// The messages that the protocol wants to be sent; filled under the link's lock, sent without it.
class outbox final : public transport {
 public:
  struct message {
    enum class kind : std::uint8_t { tell, store, ask, beat, hint } what;
    std::uint64_t id;
    std::uint64_t expected = 0;
    std::uint64_t attempt = 0;
    std::vector<std::byte> bytes = {};
  };

  void tell(const value_record& record) override {
    messages_.push_back({message::kind::tell, record.timeline_id, 0, 0, to_bytes(record)});
  }
  void store(const value_record& record, std::uint64_t expected, std::uint64_t attempt) override {
    messages_.push_back(
        {message::kind::store, record.timeline_id, expected, attempt, to_bytes(record)});
  }
  void ask_last(std::uint64_t timeline_id, std::uint64_t attempt) override {
    messages_.push_back({message::kind::ask, timeline_id, 0, attempt});
  }
  void send_beat(const beat& sign) override {
    messages_.push_back({message::kind::beat, sign.owner, 0, 0, to_bytes(sign)});
  }
  void send_hint(const point_hint& hint) override {
    messages_.push_back({message::kind::hint, hint.timeline_id, 0, 0, to_bytes(hint)});
  }
  [[nodiscard]] bool is_empty() const { return messages_.empty(); }
  [[nodiscard]] std::vector<message> take() { return std::exchange(messages_, {}); }

 private:
  std::vector<message> messages_;
};

/// How many callbacks the client library may still call.
class live_closures;

/// One connection. Threads: any, concurrently; close() once.
class nats_engine {
 public:
  /// @param to  is asked for before each event, and not kept alive
  explicit nats_engine(std::weak_ptr<engine_events> to);
  ~nats_engine() { close(); }
  nats_engine(const nats_engine&) = delete;
  nats_engine& operator=(const nats_engine&) = delete;

  [[nodiscard]] std::error_code connect(const host_link_options& options);
  /// Waits until the client library has let go of all of it: not in a callback. (If it is closed
  /// meanwhile, it never does.)
  void close() noexcept;

  /// This thread is in a callback of the client library.
  [[nodiscard]] static bool is_in_callback() noexcept;
  /// A message that can't be sent is lost.
  void send(const outbox::message& one) noexcept;
  /// Makes the stream, if there is none. Answered by stream_created(), if it is allowed. A server
  /// without the stream does not answer at all to what is asked of it.
  void create_stream() noexcept;
  /// Messages of one timeline: values that are told, those that are stored, or hints. Freed by
  /// unfollow().
  [[nodiscard]] result<natsSubscription*> follow_news(std::uint64_t timeline_id);
  [[nodiscard]] result<natsSubscription*> follow_values(std::uint64_t timeline_id);
  [[nodiscard]] result<natsSubscription*> follow_hints(std::uint64_t timeline_id);
  static void unfollow(natsSubscription* one) noexcept;

  /// Blocks. host_link::look_around()
  [[nodiscard]] result<std::vector<known_timeline>> look_around(std::int64_t listen_ns,
                                                                std::uint32_t namespace_id);

 private:
  [[nodiscard]] result<natsSubscription*> subscribe(const std::string& subject,
                                                    natsMsgHandler handler);

  std::weak_ptr<engine_events> to_;
  std::shared_ptr<live_closures> live_;
  std::string namespace_;
  std::uint32_t replicas_ = 1;
  std::string inbox_;
  natsConnection* connection_ = nullptr;
  std::vector<natsSubscription*> subscriptions_;  // of the link itself; constant after connect()
};

}  // namespace ufence::detail
