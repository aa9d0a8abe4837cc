// From a signal to the thread that it wakes, and back.
#include <cstddef>
#include <latch>
#include <thread>
#include <utility>
#include <vector>

#include "bench/bare_word.h"
#include "bench/benchmarks.h"
#include "ufence/fence/fence.h"

namespace ufence::bench {
namespace {

// This thread and another one, on a CPU of its own, answer each other n times.
template <class Here, class There>
batch_time ping_pong(int other_cpu, std::uint64_t n, Here here, There there) {
  std::latch ready(2);
  std::thread other([&] {
    pin_to(other_cpu);
    ready.arrive_and_wait();
    for (std::uint64_t i = 0; i < n; ++i) there(i);
  });
  ready.arrive_and_wait();
  stopwatch watch;
  watch.begin();
  for (std::uint64_t i = 0; i < n; ++i) here(i);
  const batch_time time = watch.stop();
  other.join();
  return {.ns = time.ns / 2, .was_disturbed = time.was_disturbed};  // there and back
}

std::vector<new_fence> make_fences(std::uint64_t n) {
  const std::uint64_t context = fence::allocate_contexts(1);
  std::vector<new_fence> made;
  made.reserve(static_cast<std::size_t>(n));
  for (std::uint64_t seqno = 1; seqno <= n; ++seqno) {
    result<new_fence> one = fence::create(context, seqno);
    require(one.has_value(), "no memory for a fence");
    made.push_back(*std::move(one));
  }
  return made;
}

batch_time fence_ping_pong(int other_cpu, std::uint64_t n) {
  std::vector<new_fence> pings = make_fences(n);
  std::vector<new_fence> pongs = make_fences(n);
  const auto wait = [](new_fence& one) {
    require(!one.fence->wait(), "a wait ends with the signal");
  };
  return ping_pong(
      other_cpu, n,
      [&](std::uint64_t i) {
        pings[i].signal.signal();
        wait(pongs[i]);
      },
      [&](std::uint64_t i) {
        wait(pings[i]);
        pongs[i].signal.signal();
      });
}

batch_time bare_ping_pong(int other_cpu, std::uint64_t n) {
  bare_word<FUTEX_PRIVATE_FLAG> ping;
  bare_word<FUTEX_PRIVATE_FLAG> pong;
  return ping_pong(
      other_cpu, n,
      [&](std::uint64_t i) {
        ping.set(static_cast<std::uint32_t>(i + 1));
        pong.wait_for(static_cast<std::uint32_t>(i + 1));
      },
      [&](std::uint64_t i) {
        ping.wait_for(static_cast<std::uint32_t>(i + 1));
        pong.set(static_cast<std::uint32_t>(i + 1));
      });
}

}  // namespace

void wake_waiter(session& s) {
  const subject about{.name = "wake_waiter",
                      .what = "signal() until wait() returns in another thread on another CPU",
                      .baseline = "a futex word, set and waited for in the same way",
                      .target = 1.1};
  if (s.cpus().size() < 2) {
    s.skip(about, "it takes two CPUs");
    return;
  }
  const int other_cpu = s.cpus()[1];
  s.compare(
      about, s.how_much().scaled(1'000),
      [=](std::uint64_t n) { return fence_ping_pong(other_cpu, n); },
      [=](std::uint64_t n) { return bare_ping_pong(other_cpu, n); });
}

}  // namespace ufence::bench
