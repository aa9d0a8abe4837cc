// The timelines of a namespace, for people: asked for once, and waited for. Not a part of the protocol.
#include <algorithm>
#include <ctime>
#include <memory>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "ufence/base/clock.h"
#include "ufence/net/host_link.h"
#include "ufence/net/link.h"
#include "ufence/net/wire.h"

namespace ufence {
namespace detail {
namespace {

constexpr std::int64_t answer_ms = 2000;

using subscription = std::unique_ptr<natsSubscription, void (*)(natsSubscription*)>;
using message = std::unique_ptr<natsMsg, void (*)(natsMsg*)>;

message next_of(natsSubscription* from, std::int64_t timeout_ms) {
  natsMsg* m = nullptr;
  static_cast<void>(natsSubscription_NextMsg(&m, from, timeout_ms));
  return {m, natsMsg_Destroy};
}

std::span<const std::byte> bytes_of(const natsMsg* m) {
  return {reinterpret_cast<const std::byte*>(natsMsg_GetData(m)),
          static_cast<std::size_t>(natsMsg_GetDataLength(m))};
}

// The number that its subject ends with.
std::uint64_t subject_number(const natsMsg* m) {
  const std::string_view subject = natsMsg_GetSubject(m);
  const std::size_t dot = subject.rfind('.');
  return dot == std::string_view::npos ? 0 : std::strtoull(subject.data() + dot + 1, nullptr, 16);
}

// Values that nobody can read are left out.
void take_values(natsSubscription* from, std::uint64_t pending, std::vector<value_record>& all) {
  for (; pending > 0; --pending) {
    const message m = next_of(from, answer_ms);
    if (!m) return;
    if (auto record = parse_value(bytes_of(m.get()), subject_number(m.get()))) {
      all.push_back(*std::move(record));
    }
  }
}

// Has the stream's last values delivered.
// @param from   gets the subscription; none if there is no stream
// @param count  gets how many there are
natsStatus begin_to_read(jsCtx& context, const std::string& space, subscription& from,
                         std::uint64_t& count) {
  const std::string stream = "UFENCE_" + space;
  const std::string subject = "ufence." + space + ".value.*";
  jsSubOptions how;
  jsSubOptions_Init(&how);
  how.Stream = stream.c_str();
  how.Config.DeliverPolicy = js_DeliverLastPerSubject;
  how.Config.AckPolicy = js_AckNone;
  natsSubscription* made = nullptr;
  jsErrCode error{};
  natsStatus s = js_SubscribeSync(&made, &context, subject.c_str(), nullptr, &how, &error);
  if (s == NATS_NOT_FOUND || error == JSStreamNotFoundErr) return NATS_OK;
  if (s != NATS_OK) return s;
  from.reset(made);
  // How many there were when the consumer was made; more may have been delivered since.
  jsConsumerInfo* info = nullptr;
  s = natsSubscription_GetConsumerInfo(&info, made, nullptr, nullptr);
  if (s != NATS_OK) return s;
  count = info->NumPending + info->Delivered.Consumer;
  jsConsumerInfo_Destroy(info);
  return NATS_OK;
}

// A server that is just making the stream refuses for a while, in many words.
bool may_pass(natsStatus s) {
  return s != NATS_OK && s != NATS_TIMEOUT && s != NATS_NOT_PERMITTED && s != NATS_NO_MEMORY &&
         s != NATS_CONNECTION_CLOSED;
}

result<std::vector<value_record>> values_of(natsConnection* connection, const std::string& space) {
  jsCtx* context = nullptr;
  if (natsConnection_JetStream(&context, connection, nullptr) != NATS_OK) return failure(ENOMEM);
  const std::unique_ptr<jsCtx, void (*)(jsCtx*)> freed(context, jsCtx_Destroy);
  constexpr std::int64_t pause_ms = 20;
  const std::int64_t until = deadline_after(answer_ms * 1'000'000);
  subscription values(nullptr, natsSubscription_Destroy);
  std::uint64_t count = 0;
  natsStatus s = NATS_OK;
  for (;;) {
    s = begin_to_read(*context, space, values, count);
    if (!may_pass(s) || now_ns() >= until) break;
    values.reset();
    nats_Sleep(pause_ms);
  }
  if (s != NATS_OK) {
    return failure(s == NATS_TIMEOUT ? ETIME : s == NATS_NOT_PERMITTED ? EACCES : EIO);
  }
  std::vector<value_record> all;
  if (values) take_values(values.get(), count, all);
  return all;
}

known_timeline known_as(value_record&& one, std::uint32_t namespace_id) {
  return {.origin = {.host = std::move(one.origin.host),
                     .process = one.origin.process,
                     .driver = std::move(one.origin.driver),
                     .timeline = std::move(one.timeline_name),
                     .owner_time_ns = one.owner_time_ns,
                     .arrival_time_ns = now_ns()},
          .at = {.namespace_id = namespace_id,
                 .timeline_id = one.timeline_id,
                 .epoch = one.epoch,
                 .point = one.value},
          .error = one.error,
          .lease_ns = one.lease_ns};
}

std::int64_t real_time_ns() noexcept {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  return std::int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

// What importers are told, until then.
void listen_for_values(natsSubscription* news, std::int64_t until,
                       std::unordered_map<std::uint64_t, known_timeline*>& known) {
  for (std::int64_t rest = until - now_ns(); rest > 0; rest = until - now_ns()) {
    const message m = next_of(news, std::max<std::int64_t>(1, rest / 1'000'000));
    if (!m) continue;
    const auto told = parse_value(bytes_of(m.get()), subject_number(m.get()));
    const auto one = told ? known.find(told->timeline_id) : known.end();
    if (one == known.end()) continue;
    known_timeline& of = *one->second;
    if (told->epoch != of.at.epoch || told->value < of.at.point) continue;
    of.at.point = told->value;
    of.origin.owner_time_ns = told->owner_time_ns;
    of.origin.arrival_time_ns = now_ns();
    of.lag_ns = real_time_ns() - told->owner_time_ns;
  }
}

}  // namespace

// Owners are heard from the first moment on, and looked for at the end: when they were is not told.
result<std::vector<known_timeline>> nats_engine::look_around(std::int64_t listen_ns,
                                                             std::uint32_t namespace_id) {
  const auto listen = [&](const char* what) {
    natsSubscription* made = nullptr;
    const std::string subject = "ufence." + namespace_ + what;
    static_cast<void>(natsConnection_SubscribeSync(&made, connection_, subject.c_str()));
    return subscription(made, natsSubscription_Destroy);
  };
  const subscription beats = listen(".beat.*");
  if (!beats) return failure(ENOTCONN);
  auto records = values_of(connection_, namespace_);
  if (!records) return std::unexpected(records.error());
  const subscription news = listen(".news.*");
  if (!news) return failure(ENOTCONN);

  std::vector<known_timeline> all;
  std::unordered_map<std::uint64_t, known_timeline*> known;  // by the timeline
  std::vector<std::uint64_t> owners;                         // one for each of `all`
  all.reserve(records->size());
  for (value_record& one : *records) {
    owners.push_back(one.owner);
    all.push_back(known_as(std::move(one), namespace_id));
    known[all.back().at.timeline_id] = &all.back();
  }
  listen_for_values(news.get(), deadline_after(listen_ns), known);
  std::unordered_set<std::uint64_t> heard;
  while (const message m = next_of(beats.get(), 1)) {
    const std::uint64_t owner = subject_number(m.get());
    if (parse_beat(bytes_of(m.get()), owner)) heard.insert(owner);
  }
  for (std::size_t i = 0; i < all.size(); ++i) all[i].has_beat = heard.contains(owners[i]);
  std::ranges::sort(
      all, {}, [](const known_timeline& one) -> const std::string& { return one.origin.timeline; });
  return all;
}

}  // namespace detail

result<std::vector<known_timeline>> host_link::look_around(std::int64_t listen_ns) noexcept try {
  return link_->look_around(listen_ns);
} catch (const std::bad_alloc&) {
  return failure(ENOMEM);
}

}  // namespace ufence
