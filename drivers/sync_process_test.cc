// Sync files and syncobjs of a real module's fences, when the module is no longer mapped.
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "drivers/sim/sim.h"
#include "drivers/testing/driver_test.h"
#include "ufence/base/fd.h"
#include "ufence/sync/sync_file.h"
#include "ufence/sync/syncobj_file.h"
#include "ufence/syncobj/syncobj.h"

namespace ufence::drivers {
namespace {

// What a sync file tells; trivial, since it goes from process to process.
struct told {
  int error = 0;  // of asking
  int status = 0;
  short events = 0;
  std::uint32_t leaf_count = 0;
  ::sync_fence_info leaf{};
};

told look_at(int file) {
  told t;
  ::sync_file_info info{};
  info.num_fences = 1;
  info.sync_fence_info = reinterpret_cast<std::uintptr_t>(&t.leaf);
  t.error = sync_file_get_info(file, info).value();
  t.status = info.status;
  t.leaf_count = info.num_fences;
  pollfd p{.fd = file, .events = POLLIN, .revents = 0};
  t.events = ::poll(&p, 1, 0) < 0 ? short{-1} : p.revents;
  return t;
}

// Another process, which was there before any module was loaded. It keeps the sync files that it
// is sent, and a fence of its own for each.
class holder {
 public:
  holder() {
    std::array<int, 2> ends{};
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0) std::abort();
    unique_fd mine(ends[0]);
    unique_fd its(ends[1]);
    pid_ = ::fork();
    if (pid_ == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      ::alarm(250);
      mine.reset();
      ::_exit(serve(its.get()));
    }
    line_ = std::move(mine);
  }
  ~holder() {
    line_.reset();  // tells it to end
    int status = 0;
    while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
    }
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
  }
  holder(const holder&) = delete;
  holder& operator=(const holder&) = delete;

