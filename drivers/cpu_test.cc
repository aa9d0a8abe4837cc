#include <gmock/gmock.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <latch>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "drivers/cpu/cpu.h"
#include "drivers/testing/driver_test.h"
#include "ufence/fence/callback.h"
#include "ufence/fence/wait.h"

namespace ufence::drivers {
namespace {

// What sha256sum prints for these.
constexpr std::string_view sum_of_nothing =
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
constexpr std::string_view sum_of_abc =
    "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
constexpr std::string_view sum_of_million_a =
    "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0";

class cpu : public driver_test {
 protected:
  // A message under way.
  struct message {
    ufence_cpu_sha256 state{};
    std::array<std::uint8_t, UFENCE_CPU_DIGEST_SIZE> digest{};

    ufence_cpu_sha256_update update(std::string_view part, std::uint32_t flags) {
      ufence_cpu_sha256_update u{};
      u.state = &state;
      u.data = part.data();
      u.size = part.size();
      u.digest = digest.data();
      u.flags = flags;
      return u;
    }
    std::string sum() const {
      constexpr std::string_view digits = "0123456789abcdef";
      std::string text;
      for (const std::uint8_t byte : digest) {
        text += digits[byte >> 4];
        text += digits[byte & 15];
      }
      return text;
    }
  };

