// A program that connects to the broker again and again takes nothing from the others but a share of its
// time.
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <array>

#include "ufence/fence/testing/support.h"
#include "ufence/sync/sync_file.h"
#include "ufence/sync/testing/strangers.h"
#include "ufence/uapi/uapi_test_support.h"

namespace ufence::testing {
namespace {

// A process, another user's if this one is root's, that connects as fast as it can, and says so.
class flood {
 public:
  explicit flood(const broker_on_thread& broker) {
    int ends[2];
    EXPECT_EQ(::pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
    told_.reset(ends[0]);
    const unique_fd tells(ends[1]);
    process_ = ::fork();
    if (process_ != 0) return;
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::geteuid() == 0 && !become_another_user()) ::_exit(1);
    std::array<unique_fd, 32> held;
    for (;;) {
      for (unique_fd& connection : held) connection = broker.connect();
      static_cast<void>(::write(tells.get(), "x", 1));  // a full pipe says enough
    }
  }
  ~flood() {
    ::kill(process_, SIGKILL);
    EXPECT_EQ(::waitpid(process_, nullptr, 0), process_);
  }
  flood(const flood&) = delete;
  flood& operator=(const flood&) = delete;

  // At least 32 connections after the last wait.
  [[nodiscard]] bool wait_for_more() const {
    std::array<char, 4096> room;
    while (::read(told_.get(), room.data(), room.size()) > 0) {
    }
    pollfd p{.fd = told_.get(), .events = POLLIN, .revents = 0};
    return ::poll(&p, 1, 120'000) == 1 && (p.revents & POLLIN) != 0;
  }

 private:
  unique_fd told_;
  pid_t process_;
};

TEST(flood_of_connections, regress_leaves_calls_their_turn_and_fences_their_end) {
  constexpr std::uint32_t calls = 8;
  const broker_on_thread broker;
  const answer timeline = open_device(broker, uapi::device_kind::sw_sync);
  ASSERT_EQ(timeline.error, 0);
  const flood all(broker);
  for (std::uint32_t i = 1; i <= calls; ++i) {
    ASSERT_TRUE(all.wait_for_more());
    const uapi::sw_sync_create wanted{.value = i, .name = {}, .fence = 0};
    answer file = control(broker, uapi::sw_sync_create_fence, wanted, timeline.fd.get());
    ASSERT_EQ(file.error, 0);
    const result<fence_ref> imported = sync_file_get_fence(file.fd.get());
    ASSERT_TRUE(imported);
    EXPECT_FALSE((*imported)->is_signaled());
    const std::uint32_t one = 1;
    ASSERT_EQ(control(broker, uapi::sw_sync_inc, one, timeline.fd.get()).error, 0);
    EXPECT_FALSE((*imported)->wait(deadline_after(120'000'000'000)));
  }
  EXPECT_TRUE(all.wait_for_more());
}

}  // namespace
}  // namespace ufence::testing
