#include "ufence/net/nats_engine.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <string_view>
#include <utility>

#include "ufence/io/random.h"
#include "ufence/net/nats_connection.h"

namespace ufence::detail {

class live_closures {
 public:
  void add() {
    const std::lock_guard hold(lock_);
    ++count_;
  }
  void remove() {
    const std::lock_guard hold(lock_);
    if (--count_ == 0) changed_.notify_all();
  }
  void wait_for_none() {
    std::unique_lock hold(lock_);
    changed_.wait_for(hold, std::chrono::seconds(5), [this] { return count_ == 0; });
  }

 private:
  std::mutex lock_;
  std::condition_variable changed_;
  int count_ = 0;
};

namespace {

constexpr std::int64_t write_ms = 2000;
constexpr int value_size_max = 1024;
constexpr std::string_view wrong_last_sequence = "10071";

std::error_code code_of(natsStatus status) noexcept {
  switch (status) {
    case NATS_OK: return {};
    case NATS_NO_MEMORY: return errno_code(ENOMEM);
    case NATS_NOT_PERMITTED: return errno_code(EACCES);
    case NATS_INVALID_ARG: return errno_code(EINVAL);
    case NATS_CONNECTION_CLOSED: return errno_code(ENOTCONN);
    default: return errno_code(ECONNREFUSED);
  }
}

std::string hexadecimal(std::uint64_t number) {
  std::array<char, 20> text{};
  std::snprintf(text.data(), text.size(), "%016llx", static_cast<unsigned long long>(number));
  return text.data();
}

// The last part of a subject, a number; the rest stays.
std::optional<std::uint64_t> take_number(std::string_view& subject) noexcept {
  const std::size_t dot = subject.rfind('.');
  if (dot == std::string_view::npos) return std::nullopt;
  const std::string_view digits = subject.substr(dot + 1);
  std::uint64_t number = 0;
  const auto read = std::from_chars(digits.data(), digits.data() + digits.size(), number, 16);
  if (read.ec != std::errc() || read.ptr != digits.data() + digits.size()) return std::nullopt;
  subject = subject.substr(0, dot);
  return number;
}

// "name": digits of the engine's answer.
std::string_view field(std::string_view json, std::string_view name) noexcept {
  const std::size_t at = json.find(name);
  if (at == std::string_view::npos) return {};
  json.remove_prefix(at + name.size());
  const std::size_t begin = json.find_first_of("0123456789");
  if (begin == std::string_view::npos || json.find_first_not_of(": ") != begin) return {};
  json.remove_prefix(begin);
  return json.substr(0, json.find_first_not_of("0123456789"));
}

std::uint64_t number_of(std::string_view digits) noexcept {
  std::uint64_t number = 0;
  std::from_chars(digits.data(), digits.data() + digits.size(), number);
  return number;
}

std::span<const std::byte> data_of(const natsMsg* m) noexcept {
  return {reinterpret_cast<const std::byte*>(natsMsg_GetData(m)),
          static_cast<std::size_t>(natsMsg_GetDataLength(m))};
}

std::string_view text_of(const natsMsg* m) noexcept {
  return {natsMsg_GetData(m), static_cast<std::size_t>(natsMsg_GetDataLength(m))};
}

std::string_view header_of(natsMsg* m, const char* name) noexcept {
  const char* value = nullptr;
  return natsMsgHeader_Get(m, name, &value) == NATS_OK && value != nullptr ? value
                                                                           : std::string_view();
}

// The argument of the client library's callbacks: it lives until the last of them.
struct closure {
  closure(std::weak_ptr<engine_events> events, std::shared_ptr<live_closures> count)
      : to(std::move(events)), live(std::move(count)) {
    live->add();
  }
  ~closure() { live->remove(); }
  closure(const closure&) = delete;
  closure& operator=(const closure&) = delete;

