#include "ufence/sync/channel.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "ufence/container/chain.h"
#include "ufence/sync/parcel_wire.h"
#include "ufence/sync/sync_file.h"
#include "ufence/sync/testing/processes.h"
#include "ufence/sync/testing/strangers.h"
#include "ufence/syncobj/testing/syncobj_support.h"

namespace ufence {
namespace {

using namespace testing;
using detail::parcel_head;
using detail::parcel_item;
using detail::parcel_kind;
using detail::parcel_view;

const std::error_code senseless = errno_code(EPROTO);
const std::error_code gone = errno_code(EPIPE);

std::pair<channel, channel> make_channels(const channel_options& options = {}) {
  return channel::pair(options).value();
}
parcel number(std::uint64_t tag) { return {.tag = tag}; }
std::uint64_t tag_of(const result<parcel>& p) { return p ? p->tag : UINT64_MAX; }

std::vector<std::byte> bytes_of(const std::string& text) {
  std::vector<std::byte> bytes(text.size());
  std::memcpy(bytes.data(), text.data(), text.size());
  return bytes;
}

TEST(channel, carries_a_parcel_whole) {
  auto [here, there] = make_channels();
  new_fence made = make_fence();
  const syncobj_ref binary = syncobj::create().value();
  const syncobj_ref line = syncobj::create().value();
  EXPECT_EQ(binary->replace_fence(made.fence), no_error);
  EXPECT_EQ(line->add_point(made.fence, 7), no_error);
  const shared_timeline_ref shared =
      shared_timeline::create({.name = "shared", .peers_may_signal = true}).value();
  parcel sent{.tag = 4711, .bytes = bytes_of("hello")};
  sent.items.push_back({.fence = made.fence});
  sent.items.push_back({.object = binary});
  sent.items.push_back({.object = line});
  sent.items.push_back({.object = syncobj::create().value()});
  sent.items.push_back({.timeline = shared});
  sent.items.push_back({.timeline = shared, .access = shared_access::signal});
  ASSERT_EQ(here.send(sent, no_wait), no_error);

  const parcel got = there.receive(no_wait).value();
  EXPECT_EQ(got.tag, 4711U);
  EXPECT_EQ(got.bytes, bytes_of("hello"));
  EXPECT_EQ(got.sender.pid, ::getpid());
  EXPECT_EQ(got.sender.uid, ::geteuid());
  ASSERT_EQ(got.items.size(), 6U);
  EXPECT_EQ(got.items[0].fence, made.fence) << "in one process the very fence";
  EXPECT_EQ(got.items[1].object->current().value(), made.fence);
  EXPECT_NE(got.items[2].object, line) << "one of its own";
  EXPECT_EQ(got.items[2].object->last_submitted(), result<std::uint64_t>(7));
  EXPECT_EQ(got.items[3].object->current().value(), fence_ref());
  EXPECT_EQ(got.items[4].timeline->name(), "shared");
  EXPECT_FALSE(got.items[4].timeline->may_signal());
  EXPECT_TRUE(got.items[5].timeline->may_signal());
  EXPECT_EQ(got.items[2].object->query(), result<std::uint64_t>(0));
  made.signal.signal();
  EXPECT_EQ(got.items[2].object->query(), result<std::uint64_t>(7));
  EXPECT_EQ(there.receive(no_wait).error(), timed_out);
}

TEST(channel, keeps_the_order_and_both_directions) {
  auto [here, there] = make_channels();
  for (std::uint64_t i = 0; i < 5; ++i) {
    EXPECT_EQ(here.send(number(i), no_wait), no_error);
    EXPECT_EQ(there.send(number(100 + i), no_wait), no_error);
  }
  for (std::uint64_t i = 0; i < 5; ++i) {
    EXPECT_EQ(tag_of(there.receive(no_wait)), i);
    EXPECT_EQ(tag_of(here.receive(no_wait)), 100 + i);
  }
}

TEST(channel, waits_for_a_parcel) {
  auto [here, there] = make_channels();
  EXPECT_EQ(there.receive(deadline_after(millisecond_ns)).error(), timed_out);
  channel& waits = there;
  blocked_call<std::uint64_t> call([&] { return tag_of(waits.receive(patience())); });
  call.until_asleep();
  EXPECT_EQ(here.send(number(3), no_wait), no_error);
  EXPECT_EQ(call.get(), 3U);
}

TEST(channel, sends_nothing_beyond_its_limits) {
  auto [here, there] = make_channels({.bytes_max = 8, .items_max = 2});
  parcel p{.bytes = bytes_of("123456789")};
  EXPECT_EQ(here.send(p, no_wait), errno_code(EMSGSIZE));
  p.bytes.pop_back();
  p.items.resize(3, {.fence = fence::stub()});
  EXPECT_EQ(here.send(p, no_wait), errno_code(EMSGSIZE));
  p.items.pop_back();
  EXPECT_EQ(here.send(p, no_wait), no_error);
  p.items[1] = {};
  EXPECT_EQ(here.send(p, no_wait), errno_code(EINVAL)) << "an item that is nothing";
  p.items[1] = {.fence = fence::stub(), .object = syncobj::create().value()};
  EXPECT_EQ(here.send(p, no_wait), errno_code(EINVAL)) << "an item that is two things";
  p.items[1] = {.timeline = shared_timeline::create().value(), .access = shared_access::signal};
  EXPECT_EQ(here.send(p, no_wait), errno_code(EPERM)) << "what can't be granted";
  EXPECT_EQ(there.receive(no_wait)->items.size(), 2U);
  EXPECT_EQ(there.receive(no_wait).error(), timed_out);
  EXPECT_EQ(channel::pair({.items_max = 65}).error(), errno_code(EINVAL));
}

TEST(channel, takes_connected_sockets_only) {
  const auto refused = [](int fd) { return channel::adopt(unique_fd(fd)).error(); };
  EXPECT_EQ(refused(-1), errno_code(EBADF));
  EXPECT_EQ(refused(::open("/dev/null", O_RDWR | O_CLOEXEC)), errno_code(EINVAL));
  EXPECT_EQ(refused(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)), errno_code(EINVAL));
  EXPECT_EQ(refused(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)), errno_code(EINVAL));
  std::array<int, 2> stream{};
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, stream.data()), 0);
  EXPECT_EQ(refused(stream[0]), errno_code(EINVAL));
  ::close(stream[1]);
}

