#include "tools/net/job/bus.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <iterator>
#include <utility>

#include "ufence/net/nats_connection.h"

namespace ufence::tool {
namespace {

constexpr std::int64_t answer_ms = 5000;
constexpr std::int64_t ack_wait_ns = 10'000'000'000;
constexpr std::size_t block_bytes_wanted = 512UL * 1024;
constexpr std::size_t block_overhead = 4096;  // headers
constexpr int blocks_per_claim = 8;
constexpr int stream_is_full_codes[] = {10077, 10047, 10023};
constexpr int stream_is_there_code = 10058;
constexpr int too_few_servers_code = 10005;
constexpr int unavailable = 503;

std::error_code code_of(natsStatus status) noexcept {
  switch (status) {
    case NATS_OK: return {};
    case NATS_TIMEOUT: return errno_code(ETIME);
    case NATS_NO_MEMORY: return errno_code(ENOMEM);
    case NATS_NO_RESPONDERS: return errno_code(ENOENT);
    case NATS_NOT_PERMITTED: return errno_code(EACCES);
    case NATS_INVALID_ARG: return errno_code(EINVAL);
    case NATS_CONNECTION_CLOSED: return errno_code(ENOTCONN);
    default: return errno_code(EIO);
  }
}

std::string hexadecimal(std::uint64_t number) {
  char text[20];
  static_cast<void>(
      std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(number)));
  return text;
}

natsStatus set_callbacks(natsOptions* to, void* self) {
  natsStatus s = natsOptions_SetReconnectedCB(
      to,
      [](natsConnection*, void* flag) {
        static_cast<atomic<bool>*>(flag)->store(true, mo::relaxed);  // take_reconnected()
      },
      self);
  // The default handler writes lines to stderr.
  if (s == NATS_OK) {
    s = natsOptions_SetErrorHandler(
        to, [](natsConnection*, natsSubscription*, natsStatus, void*) {}, nullptr);
  }
  return s;
}

}  // namespace

result<queued_message> queue_reader::next(std::int64_t timeout_ns) {
  natsMsgList list{};
  const std::int64_t ms = std::max<std::int64_t>(1, timeout_ns / 1'000'000);
  const natsStatus s = natsSubscription_Fetch(&list, from_.get(), 1, ms, nullptr);
  if (s != NATS_OK) return std::unexpected(code_of(s));
  if (list.Count == 0) return failure(ETIME);
  natsMsg* const one = std::exchange(list.Msgs[0], nullptr);
  natsMsgList_Destroy(&list);
  return queued_message(one);
}

result<std::unique_ptr<bus>> bus::connect(const host_link_options& o) {
  std::unique_ptr<bus> made(new bus(o));
  natsOptions* options = nullptr;
  natsStatus s = natsOptions_Create(&options);
  if (s != NATS_OK) return std::unexpected(code_of(s));
  const std::unique_ptr<natsOptions, void (*)(natsOptions*)> freed(options, natsOptions_Destroy);
  s = set_callbacks(options, &made->was_reconnected_);
  if (s != NATS_OK) return std::unexpected(code_of(s));
  const auto connected = connect_nats(o, options);
  if (!connected) return std::unexpected(connected.error());
  made->connection_ = *connected;
  jsOptions limits;
  s = jsOptions_Init(&limits);
  if (s == NATS_OK) {
    limits.Wait = answer_ms;
    s = natsConnection_JetStream(&made->streams_, made->connection_, &limits);
  }
  if (s != NATS_OK) return std::unexpected(code_of(s));
  return made;
}

bus::~bus() {
  close();
  jsCtx_Destroy(streams_);
  natsConnection_Destroy(connection_);
}

void bus::close() noexcept {
  natsSubscription_Destroy(std::exchange(questions_, nullptr));
  natsConnection_Close(connection_);
}

std::string bus::subject(const char* kind) const { return "ufence." + namespace_ + '.' + kind; }

std::string bus::block_subject(std::uint64_t claim) const {
  return subject("block.") + hexadecimal(claim);
}

