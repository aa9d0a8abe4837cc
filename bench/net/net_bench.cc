// ufence-net against the bare client library, over one server: a line of JSON for each figure.
//   ufence-net-bench URL [SECONDS]      URL: of a nats-server with JetStream, on this host
#include <nats/nats.h>
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "ufence/net/host_link.h"

namespace {

using ufence::deadline_after;
using ufence::now_ns;

constexpr std::int64_t second = 1'000'000'000;
constexpr const char* ack_subject = "bench.ack";
constexpr std::int64_t pause_ns = 1'000'000;  // between two: each finds all threads asleep

[[noreturn]] void give_up(const char* what, const std::string& why) {
  std::fprintf(stderr, "net_bench: %s: %s\n", what, why.c_str());
  std::exit(1);
}

ufence::host_link connect(const std::string& url) {
  auto link = ufence::host_link::connect({.servers = {url}, .namespace_ = "bench"});
  if (!link) give_up("connect", link.error().message());
  return *std::move(link);
}

ufence::exported_timeline export_it(ufence::host_link& link, const std::string& name) {
  auto issuer = ufence::timeline_issuer::create({.timeline_name = name});
  auto out = link.export_timeline(std::move(*issuer), name);
  if (!out) give_up("export", out.error().message());
  return *std::move(out);
}

ufence::remote_timeline import_it(ufence::host_link& link, const std::string& name) {
  auto in = link.import_timeline(name, {.find_within_ns = ufence::no_deadline});
  if (!in || in->wait_found(deadline_after(30 * second))) give_up("import", name);
  return *std::move(in);
}

double percentile(std::vector<std::int64_t>& all, double share) {
  const auto at = static_cast<std::ptrdiff_t>(share * static_cast<double>(all.size() - 1));
  std::ranges::nth_element(all, all.begin() + at);
  return 1e-3 * static_cast<double>(all[static_cast<std::size_t>(at)]);
}

double cpu_seconds() {
  rusage used{};
  getrusage(RUSAGE_SELF, &used);
  return static_cast<double>(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
         1e-6 * static_cast<double>(used.ru_utime.tv_usec + used.ru_stime.tv_usec);
}

void pause() { std::this_thread::sleep_for(std::chrono::nanoseconds(pause_ns)); }

// Publishes on one connection, and wakes a thread that waits for what the other one is delivered.
struct bare {
  natsConnection* from = nullptr;
  natsConnection* to = nullptr;
  natsSubscription* sub = nullptr;
  natsSubscription* acks = nullptr;  // with keep()
  const std::string subject;
  std::atomic<std::uint32_t> arrived{0};

  bare(const std::string& url, std::string on) : subject(std::move(on)) {
    for (natsConnection** one : {&from, &to}) {
      natsOptions* options = nullptr;
      natsOptions_Create(&options);
      natsOptions_SetURL(options, url.c_str());
      natsOptions_SetSendAsap(options, true);
      natsOptions_UseGlobalMessageDelivery(options, true);
      if (natsConnection_Connect(one, options) != NATS_OK) give_up("connect", url);
      natsOptions_Destroy(options);
    }
    natsConnection_Subscribe(
        &sub, to, subject.c_str(),
        [](natsConnection*, natsSubscription*, natsMsg* m, void* self) {
          auto& count = static_cast<bare*>(self)->arrived;
          count.fetch_add(1);
          count.notify_all();
          natsMsg_Destroy(m);
        },
        this);
    natsConnection_Flush(to);
  }
  ~bare() {
    natsSubscription_Destroy(acks);
    natsSubscription_Destroy(sub);
    natsConnection_Destroy(from);
    natsConnection_Destroy(to);
  }
  // From now on a stream keeps the last message, as a namespace's does, and acknowledges it.
  void keep() {
    const std::string config = R"({"name":"BENCH","subjects":[")" + subject +
                               R"("],"max_msgs_per_subject":1,"storage":"file"})";
    natsMsg* reply = nullptr;
    if (natsConnection_RequestString(&reply, from, "$JS.API.STREAM.CREATE.BENCH", config.c_str(),
                                     5000) != NATS_OK) {
      give_up("stream", subject);
    }
    natsMsg_Destroy(reply);
    natsConnection_Subscribe(
        &acks, from, ack_subject,
        [](natsConnection*, natsSubscription*, natsMsg* m, void*) { natsMsg_Destroy(m); }, nullptr);
    natsConnection_Flush(from);
  }
  std::int64_t once() {
    const std::uint32_t before = arrived.load();
    const char payload[80] = {};
    const std::int64_t began = now_ns();
    if (acks == nullptr) {
      natsConnection_Publish(from, subject.c_str(), payload, sizeof payload);
    } else {
      natsConnection_PublishRequest(from, subject.c_str(), ack_subject, payload, sizeof payload);
    }
    arrived.wait(before);
    return now_ns() - began;
  }
};