TEST(channel, a_reader_that_stops_does_not_block_the_sender) {
  auto [here, there] = make_channels();
  std::uint64_t sent = 0;
  parcel p{.bytes = std::vector<std::byte>(4000)};
  p.items.push_back({.fence = fence::stub()});
  std::error_code failed;
  for (; !failed && sent < 100'000; ++sent) {
    p.tag = sent;
    failed = here.send(p, no_wait);
  }
  --sent;  // the last one was not
  EXPECT_TRUE(failed == timed_out || failed == errno_code(ETOOMANYREFS)) << failed.message();
  EXPECT_EQ(here.send(number(0), deadline_after(millisecond_ns)), timed_out);
  for (std::uint64_t i = 0; i < sent; ++i) ASSERT_EQ(tag_of(there.receive(no_wait)), i);
  EXPECT_EQ(here.send(number(4711), no_wait), no_error);
  EXPECT_EQ(tag_of(there.receive(no_wait)), 4711U) << "what was refused is not half sent";
}

TEST(channel, the_end_of_the_peer_is_told_after_what_it_had_sent) {
  auto ends = make_channels();
  channel here = std::move(ends.first);
  {
    channel there = std::move(ends.second);
    EXPECT_EQ(here.send(number(1), no_wait), no_error);
    EXPECT_EQ(there.send(number(2), no_wait), no_error);
  }
  EXPECT_EQ(tag_of(here.receive(no_wait)), 2U) << "though it did not read what we had sent";
  EXPECT_EQ(here.receive(no_deadline).error(), gone);
  EXPECT_EQ(here.send(number(3), no_deadline), gone);
}