  static ufence_cpu_counters counters(const device_ref& d) {
    ufence_cpu_counters c{};
    EXPECT_EQ(run(d, UFENCE_CPU_QUERY, ufence_cpu_query{&c}), 0);
    return c;
  }
  static int set_workers(const device_ref& d, std::uint32_t workers) {
    return run(d, UFENCE_CPU_CONFIGURE, ufence_cpu_configure{workers, 0});
  }
  static std::uint32_t flags_of(std::size_t i, std::size_t n) {
    std::uint32_t flags = 0;
    if (i == 0) flags |= UFENCE_CPU_FIRST;
    if (i + 1 == n) flags |= UFENCE_CPU_LAST;
    return flags;
  }
};

constexpr std::uint32_t whole = UFENCE_CPU_FIRST | UFENCE_CPU_LAST;

TEST_F(cpu, gives_the_known_answers) {
  device_ref d = load("cpu");
  message m;
  EXPECT_EQ(run(d, UFENCE_CPU_SHA256, m.update("", whole)), 0);
  EXPECT_EQ(m.sum(), sum_of_nothing);
  EXPECT_EQ(run(d, UFENCE_CPU_SHA256, m.update("abc", whole)), 0);
  EXPECT_EQ(m.sum(), sum_of_abc);
  const std::string million(1'000'000, 'a');
  EXPECT_EQ(run(d, UFENCE_CPU_SHA256, m.update(million, whole)), 0);
  EXPECT_EQ(m.sum(), sum_of_million_a);
  EXPECT_EQ(counters(d).updates, 3u);
  EXPECT_EQ(counters(d).bytes, 1'000'003u);
}

TEST_F(cpu, hashes_a_chain_in_its_order) {
  device_ref d = load("cpu");
  ASSERT_EQ(set_workers(d, 3), 0);
  const std::string million(1'000'000, 'a');
  constexpr std::size_t n = 1000;
  message m;
  fence_ref before;
  for (std::size_t i = 0; i < n; ++i) {
    const auto part = std::string_view(million).substr(i * 1000, 1000);
    const std::span<const fence_ref> in(&before, before ? 1 : 0);
    before = give(d, UFENCE_CPU_SHA256, m.update(part, flags_of(i, n)), in);
  }
  EXPECT_EQ(result_of(before), 0);
  EXPECT_EQ(m.sum(), sum_of_million_a);
}

TEST_F(cpu, continues_a_message_in_the_next_instance) {
  const std::string million(1'000'000, 'a');
  constexpr std::size_t n = 25;
  message m;
  std::vector<fence_ref> held;
  for (std::size_t i = 0; i < n; ++i) {
    device_ref d = load("cpu");
    const auto part = std::string_view(million).substr(i * 40'000, 40'000);
    held.push_back(give(d, UFENCE_CPU_SHA256, m.update(part, flags_of(i, n))));
    const unload_report done = unload(d);
    EXPECT_EQ(done.jobs_cancelled, 0u);
  }
  EXPECT_EQ(m.sum(), sum_of_million_a);
  for (const fence_ref& f : held) {
    EXPECT_EQ(f->status(), 1);
    EXPECT_EQ(f->driver_name(), "cpu");
    EXPECT_EQ(f->timeline_name(), "sha256");
  }
}

TEST_F(cpu, reads_the_size_where_the_read_left_it) {
  device_ref d = load("cpu");
  message m;
  std::uint64_t said = 3;
  ufence_cpu_sha256_update u = m.update("abcdef", whole);
  u.size_from = &said;
  EXPECT_EQ(run(d, UFENCE_CPU_SHA256, u), 0);
  EXPECT_EQ(m.sum(), sum_of_abc);
  said = 7;  // more than there is
  EXPECT_EQ(run(d, UFENCE_CPU_SHA256, u), -EOVERFLOW);
  said = 0;
  EXPECT_EQ(run(d, UFENCE_CPU_SHA256, u), 0);
  EXPECT_EQ(m.sum(), sum_of_nothing);
}

TEST_F(cpu, refuses_wrong_arguments) {
  device_ref d = load("cpu");
  message m;
  const ufence_cpu_sha256_update good = m.update("abc", whole);
  const auto refused = [&](auto change) {
    ufence_cpu_sha256_update u = good;
    change(u);
    return run(d, UFENCE_CPU_SHA256, u);
  };
  EXPECT_EQ(refused([](auto& u) { u.state = nullptr; }), -EINVAL);
  EXPECT_EQ(refused([](auto& u) { u.data = nullptr; }), -EINVAL);
  EXPECT_EQ(refused([](auto& u) { u.digest = nullptr; }), -EINVAL);
  EXPECT_EQ(refused([](auto& u) { u.flags |= 4; }), -EINVAL);
  EXPECT_EQ(refused([](auto& u) { u.reserved = 1; }), -EINVAL);
  EXPECT_EQ(refused([](auto& u) { u.size = 0, u.data = nullptr; }), 0);
  EXPECT_EQ(run(d, UFENCE_CPU_SHA256, 1), -EINVAL);  // too short
  EXPECT_EQ(run(d, 99), -EINVAL);
  EXPECT_EQ(set_workers(d, 0), -EINVAL);
  EXPECT_EQ(set_workers(d, UFENCE_CPU_WORKERS_MAX + 1), -EINVAL);
  EXPECT_THAT(reports_.texts(), testing::IsEmpty());
}

TEST_F(cpu, has_as_many_workers_as_it_is_told) {
  device_ref d = load("cpu");
  EXPECT_EQ(counters(d).workers, 1u);
  for (const std::uint32_t workers : {4u, 2u, 8u, 1u}) {
    EXPECT_EQ(set_workers(d, workers), 0);
    EXPECT_EQ(counters(d).workers, workers);
    std::vector<message> messages(64);
    std::vector<fence_ref> fences;
    for (message& m : messages) {
      fences.push_back(give(d, UFENCE_CPU_SHA256, m.update("abc", whole)));
    }
    EXPECT_EQ(wait_all(fences, patience()), std::error_code{});
    for (const message& m : messages) EXPECT_EQ(m.sum(), sum_of_abc);
  }
}

TEST_F(cpu, has_as_many_workers_as_its_option_says) {
  host h;
  std::string why;
  for (const char* wrong : {"", "0", "257", "two", "1 ", "-1"}) {
    const reports told;
    const auto loaded = h.load(path_of("cpu"), {.options = {{"workers", wrong}}}, &why);
    EXPECT_FALSE(loaded) << wrong;
    EXPECT_EQ(loaded.error(), std::error_code(EINVAL, std::generic_category())) << wrong;
    EXPECT_TRUE(told.has({"workers is a number from 1 to 256"}));
  }
  const device_ref d = h.load(path_of("cpu"), {.interface_name = UFENCE_CPU_INTERFACE,
                                               .interface_version = UFENCE_CPU_INTERFACE_VERSION,
                                               .options = {{"workers", "3"}}})
                           .value();
  ufence_cpu_counters counters{};
  const ufence_cpu_query query{&counters};
  const fence_ref asked = d->submit({.opcode = UFENCE_CPU_QUERY, .args = bytes_of(query)}).value();
  EXPECT_FALSE(asked->wait_result(patience()));
  EXPECT_EQ(counters.workers, 3U);
  EXPECT_EQ(h.unload(d).value().state, unload_state::unmapped);
}

// Two workers are in callbacks of two jobs at once, and each waits for the other's.
TEST_F(cpu, has_workers_that_run_side_by_side) {
  struct meeting : callback {
    explicit meeting(std::latch& l) : callback(&meet), both(l) {}
    static void meet(callback& self, fence&) noexcept {
      static_cast<meeting&>(self).both.arrive_and_wait();
    }
    std::latch& both;
  };
  device_ref d = load("cpu");
  ASSERT_EQ(set_workers(d, 2), 0);
  std::latch both(2);
  std::array meetings{meeting(both), meeting(both)};
  message m0, m1;
  // A job that cannot end before its callback is there: its in-fence comes later.
  new_fence start = *fence::create(fence::allocate_contexts(1), 1);
  const std::array in{start.fence};
  fence_ref f0 = give(d, UFENCE_CPU_SHA256, m0.update("abc", whole), in);
  fence_ref f1 = give(d, UFENCE_CPU_SHA256, m1.update("abc", whole), in);
  ASSERT_EQ(f0->add_callback(meetings[0]), std::error_code{});
  ASSERT_EQ(f1->add_callback(meetings[1]), std::error_code{});
  start.signal.signal();
  EXPECT_FALSE(f0->wait_settled(patience()));
  EXPECT_FALSE(f1->wait_settled(patience()));
}

TEST_F(cpu, ends_queued_updates_when_cancelled_and_leaves_their_states) {
  // The worker is kept in a callback, so what is submitted meanwhile stays queued.
  struct stopper : callback {
    stopper() : callback(&stop) {}
    static void stop(callback& self, fence&) noexcept {
      auto& s = static_cast<stopper&>(self);
      s.inside.count_down();
      s.leave.wait();
    }
    std::latch inside{1}, leave{1};
  };
  device_ref d = load("cpu");
  message running;
  std::vector<message> queued(20);
  stopper s;
  new_fence start = *fence::create(fence::allocate_contexts(1), 1);
  const std::array in{start.fence};
  fence_ref f = give(d, UFENCE_CPU_SHA256, running.update("abc", whole), in);
  ASSERT_EQ(f->add_callback(s), std::error_code{});
  start.signal.signal();
  s.inside.wait();
  std::vector<fence_ref> fences;
  for (message& m : queued) {
    fences.push_back(give(d, UFENCE_CPU_SHA256, m.update("abc", whole)));
  }
  std::thread unloader([&] {
    const unload_report done = unload(d, unload_policy::cancel);
    EXPECT_EQ(done.jobs_cancelled, queued.size());
  });
  for (const fence_ref& q : fences) EXPECT_EQ(result_of(q), -ECANCELED);
  s.leave.count_down();
  unloader.join();
  EXPECT_EQ(running.sum(), sum_of_abc);
  // Not begun: the same updates give the right sums in the next instance.
  d = load("cpu");
  for (message& m : queued) {
    EXPECT_EQ(m.sum(), std::string(64, '0'));
    EXPECT_EQ(run(d, UFENCE_CPU_SHA256, m.update("abc", whole)), 0);
    EXPECT_EQ(m.sum(), sum_of_abc);
  }
}

TEST_F(cpu, takes_jobs_from_many_threads) {
  device_ref d = load("cpu");
  ASSERT_EQ(set_workers(d, 2), 0);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&d] {
      for (int i = 0; i < 500; ++i) {
        message m;
        EXPECT_EQ(run(d, UFENCE_CPU_SHA256, m.update("abc", whole)), 0);
        EXPECT_EQ(m.sum(), sum_of_abc);
      }
    });
  }
  for (std::thread& t : threads) t.join();
  EXPECT_EQ(counters(d).updates, 2000u);
}

}  // namespace
}  // namespace ufence::drivers