  void keep(int file) {
    char byte = 'k';
    letter with_file(&byte, 1);
    cmsghdr* const rights = CMSG_FIRSTHDR(&with_file.message);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof file);
    std::memcpy(CMSG_DATA(rights), &file, sizeof file);
    EXPECT_EQ(::sendmsg(line_.get(), &with_file.message, 0), 1);
    EXPECT_EQ(answer<int>(), 0);
  }
  // What it sees of the n-th file; first its own fence has to be signaled, if that is asked for.
  told look(int n, bool waits = false) {
    const std::array<char, 2> asked{waits ? 'w' : 'l', static_cast<char>(n)};
    EXPECT_EQ(::send(line_.get(), asked.data(), asked.size(), 0), 2);
    return answer<told>();
  }

 private:
  // With room for a descriptor.
  struct letter {
    letter(char* text, std::size_t size) : data{.iov_base = text, .iov_len = size} {
      message.msg_iov = &data;
      message.msg_iovlen = 1;
      message.msg_control = room.data();
      message.msg_controllen = room.size();
    }
    letter(const letter&) = delete;
    letter& operator=(const letter&) = delete;

    iovec data;
    alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(sizeof(int))> room{};
    msghdr message{};
  };

  template <class T>
  T answer() {
    T said{};
    pollfd p{.fd = line_.get(), .events = POLLIN, .revents = 0};
    EXPECT_EQ(::poll(&p, 1, 120'000), 1);
    EXPECT_EQ(::recv(line_.get(), &said, sizeof said, MSG_DONTWAIT),
              static_cast<ssize_t>(sizeof said));
    return said;
  }

  static int serve(int line) {
    std::array<unique_fd, 8> files;
    std::array<fence_ref, 8> fences;
    std::size_t count = 0;
    for (;;) {
      std::array<char, 2> asked{};
      letter came(asked.data(), asked.size());
      if (::recvmsg(line, &came.message, MSG_CMSG_CLOEXEC) <= 0) return 0;
      if (asked[0] == 'k') {
        int file = -1;
        std::memcpy(&file, CMSG_DATA(CMSG_FIRSTHDR(&came.message)), sizeof file);
        files[count].reset(file);
        result<fence_ref> f = sync_file_get_fence(file);
        const int failed = f ? 0 : f.error().value();
        if (f) fences[count++] = *std::move(f);
        static_cast<void>(::send(line, &failed, sizeof failed, MSG_NOSIGNAL));
        continue;
      }
      const auto n = static_cast<std::size_t>(asked[1]);
      if (asked[0] == 'w' && fences[n]->wait(patience())) return 1;
      told seen = look_at(files[n].get());
      if (asked[0] == 'w' && fences[n]->status() != seen.status) seen.error = EPROTO;
      static_cast<void>(::send(line, &seen, sizeof seen, MSG_NOSIGNAL));
    }
  }

  pid_t pid_ = -1;
  unique_fd line_;
};

class unloaded_module : public driver_test, public testing::WithParamInterface<const char*> {
 protected:
  static fence_ref work(const device_ref& d, std::uint32_t flags, std::int32_t error) {
    ufence_sim_work w{};
    w.ticks = 1;
    w.flags = flags;
    w.error = error;
    return give(d, UFENCE_SIM_WORK, w);
  }
  static void advance(const device_ref& d, std::uint64_t ticks) {
    EXPECT_EQ(run(d, UFENCE_SIM_ADVANCE, ufence_sim_advance{ticks}), 0);
  }
  static unique_fd file_of(const fence_ref& f) { return sync_file_create(f).value(); }

  void expect(const told& t, const fence_ref& f) const {
    EXPECT_EQ(t.error, 0);
    EXPECT_EQ(t.leaf_count, 1U);
    EXPECT_EQ(t.status, f->status());
    EXPECT_EQ(t.leaf.status, f->status());
    EXPECT_EQ(t.leaf.driver_name, std::string_view(name_));
    EXPECT_EQ(t.leaf.obj_name, f->timeline_name());
    EXPECT_EQ(t.events, f->is_signaled() ? POLLIN : 0);
    if (!f->is_signaled()) return;
    EXPECT_EQ(t.leaf.timestamp_ns, static_cast<std::uint64_t>(f->timestamp_ns()));
  }

  const char* const name_ = GetParam();
  holder other_;
};

INSTANTIATE_TEST_SUITE_P(, unloaded_module, testing::Values("sim", "sim_ooo"),
                         [](const auto& chosen) { return std::string(chosen.param); });

TEST_P(unloaded_module, leaves_the_sync_files_that_others_hold_right) {
  device_ref d = load(name_);
  std::array fences{work(d, 0, 0), work(d, 0, -EIO), work(d, UFENCE_SIM_HANG, 0)};
  std::array<unique_fd, fences.size()> files;
  for (std::size_t i = 0; i < fences.size(); ++i) files[i] = file_of(fences[i]);
  advance(d, 2);
  ASSERT_EQ(fences[0]->status(), 1);
  ASSERT_EQ(fences[1]->status(), -EIO);
  ASSERT_EQ(fences[2]->status(), 0);
  for (int i = 0; i < 3; ++i) {
    other_.keep(files[static_cast<std::size_t>(i)].get());
    expect(other_.look(i), fences[static_cast<std::size_t>(i)]);
  }

  unload(d, unload_policy::cancel);
  EXPECT_EQ(fences[2]->status(), -ECANCELED);
  for (int i = 0; i < 3; ++i) {
    const fence_ref& f = fences[static_cast<std::size_t>(i)];
    const unique_fd& file = files[static_cast<std::size_t>(i)];
    expect(other_.look(i, true), f);
    expect(look_at(file.get()), f);
    EXPECT_EQ(sync_file_get_fence(file.get()).value(), f);
  }
  // They can still be merged, and new ones made. What merges is over, so the errors stay behind.
  const unique_fd merged = sync_file_merge(files[0].get(), files[2].get()).value();
  EXPECT_EQ(look_at(merged.get()).status, 1);
  const unique_fd late = file_of(fences[1]);
  other_.keep(late.get());
  expect(other_.look(3, true), fences[1]);
}

TEST_P(unloaded_module, leaves_sync_files_that_alone_keep_their_fences) {
  device_ref d = load(name_);
  for (const std::uint32_t flags : {0U, std::uint32_t{UFENCE_SIM_HANG}}) {
    other_.keep(file_of(work(d, flags, 0)).get());
  }
  advance(d, 1);
  unload(d, unload_policy::cancel);
  constexpr std::array ends{1, -ECANCELED};
  for (int i = 0; i < 2; ++i) {
    const told t = other_.look(i, true);
    EXPECT_EQ(t.status, ends[static_cast<std::size_t>(i)]);
    EXPECT_EQ(t.leaf.driver_name, std::string_view(name_));
    EXPECT_EQ(t.events, POLLIN);
  }
}

TEST_P(unloaded_module, leaves_what_is_in_syncobjs_right) {
  const syncobj_ref points = syncobj::create().value();
  const syncobj_ref single = syncobj::create().value();
  device_ref d = load(name_);
  const fence_ref done = work(d, 0, 0);
  const fence_ref hanging = work(d, UFENCE_SIM_HANG, 0);
  advance(d, 1);
  EXPECT_FALSE(points->add_point(done, 1));
  EXPECT_FALSE(points->add_point(hanging, 2));
  EXPECT_FALSE(single->replace_fence(hanging));
  const unique_fd exported = syncobj_export(points).value();
  EXPECT_EQ(points->query().value(), 1U);

  unload(d, unload_policy::cancel);
  EXPECT_EQ(points->query().value(), 2U);
  const fence_ref second = points->find_fence(2).value();
  EXPECT_FALSE(second->wait(no_wait));
  const fence_ref in_it = single->current().value();
  EXPECT_EQ(in_it, hanging);
  EXPECT_EQ(in_it->status(), -ECANCELED);
  EXPECT_EQ(in_it->driver_name(), name_);
  EXPECT_EQ(syncobj_import(exported.get()).value(), points);
  const unique_fd file = file_of(in_it);
  other_.keep(file.get());
  expect(other_.look(0, true), hanging);

  // The next instance's fences follow those of the one that is gone.
  d = load(name_);
  const fence_ref next = work(d, 0, 0);
  EXPECT_FALSE(points->add_point(next, 3));
  EXPECT_EQ(points->query().value(), 2U);
  advance(d, 1);
  EXPECT_EQ(points->query().value(), 3U);
  unload(d);
  EXPECT_FALSE(points->find_fence(3).value()->wait(no_wait));
}

}  // namespace
}  // namespace ufence::drivers