TEST(channel, without_a_free_descriptor_loses_nothing) {
  let_sanitizers_see_error_codes();
  auto [here, there] = make_channels();
  new_fence made = make_fence();
  parcel p{.tag = 5};
  p.items.push_back({.timeline = shared_timeline::create({.name = "line"}).value()});
  p.items.push_back({.fence = made.fence});
  EXPECT_EQ(here.send(p, no_wait), no_error);
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  const unique_fd highest(::fcntl(0, F_DUPFD_CLOEXEC, 0));
  for (const rlim_t spare : {rlim_t{0}, rlim_t{1}, rlim_t{2}}) {
    const rlimit few{.rlim_cur = static_cast<rlim_t>(highest.get()) + 1 + spare,
                     .rlim_max = before.rlim_max};
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &few), 0);
    const result<parcel> got = there.receive(no_wait);
    const std::error_code not_sent = here.send(p, no_wait);
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
    EXPECT_EQ(got.error(), errno_code(EMFILE)) << spare;
    if (spare < 2) {
      EXPECT_EQ(not_sent, errno_code(EMFILE));
    }
  }
  const result<parcel> got = there.receive(no_wait);
  ASSERT_TRUE(got.has_value()) << got.error().message();
  EXPECT_EQ(got->items[1].fence, made.fence);
  EXPECT_EQ(got->items[0].timeline->name(), "line");
  made.signal.signal();
}

// --- What no channel sends ---

template <class T>
void put(std::vector<std::byte>& to, const T& value) {
  const auto* first = reinterpret_cast<const std::byte*>(&value);
  to.insert(to.end(), first, first + sizeof value);
}
std::vector<std::byte> letter(const parcel_head& head, std::initializer_list<parcel_item> items,
                              const std::string& text = {}) {
  std::vector<std::byte> message;
  put(message, head);
  for (const parcel_item& item : items) put(message, item);
  for (const char c : text) put(message, c);
  return message;
}

void send_raw(int socket, const std::vector<std::byte>& bytes, const std::vector<int>& fds) {
  iovec data{.iov_base = const_cast<std::byte*>(bytes.data()), .iov_len = bytes.size()};
  std::vector<std::byte> control(CMSG_SPACE(fds.size() * sizeof(int)));
  msghdr m{};
  m.msg_iov = &data;
  m.msg_iovlen = 1;
  if (!fds.empty()) {
    m.msg_control = control.data();
    m.msg_controllen = control.size();
    cmsghdr* c = CMSG_FIRSTHDR(&m);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(fds.size() * sizeof(int));
    std::memcpy(CMSG_DATA(c), fds.data(), fds.size() * sizeof(int));
  }
  ASSERT_GE(::sendmsg(socket, &m, MSG_NOSIGNAL), 0);
}