std::string bus::stream(const char* kind) const { return "UFENCE_" + namespace_ + '_' + kind; }

result<nlohmann::json> bus::ask_about(const std::string& stream, const char* what,
                                      const std::string& question) {
  natsMsg* reply = nullptr;
  const natsStatus s = natsConnection_RequestString(
      &reply, connection_, ("$JS.API.STREAM." + std::string(what) + '.' + stream).c_str(),
      question.c_str(), answer_ms);
  if (s != NATS_OK) return std::unexpected(code_of(s == NATS_NO_RESPONDERS ? NATS_TIMEOUT : s));
  const std::unique_ptr<natsMsg, void (*)(natsMsg*)> freed(reply, natsMsg_Destroy);
  auto told = nlohmann::json::parse(
      std::string_view(natsMsg_GetData(reply),
                       static_cast<std::size_t>(natsMsg_GetDataLength(reply))),
      nullptr, false);
  if (!told.is_object()) return failure(EPROTO);
  return told;
}

// One that is there already has to be the same, but may be kept by more servers, or by fewer.
std::error_code bus::make_stream(nlohmann::json config, std::string* why) {
  const std::string name = config["name"];
  const auto made = ask_about(name, "CREATE", config.dump());
  if (!made) return made.error();
  const auto error = made->find("error");
  if (error == made->end()) return {};
  if (why != nullptr && error->is_object()) *why = error->value("description", "");
  const int code = error->is_object() ? error->value("err_code", 0) : 0;
  if (code == too_few_servers_code) return errno_code(ETIME);
  if (code != 0 && error->value("code", 0) == unavailable) return errno_code(ETIME);
  if (code != stream_is_there_code) return errno_code(EPROTO);
  const auto there = ask_about(name, "INFO", "");
  if (!there) return there.error();
  config.erase("num_replicas");
  const auto found = there->value("config", nlohmann::json::object());
  for (const auto& [key, value] : config.items()) {
    if (found.value(key, nlohmann::json()) != value) return errno_code(EPROTO);
  }
  return {};
}

std::error_code bus::make_streams(std::string* why) {
  const nlohmann::json kind{{"retention", "workqueue"},   {"storage", "memory"},
                            {"num_replicas", replicas_},  {"max_consumers", -1},
                            {"max_age", 600'000'000'000}, {"duplicate_window", 1'000'000'000}};
  nlohmann::json work = kind;
  work.update({{"name", stream("WORK")},
               {"subjects", {subject("work")}},
               {"max_msgs", 1024},
               {"max_bytes", 16'777'216},
               {"discard", "old"}});
  if (const std::error_code failed = make_stream(std::move(work), why)) return failed;
  nlohmann::json blocks = kind;
  blocks.update({{"name", stream("BLOCKS")},
                 {"subjects", {subject("block.*")}},
                 {"max_msgs", -1},
                 {"max_bytes", 67'108'864},
                 {"discard", "new"},
                 {"discard_new_per_subject", true},
                 {"max_msgs_per_subject", blocks_per_claim}});
  return make_stream(std::move(blocks), why);
}

void bus::purge(const std::string& name, const std::string& of) {
  jsOptions options;
  if (jsOptions_Init(&options) != NATS_OK) return;
  options.Stream.Purge.Subject = of.c_str();
  static_cast<void>(js_PurgeStream(streams_, name.c_str(), &options, nullptr));
}

void bus::purge_work() { purge(stream("WORK"), subject("work")); }

void bus::purge_blocks(std::uint64_t claim) { purge(stream("BLOCKS"), block_subject(claim)); }

