// The broker against clients that are not what they should be, and its life.
#include "ufence/uapi/broker.h"

#include <linux/sync_file.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include <array>
#include <atomic>
#include <filesystem>
#include <iterator>

#include "ufence/base/clock.h"
#include "ufence/fence/testing/refuse_call.h"
#include "ufence/fence/testing/support.h"
#include "ufence/sync/sync_file.h"
#include "ufence/sync/testing/strangers.h"
#include "ufence/uapi/server.h"
#include "ufence/uapi/uapi_test_support.h"

namespace ufence::testing {
namespace {

using uapi::device_kind;

answer make_fence(const broker_on_thread& broker, const answer& timeline, std::uint32_t value) {
  const uapi::sw_sync_create wanted{.value = value, .name = {}, .fence = 0};
  return control(broker, uapi::sw_sync_create_fence, wanted, timeline.fd.get());
}

bool is_readable(const unique_fd& fd, int timeout_ms = 0) {
  pollfd p{.fd = fd.get(), .events = POLLIN, .revents = 0};
  return ::poll(&p, 1, timeout_ms) == 1;
}

// Its connections end without an answer.
void expect_refused(const broker_on_thread& broker, std::span<const std::byte> bytes,
                    std::span<const int> fds = {}) {
  const unique_fd connection = broker.connect();
  ASSERT_FALSE(send_message(connection.get(), bytes, fds));
  EXPECT_EQ(receive_answer(connection).error, -1);
}

TEST(broker, regress_has_a_name_where_random_numbers_are_refused) {
  for (const int error : {EPERM, ENOSYS, EINTR}) {
    EXPECT_EQ(in_child([&] {
                UFENCE_CHILD_EXPECT(refuse_call(SYS_getrandom, error));
                const std::string name = make_uapi_broker_name();
                UFENCE_CHILD_EXPECT(name != make_uapi_broker_name());
                UFENCE_CHILD_EXPECT(listen_for_uapi(name).has_value());
                return 0;
              }),
              0);
  }
}

TEST(broker, regress_ends_with_its_owner_whatever_it_gave_out) {
  unique_fd connection;
  answer timeline;
  answer node;
  answer fence;
  {
    const broker_on_thread broker;
    connection = broker.connect();
    timeline = open_device(broker, device_kind::sw_sync);
    node = open_device(broker, device_kind::drm_card);
    ASSERT_EQ(timeline.error, 0);
    ASSERT_EQ(node.error, 0);
    fence = make_fence(broker, timeline, 1);
    ASSERT_EQ(fence.error, 0);
    EXPECT_FALSE(is_readable(fence.fd));
  }
  EXPECT_EQ(receive_answer(connection).error, -1);
  EXPECT_TRUE(is_readable(timeline.fd)) << "its other end is closed";
  EXPECT_TRUE(is_readable(fence.fd, 60'000)) << "its timeline has ended";
}

TEST(broker, keeps_connections_between_calls_but_none_alive_for_them) {
  unique_fd connection;
  {
    const broker_on_thread broker;
    connection = broker.connect();
    for (int i = 0; i < 5; ++i) {
      ASSERT_FALSE(send_message(connection.get(), open_request(device_kind::sw_sync)));
      EXPECT_EQ(receive_answer(connection).error, 0);
    }
    // A call that follows a bad one on the same connection finds none.
    const unique_fd bad = broker.connect();
    ASSERT_FALSE(send_message(bad.get(), open_request(device_kind::sw_sync)));
    EXPECT_EQ(receive_answer(bad).error, 0);
    ASSERT_FALSE(send_message(bad.get(), bytes_of("?", 1)));
    EXPECT_EQ(receive_answer(bad).error, -1);
  }
  // It has ended with its owner.
  EXPECT_EQ(receive_answer(connection).error, -1);
}

TEST(broker, keeps_as_many_connections_of_one_client_as_it_leaves_to_the_others) {
  EXPECT_EQ(in_child([] {
              const rlimit limit{.rlim_cur = 256, .rlim_max = 256};
              UFENCE_CHILD_EXPECT(::setrlimit(RLIMIT_NOFILE, &limit) == 0);
              const broker_on_thread broker;
              const auto count_kept = [&broker](int uid) {
                if (uid != 0 && ::setresuid(-1U, static_cast<uid_t>(uid), -1U) != 0) return 0;
                std::vector<unique_fd> connections;
                std::vector<std::byte> flush = request_bytes(uapi::operation::flush, 0, {}, {}, 0);
                int kept = 0;
                for (int i = 0; i < 40; ++i) {
                  connections.push_back(broker.connect());
                  for (int call = 0; call < 2; ++call) {
                    if (send_message(connections.back().get(), flush)) break;
                    const bool is_answered = receive_answer(connections.back()).error == 0;
                    if (call == 1 && is_answered) ++kept;
                  }
                }
                return kept;
              };
              UFENCE_CHILD_EXPECT(in_child([&] { return count_kept(0) == 16 ? 0 : 1; }) == 0);
              // Of other users none.
              UFENCE_CHILD_EXPECT(in_child([&] { return count_kept(12345) == 0 ? 0 : 1; }) == 0);
              return 0;
            }),
            0);
}

TEST(broker, drops_what_is_no_request) {
  const broker_on_thread broker;
  const std::vector<std::byte> good = request_bytes(uapi::operation::flush, 0, {}, {}, 0);
  for (std::size_t size = 1; size < good.size(); ++size) {
    expect_refused(broker, std::span(good).first(size));
  }
  for (std::size_t field = 0; field < good.size(); field += 4) {
    std::vector<std::byte> bad = good;
    bad[field + 3] = std::byte{0x7F};
    if (field != offsetof(uapi::request_header, code)) expect_refused(broker, bad);
  }
  const int null[3] = {0, 0, 0};
  expect_refused(broker, good, std::span(null).first(1));
  expect_refused(broker, good, null);
  expect_refused(broker, std::vector<std::byte>(200'000));
  const std::vector<std::byte> wrong_size =
      request_bytes(uapi::operation::control, uapi::sw_sync_inc, std::vector<std::byte>(8), {}, 0);
  expect_refused(broker, wrong_size);
  // It is still there.
  EXPECT_EQ(open_device(broker, device_kind::sw_sync).error, 0);
}

unique_fd connect_over(const answer& device) {
  result<socket_pair> ends = make_socket_pair();
  EXPECT_TRUE(ends);
  EXPECT_TRUE(send_over(device.fd, ends->second));
  return std::move(ends->first);
}

int status_of(const broker_on_thread& broker, const answer& file) {
  const ::sync_file_info info{};
  return control(broker, uapi::sync_ioc_file_info, info, file.fd.get())
      .as<::sync_file_info>()
      .status;
}

TEST(broker, takes_connections_over_devices_and_nothing_else) {
  const broker_on_thread broker;
  answer timeline = open_device(broker, device_kind::sw_sync);
  const answer fence = make_fence(broker, timeline, 1);
  const unique_fd over = connect_over(timeline);
  const std::uint32_t none = 0;
  const int subject = timeline.fd.get();
  ASSERT_FALSE(send_message(
      over.get(),
      request_bytes(uapi::operation::control, uapi::sw_sync_inc, bytes_of(&none, sizeof none), {},
                    uapi::request_header::has_subject),
      {&subject, 1}));
  EXPECT_EQ(receive_answer(over).error, 0);

  // Each of these would keep the device open if it stayed in the queue, or was taken for a
  // connection: the device itself, another one, a file, no descriptor, two of them.
  const unique_fd event(::eventfd(0, EFD_CLOEXEC));
  const answer other = open_device(broker, device_kind::sw_sync);
  const std::byte byte{};
  for (const int sent : {subject, other.fd.get(), fence.fd.get(), event.get()}) {
    const std::array both{sent, sent};
    ASSERT_FALSE(send_message(subject, {&byte, 1}, {&sent, 1}));
    ASSERT_FALSE(send_message(subject, {}, both));
    ASSERT_FALSE(send_message(subject, {}));
  }
  // What was sent before it was closed is answered.
  const unique_fd flush = connect_over(timeline);
  timeline.fd.reset();
  ASSERT_FALSE(send_message(flush.get(), request_bytes(uapi::operation::flush, 0, {}, {}, 0)));
  EXPECT_EQ(receive_answer(flush).error, 0);
  // More descriptors than were asked for are closed on a side thread.
  EXPECT_TRUE(eventually([&] { return status_of(broker, fence) == -ENOENT; }));
}

// The client has made both ends, and may have kept the broker's. What leaks fails the test.
TEST(broker, regress_keeps_nothing_of_a_connection_whose_both_ends_the_client_has) {
  const broker_on_thread broker;
  const answer timeline = open_device(broker, device_kind::sw_sync);
  const socket_pair ends = make_socket_pair().value();
  const int theirs = ends.second.get();
  ASSERT_TRUE(send_over(timeline.fd, ends.second));
  const int on = 1;
  for (const int option : {76 /* SO_PASSPIDFD */, SO_PASSCRED, SO_TIMESTAMP, SO_PEEK_OFF}) {
    static_cast<void>(::setsockopt(theirs, SOL_SOCKET, option, &on, sizeof on));
  }
  ASSERT_EQ(::fcntl(theirs, F_SETFL, 0), 0);
  const std::uint32_t none = 0;
  const int subject = timeline.fd.get();
  for (int i = 0; i < 100; ++i) {
    ASSERT_FALSE(send_message(
        ends.first.get(),
        request_bytes(uapi::operation::control, uapi::sw_sync_inc, bytes_of(&none, sizeof none), {},
                      uapi::request_header::has_subject),
        {&subject, 1}));
    EXPECT_EQ(receive_answer(ends.first).error, 0);
  }
}

TEST(broker, is_not_kept_from_others_by_what_is_sent_over_devices) {
  const broker_on_thread broker;
  const answer timeline = open_device(broker, device_kind::sw_sync);
  const answer shut = open_device(broker, device_kind::sw_sync);
  ASSERT_EQ(::shutdown(shut.fd.get(), SHUT_WR), 0);
  std::atomic<bool> ends{false};
  std::thread flood([&] {
    while (!ends) static_cast<void>(send_message(timeline.fd.get(), {}));
  });
  for (int i = 0; i < 100; ++i) {
    const answer mine = open_device(broker, device_kind::sw_sync);
    EXPECT_EQ(make_fence(broker, mine, 1).error, 0);
  }
  ends = true;
  flood.join();
}

TEST(broker, answers_for_descriptors_that_are_not_its_own) {
  const broker_on_thread broker;
  const unique_fd event(::eventfd(0, EFD_CLOEXEC));
  const std::uint32_t one = 1;
  EXPECT_EQ(control(broker, uapi::sw_sync_inc, one, event.get()).error, ENODEV);
  EXPECT_EQ(control(broker, uapi::sw_sync_inc, one, -1).error, EBADF);
  const uapi::sync_merge merge{};
  EXPECT_EQ(control(broker, uapi::sync_ioc_merge, merge, event.get(), event.get()).error, EINVAL);
  const uapi::dma_buf_sync_file access{.flags = 1, .fd = -1};
  EXPECT_EQ(control(broker, uapi::dma_buf_export, access, event.get()).error, ENOTTY);
  EXPECT_EQ(open_device(broker, device_kind::syncobj).error, ENXIO);
}

TEST(broker, is_not_kept_from_others_by_silent_clients) {
  const broker_on_thread broker;
  std::vector<unique_fd> silent;
  for (std::size_t i = 0; i < uapi::server::silent_max + 20; ++i)
    silent.push_back(broker.connect());
  const answer timeline = open_device(broker, device_kind::sw_sync);
  ASSERT_EQ(timeline.error, 0);
  EXPECT_EQ(make_fence(broker, timeline, 1).error, 0);
}

TEST(broker, is_not_kept_from_its_own_user_by_silent_strangers) {
  if (::geteuid() != 0) GTEST_SKIP() << "takes root";
  const broker_on_thread broker;
  std::vector<unique_fd> own;
  for (int i = 0; i < 100; ++i) own.push_back(broker.connect());
  EXPECT_EQ(in_child([&] {
              UFENCE_CHILD_EXPECT(become_another_user());
              std::vector<unique_fd> silent;
              for (std::size_t i = 0; i < 2 * uapi::server::silent_max; ++i) {
                silent.push_back(broker.connect());
              }
              // The last of them has been accepted.
              UFENCE_CHILD_EXPECT(open_device(broker, device_kind::sw_sync).error == EACCES);
              return 0;
            }),
            0);
  EXPECT_FALSE(send_message(own.front().get(), open_request(device_kind::sw_sync)));
  EXPECT_EQ(receive_answer(own.front()).error, 0) << "the oldest silent one of its own";
}

TEST(broker, does_not_wait_for_a_descriptor_that_blocks_when_it_is_closed) {
  const broker_on_thread broker;
  slow_to_close slow;
  const int subject = slow.descriptor.get();
  // In a request, in what is none, and one too many.
  const auto bytes = request_bytes(uapi::operation::control, uapi::dma_buf_export, {}, {},
                                   uapi::request_header::has_subject);
  const std::array<int, 3> many = {subject, subject, subject};
  std::vector<unique_fd> connections;
  for (const std::size_t count : {1U, 2U, 3U}) {
    connections.push_back(broker.connect());
    ASSERT_FALSE(send_message(connections.back().get(), bytes, std::span(many).first(count)));
  }
  connections.push_back(broker.connect());
  ASSERT_FALSE(send_message(connections.back().get(), std::span(bytes).first(3), {&subject, 1}));
  slow.give_up();
  EXPECT_EQ(open_device(broker, device_kind::sw_sync).error, 0);
  for (const unique_fd& connection : connections) {
    pollfd ended{.fd = connection.get(), .events = POLLIN, .revents = 0};
    EXPECT_EQ(::poll(&ended, 1, 120'000), 1);
  }
  EXPECT_EQ(open_device(broker, device_kind::sw_sync).error, 0);
  slow.let_close();
}

TEST(broker, regress_does_not_wait_for_one_that_is_hidden_behind_what_is_peeked_at) {
  const broker_on_thread broker;
  const answer timeline = open_device(broker, device_kind::sw_sync);
  slow_to_close slow;
  socket_pair ends = make_socket_pair().value();
  const int theirs = ends.second.get();
  const int far = 1'000'000;
  ASSERT_EQ(::setsockopt(theirs, SOL_SOCKET, SO_PEEK_OFF, &far, sizeof far), 0);
  // What is no request, and more behind it: the connection is dropped with that in its queue.
  const std::byte byte{};
  const int subject = slow.descriptor.get();
  ASSERT_FALSE(send_message(ends.first.get(), {&byte, 1}));
  ASSERT_FALSE(send_message(ends.first.get(), {&byte, 1}, {&subject, 1}));
  slow.descriptor.reset();  // not the last one
  // The broker has the last duplicate of its end; the thread that is last here may wait.
  std::atomic<bool> is_sent{false};
  std::thread closes([&] {
    while (!is_sent) std::this_thread::yield();
    ends.second.reset();
  });
  EXPECT_FALSE(send_message(timeline.fd.get(), {&byte, 1}, {&theirs, 1}));
  is_sent = true;
  pollfd ended{.fd = ends.first.get(), .events = POLLIN, .revents = 0};
  EXPECT_EQ(::poll(&ended, 1, 120'000), 1);
  EXPECT_EQ(open_device(broker, device_kind::sw_sync).error, 0);
  slow.let_close();
  closes.join();
}

TEST(broker, forgets_a_wait_whose_caller_is_gone) {
  const broker_on_thread broker;
  const answer node = open_device(broker, device_kind::drm_card);
  ASSERT_EQ(node.error, 0);
  const auto made = control(broker, uapi::drm::syncobj_create, uapi::drm_handle{}, node.fd.get());
  ASSERT_EQ(made.error, 0);
  const std::uint32_t handle = made.as<uapi::drm_handle>().handle;
  uapi::drm_syncobj_wait wait{};
  wait.timeout_ns = INT64_MAX;
  wait.count = 1;
  wait.flags = 2;  // for its submission
  const auto bytes =
      request_bytes(uapi::operation::control, uapi::drm::syncobj_wait, bytes_of(&wait, sizeof wait),
                    bytes_of(&handle, sizeof handle), uapi::request_header::has_subject);
  const int subject = node.fd.get();
  for (int i = 0; i < 50; ++i) {
    const unique_fd connection = broker.connect();
    ASSERT_FALSE(send_message(connection.get(), bytes, {&subject, 1}));
  }
  // One that stays is answered.
  const unique_fd connection = broker.connect();
  ASSERT_FALSE(send_message(connection.get(), bytes, {&subject, 1}));
  uapi::drm_syncobj_array all{};
  all.count = 1;
  EXPECT_EQ(
      control(broker, uapi::drm::syncobj_signal, all, subject, -1, bytes_of(&handle, sizeof handle))
          .error,
      0);
  EXPECT_EQ(receive_answer(connection).error, 0);
}

std::size_t open_descriptors() {
  const std::filesystem::directory_iterator all("/proc/self/fd");
  return static_cast<std::size_t>(std::distance(begin(all), end(all)));
}

// All that a caller may wait for: submissions, fences, several of both, a transfer's source, a
// buffer.
TEST(broker, has_nothing_left_of_10000_waits_that_were_given_up) {
  const broker_on_thread broker;
  const answer node = open_device(broker, device_kind::drm_card);
  const answer timeline = open_device(broker, device_kind::sw_sync);
  ASSERT_EQ(node.error, 0);
  const int subject = node.fd.get();
  std::uint32_t handles[2] = {};
  for (std::uint32_t& handle : handles) {
    const auto made = control(broker, uapi::drm::syncobj_create, uapi::drm_handle{}, subject);
    ASSERT_EQ(made.error, 0);
    handle = made.as<uapi::drm_handle>().handle;
  }
  const answer fence = make_fence(broker, timeline, 1);
  ASSERT_EQ(fence.error, 0);
  const uapi::drm_syncobj_fd into{.handle = handles[1], .flags = 1, .fd = 0, .pad = 0, .point = 0};
  ASSERT_EQ(control(broker, uapi::drm::syncobj_from_fd, into, subject, fence.fd.get()).error, 0);
  const uapi::drm_dumb_buffer wanted{
      .height = 1, .width = 64, .bpp = 32, .flags = 0, .handle = 0, .pitch = 0, .size = 0};
  const auto buffer = control(broker, uapi::drm::create_dumb, wanted, subject);
  ASSERT_EQ(buffer.error, 0);
  const uapi::drm_prime as_file{
      .handle = buffer.as<uapi::drm_dumb_buffer>().handle, .flags = 0, .fd = 0};
  const answer dma_buf = control(broker, uapi::drm::prime_to_fd, as_file, subject);
  ASSERT_EQ(dma_buf.error, 0);
  const uapi::dma_buf_sync_file fences{.flags = uapi::dma_buf_write, .fd = 0};
  ASSERT_EQ(control(broker, uapi::dma_buf_import, fences, dma_buf.fd.get(), fence.fd.get()).error,
            0);

  struct given_up {
    std::vector<std::byte> request;
    int subject;
  };
  std::vector<given_up> calls;
  for (const std::uint32_t flags : {2U, 3U}) {
    for (const std::uint32_t first : {0U, 1U}) {
      uapi::drm_syncobj_wait wait{};
      wait.timeout_ns = INT64_MAX;
      wait.count = 2 - first;
      wait.flags = flags;
      calls.push_back({request_bytes(uapi::operation::control, uapi::drm::syncobj_wait,
                                     bytes_of(&wait, sizeof wait),
                                     bytes_of(handles + first, wait.count * sizeof handles[0]),
                                     uapi::request_header::has_subject),
                       subject});
    }
  }
  const uapi::drm_syncobj_transfer transfer{.source = handles[0],
                                            .destination = handles[1],
                                            .source_point = 7,
                                            .destination_point = 1,
                                            .flags = 2,
                                            .pad = 0};
  calls.push_back(
      {request_bytes(uapi::operation::control, uapi::drm::syncobj_transfer,
                     bytes_of(&transfer, sizeof transfer), {}, uapi::request_header::has_subject),
       subject});
  const std::uint64_t access = uapi::dma_buf_read;
  calls.push_back(
      {request_bytes(uapi::operation::control, uapi::dma_buf_sync, bytes_of(&access, sizeof access),
                     {}, uapi::request_header::has_subject),
       dma_buf.fd.get()});

  const std::size_t before = open_descriptors();
  for (std::size_t i = 0; i < 10'000; ++i) {
    const unique_fd connection = broker.connect();
    const given_up& call = calls[i % calls.size()];
    ASSERT_FALSE(send_message(connection.get(), call.request, {&call.subject, 1}));
  }
  // The last ones end a moment after the test has forgotten them.
  const std::int64_t until = deadline_after(120'000'000'000);
  while (open_descriptors() > before && now_ns() < until) {
    EXPECT_EQ(control(broker, uapi::sw_sync_inc, std::uint32_t{0}, timeline.fd.get()).error, 0);
  }
  EXPECT_LE(open_descriptors(), before);
  // What they waited for is as it was.
  EXPECT_FALSE(is_readable(fence.fd));
  const std::uint32_t one = 1;
  EXPECT_EQ(control(broker, uapi::sw_sync_inc, one, timeline.fd.get()).error, 0);
  EXPECT_TRUE(is_readable(fence.fd));
}

// --- Each client its share ---

answer make_buffer(const broker_on_thread& broker, const answer& node, std::uint32_t height) {
  uapi::drm_dumb_buffer b{};
  b.width = 1024;
  b.height = height;
  b.bpp = 32;
  return control(broker, uapi::drm::create_dumb, b, node.fd.get());
}
std::uint32_t handle_of(const answer& buffer) { return buffer.as<uapi::drm_dumb_buffer>().handle; }
answer to_dma_buf(const broker_on_thread& broker, const answer& node, std::uint32_t handle) {
  const uapi::drm_prime a{.handle = handle, .flags = O_RDWR, .fd = -1};
  return control(broker, uapi::drm::prime_to_fd, a, node.fd.get());
}
int close_buffer(const broker_on_thread& broker, const answer& node, std::uint32_t handle) {
  const uapi::drm_handle a{.handle = handle, .flags = 0};
  return control(broker, uapi::drm::gem_close, a, node.fd.get()).error;
}
int export_error(const broker_on_thread& broker, const answer& dma_buf) {
  const uapi::dma_buf_sync_file a{.flags = uapi::dma_buf_write, .fd = -1};
  return control(broker, uapi::dma_buf_export, a, dma_buf.fd.get()).error;
}
// Of this process, where the broker is: those of memory files.
std::size_t open_buffers() {
  std::size_t n = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    std::error_code gone;
    const auto target = std::filesystem::read_symlink(entry.path(), gone).string();
    n += target.find("ufence-dma-buf") != target.npos ? 1U : 0U;
  }
  return n;
}

TEST(broker, regress_a_limit_of_file_sizes_is_an_error_of_the_call_that_meets_it) {
  EXPECT_EQ(in_child([] {
              const rlimit limit{.rlim_cur = 1 << 20, .rlim_max = 1 << 20};
              UFENCE_CHILD_EXPECT(::setrlimit(RLIMIT_FSIZE, &limit) == 0);
              const broker_on_thread broker;
              const answer node = open_device(broker, device_kind::drm_card);
              UFENCE_CHILD_EXPECT(make_buffer(broker, node, 1024).error == EFBIG);
              UFENCE_CHILD_EXPECT(make_buffer(broker, node, 16).error == 0);
              return 0;
            }),
            0);
}

// A descriptor for reading stays one for a process that may not have the broker's files.
TEST(broker, regress_another_user_does_not_open_a_buffer_anew_to_write) {
  if (::geteuid() != 0) GTEST_SKIP() << "takes root";
  const broker_on_thread broker;
  const answer node = open_device(broker, device_kind::drm_card);
  const std::uint32_t handle = handle_of(make_buffer(broker, node, 1));
  const uapi::drm_prime a{.handle = handle, .flags = 0, .fd = -1};
  const answer reader = control(broker, uapi::drm::prime_to_fd, a, node.fd.get());
  ASSERT_EQ(reader.error, 0);
  const std::string path = "/proc/self/fd/" + std::to_string(reader.fd.get());
  EXPECT_GE(unique_fd(::open(path.c_str(), O_RDWR | O_CLOEXEC)).get(), 0) << "the broker's may";
  EXPECT_EQ(in_child([&] {
              UFENCE_CHILD_EXPECT(become_another_user());
              UFENCE_CHILD_EXPECT(::prctl(PR_SET_DUMPABLE, 1) == 0);  // /proc/self is its own
              UFENCE_CHILD_EXPECT(::access(path.c_str(), F_OK) == 0);
              UFENCE_CHILD_EXPECT(::open(path.c_str(), O_RDWR | O_CLOEXEC) < 0 && errno == EACCES);
              return 0;
            }),
            0);
}

TEST(broker, regress_a_buffer_is_known_whatever_locks_its_holder_takes_off) {
  const broker_on_thread broker;
  const answer node = open_device(broker, device_kind::drm_card);
  const std::uint32_t handle = handle_of(make_buffer(broker, node, 16));
  answer dma_buf = to_dma_buf(broker, node, handle);
  ASSERT_EQ(dma_buf.error, 0);
  struct flock none {};
  none.l_type = F_UNLCK;
  ASSERT_EQ(::fcntl(dma_buf.fd.get(), F_OFD_SETLK, &none), 0);
  EXPECT_EQ(close_buffer(broker, node, handle), 0);
  // Each makes the broker look.
  for (int i = 0; i < 3; ++i) {
    const answer other = make_buffer(broker, node, 16);
    EXPECT_EQ(close_buffer(broker, node, handle_of(other)), 0);
    EXPECT_EQ(export_error(broker, dma_buf), 0);
  }
  // Its memory is somebody's as long as it is mapped, too.
  void* const mapped = ::mmap(nullptr, 4096, PROT_READ, MAP_SHARED, dma_buf.fd.get(), 0);
  ASSERT_NE(mapped, MAP_FAILED);
  dma_buf.fd.reset();
  EXPECT_EQ(close_buffer(broker, node, handle_of(make_buffer(broker, node, 16))), 0);
  EXPECT_TRUE(eventually([] { return open_buffers() == 1; }));
  EXPECT_EQ(::munmap(mapped, 4096), 0);
  EXPECT_TRUE(eventually([] { return open_buffers() == 0; }));
}

TEST(broker, regress_destroyed_buffers_go_at_once) {
  const broker_on_thread broker;
  {
    const answer node = open_device(broker, device_kind::drm_card);
    const std::uint32_t handle = handle_of(make_buffer(broker, node, 16));
    const std::uint32_t kept = handle_of(make_buffer(broker, node, 16));
    EXPECT_EQ(open_buffers(), 2U);
    EXPECT_EQ(close_buffer(broker, node, handle), 0);
    EXPECT_TRUE(eventually([] { return open_buffers() == 1; }));
    EXPECT_EQ(to_dma_buf(broker, node, kept).error, 0);
  }
  EXPECT_TRUE(eventually([] { return open_buffers() == 0; }));
}

// What one client can take of what all have. The broker's limit is that of its process.
enum class greed { devices, files, waits, events, imports };

answer take_one(const broker_on_thread& broker, greed what, const answer& device,
                std::uint32_t handle, std::vector<unique_fd>& waits) {
  switch (what) {
    case greed::devices: return open_device(broker, device_kind::sw_sync);
    case greed::files: return make_fence(broker, device, 1);
    case greed::events: {
      const unique_fd event(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
      const uapi::drm_syncobj_eventfd a{
          .handle = handle, .flags = 0, .point = 0, .fd = 0, .pad = 0};
      return control(broker, uapi::drm::syncobj_eventfd, a, device.fd.get(), event.get());
    }
    case greed::imports: {
      // Of this process, whose descriptors are not the broker's.
      static std::vector<new_fence> exported;
      exported.push_back(fence::create(fence::allocate_contexts(1), 1).value());
      const unique_fd file = sync_file_create(exported.back().fence).value();
      uapi::drm_syncobj_fd a{};
      a.handle = control(broker, uapi::drm::syncobj_create, uapi::drm_handle{}, device.fd.get())
                     .as<uapi::drm_handle>()
                     .handle;
      a.flags = 1;
      return control(broker, uapi::drm::syncobj_from_fd, a, device.fd.get(), file.get());
    }
    case greed::waits: break;
  }
  uapi::drm_syncobj_wait w{};
  w.count = 1;
  w.flags = 2;  // for the submission
  w.timeout_ns = INT64_MAX;
  unique_fd connection = broker.connect();
  const int subject = device.fd.get();
  EXPECT_FALSE(send_message(
      connection.get(),
      request_bytes(uapi::operation::control, uapi::drm::syncobj_wait, bytes_of(&w, sizeof w),
                    bytes_of(&handle, sizeof handle), uapi::request_header::has_subject),
      {&subject, 1}));
  // It has begun, or failed, when the next call is answered.
  static_cast<void>(control(broker, uapi::sw_sync_inc, std::uint32_t{0}, -1));
  answer got;
  got.error = 0;
  if (is_readable(connection)) return receive_answer(connection);
  waits.push_back(std::move(connection));
  return got;
}

// 0, or the line that does not hold.
int take_all(const broker_on_thread& broker, greed what) {
  const answer device =
      open_device(broker, what == greed::files ? device_kind::sw_sync : device_kind::drm_card);
  UFENCE_CHILD_EXPECT(device.error == 0);
  std::uint32_t handle = 0;
  if (what == greed::waits || what == greed::events) {
    handle = control(broker, uapi::drm::syncobj_create, uapi::drm_handle{}, device.fd.get())
                 .as<uapi::drm_handle>()
                 .handle;
  }
  std::vector<unique_fd> waits;
  std::vector<answer> taken;
  for (int i = 0; i < 2000; ++i) {
    answer got = take_one(broker, what, device, handle, waits);
    if (got.error != 0) {
      UFENCE_CHILD_EXPECT(got.error == (what == greed::waits ? ENOMEM : EMFILE));
      // It has a good part, and others are served. Nobody else can take the rest.
      UFENCE_CHILD_EXPECT(i > 30);
      return in_child([&] {
        const answer mine = open_device(broker, device_kind::sw_sync);
        UFENCE_CHILD_EXPECT(mine.error == 0);
        for (int n = 0; n < 10; ++n) UFENCE_CHILD_EXPECT(make_fence(broker, mine, 1).error == 0);
        return 0;
      });
    }
    taken.push_back(std::move(got));
  }
  return __LINE__;
}

TEST(broker, regress_one_client_leaves_a_share_to_the_others) {
  for (const greed what :
       {greed::devices, greed::files, greed::waits, greed::events, greed::imports}) {
    EXPECT_EQ(in_child([what] {
                // The broker's own process has others than the greedy one.
                const rlimit limit{.rlim_cur = 256, .rlim_max = 256};
                UFENCE_CHILD_EXPECT(::setrlimit(RLIMIT_NOFILE, &limit) == 0);
                const broker_on_thread broker;
                return in_child([&] {
                  const rlimit more{.rlim_cur = 4096, .rlim_max = 4096};
                  if (::setrlimit(RLIMIT_NOFILE, &more) != 0) return 0;  // takes root
                  return take_all(broker, what);
                });
              }),
              0)
        << static_cast<int>(what);
  }
}

// Half of what there is, since it leaves as much to the others.
TEST(shares, regress_of_objects_and_memory_leave_as_much_to_the_others) {
  const auto all = std::make_shared<uapi::holdings>();
  const auto greedy = std::make_shared<uapi::client>(all);
  const auto other = std::make_shared<uapi::client>(all);
  for (const uapi::resource what : {uapi::resource::objects, uapi::resource::bytes}) {
    std::uint64_t most = 1;
    while (greedy->may_have(what, most * 2)) most *= 2;
    EXPECT_GE(most, std::uint64_t{1} << 20);
    const uapi::charge held(greedy, most, what);
    EXPECT_FALSE(greedy->may_have(what, most));
    EXPECT_FALSE(greedy->may_have(what, UINT64_MAX));
    EXPECT_TRUE(other->may_have(what, most / 2));
  }
  EXPECT_EQ(all->of(uapi::resource::objects), 0U);
  EXPECT_EQ(all->of(uapi::resource::bytes), 0U);
}

TEST(broker, checks_that_arrays_have_the_size_that_is_said) {
  const broker_on_thread broker;
  const answer node = open_device(broker, device_kind::drm_card);
  ASSERT_EQ(node.error, 0);
  uapi::drm_syncobj_array all{};
  const std::uint32_t handle = 1;
  for (const std::uint32_t count : {0U, 2U, 0x4000'0000U, 0x4000'0001U, UINT32_MAX}) {
    all.count = count;
    EXPECT_EQ(control(broker, uapi::drm::syncobj_reset, all, node.fd.get(), -1,
                      bytes_of(&handle, sizeof handle))
                  .error,
              EINVAL);
  }
}

TEST(broker, ends_a_timeline_with_its_last_descriptor_before_the_next_call) {
  const broker_on_thread broker;
  answer timeline = open_device(broker, device_kind::sw_sync);
  const answer fence = make_fence(broker, timeline, 1);
  ASSERT_EQ(fence.error, 0);
  unique_fd copy(::dup(timeline.fd.get()));
  timeline.fd.reset();
  ::sync_file_info info{};
  EXPECT_EQ(
      control(broker, uapi::sync_ioc_file_info, info, fence.fd.get()).as<::sync_file_info>().status,
      0);
  copy.reset();
  EXPECT_EQ(
      control(broker, uapi::sync_ioc_file_info, info, fence.fd.get()).as<::sync_file_info>().status,
      -ENOENT);
  EXPECT_TRUE(is_readable(fence.fd));
}

}  // namespace
}  // namespace ufence::testing
