// Links over a server of the test's own: what holds whatever dies. Nothing here is a race against a
// clock: a test waits until something has happened, and fails if it does not.
#include "ufence/net/host_link.h"

#include <gtest/gtest.h>
#include <nats/nats.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "ufence/container/array.h"
#include "ufence/container/resv.h"
#include "ufence/fence/testing/support.h"
#include "ufence/net/testing/nats_server.h"
#include "ufence/net/wire.h"
#include "ufence/sched/entity.h"
#include "ufence/sched/job.h"
#include "ufence/sched/scheduler.h"
#include "ufence/sync/sync_file.h"

namespace ufence::testing {
namespace {

// Short enough for tests that wait for its end; those that must not see it have a long one.
constexpr std::int64_t short_lease = 500'000'000;
constexpr std::int64_t long_lease = 60'000'000'000;

std::uint64_t number_of(const std::string& name) { return detail::name_number(name); }

struct net_host_link : ::testing::Test {
  static void SetUpTestSuite() {
    if (!nats_server_program().empty()) server = std::make_unique<nats_server>();
  }
  static void TearDownTestSuite() { server.reset(); }
  void SetUp() override {
    if (!server) GTEST_SKIP() << "there is no nats-server here";
  }
  // The client library's threads go with it.
  void TearDown() override {
    if (!server) return;
    ASSERT_EQ(nats_CloseAndWait(20'000), NATS_OK);
  }

  static host_link_options options(std::int64_t lease = long_lease, const std::string& url = "") {
    host_link_options o{.servers = {url.empty() ? server->url() : url}, .namespace_ = "test"};
    o.lease_ns = lease;
    o.host_name = "here";
    return o;
  }
  static host_link connect(std::int64_t lease = long_lease, const std::string& url = "") {
    return host_link::connect(options(lease, url)).value();
  }
  static exported_timeline export_it(host_link& link, const std::string& name,
                                     export_options how = {}) {
    how.within_ns = 30 * second_ns;
    auto issuer = timeline_issuer::create({.driver_name = "driver", .timeline_name = name});
    return link.export_timeline(std::move(*issuer), name, how).value();
  }
  static remote_timeline import_it(host_link& link, const std::string& name) {
    auto in = link.import_timeline(name, {.find_within_ns = no_deadline}).value();
    EXPECT_EQ(in.wait_found(patience()), std::error_code());
    return in;
  }
  static child_process other_host(const std::string& name, std::int64_t lease,
                                  const std::string& url = "") {
    child_process child({UFENCE_HOST_PROGRAM, url.empty() ? server->url() : url, "test", name,
                         std::to_string(lease)},
                        true);
    EXPECT_EQ(child.read_line(), "ready");
    return child;
  }
  static std::string ask(child_process& child, const std::string& line) {
    child.send(line);
    return child.read_line();
  }

  static inline std::unique_ptr<nats_server> server;
};

TEST_F(net_host_link, a_point_that_is_signaled_on_one_is_reached_on_the_other) {
  host_link owner = connect();
  host_link other = connect();
  exported_timeline out = export_it(owner, "points");
  remote_timeline in = import_it(other, "points");
  const fence_ref early = in.fence_at(3).value();
  const fence_ref late = in.fence_at(5).value();
  out.signal_up_to(4);
  EXPECT_EQ(early->wait_result(patience()), std::error_code());
  EXPECT_FALSE(late->is_signaled());
  EXPECT_EQ(in.value(), 4U);
  EXPECT_EQ(in.fence_at(2).value()->status(), 1);
  out.signal_up_to(5);
  EXPECT_EQ(late->wait_result(patience()), std::error_code());
  const remote_origin origin = in.origin();
  EXPECT_EQ(origin.host, "here");
  EXPECT_EQ(origin.driver, "driver");
  EXPECT_EQ(origin.timeline, "points");
  EXPECT_EQ(origin.process, static_cast<std::uint32_t>(::getpid()));
  EXPECT_GT(origin.owner_time_ns, 0);
  EXPECT_GT(origin.arrival_time_ns, 0);
}

TEST_F(net_host_link, a_point_is_a_fence_like_all_others) {
  host_link owner = connect();
  host_link other = connect();
  exported_timeline out = export_it(owner, "alike");
  remote_timeline in = import_it(other, "alike");
  const fence_ref f = in.fence_at(2).value();
  const std::array both{in.fence_at(1).value(), f};
  const fence_ref all = fence_array::create(both).value();
  const unique_fd file = sync_file_create(f).value();
  resv object;
  ASSERT_FALSE(object.lock());
  ASSERT_FALSE(object.reserve(1));
  ASSERT_FALSE(object.add(f, resv_usage::write));
  object.unlock();
  out.signal_up_to(1);
  EXPECT_EQ(both[0]->wait_result(patience()), std::error_code());
  EXPECT_FALSE(all->is_signaled());
  EXPECT_FALSE(object.test_signaled(resv_usage::write));
  pollfd readable{.fd = file.get(), .events = POLLIN, .revents = 0};
  EXPECT_EQ(::poll(&readable, 1, 0), 0);
  out.signal_up_to(2);
  EXPECT_EQ(all->wait_result(patience()), std::error_code());
  EXPECT_EQ(object.wait(resv_usage::write, patience()), std::error_code());
  EXPECT_EQ(::poll(&readable, 1, 120'000), 1);
}

TEST_F(net_host_link, a_job_waits_for_a_point_and_has_its_error) {
  struct counting_job : sched::job {
    std::atomic<int> runs = 0;
  };
  constexpr sched::scheduler_ops ops{.run = [](sched::job& job) noexcept -> result<fence_ref> {
                                       ++static_cast<counting_job&>(job).runs;
                                       return fence_ref();
                                     },
                                     .free = [](sched::job&) noexcept {}};
  host_link link = connect();
  exported_timeline out = export_it(link, "for jobs");
  remote_timeline in = import_it(link, "for jobs");
  counting_job waits, fails;  // the scheduler's until it is gone
  sched::scheduler device = *sched::scheduler::create(
      {.ops = &ops, .name = "ring", .device_name = "test device", .credit_limit = 2});
  const sched::scheduler* const all[] = {&device};
  sched::entity user = *sched::entity::create({.schedulers = all, .propagates_errors = true});
  ASSERT_FALSE(waits.add_dependency(in.fence_at(1).value()));
  ASSERT_FALSE(fails.add_dependency(in.fence_at(2).value()));
  ASSERT_FALSE(user.push(waits));
  ASSERT_FALSE(user.push(fails));
  const fence_ref first = waits.finished();
  const fence_ref second = fails.finished();
  EXPECT_EQ(first->status(), 0);
  out.signal_up_to(1);
  EXPECT_EQ(first->wait_result(patience()), std::error_code());
  EXPECT_EQ(waits.runs, 1);
  EXPECT_EQ(second->status(), 0);
  out.fail(-EIO);
  EXPECT_EQ(second->wait_result(patience()), errno_code(EIO));
  EXPECT_EQ(fails.runs, 0);
}

TEST_F(net_host_link, an_error_travels_after_the_last_value) {
  host_link link = connect();
  exported_timeline out = export_it(link, "errors");
  remote_timeline in = import_it(link, "errors");
  const fence_ref reached = in.fence_at(3).value();
  const fence_ref failed = in.fence_at(4).value();
  out.signal_up_to(3);
  out.fail(-EIO);
  EXPECT_EQ(failed->wait_result(patience()), errno_code(EIO));
  EXPECT_EQ(reached->status(), 1);
  EXPECT_EQ(in.error(), -EIO);
  EXPECT_EQ(in.fence_at(9).value()->status(), -EIO);
  EXPECT_EQ(out.flush(patience()), std::error_code());
  EXPECT_EQ(out.ended()->wait_result(patience()), std::error_code());
  // One that comes late hears of it as well.
  remote_timeline late = link.import_timeline("errors").value();
  EXPECT_EQ(late.fence_at(4).value()->wait_result(patience()), errno_code(EIO));
}

TEST_F(net_host_link, a_dropped_export_ends_with_ECANCELED) {
  host_link link = connect();
  std::optional<exported_timeline> out = export_it(link, "dropped");
  remote_timeline in = import_it(link, "dropped");
  const fence_ref pending = in.fence_at(1).value();
  out.reset();
  EXPECT_EQ(pending->wait_result(patience()), errno_code(ECANCELED));
}

TEST_F(net_host_link, a_dropped_import_ends_its_fences_with_ECANCELED) {
  host_link link = connect();
  exported_timeline out = export_it(link, "import");
  std::optional<remote_timeline> in = import_it(link, "import");
  const fence_ref pending = in->fence_at(1).value();
  in.reset();
  EXPECT_EQ(pending->wait_result(patience()), errno_code(ECANCELED));
}

TEST_F(net_host_link, a_point_travels_as_text) {
  host_link owner = connect();
  host_link other = connect();
  exported_timeline out = export_it(owner, "text");
  const remote_point point = remote_point::parse(out.at(7)->to_string()).value();
  remote_timeline in = other.import_point(point).value();
  const fence_ref f = in.fence_at(point).value();
  out.signal_up_to(7);
  EXPECT_EQ(f->wait_result(patience()), std::error_code());
  remote_point wrong = point;
  wrong.namespace_id ^= 1;
  EXPECT_EQ(other.import_point(wrong).error(), errno_code(EXDEV));
  EXPECT_EQ(in.fence_at(wrong).error(), errno_code(EXDEV));
  wrong = point;
  wrong.epoch ^= 1;
  EXPECT_EQ(in.fence_at(wrong).error(), errno_code(ESTALE));
}

TEST_F(net_host_link, a_new_owner_replaces_the_old_one_for_ever) {
  host_link first = connect();
  host_link second = connect();
  exported_timeline old = export_it(first, "replaced");
  const remote_point point = old.at(1).value();
  remote_timeline in = import_it(second, "replaced");
  const fence_ref pending = in.fence_at(1).value();
  exported_timeline fresh = export_it(second, "replaced");
  EXPECT_EQ(pending->wait_result(patience()), errno_code(EOWNERDEAD));
  old.signal_up_to(1);
  EXPECT_EQ(old.ended()->wait_result(patience()), errno_code(ESTALE));
  // An old point does not come to mean something else. (A value of the old owner may still be on
  // its way.)
  fresh.signal_up_to(2);
  remote_timeline stale = second.import_point(point).value();
  const std::error_code failed = stale.fence_at(2).value()->wait_result(patience());
  EXPECT_TRUE(failed == errno_code(ESTALE) || failed == errno_code(EOWNERDEAD)) << failed.message();
  EXPECT_EQ(import_it(first, "replaced").fence_at(2).value()->wait_result(patience()),
            std::error_code());
}

TEST_F(net_host_link, an_owner_that_is_killed_ends_what_it_owed) {
  child_process owner = other_host("killed", short_lease);
  host_link link = connect(short_lease);
  remote_timeline in = import_it(link, "killed");
  const fence_ref reached = in.fence_at(3).value();
  const fence_ref owed = in.fence_at(4).value();
  EXPECT_EQ(ask(owner, "signal 3"), "done");
  EXPECT_EQ(reached->wait_result(patience()), std::error_code());
  EXPECT_EQ(in.origin().host, "other");
  owner.kill_and_wait();
  EXPECT_EQ(owed->wait_result(patience()), errno_code(EOWNERDEAD));
  EXPECT_EQ(in.value(), 3U);
  // Who starts again has another epoch.
  child_process again = other_host("killed", short_lease);
  EXPECT_EQ(ask(again, "signal 9"), "done");
  EXPECT_EQ(in.error(), -EOWNERDEAD);
  EXPECT_EQ(import_it(link, "killed").fence_at(9).value()->wait_result(patience()),
            std::error_code());
}

TEST_F(net_host_link, an_importer_that_goes_is_nobodys_concern) {
  host_link owner = connect();
  exported_timeline out = export_it(owner, "lonely");
  {
    host_link other = connect();
    remote_timeline in = import_it(other, "lonely");
  }
  out.signal_up_to(2);
  EXPECT_EQ(out.flush(patience()), std::error_code());
  EXPECT_EQ(import_it(owner, "lonely").fence_at(2).value()->wait_result(patience()),
            std::error_code());
}

TEST_F(net_host_link, an_owner_that_was_stopped_for_a_lease_notices_and_does_not_signal) {
  child_process owner = other_host("stopped", short_lease);
  host_link link = connect(short_lease);
  remote_timeline in = import_it(link, "stopped");
  const fence_ref owed = in.fence_at(1).value();
  const remote_point point = remote_point::parse(ask(owner, "at 1")).value();
  owner.signal(SIGSTOP);
  EXPECT_EQ(owed->wait_result(patience()), errno_code(EOWNERDEAD));
  owner.send("signal 1");
  owner.signal(SIGCONT);
  EXPECT_EQ(owner.read_line(), "done");
  EXPECT_EQ(ask(owner, "ended"), std::to_string(ENOLINK));
  // The stream has not what it signaled afterwards.
  remote_timeline again = link.import_point(point).value();
  static_cast<void>(again.wait_found(patience()));
  EXPECT_EQ(again.value(), 0U);
  EXPECT_EQ(again.fence_at(1).value()->wait_result(patience()), errno_code(EOWNERDEAD));
}

TEST_F(net_host_link, goes_on_after_the_server_was_killed) {
  host_link owner = connect();
  host_link other = connect();
  exported_timeline out = export_it(owner, "server");
  remote_timeline in = import_it(other, "server");
  const fence_ref during = in.fence_at(5).value();
  server->kill();
  out.signal_up_to(5);
  server->start();
  EXPECT_EQ(during->wait_result(patience()), std::error_code());
  EXPECT_EQ(out.flush(patience()), std::error_code());
  EXPECT_EQ(out.ended()->status(), 0);
}

TEST_F(net_host_link, the_owner_is_the_truth_where_storage_was_wiped) {
  host_link owner = connect();
  exported_timeline out = export_it(owner, "wiped");
  out.signal_up_to(5);
  ASSERT_EQ(out.flush(patience()), std::error_code());
  server->wipe();
  server->start();
  host_link other = connect();
  EXPECT_EQ(import_it(other, "wiped").fence_at(5).value()->wait_result(patience()),
            std::error_code());
  out.signal_up_to(6);
  EXPECT_EQ(out.flush(patience()), std::error_code());
}

TEST_F(net_host_link, an_owner_whose_words_do_not_arrive_ends_and_its_importers_too) {
  proxy between(server->port());
  host_link owner = connect(short_lease, between.url());
  host_link other = connect(short_lease);
  exported_timeline out = export_it(owner, "one way");
  remote_timeline in = import_it(other, "one way");
  const fence_ref owed = in.fence_at(1).value();
  between.hold_to_server(true);
  EXPECT_EQ(owed->wait_result(patience()), errno_code(EOWNERDEAD));
  EXPECT_EQ(out.ended()->wait_result(patience()), errno_code(ENOLINK));
  out.signal_up_to(1);
  between.hold_to_server(false);
  EXPECT_EQ(owed->status(), -EOWNERDEAD) << "what has ended stays so";
  // It is heard again with a new export.
  std::optional<exported_timeline> fresh;
  ASSERT_TRUE(eventually([&] {
    auto issuer = timeline_issuer::create({.timeline_name = "one way, again"});
    auto made =
        owner.export_timeline(std::move(*issuer), "one way, again", {.within_ns = 5 * second_ns});
    if (made) fresh = std::move(*made);
    return made.has_value();
  }));
}

TEST_F(net_host_link, an_importer_that_hears_nothing_ends_though_the_owner_lives) {
  proxy between(server->port());
  host_link owner = connect(short_lease);
  host_link other = connect(short_lease, between.url());
  exported_timeline out = export_it(owner, "deaf");
  remote_timeline in = import_it(other, "deaf");
  const fence_ref owed = in.fence_at(1).value();
  between.hold_to_client(true);
  out.signal_up_to(1);
  EXPECT_EQ(owed->wait_result(patience()), errno_code(EOWNERDEAD));
  between.hold_to_client(false);
  EXPECT_EQ(import_it(other, "deaf").fence_at(1).value()->wait_result(patience()),
            std::error_code());
  EXPECT_EQ(owed->status(), -EOWNERDEAD);
  EXPECT_EQ(out.ended()->status(), 0);
}

TEST_F(net_host_link, a_delay_below_the_lease_changes_nothing) {
  proxy between(server->port());
  host_link owner = connect(long_lease, between.url());
  exported_timeline out = export_it(owner, "slow");
  host_link other = connect();
  remote_timeline in = import_it(other, "slow");
  for (std::uint64_t point = 1; point <= 5; ++point) {
    between.hold_to_server(true);
    out.signal_up_to(point);
    std::this_thread::yield();
    between.hold_to_server(false);
    EXPECT_EQ(in.fence_at(point).value()->wait_result(patience()), std::error_code());
  }
}

TEST_F(net_host_link, messages_that_come_late_twice_or_in_another_order_change_nothing) {
  proxy before_owner(server->port(), 1);
  proxy before_other(server->port(), 3);
  host_link owner = connect(long_lease, before_owner.url());
  host_link other = connect(long_lease, before_other.url());
  exported_timeline out = export_it(owner, "disorder");
  remote_timeline in = import_it(other, "disorder");
  constexpr std::uint64_t last = 300;
  std::uint64_t seen = 0;
  for (std::uint64_t point = 1; point <= last; ++point) {
    out.signal_up_to(point);
    if (point % 4 == 0) {
      ASSERT_EQ(in.fence_at(point).value()->wait_result(patience()), std::error_code());
    }
    const std::uint64_t value = in.value();
    ASSERT_GE(value, seen);
    ASSERT_LE(value, point);
    seen = value;
  }
  const fence_ref beyond = in.fence_at(last + 1).value();
  EXPECT_EQ(out.flush(patience()), std::error_code());
  out.fail(-EIO);
  EXPECT_EQ(beyond->wait_result(patience()), errno_code(EIO));
  EXPECT_EQ(in.value(), last);
  EXPECT_EQ(out.ended()->wait_result(patience()), std::error_code());
  EXPECT_GT(before_owner.disorder_to_server(), 0U);
  EXPECT_GT(before_owner.disorder_to_client(), 0U);
  EXPECT_GT(before_other.disorder_to_client(), 0U);
}

TEST_F(net_host_link, an_owner_that_signals_as_fast_as_it_can_sends_the_last_value_alone) {
  host_link owner = connect();
  exported_timeline out = export_it(owner, "fast");
  remote_timeline in = import_it(owner, "fast");
  const std::uint64_t before = owner.counts().sent;
  const std::int64_t began = now_ns();
  constexpr std::uint64_t last = 300'000;
  for (std::uint64_t point = 1; point <= last; ++point) out.signal_up_to(point);
  EXPECT_EQ(in.fence_at(last).value()->wait_result(patience()), std::error_code());
  const std::int64_t took = now_ns() - began;
  EXPECT_LE(static_cast<std::int64_t>(owner.counts().sent - before), took / 500'000 + 2);
}

TEST_F(net_host_link, a_wait_and_a_deadline_are_hints_for_the_owner) {
  host_link owner = connect();
  host_link other = connect();
  std::atomic<std::uint64_t> awaited{0};
  std::atomic<bool> has_deadline{false};
  export_options how;
  how.on_hint = [&](std::uint64_t point, std::int64_t deadline_ns) {
    awaited = point;
    if (deadline_ns != no_deadline) has_deadline = true;
  };
  exported_timeline out = export_it(owner, "hints", how);
  remote_timeline in = import_it(other, "hints");
  const fence_ref f = in.fence_at(8).value();
  f->set_deadline(deadline_after(60 * second_ns));
  EXPECT_TRUE(eventually([&] { return awaited == 8 && has_deadline; }));
  out.signal_up_to(8);
  EXPECT_EQ(f->wait_result(patience()), std::error_code());
}

TEST_F(net_host_link, many_timelines_share_a_link) {
  host_link owner = connect();
  host_link other = connect();
  std::vector<exported_timeline> out;
  std::vector<remote_timeline> in;
  for (int i = 0; i < 200; ++i) {
    const std::string name = "many " + std::to_string(i);
    out.push_back(export_it(owner, name));
    in.push_back(import_it(other, name));
  }
  for (std::size_t i = 0; i < out.size(); ++i) out[i].signal_up_to(i + 1);
  for (std::size_t i = 0; i < in.size(); ++i) {
    EXPECT_EQ(in[i].fence_at(i + 1).value()->wait_result(patience()), std::error_code());
  }
}

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
constexpr int idle_count = 1'000;
#else
constexpr int idle_count = 10'000;
#endif

TEST_F(net_host_link, ten_timelines_are_followed_among_ten_thousand) {
  host_link owner = connect();
  host_link other = connect();
  std::vector<remote_timeline> idle;
  for (int i = 0; i < idle_count; ++i) {
    const std::string name = "idle " + std::to_string(i);
    idle.push_back(other.import_timeline(name, {.find_within_ns = no_deadline}).value());
  }
  std::vector<exported_timeline> out;
  std::vector<remote_timeline> in;
  for (int i = 0; i < 10; ++i) {
    const std::string name = "active " + std::to_string(i);
    out.push_back(export_it(owner, name));
    in.push_back(import_it(other, name));
  }
  for (std::uint64_t point = 1; point <= 20; ++point) {
    for (auto& one : out) one.signal_up_to(point);
    for (auto& one : in) {
      ASSERT_EQ(one.fence_at(point).value()->wait_result(patience()), std::error_code());
    }
  }
  for (const auto& one : idle) ASSERT_EQ(one.error(), 0);
}

TEST_F(net_host_link, an_importer_that_is_slow_holds_up_nobody_and_gets_the_last_value) {
  child_process owner = other_host("slow importer", long_lease);
  host_link link = connect();
  remote_timeline in = import_it(link, "slow importer");
  std::atomic<bool> is_inside{false};
  std::atomic<bool> may_go_on{false};
  const fence_ref first = in.fence_at(1).value();
  const fence_ref last = in.fence_at(2000).value();
  callback_registration slow([&](fence&) noexcept {
    is_inside = true;
    may_go_on.wait(false);
  });
  ASSERT_FALSE(slow.add(first));
  EXPECT_EQ(ask(owner, "signal 1"), "done");
  ASSERT_TRUE(eventually([&] { return is_inside.load(); }));
  for (int point = 2; point <= 2000; ++point) {
    ASSERT_EQ(ask(owner, "signal " + std::to_string(point)), "done");
  }
  EXPECT_EQ(ask(owner, "flush"), "0") << "the owner waits for no importer";
  may_go_on = true;
  may_go_on.notify_all();
  EXPECT_EQ(last->wait_result(patience()), std::error_code());
}

TEST_F(net_host_link, an_importer_that_is_killed_is_nobodys_concern) {
  host_link owner = connect();
  exported_timeline out = export_it(owner, "mourned");
  child_process other = other_host("importer", long_lease);
  ASSERT_EQ(ask(other, "import mourned"), "found");
  other.kill_and_wait();
  out.signal_up_to(2);
  EXPECT_EQ(out.flush(patience()), std::error_code());
  EXPECT_EQ(import_it(owner, "mourned").fence_at(2).value()->wait_result(patience()),
            std::error_code());
}

// A connection of the test's own to say what no link would.
struct stranger {
  natsConnection* connection = nullptr;
  explicit stranger(const std::string& url) { natsConnection_ConnectTo(&connection, url.c_str()); }
  ~stranger() { natsConnection_Destroy(connection); }
  void say(const std::string& kind, std::uint64_t id, const std::vector<std::byte>& bytes) const {
    char subject[96];
    std::snprintf(subject, sizeof subject, "ufence.test.%s.%016llx", kind.c_str(),
                  static_cast<unsigned long long>(id));
    natsConnection_Publish(connection, subject, bytes.data(), static_cast<int>(bytes.size()));
    natsConnection_Flush(connection);
  }
};

TEST_F(net_host_link, regress_a_stream_that_somebody_deletes_is_made_again) {
  host_link owner = connect();
  exported_timeline out = export_it(owner, "deleted");
  out.signal_up_to(1);
  ASSERT_EQ(out.flush(patience()), std::error_code());
  {
    const stranger someone(server->url());
    natsMsg* reply = nullptr;
    ASSERT_EQ(natsConnection_RequestString(&reply, someone.connection,
                                           "$JS.API.STREAM.DELETE.UFENCE_test", "", 10'000),
              NATS_OK);
    EXPECT_EQ(std::string(natsMsg_GetData(reply)).find("error"), std::string::npos);
    natsMsg_Destroy(reply);
  }
  out.signal_up_to(2);
  EXPECT_EQ(out.flush(patience()), std::error_code());
  host_link other = connect();
  EXPECT_EQ(import_it(other, "deleted").fence_at(2).value()->wait_result(patience()),
            std::error_code());
}

TEST_F(net_host_link, importers_are_told_of_a_value_beside_the_stream) {
  host_link owner = connect();
  exported_timeline out = export_it(owner, "told");
  ASSERT_EQ(out.flush(patience()), std::error_code());
  const stranger someone(server->url());
  natsSubscription* news = nullptr;
  natsMsg* first = nullptr;
  ASSERT_EQ(natsConnection_SubscribeSync(&news, someone.connection, "ufence.test.news.*"), NATS_OK);
  ASSERT_EQ(natsConnection_Flush(someone.connection), NATS_OK);
  out.signal_up_to(7);
  ASSERT_EQ(natsSubscription_NextMsg(&first, news, 30'000), NATS_OK);
  const auto* const bytes = reinterpret_cast<const std::byte*>(natsMsg_GetData(first));
  const auto told = detail::parse_value(
      {bytes, static_cast<std::size_t>(natsMsg_GetDataLength(first))}, number_of("told"));
  natsMsg_Destroy(first);
  natsSubscription_Destroy(news);
  ASSERT_TRUE(told);
  EXPECT_EQ(told->value, 7U);
  EXPECT_EQ(out.flush(patience()), std::error_code()) << "and the stream has it a moment later";
  EXPECT_EQ(import_it(owner, "told").fence_at(7).value()->wait_result(patience()),
            std::error_code());
}

TEST_F(net_host_link, what_is_forged_is_refused) {
  host_link owner = connect();
  host_link other = connect();
  std::atomic<int> hints{0};
  export_options how;
  how.on_hint = [&](std::uint64_t, std::int64_t) { ++hints; };
  exported_timeline out = export_it(owner, "forged", how);
  remote_timeline in = import_it(other, "forged");
  const fence_ref pending = in.fence_at(1).value();
  const std::uint64_t id = number_of("forged");
  const std::uint64_t refused = other.counts().refused;
  const stranger someone(server->url());
  const std::vector<std::byte> nonsense(100, std::byte{0x5a});
  detail::value_record value{.timeline_id = id, .owner = 1, .epoch = in.at(1)->epoch, .value = 99};
  value.lease_ns = short_lease;
  value.timeline_name = "forged";
  someone.say("value", id, nonsense);
  someone.say("value", id, {});
  someone.say("news", id, nonsense);
  someone.say("value", id, to_bytes(value));  // readable, of this epoch, and of another owner
  someone.say("news", id, to_bytes(value));
  value.epoch -= 1;
  someone.say("value", id, to_bytes(value));  // of an epoch that is over
  someone.say("beat", id, nonsense);
  someone.say("hint", id, nonsense);
  someone.say("hint", id, to_bytes(detail::point_hint{.timeline_id = id, .epoch = 1, .point = 3}));
  EXPECT_TRUE(eventually([&] { return other.counts().refused >= refused + 4; }));
  EXPECT_FALSE(pending->is_signaled());
  EXPECT_EQ(hints, 0);
  // The owner finds the stream spoiled, and stores its state again.
  out.signal_up_to(1);
  EXPECT_EQ(pending->wait_result(patience()), std::error_code());
  EXPECT_EQ(out.flush(patience()), std::error_code());
  host_link late = connect();
  EXPECT_EQ(import_it(late, "forged").fence_at(1).value()->wait_result(patience()),
            std::error_code());
}

TEST_F(net_host_link, says_what_is_wrong) {
  host_link_options o = options();
  o.namespace_ = "a.b";
  EXPECT_EQ(host_link::connect(o).error(), errno_code(EINVAL));
  o = options();
  o.lease_ns = 1;
  EXPECT_EQ(host_link::connect(o).error(), errno_code(EINVAL));
  o = options(long_lease, "nats://127.0.0.1:" + std::to_string(free_port()));
  EXPECT_EQ(host_link::connect(o).error(), errno_code(ECONNREFUSED));
  host_link link = connect();
  EXPECT_EQ(link.import_timeline("\x1b").error(), errno_code(EINVAL));
  remote_timeline nobody = link.import_timeline("nobody", {.find_within_ns = 1}).value();
  EXPECT_EQ(nobody.wait_found(patience()), errno_code(ENOENT));
  exported_timeline out = export_it(link, "twice");
  auto issuer = timeline_issuer::create({});
  EXPECT_EQ(link.export_timeline(std::move(*issuer), "twice").error(), errno_code(EEXIST));
}

}  // namespace
}  // namespace ufence::testing
