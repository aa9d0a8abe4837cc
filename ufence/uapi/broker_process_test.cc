// Sync files that a process made with this library, given to a program of the broker.
#include <linux/sync_file.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <array>

#include "ufence/container/unwrap.h"
#include "ufence/sync/sync_file.h"
#include "ufence/sync/testing/processes.h"
#include "ufence/uapi/uapi_test_support.h"

namespace ufence::testing {
namespace {

// Exports two fences as one, then does what it is told: 1 signals the first, 2 the second.
int export_two(const test_pipe& line) {
  new_fence a = make_fence();
  new_fence b = make_fence();
  const result<fence_ref> both = merge(std::array{a.fence, b.fence});
  if (!both) return __LINE__;
  const result<unique_fd> file = sync_file_create(*both, "both");
  if (!file || !line.send(0, file->get())) return __LINE__;
  for (;;) {
    const test_pipe::letter told = line.receive();
    if (!told.is_there) return 0;
    (told.word == 1 ? a : b).signal.signal(told.word == 1 ? 0 : -EIO);
    if (!line.send(told.word)) return __LINE__;
  }
}

struct told {
  ::sync_file_info info{};
  std::vector<::sync_fence_info> leaves;
};

told info_of(const broker_on_thread& broker, int file, std::uint32_t room) {
  told t;
  t.info.num_fences = room;
  const answer got = control(broker, uapi::sync_ioc_file_info, t.info, file);
  EXPECT_EQ(got.error, 0);
  t.info = got.as<::sync_file_info>();
  t.leaves.resize(got.data.size() / sizeof(::sync_fence_info));
  if (!t.leaves.empty()) std::memcpy(t.leaves.data(), got.data.data(), got.data.size());
  return t;
}

TEST(foreign_file, tells_of_every_leaf_while_it_is_pending_and_later) {
  child_process exporter(&export_two);
  const test_pipe::letter sent = exporter.pipe().receive();
  ASSERT_TRUE(sent.is_there);
  const int file = sent.fd.get();
  {
    const broker_on_thread broker;
    told t = info_of(broker, file, 0);
    EXPECT_EQ(t.info.num_fences, 2U);
    EXPECT_EQ(t.info.status, 0);
    EXPECT_STREQ(t.info.name, "both");
    t = info_of(broker, file, 2);
    ASSERT_EQ(t.leaves.size(), 2U);
    for (const ::sync_fence_info& leaf : t.leaves) {
      EXPECT_EQ(leaf.status, 0);
      EXPECT_EQ(leaf.timestamp_ns, 0U);
    }
    ::sync_file_info small{};
    small.num_fences = 1;
    EXPECT_EQ(control(broker, uapi::sync_ioc_file_info, small, file).error, EINVAL);
    ASSERT_TRUE(exporter.pipe().send(1));
    ASSERT_TRUE(exporter.pipe().receive().is_there);
    t = info_of(broker, file, 5);
    EXPECT_EQ(t.info.num_fences, 2U);
    EXPECT_EQ(t.info.status, 0);
    ASSERT_EQ(t.leaves.size(), 2U);
    EXPECT_EQ(t.leaves[0].status + t.leaves[1].status, 1);
    ASSERT_TRUE(exporter.pipe().send(2));
    ASSERT_TRUE(exporter.pipe().receive().is_there);
    // The exporter's end changes nothing of it.
    exporter.kill();
    t = info_of(broker, file, 2);
    EXPECT_EQ(t.info.status, -EIO);
    ASSERT_EQ(t.leaves.size(), 2U);
    EXPECT_EQ(std::min(t.leaves[0].status, t.leaves[1].status), -EIO);
    EXPECT_EQ(std::max(t.leaves[0].status, t.leaves[1].status), 1);
    for (const ::sync_fence_info& leaf : t.leaves) EXPECT_NE(leaf.timestamp_ns, 0U);
  }
  until_alone();
}

TEST(foreign_file, of_an_exporter_that_does_not_answer_tells_what_is_known_here) {
  child_process exporter(&export_two);
  const test_pipe::letter sent = exporter.pipe().receive();
  ASSERT_TRUE(sent.is_there);
  const int file = sent.fd.get();
  {
    const broker_on_thread broker;
    ASSERT_EQ(::kill(exporter.pid(), SIGSTOP), 0);
    siginfo_t stopped{};  // all its threads have
    ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(exporter.pid()), &stopped, WSTOPPED), 0);
    // Others are answered meanwhile.
    const unique_fd asking = broker.connect();
    ::sync_file_info info{};
    info.num_fences = 1;
    ASSERT_FALSE(send_message(
        asking.get(),
        request_bytes(uapi::operation::control, uapi::sync_ioc_file_info,
                      bytes_of(&info, sizeof info), {}, uapi::request_header::has_subject),
        {&file, 1}));
    EXPECT_EQ(open_device(broker, uapi::device_kind::sw_sync).error, 0);
    const answer got = receive_answer(asking);
    EXPECT_EQ(got.error, 0);
    EXPECT_EQ(got.as<::sync_file_info>().num_fences, 1U);
    EXPECT_EQ(got.as<::sync_file_info>().status, 0);
    ASSERT_EQ(got.data.size(), sizeof(::sync_fence_info));
    exporter.kill();
    EXPECT_TRUE(eventually([&] { return info_of(broker, file, 0).info.status == -EOWNERDEAD; }));
  }
  until_alone();
}

// The broker finds them all at once, since it was stopped meanwhile. A quarter of its descriptors
// may be connections that say nothing; the first one says something, and is the oldest.
TEST(broker, serves_those_that_have_called_though_many_are_silent) {
  const std::string name = make_uapi_broker_name();
  result<unique_fd> listener = listen_for_uapi(name);
  ASSERT_TRUE(listener);
  child_process broker([&](const test_pipe&) {
    const rlimit few{.rlim_cur = 256, .rlim_max = 256};
    UFENCE_CHILD_EXPECT(::setrlimit(RLIMIT_NOFILE, &few) == 0);
    return serve_uapi(std::move(*listener), -1) ? __LINE__ : 0;
  });
  listener->reset();
  const unique_fd asking = connect_to(name);
  ASSERT_FALSE(send_message(asking.get(), open_request(uapi::device_kind::sw_sync)));
  const answer device = receive_answer(asking);
  ASSERT_EQ(device.error, 0);

  ASSERT_EQ(::kill(broker.pid(), SIGSTOP), 0);
  int status = 0;
  ASSERT_EQ(::waitpid(broker.pid(), &status, WUNTRACED), broker.pid());
  ASSERT_TRUE(WIFSTOPPED(status));
  std::vector<unique_fd> ends;
  const auto connect_over = [&] {
    result<socket_pair> pair = make_socket_pair();
    if (!pair || !send_over(device.fd, pair->second)) return false;
    ends.push_back(std::move(pair->first));
    return true;
  };
  ASSERT_TRUE(connect_over());
  ASSERT_FALSE(send_message(ends.front().get(), open_request(uapi::device_kind::sw_sync)));
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(connect_over());
  ASSERT_EQ(::kill(broker.pid(), SIGCONT), 0);
  EXPECT_EQ(receive_answer(ends.front()).error, 0);
  EXPECT_EQ(receive_answer(ends[1]).error, -1) << "the oldest one that says nothing has gone";
}

}  // namespace
}  // namespace ufence::testing
