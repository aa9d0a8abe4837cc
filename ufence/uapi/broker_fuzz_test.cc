// Requests by chance: of the right form and not, about any kind of descriptor. The broker answers
// or drops each, and goes on.
#include <fcntl.h>
#include <linux/sync_file.h>
#include <sys/eventfd.h>

#include <iterator>
#include <random>

#include "ufence/uapi/uapi_test_support.h"

namespace ufence::testing {
namespace {

class fuzzer {
 public:
  explicit fuzzer(std::uint32_t seed) : random_(seed) {
    for (const auto kind : {uapi::device_kind::sw_sync, uapi::device_kind::drm_card}) {
      answer opened = open_device(broker_, kind);
      EXPECT_EQ(opened.error, 0);
      held_.push_back(std::move(opened.fd));
    }
    held_.emplace_back(::open("/dev/null", O_RDWR | O_CLOEXEC));
    held_.emplace_back(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  }

  void step() {
    const unique_fd connection = broker_.connect();
    std::vector<int> fds;
    const std::vector<std::byte> request = chance(8) ? garbage(below(300)) : make_request(fds);
    ASSERT_FALSE(send_message(connection.get(), request, fds));
    if (chance(16)) return;  // gone before the answer
    pollfd p{.fd = connection.get(), .events = POLLIN, .revents = 0};
    // A wait may take its time: then it is given up.
    if (::poll(&p, 1, may_wait_ ? 1 : 60'000) != 1) {
      EXPECT_TRUE(may_wait_);
      return;
    }
    answer got = receive_answer(connection);
    if (got.fd) keep(std::move(got.fd));
  }

  void expect_alive() { EXPECT_EQ(open_device(broker_, uapi::device_kind::sw_sync).error, 0); }

 private:
  std::uint32_t any() { return static_cast<std::uint32_t>(random_()); }
  std::uint32_t below(std::uint32_t n) { return any() % n; }
  bool chance(std::uint32_t n) { return below(n) == 0; }

  std::vector<std::byte> garbage(std::size_t size) {
    std::vector<std::byte> bytes(size + 1);
    for (std::byte& b : bytes) b = static_cast<std::byte>(any());
    return bytes;
  }
  // Small numbers are handles, points, flags, counts that mean something.
  std::vector<std::byte> words(std::size_t size) {
    std::vector<std::byte> bytes(size);
    for (std::size_t at = 0; at + 4 <= size; at += 4) {
      const std::uint32_t word = chance(10) ? any() : below(chance(3) ? 40 : 4);
      std::memcpy(bytes.data() + at, &word, sizeof word);
    }
    return bytes;
  }
  int any_descriptor() { return held_[below(static_cast<std::uint32_t>(held_.size()))].get(); }
  // The first ones are the devices.
  int likely_subject() { return chance(3) ? any_descriptor() : held_[below(2)].get(); }

  std::vector<std::byte> make_request(std::vector<int>& fds) {
    std::uint32_t code = uapi::known_controls[below(std::size(uapi::known_controls))];
    if (chance(20)) code ^= 1U << below(30);
    std::uint32_t descriptors = 0;
    if (!chance(20)) {
      descriptors |= uapi::request_header::has_subject;
      fds.push_back(likely_subject());
    }
    if (chance(2)) {
      descriptors |= uapi::request_header::has_other;
      fds.push_back(any_descriptor());
    }
    const std::uint32_t nr = _IOC_NR(code);
    may_wait_ = nr == _IOC_NR(uapi::drm::syncobj_wait) || nr == _IOC_NR(uapi::dma_buf_sync) ||
                nr == _IOC_NR(uapi::drm::syncobj_timeline_wait) ||
                nr == _IOC_NR(uapi::drm::syncobj_transfer);
    const std::size_t size = (_IOC_DIR(code) & _IOC_WRITE) != 0 ? _IOC_SIZE(code) : 0;
    std::vector<std::byte> data = words(chance(2) ? 12 : 4 * below(8));
    return request_bytes(chance(30) ? uapi::operation::memory : uapi::operation::control, code,
                         words(std::min<std::size_t>(size, uapi::argument_size_max)), data,
                         descriptors);
  }
  void keep(unique_fd fd) {
    if (held_.size() < 64) {
      held_.push_back(std::move(fd));
    } else {
      held_[2 + below(62)] = std::move(fd);
    }
  }

  const broker_on_thread broker_;
  std::mt19937 random_;
  std::vector<unique_fd> held_;  // closed before the broker is waited for
  bool may_wait_ = false;
};

TEST(broker, survives_requests_by_chance) {
  for (std::uint32_t seed = 1; seed <= 4; ++seed) {
    fuzzer f(seed);
    for (int i = 0; i < 1'500 && !::testing::Test::HasFailure(); ++i) f.step();
    f.expect_alive();
  }
}

}  // namespace
}  // namespace ufence::testing