// Signal to wake, in turn with the bare one; and with the bare one where a stream keeps the
// message.
void measure_wake(const std::string& url, std::int64_t until) {
  bare other(url, "bench.bare"), kept(url, "bench.kept");
  kept.keep();
  ufence::host_link owner = connect(url), waiter = connect(url);
  auto out = export_it(owner, "wake");
  auto in = import_it(waiter, "wake");
  std::vector<std::int64_t> ours, theirs, with_stream;
  for (std::uint64_t point = 1; now_ns() < until || point < 100; ++point) {
    const auto f = in.fence_at(point).value();
    f->enable_signaling();  // who waits tells the owner so when it begins, not when it is woken
    pause();
    const std::int64_t began = now_ns();
    out.signal_up_to(point);
    if (f->wait_result(deadline_after(30 * second))) give_up("wake", "a point did not arrive");
    ours.push_back(now_ns() - began);
    pause();
    theirs.push_back(other.once());
    pause();
    with_stream.push_back(kept.once());
  }
  const double p50 = percentile(ours, 0.5), bare50 = percentile(theirs, 0.5);
  std::printf(
      R"({"name":"signal to wake","count":%zu,"p50_us":%.1f,"p99_us":%.1f,"bare_p50_us":%.1f,"bare_kept_p50_us":%.1f,"ratio_p50":%.2f})"
      "\n",
      ours.size(), p50, percentile(ours, 0.99), bare50, percentile(with_stream, 0.5), p50 / bare50);
}

// As fast as the owner can, while an importer follows.
void measure_rate(const std::string& url, std::int64_t for_ns) {
  ufence::host_link owner = connect(url), waiter = connect(url);
  auto out = export_it(owner, "rate");
  auto in = import_it(waiter, "rate");
  const std::uint64_t stores = owner.counts().sent;
  const std::int64_t began = now_ns();
  std::uint64_t point = 0;
  while (now_ns() - began < for_ns) {
    for (int i = 0; i < 1000; ++i) out.signal_up_to(++point);
  }
  const double took = 1e-9 * static_cast<double>(now_ns() - began);
  const std::uint64_t sent = owner.counts().sent - stores;
  if (in.fence_at(point).value()->wait_result(deadline_after(30 * second))) give_up("rate", "lost");
  std::printf(R"({"name":"owner at full speed","fences_per_s":%.0f,"messages_per_s":%.0f})"
              "\n",
              static_cast<double>(point) / took, static_cast<double>(sent) / took);
}

// The processor time of the importing process while `active` of `all` timelines move.
double cpu_of_importing(const std::string& url, std::size_t all, std::size_t active, int rounds) {
  ufence::host_link owner = connect(url), waiter = connect(url);
  std::vector<ufence::exported_timeline> out;
  std::vector<ufence::remote_timeline> in;
  for (std::size_t i = 0; i < all; ++i) {
    const std::string name = "many " + std::to_string(i);
    if (i < active) out.push_back(export_it(owner, name));
    in.push_back(
        i < active ? import_it(waiter, name)
                   : waiter.import_timeline(name, {.find_within_ns = ufence::no_deadline}).value());
  }
  const double began = cpu_seconds();
  for (int round = 1; round <= rounds; ++round) {
    const auto point = static_cast<std::uint64_t>(round);
    for (auto& one : out) one.signal_up_to(point);
    for (std::size_t i = 0; i < active; ++i) {
      if (in[i].fence_at(point).value()->wait_result(deadline_after(30 * second)))
        give_up("many", "lost");
    }
  }
  return (cpu_seconds() - began) / rounds;
}

void measure_many(const std::string& url) {
  constexpr int rounds = 1000;
  const double few = cpu_of_importing(url, 10, 10, rounds);
  const double many = cpu_of_importing(url, 10'000, 10, rounds);
  std::printf(
      R"({"name":"10 active timelines","cpu_us_of_10":%.1f,"cpu_us_of_10000":%.1f,"ratio":%.2f})"
      "\n",
      1e6 * few, 1e6 * many, many / few);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) return std::fprintf(stderr, "usage: ufence-net-bench URL [SECONDS]\n"), 2;
  const std::string url = argv[1];
  const std::int64_t for_ns = (argc > 2 ? std::atoll(argv[2]) : 5) * second;
  measure_wake(url, now_ns() + for_ns);
  measure_rate(url, for_ns);
  measure_many(url);
  return 0;
}