TEST(channel, drops_what_makes_no_sense_and_goes_on) {
  auto [here, there] = make_channels({.bytes_max = 64, .items_max = 4});
  const int raw = here.fd();
  const unique_fd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  const unique_fd event(::eventfd(0, EFD_CLOEXEC));
  const int fd = null.get();
  const parcel_item of_fence{.kind = parcel_kind::fence};
  const parcel_item of_line{.kind = parcel_kind::timeline};
  const parcel_item empty{.kind = parcel_kind::empty_syncobj};
  const auto refuses = [&, &other = there](const char* what, const std::vector<std::byte>& bytes,
                                           const std::vector<int>& fds) {
    send_raw(raw, bytes, fds);
    EXPECT_EQ(other.receive(no_wait).error(), senseless) << what;
  };
  refuses("nothing", {}, {});
  refuses("half a head", std::vector<std::byte>(5), {});
  refuses("zeros", std::vector<std::byte>(64), {});
  refuses("another magic", letter({.magic = 1}, {}), {});
  refuses("an item that is not there", letter({.items = 1}, {}), {});
  refuses("an item too many", letter({.items = 0}, {empty}), {});
  refuses("more items than fit in a number", letter({.items = UINT32_MAX}, {}), {});
  refuses("bytes that are not there", letter({.bytes = 1}, {}), {});
  refuses("a size that wraps", letter({.bytes = UINT64_MAX}, {}), {});
  refuses("more bytes than allowed", letter({.bytes = 65}, {}, std::string(65, 'x')), {});
  refuses("more than there is room for", std::vector<std::byte>(100'000), {});
  refuses("more items than allowed", letter({.items = 5}, {empty, empty, empty, empty, empty}), {});
  refuses("an unknown kind", letter({.items = 1}, {{.kind = static_cast<parcel_kind>(9)}}), {fd});
  refuses("a reserved field", letter({.items = 1}, {{.kind = parcel_kind::fence, .zero = 1}}),
          {fd});
  refuses("a point of a fence", letter({.items = 1}, {{.kind = parcel_kind::fence, .point = 1}}),
          {fd});
  refuses("no descriptor", letter({.items = 1}, {of_fence}), {});
  refuses("a descriptor too many", letter({.items = 1}, {of_fence}), {fd, fd});
  refuses("a descriptor for nothing", letter({}, {}), {fd});
  refuses("many descriptors", letter({}, {}), std::vector<int>(200, fd));
  refuses("a descriptor of something else", letter({.items = 1}, {of_fence}), {fd});
  refuses("an eventfd", letter({.items = 1}, {of_fence}), {event.get()});
  refuses("a page that is none", letter({.items = 1}, {of_line}), {fd});
  const unique_fd file = sync_file_create(fence::stub()).value();
  refuses("the second is wrong", letter({.items = 2}, {of_fence, of_line}), {file.get(), fd});
  EXPECT_EQ(here.send(number(8), no_wait), no_error);
  EXPECT_EQ(tag_of(there.receive(no_wait)), 8U);
}

TEST(channel, regress_more_descriptors_than_there_is_room_for_without_the_senders_name) {
  auto [here, there] = make_channels({.items_max = channel::items_limit});
  const unique_fd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  for (const std::size_t count : {65U, 66U, 72U, 73U, 74U, 200U, 253U}) {
    const int off = 0;
    ASSERT_EQ(::setsockopt(there.fd(), SOL_SOCKET, SO_PASSCRED, &off, sizeof off), 0);
    send_raw(here.fd(), letter({}, {}), std::vector<int>(count, null.get()));
    EXPECT_EQ(there.receive(no_wait).error(), senseless) << count;
  }
  for (const int standard : {0, 1, 2}) EXPECT_GE(::fcntl(standard, F_GETFD), 0) << standard;
}

TEST(channel, knows_the_sender_where_somebody_has_turned_that_off) {
  auto [here, there] = make_channels();
  const int off = 0;
  ASSERT_EQ(::setsockopt(there.fd(), SOL_SOCKET, SO_PASSCRED, &off, sizeof off), 0);
  ASSERT_EQ(here.send(number(5), no_wait), no_error);
  const result<parcel> got = there.receive(no_wait);
  EXPECT_EQ(tag_of(got), 5U);
  // The kernel noted the sender only if it was asked to before.
  EXPECT_EQ(got ? got->sender.uid : 0U, ::geteuid());
}

TEST(channel, does_not_wait_for_a_descriptor_that_blocks_when_it_is_closed) {
  auto [here, there] = make_channels();
  slow_to_close slow;
  send_raw(here.fd(), letter({}, {}), {slow.descriptor.get()});
  send_raw(here.fd(), letter({.items = 1}, {{.kind = parcel_kind::fence}}),
           {slow.descriptor.get()});
  slow.give_up();  // those in the messages are the last ones
  EXPECT_EQ(there.receive(no_wait).error(), senseless);
  EXPECT_EQ(there.receive(no_wait).error(), senseless);
  slow.let_close();
}

TEST(channel, tells_what_its_own_sandbox_refuses_and_keeps_the_parcel) {
  auto [here, there] = make_channels();
  new_fence made = make_fence();
  child_process other([&, &to = here](const test_pipe&) {
    new_fence theirs = make_fence();
    parcel p{.tag = 7};
    p.items.push_back({.fence = theirs.fence});
    UFENCE_CHILD_EXPECT(to.send(p, no_wait) == no_error);
    theirs.signal.signal();
    return 0;
  });
  // A parcel with a fence of this process, in a child where it has to be imported.
  parcel p{.tag = 8};
  p.items.push_back({.fence = made.fence});
  EXPECT_EQ(other.end(), 0);
  ASSERT_EQ(here.send(p, no_wait), no_error);
  child_process sandboxed([&, &from = there](const test_pipe&) {
    UFENCE_CHILD_EXPECT(tag_of(from.receive(no_wait)) == 7);
    if (!deny_system_calls({SYS_eventfd2}, EPERM)) return 0;
    UFENCE_CHILD_EXPECT(from.receive(no_wait).error() == errno_code(EPERM));
    UFENCE_CHILD_EXPECT(from.receive(no_wait).error() == errno_code(EPERM));
    return 0;
  });
  EXPECT_EQ(sandboxed.end(), 0);
  EXPECT_EQ(tag_of(there.receive(no_wait)), 8U) << "it is still there";
  made.signal.signal();
}

TEST(channel, refuses_other_users) {
  if (::geteuid() != 0) GTEST_SKIP() << "takes root";
  auto ends = make_channels();
  channel here = std::move(ends.first);
  {
    const channel there = std::move(ends.second);
    child_process other([&](const test_pipe&) {
      channel from = channel::adopt(unique_fd(::fcntl(there.fd(), F_DUPFD_CLOEXEC, 0))).value();
      UFENCE_CHILD_EXPECT(::setresuid(65534, 65534, 65534) == 0);
      UFENCE_CHILD_EXPECT(from.send(number(1), no_wait) == no_error);
      // The socket was made by root.
      UFENCE_CHILD_EXPECT(
          channel::adopt(unique_fd(::fcntl(from.fd(), F_DUPFD_CLOEXEC, 0))).error() ==
          errno_code(EACCES));
      return 0;
    });
    EXPECT_EQ(other.end(), 0);
  }
  EXPECT_EQ(here.receive(no_wait).error(), errno_code(EACCES));
  EXPECT_EQ(here.receive(no_wait).error(), gone) << "it was dropped";
}

TEST(parcel_wire, any_bytes_are_borne) {
  std::mt19937 random(99);
  const std::vector<std::byte> good =
      letter({.items = 2, .bytes = 3},
             {{.kind = parcel_kind::fence}, {.kind = parcel_kind::syncobj}}, "abc");
  EXPECT_TRUE(parcel_view::parse(good, 2, 4, 8).has_value());
  std::size_t accepted = 0;
  for (int round = 0; round < 20'000; ++round) {
    std::vector<std::byte> bytes = good;
    bytes.resize(random() % (good.size() + 8));
    for (auto changes = random() % 3; changes > 0 && !bytes.empty(); --changes) {
      bytes[random() % bytes.size()] = static_cast<std::byte>(random());
    }
    const result<parcel_view> view = parcel_view::parse(bytes, random() % 3, 4, 8);
    if (!view) continue;
    ++accepted;
    EXPECT_LE(view->items(), 4U);
    EXPECT_LE(view->bytes().size(), 8U);
    EXPECT_EQ(detail::parcel_size(view->items(), view->bytes().size()), bytes.size());
  }
  EXPECT_GT(accepted, 0U);
}

}  // namespace
}  // namespace ufence