result<queue_reader> bus::read_work() {
  const std::string name = stream("WORK");
  jsConsumerConfig config;
  natsStatus s = jsConsumerConfig_Init(&config);
  if (s != NATS_OK) return std::unexpected(code_of(s));
  config.Durable = "workers";
  config.AckPolicy = js_AckExplicit;
  config.AckWait = ack_wait_ns;
  config.MaxAckPending = 10'000;
  jsConsumerInfo* info = nullptr;
  s = js_AddConsumer(&info, streams_, name.c_str(), &config, nullptr, nullptr);
  jsConsumerInfo_Destroy(info);
  jsSubOptions options;
  if (s == NATS_OK) s = jsSubOptions_Init(&options);
  natsSubscription* made = nullptr;
  if (s == NATS_OK) {
    options.Stream = name.c_str();
    options.Consumer = "workers";
    s = js_PullSubscribe(&made, streams_, subject("work").c_str(), "workers", nullptr, &options,
                         nullptr);
  }
  if (s != NATS_OK) return std::unexpected(code_of(s));
  return queue_reader(made);
}

result<queue_reader> bus::read_blocks(std::uint64_t claim) {
  const std::string name = stream("BLOCKS");
  jsSubOptions options;
  natsStatus s = jsSubOptions_Init(&options);
  natsSubscription* made = nullptr;
  if (s == NATS_OK) {
    options.Stream = name.c_str();
    options.Config.AckPolicy = js_AckExplicit;
    options.Config.AckWait = ack_wait_ns;
    s = js_PullSubscribe(&made, streams_, block_subject(claim).c_str(), nullptr, nullptr, &options,
                         nullptr);
  }
  if (s != NATS_OK) return std::unexpected(code_of(s));
  return queue_reader(made);
}

void bus::publish(const std::string& to, std::string_view bytes) {
  static_cast<void>(natsConnection_Publish(connection_, to.c_str(), bytes.data(),
                                           static_cast<int>(bytes.size())));
}

void bus::hand_out(std::string_view item) { publish(subject("work"), item); }

std::error_code bus::send_block(std::uint64_t claim, std::string_view bytes) {
  jsErrCode why{};
  const natsStatus s = js_Publish(nullptr, streams_, block_subject(claim).c_str(), bytes.data(),
                                  static_cast<int>(bytes.size()), nullptr, &why);
  if (s == NATS_OK) return {};
  return std::ranges::find(stream_is_full_codes, static_cast<int>(why)) !=
                 std::end(stream_is_full_codes)
             ? errno_code(EAGAIN)
             : errno_code(EIO);
}

std::size_t bus::block_bytes_max() const noexcept {
  const std::int64_t limit = natsConnection_GetMaxPayload(connection_);
  return std::min(block_bytes_wanted,
                  std::max<std::size_t>(static_cast<std::size_t>(std::max<std::int64_t>(limit, 0)),
                                        2 * block_overhead) -
                      block_overhead);
}

result<std::string> bus::ask(std::uint64_t run, std::string_view question,
                             std::int64_t timeout_ns) {
  natsMsg* reply = nullptr;
  const natsStatus s = natsConnection_Request(
      &reply, connection_, (subject("job.") + hexadecimal(run)).c_str(), question.data(),
      static_cast<int>(question.size()), std::max<std::int64_t>(1, timeout_ns / 1'000'000));
  if (s != NATS_OK) return std::unexpected(code_of(s));
  std::string bytes(natsMsg_GetData(reply), static_cast<std::size_t>(natsMsg_GetDataLength(reply)));
  natsMsg_Destroy(reply);
  return bytes;
}

std::error_code bus::answer(std::uint64_t run, question_handler on_question) {
  on_question_ = std::move(on_question);
  return code_of(natsConnection_Subscribe(
      &questions_, connection_, (subject("job.") + hexadecimal(run)).c_str(),
      [](natsConnection*, natsSubscription*, natsMsg* m, void* self) {
        const char* const reply = natsMsg_GetReply(m);
        const std::string_view bytes(natsMsg_GetData(m),
                                     static_cast<std::size_t>(natsMsg_GetDataLength(m)));
        if (reply != nullptr) static_cast<bus*>(self)->on_question_(bytes, reply);
        natsMsg_Destroy(m);
      },
      this));
}

}  // namespace ufence::tool