  const std::weak_ptr<engine_events> to;
  const std::shared_ptr<live_closures> live;
};

// Of this thread: nats_engine::is_in_callback().
thread_local bool is_called_back = false;

// Calls f(events) if there is somebody to be told.
template <class F>
void tell(void* given, F f) noexcept {
  is_called_back = true;
  if (const auto to = static_cast<closure*>(given)->to.lock()) f(*to);
  is_called_back = false;
}

template <class F>
void deliver(natsMsg* m, void* given, F f) noexcept {
  tell(given, [&](engine_events& to) { f(to, m); });
  natsMsg_Destroy(m);
}

void on_value(natsConnection*, natsSubscription*, natsMsg* message, void* given) {
  deliver(message, given, [](engine_events& to, natsMsg* m) {
    std::string_view subject = natsMsg_GetSubject(m);
    if (const auto id = take_number(subject)) to.value_arrived(*id, data_of(m));
  });
}

void on_beat(natsConnection*, natsSubscription*, natsMsg* message, void* given) {
  deliver(message, given, [](engine_events& to, natsMsg* m) {
    std::string_view subject = natsMsg_GetSubject(m);
    if (const auto owner = take_number(subject)) to.beat_arrived(*owner, data_of(m));
  });
}

void on_hint(natsConnection*, natsSubscription*, natsMsg* message, void* given) {
  deliver(message, given, [](engine_events& to, natsMsg* m) {
    std::string_view subject = natsMsg_GetSubject(m);
    if (const auto id = take_number(subject)) to.hint_arrived(*id, data_of(m));
  });
}

void answer_to_store(engine_events& to, natsMsg* m, std::uint64_t id, std::uint64_t attempt) {
  const std::string_view json = text_of(m);
  if (const std::string_view error = field(json, "\"err_code\""); !error.empty()) {
    if (error == wrong_last_sequence) to.refused(id, attempt);
    return;
  }
  if (const std::string_view sequence = field(json, "\"seq\""); !sequence.empty()) {
    to.stored(id, attempt, number_of(sequence));
  }
}

void answer_to_ask(engine_events& to, natsMsg* m, std::uint64_t id, std::uint64_t attempt) {
  const std::string_view status = header_of(m, "Status");
  if (status == "404") return to.last_arrived(id, attempt, 0, {});
  const std::string_view sequence = header_of(m, "Nats-Sequence");
  if (status.empty() && !sequence.empty()) {
    to.last_arrived(id, attempt, number_of(sequence), data_of(m));
  }
}

// INBOX.KIND.TIMELINE.ATTEMPT
void on_answer(natsConnection*, natsSubscription*, natsMsg* message, void* given) {
  deliver(message, given, [](engine_events& to, natsMsg* m) {
    std::string_view subject = natsMsg_GetSubject(m);
    const auto attempt = take_number(subject);
    const auto id = take_number(subject);
    if (!attempt || !id || subject.empty()) return;
    if (natsMsg_IsNoResponders(m)) return;
    if (subject.back() == 'c') return to.stream_created();
    if (subject.back() == 's') answer_to_store(to, m, *id, *attempt);
    if (subject.back() == 'a') answer_to_ask(to, m, *id, *attempt);
  });
}

void on_connected(natsConnection*, void* given) {
  tell(given, [](engine_events& to) { to.connected(); });
}
void on_disconnected(natsConnection*, void* given) {
  tell(given, [](engine_events& to) { to.disconnected(); });
}
// The last of a connection's callbacks.
void on_closed(natsConnection*, void* given) {
  const std::unique_ptr<closure> last(static_cast<closure*>(given));
  tell(given, [](engine_events& to) { to.disconnected(); });
}
void on_error(natsConnection*, natsSubscription*, natsStatus status, void* given) {
  tell(given, [status](engine_events& to) {
    if (status == NATS_SLOW_CONSUMER) to.lost_messages();
    if (status == NATS_NOT_PERMITTED) to.not_permitted();
  });
}

// Of messages that the engine passes on and does not keep; null: it keeps or answers them.
const char* part_of_subject(outbox::message::kind what) noexcept {
  switch (what) {
    case outbox::message::kind::tell: return ".news.";
    case outbox::message::kind::beat: return ".beat.";
    case outbox::message::kind::hint: return ".hint.";
    case outbox::message::kind::store:
    case outbox::message::kind::ask: break;
  }
  return nullptr;
}

// What it sends is small: a write that takes so long means that nobody reads.
natsStatus set_delivery(natsOptions* to) {
  const natsStatus s = natsOptions_SetWriteDeadline(to, write_ms);
  return s == NATS_OK ? natsOptions_UseGlobalMessageDelivery(to, true) : s;
}

natsStatus set_callbacks(natsOptions* to, closure* given) {
  natsStatus s = natsOptions_SetReconnectedCB(to, on_connected, given);
  if (s == NATS_OK) s = natsOptions_SetDisconnectedCB(to, on_disconnected, given);
  if (s == NATS_OK) s = natsOptions_SetClosedCB(to, on_closed, given);
  if (s == NATS_OK) s = natsOptions_SetErrorHandler(to, on_error, given);
  return s;
}

}  // namespace

nats_engine::nats_engine(std::weak_ptr<engine_events> to)
    : to_(std::move(to)), live_(std::make_shared<live_closures>()) {}

std::error_code nats_engine::connect(const host_link_options& o) {
  namespace_ = o.namespace_;
  replicas_ = o.replicas;
  std::array<std::uint64_t, 2> random{};
  if (!fill_random(random.data(), sizeof random)) return errno_code(EAGAIN);
  inbox_ = "_INBOX.ufence" + hexadecimal(random[0]) + hexadecimal(random[1]);

  natsOptions* options = nullptr;
  natsStatus s = natsOptions_Create(&options);
  if (s != NATS_OK) return code_of(s);
  const std::unique_ptr<natsOptions, void (*)(natsOptions*)> freed(options, natsOptions_Destroy);
  auto given = std::make_unique<closure>(to_, live_);
  s = set_delivery(options);
  if (s == NATS_OK) s = set_callbacks(options, given.get());
  if (s != NATS_OK) return code_of(s);
  const auto connected = connect_nats(o, options);
  if (!connected) return connected.error();
  connection_ = *connected;
  static_cast<void>(given.release());  // on_closed()

  const std::string prefix = "ufence." + namespace_;
  for (const auto& [subject, handler] :
       {std::pair(inbox_ + ".>", &on_answer), std::pair(prefix + ".beat.*", &on_beat)}) {
    const auto made = subscribe(subject, handler);
    if (!made) return made.error();
    subscriptions_.push_back(*made);
  }
  return {};
}

void nats_engine::close() noexcept {
  if (connection_ == nullptr) return;
  for (natsSubscription* one : subscriptions_) unfollow(one);
  subscriptions_.clear();
  natsConnection_Destroy(connection_);
  connection_ = nullptr;
  live_->wait_for_none();
}

result<natsSubscription*> nats_engine::subscribe(const std::string& subject,
                                                 natsMsgHandler handler) {
  natsSubscription* made = nullptr;
  auto given = std::make_unique<closure>(to_, live_);
  natsStatus s =
      natsConnection_Subscribe(&made, connection_, subject.c_str(), handler, given.get());
  if (s != NATS_OK) return std::unexpected(code_of(s));
  // The library calls it when no message is delivered any more.
  s = natsSubscription_SetOnCompleteCB(
      made, [](void* last) { delete static_cast<closure*>(last); }, given.get());
  if (s != NATS_OK) {
    // Callbacks that are under way may still use it: better lost than freed.
    static_cast<void>(given.release());
    natsSubscription_Destroy(made);
    return std::unexpected(code_of(s));
  }
  static_cast<void>(given.release());
  return made;
}

bool nats_engine::is_in_callback() noexcept { return is_called_back; }

void nats_engine::unfollow(natsSubscription* one) noexcept { natsSubscription_Destroy(one); }

result<natsSubscription*> nats_engine::follow_news(std::uint64_t timeline_id) {
  return subscribe("ufence." + namespace_ + ".news." + hexadecimal(timeline_id), on_value);
}

result<natsSubscription*> nats_engine::follow_values(std::uint64_t timeline_id) {
  return subscribe("ufence." + namespace_ + ".value." + hexadecimal(timeline_id), on_value);
}

result<natsSubscription*> nats_engine::follow_hints(std::uint64_t timeline_id) {
  return subscribe("ufence." + namespace_ + ".hint." + hexadecimal(timeline_id), on_hint);
}

void nats_engine::send(const outbox::message& one) noexcept try {
  using kind = outbox::message::kind;
  const std::string prefix = "ufence." + namespace_;
  const std::string id = hexadecimal(one.id);
  const auto* const data = reinterpret_cast<const char*>(one.bytes.data());
  const auto size = static_cast<int>(one.bytes.size());
  if (const char* const part = part_of_subject(one.what)) {
    static_cast<void>(
        natsConnection_Publish(connection_, (prefix + part + id).c_str(), data, size));
    return;
  }
  const std::string value = prefix + ".value." + id;
  const std::string reply =
      inbox_ + (one.what == kind::store ? ".s." : ".a.") + id + '.' + hexadecimal(one.attempt);
  if (one.what == kind::ask) {
    const std::string subject = "$JS.API.DIRECT.GET.UFENCE_" + namespace_ + '.' + value;
    static_cast<void>(
        natsConnection_PublishRequest(connection_, subject.c_str(), reply.c_str(), nullptr, 0));
    return;
  }
  natsMsg* m = nullptr;
  if (natsMsg_Create(&m, value.c_str(), reply.c_str(), data, size) != NATS_OK) return;
  if (natsMsgHeader_Set(m, "Nats-Expected-Last-Subject-Sequence",
                        std::to_string(one.expected).c_str()) == NATS_OK) {
    static_cast<void>(natsConnection_PublishMsg(connection_, m));
  }
  natsMsg_Destroy(m);
} catch (const std::bad_alloc&) {
  return;  // as a message that is lost
}

void nats_engine::create_stream() noexcept try {
  const std::string name = "UFENCE_" + namespace_;
  const std::string subject = "$JS.API.STREAM.CREATE." + name;
  const std::string reply = inbox_ + ".c.0.0";
  const std::string config =
      R"({"name":")" + name + R"(","subjects":["ufence.)" + namespace_ +
      R"(.value.*"],"retention":"limits","max_consumers":-1,"max_msgs":-1,"max_bytes":-1,"max_age":0,)"
      R"("max_msgs_per_subject":1,"max_msg_size":)" +
      std::to_string(value_size_max) + R"(,"storage":"file","discard":"old","num_replicas":)" +
      std::to_string(replicas_) + R"(,"duplicate_window":100000000,"allow_direct":true})";
  static_cast<void>(natsConnection_PublishRequest(connection_, subject.c_str(), reply.c_str(),
                                                  config.data(), static_cast<int>(config.size())));
} catch (const std::bad_alloc&) {
  return;
}

}  // namespace ufence::detail
