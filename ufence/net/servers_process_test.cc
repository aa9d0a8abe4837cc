// Links to servers that want to know who somebody is, and to several that stand in for each other.
#include <gtest/gtest.h>
#include <nats/nats.h>
#include <stdlib.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "ufence/fence/testing/support.h"
#include "ufence/net/host_link.h"
#include "ufence/net/nats_connection.h"
#include "ufence/net/testing/nats_server.h"

namespace ufence::testing {
namespace {

constexpr std::int64_t long_lease = 60'000'000'000;
// Elections and reconnections of servers on a busy machine.
constexpr std::int64_t long_ns = 240 * second_ns;

// Users of the tests. The seeds are the bytes 1 to 32 and 2 to 33; the second key belongs to
// neither.
constexpr const char* nkey_seed = "SUAACAQDAQCQMBYIBEFAWDANBYHRAEISCMKBKFQXDAMRUGY4DUPB6IC5CQ";
constexpr const char* other_seed = "SUAAEAYEAUDAOCAJBIFQYDIOB4IBCEQTCQKRMFYYDENBWHA5DYPSAIOM6Y";
constexpr const char* nkey_public = "UB43KVROR7TFJ6KAPCYRF2FJROTZAH4FHLTJLPWX4DRZCC5NASLGJBFE";
constexpr const char* other_public = "UBB43QBD2IWV7HQQPUNANE2FPU25DUIOW7JBY4QRSL2W6XPEAZS5HEQW";

struct net_servers : ::testing::Test {
  void SetUp() override {
    if (nats_server_program().empty()) GTEST_SKIP() << "there is no nats-server here";
    std::string path = (std::filesystem::temp_directory_path() / "ufence-net-XXXXXX").string();
    ASSERT_NE(::mkdtemp(path.data()), nullptr);
    folder = path;
  }
  // The client library's threads go with it.
  void TearDown() override {
    if (folder.empty()) return;
    std::filesystem::remove_all(folder);
    ASSERT_EQ(nats_CloseAndWait(20'000), NATS_OK);
  }

  // A certificate that vouches for itself, and its key.
  [[nodiscard]] bool certify(const std::string& name) const {
    const std::string command =
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj "
        "/CN=" +
        name + " -addext subjectAltName=IP:127.0.0.1 -keyout " + file(name + ".key") + " -out " +
        file(name + ".pem") + " 2>/dev/null";
    return std::system(command.c_str()) == 0;
  }
  [[nodiscard]] std::string file(const std::string& name) const { return folder + '/' + name; }

  static host_link_options options(std::vector<std::string> urls) {
    host_link_options o{.servers = std::move(urls), .namespace_ = "test"};
    o.lease_ns = long_lease;
    return o;
  }
  // Within its two seconds a busy server may not get to answer: then it is asked again.
  static host_link connect(const host_link_options& o) {
    std::optional<host_link> made;
    EXPECT_TRUE(eventually([&] {
      if (auto link = host_link::connect(o)) made = *std::move(link);
      return made.has_value();
    }));
    return made.value();
  }
  // Why it is not let in.
  static std::error_code refusal(const host_link_options& o) {
    std::error_code why;
    EXPECT_TRUE(eventually([&] {
      const auto link = host_link::connect(o);
      why = link ? std::error_code() : link.error();
      return why != errno_code(ECONNREFUSED);
    }));
    return why;
  }
  static result<exported_timeline> try_export(host_link& link, const std::string& name,
                                              std::int64_t within_ns = long_ns) {
    auto issuer = timeline_issuer::create({.timeline_name = name});
    return link.export_timeline(std::move(*issuer), name, {.within_ns = within_ns});
  }
  // Why it may not export. A busy server may not say it within the second.
  static std::error_code refusal_to_export(host_link& link, const std::string& name) {
    std::error_code why;
    EXPECT_TRUE(eventually([&] {
      const auto out = try_export(link, name, second_ns);
      why = out ? std::error_code() : out.error();
      return why != errno_code(ETIME);
    }));
    return why;
  }
  // A point goes all the way.
  static void expect_works(const host_link_options& o) {
    host_link link = connect(o);
    exported_timeline out = try_export(link, "line").value();
    remote_timeline in = link.import_timeline("line", {.find_within_ns = no_deadline}).value();
    const fence_ref f = in.fence_at(1).value();
    out.signal_up_to(1);
    EXPECT_EQ(f->wait_result(patience()), std::error_code());
  }

  std::string folder;
};

TEST(net_identity, is_one_and_whole) {
  host_link_options o;
  o.user = "me";
  o.nkey_seed_file = "seed";
  o.nkey_public = nkey_public;
  EXPECT_EQ(host_link::connect(o).error(), errno_code(EINVAL));
  o.user = "";
  o.nkey_public = "";
  EXPECT_EQ(host_link::connect(o).error(), errno_code(EINVAL));
  o = {};
  o.certificate_file = "host.pem";
  EXPECT_EQ(host_link::connect(o).error(), errno_code(EINVAL));
  o = {};
  o.replicas = 2;
  EXPECT_EQ(host_link::connect(o).error(), errno_code(EINVAL));
}

TEST_F(net_servers, want_a_password) {
  const nats_server server("authorization { users: [ { user: \"me\", password: \"secret\" } ] }");
  host_link_options o = options({server.url()});
  EXPECT_EQ(refusal(o), errno_code(EACCES));
  o.user = "me";
  o.password = "wrong";
  EXPECT_EQ(refusal(o), errno_code(EACCES));
  o.password = "secret";
  expect_works(o);
}

TEST_F(net_servers, know_users_by_their_nkeys) {
  const nats_server server(std::string("authorization { users: [ { nkey: ") + nkey_public +
                           " } ] }");
  std::ofstream(file("seed")) << nkey_seed << '\n';
  std::ofstream(file("other_seed")) << other_seed << '\n';
  host_link_options o = options({server.url()});
  EXPECT_EQ(refusal(o), errno_code(EACCES));
  o.nkey_seed_file = file("seed");
  o.nkey_public = other_public;
  EXPECT_EQ(refusal(o), errno_code(EACCES)) << "of whom it does not know";
  o.nkey_seed_file = file("other_seed");
  o.nkey_public = nkey_public;
  EXPECT_EQ(refusal(o), errno_code(EACCES)) << "signed by another one";
  o.nkey_seed_file = file("seed");
  expect_works(o);
}

// Of so many one was refused, more likely than not.
TEST_F(net_servers, regress_know_users_by_their_nkeys_each_time) {
  const nats_server server(std::string("authorization { users: [ { nkey: ") + nkey_public +
                           " } ] }");
  std::ofstream(file("seed")) << nkey_seed << '\n';
  host_link_options o = options({server.url()});
  o.nkey_seed_file = file("seed");
  o.nkey_public = nkey_public;
  for (int i = 0; i < 300; ++i) {
    const auto link = host_link::connect(o);
    ASSERT_TRUE(link || link.error() == errno_code(ECONNREFUSED)) << "other than by a busy machine";
  }
}

TEST_F(net_servers, let_an_importer_without_rights_to_publish_only_import) {
  const nats_server server(R"(authorization { users: [
    { user: "owner", password: "o" }
    { user: "waiter", password: "w", permissions: {
        publish = [ "ufence.test.hint.*", "$JS.API.DIRECT.GET.UFENCE_test.>" ]
        subscribe = [ "ufence.test.>", "_INBOX.>" ] } } ] })");
  host_link_options o = options({server.url()});
  o.user = "owner";
  o.password = "o";
  host_link owner = connect(o);
  o.user = "waiter";
  o.password = "w";
  host_link waiter = connect(o);
  exported_timeline out = try_export(owner, "line").value();
  remote_timeline in = waiter.import_timeline("line", {.find_within_ns = no_deadline}).value();
  const fence_ref f = in.fence_at(1).value();
  EXPECT_EQ(refusal_to_export(waiter, "line"), errno_code(EACCES));
  EXPECT_EQ(refusal_to_export(waiter, "another"), errno_code(EACCES));
  EXPECT_FALSE(f->is_signaled());
  EXPECT_FALSE(out.ended()->is_signaled());
  out.signal_up_to(1);
  EXPECT_EQ(f->wait_result(patience()), std::error_code());
}

TEST_F(net_servers, let_a_connection_of_ones_own_in_as_a_link) {
  const nats_server server("authorization { users: [ { user: \"me\", password: \"secret\" } ] }");
  natsOptions* with = nullptr;
  ASSERT_EQ(natsOptions_Create(&with), NATS_OK);
  host_link_options o = options({server.url()});
  const auto connection = [&] {
    result<natsConnection*> made = failure(ECONNREFUSED);
    EXPECT_TRUE(eventually([&] {
      made = connect_nats(o, with);
      return made || made.error() != errno_code(ECONNREFUSED);
    }));
    return made;
  };
  EXPECT_EQ(connection().error(), errno_code(EACCES));
  o.user = "me";
  o.nkey_seed_file = "seed";
  EXPECT_EQ(connection().error(), errno_code(EINVAL)) << "two identities";
  o.nkey_seed_file = {};
  o.password = "secret";
  natsConnection* const own = connection().value();
  natsSubscription* heard = nullptr;
  EXPECT_EQ(natsConnection_SubscribeSync(&heard, own, "beside"), NATS_OK);
  EXPECT_EQ(natsConnection_PublishString(own, "beside", "what a fence does not bring"), NATS_OK);
  natsMsg* message = nullptr;
  EXPECT_EQ(natsSubscription_NextMsg(&message, heard, long_ns / 1'000'000), NATS_OK);
  natsMsg_Destroy(message);
  natsSubscription_Destroy(heard);
  natsConnection_Destroy(own);
  natsOptions_Destroy(with);
}

// The client library reads a TLS connection in one thread while it writes in another, with no lock
// around OpenSSL's object. ThreadSanitizer tells of that, and of nothing that is ours.
#if !defined(__SANITIZE_THREAD__)

TEST_F(net_servers, speak_tls_with_those_who_know_their_certificate) {
  ASSERT_TRUE(certify("server"));
  ASSERT_TRUE(certify("other"));
  const nats_server server("tls { cert_file: \"" + file("server.pem") + "\", key_file: \"" +
                           file("server.key") + "\", timeout: 120 }");
  host_link_options o = options({server.url()});
  o.tls = true;
  o.ca_file = file("other.pem");
  EXPECT_FALSE(host_link::connect(o)) << "another one's certificate";
  o.ca_file = file("nothing");
  EXPECT_EQ(host_link::connect(o).error(), errno_code(EINVAL));
  o.ca_file = file("server.pem");
  expect_works(o);
}

TEST_F(net_servers, want_a_certificate_of_the_host_where_they_verify) {
  for (const char* const name : {"server", "host", "other"}) ASSERT_TRUE(certify(name));
  const nats_server server("tls { cert_file: \"" + file("server.pem") + "\", key_file: \"" +
                           file("server.key") + "\", ca_file: \"" + file("host.pem") +
                           "\", verify: true, timeout: 120 }");
  host_link_options o = options({server.url()});
  o.tls = true;
  o.ca_file = file("server.pem");
  EXPECT_FALSE(host_link::connect(o)) << "without a certificate";
  o.certificate_file = file("other.pem");
  o.key_file = file("other.key");
  EXPECT_FALSE(host_link::connect(o)) << "with that of somebody";
  o.certificate_file = file("host.pem");
  EXPECT_EQ(host_link::connect(o).error(), errno_code(EINVAL)) << "with the key of somebody";
  o.key_file = file("host.key");
  expect_works(o);
}

#endif

#if !defined(__SANITIZE_THREAD__) && !defined(__SANITIZE_ADDRESS__)  // it is the servers that work

// Three that keep the values together. One dies: those who were connected to it go on with another
// one, and nothing is lost. Routes between servers have to be known before they listen: they are at
// an address of loopback that is this process's own.
TEST_F(net_servers, of_a_cluster_stand_in_for_each_other) {
  constexpr int count = 3;
  const pid_t self = ::getpid();
  const std::string address = "127." + std::to_string(64 + (self >> 16)) + '.' +
                              std::to_string((self >> 8) & 255) + '.' + std::to_string(self & 255);
  const auto route = [&](int i) { return address + ':' + std::to_string(6222 + i); };
  std::string routes;
  for (int i = 0; i < count; ++i) routes += "\"nats://" + route(i) + "\", ";
  std::vector<std::unique_ptr<nats_server>> servers;
  std::vector<std::string> urls;
  for (int i = 0; i < count; ++i) {
    servers.push_back(
        std::make_unique<nats_server>("server_name: n" + std::to_string(i) +
                                      "\ncluster { name: c, no_advertise: true, listen: \"" +
                                      route(i) + "\", routes: [ " + routes + "] }"));
    urls.push_back(servers.back()->url());
  }
  host_link_options o = options(urls);
  o.replicas = count;
  host_link owner = connect(o);
  host_link other = connect(o);
  exported_timeline out = try_export(owner, "line").value();
  remote_timeline in = other.import_timeline("line", {.find_within_ns = no_deadline}).value();
  out.signal_up_to(1);
  EXPECT_EQ(in.fence_at(1).value()->wait_result(deadline_after(long_ns)), std::error_code());
  EXPECT_EQ(out.flush(deadline_after(long_ns)), std::error_code());
  servers[0]->wipe();
  out.signal_up_to(2);
  EXPECT_EQ(in.fence_at(2).value()->wait_result(deadline_after(long_ns)), std::error_code());
  EXPECT_EQ(out.flush(deadline_after(long_ns)), std::error_code()) << "two of three are enough";
  EXPECT_EQ(in.error(), 0);
  EXPECT_EQ(out.ended()->status(), 0);
}

#endif

}  // namespace
}  // namespace ufence::testing
