// From a signal in one process to the waiter that it wakes in another one, and back.
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>

#include "bench/bare_word.h"
#include "bench/benchmarks.h"
#include "ufence/sync/shared_timeline.h"

namespace ufence::bench {
namespace {

// Memory that a child of fork() shares.
template <class T>
class shared_memory {
 public:
  shared_memory() {
    void* memory =
        ::mmap(nullptr, sizeof(T), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    require(memory != MAP_FAILED, "no memory to share");
    object_ = ::new (memory) T;
  }
  ~shared_memory() { ::munmap(object_, sizeof(T)); }
  shared_memory(const shared_memory&) = delete;
  shared_memory& operator=(const shared_memory&) = delete;
  T* operator->() const noexcept { return object_; }

 private:
  T* object_;
};

// This process and a child, on a CPU of its own, answer each other n times. The child gets ready
// with there(), which returns what it does for each.
template <class Here, class There>
batch_time ping_pong(int other_cpu, std::uint64_t n, Here here, There there) {
  const shared_memory<bare_word<0>> ready;
  const pid_t child = ::fork();
  require(child >= 0, "no child process");
  if (child == 0) {
    pin_to(other_cpu);
    auto answer = there();
    ready->set(1);
    for (std::uint64_t i = 1; i <= n; ++i) answer(i);
    ::_exit(0);
  }
  ready->wait_for(1);
  stopwatch watch;
  watch.begin();
  for (std::uint64_t i = 1; i <= n; ++i) here(i);
  const batch_time time = watch.stop();
  int status = 0;
  require(::waitpid(child, &status, 0) == child && status == 0, "the child did its part");
  return {.ns = time.ns / 2, .was_disturbed = time.was_disturbed};  // there and back
}

batch_time timeline_ping_pong(int other_cpu, std::uint64_t n) {
  const shared_timeline_ref ping = shared_timeline::create().value();
  const shared_timeline_ref pong = shared_timeline::create({.peers_may_signal = true}).value();
  const unique_fd ping_fd = ping->export_fd(shared_access::wait).value();
  const unique_fd pong_fd = pong->export_fd(shared_access::signal).value();
  return ping_pong(
      other_cpu, n,
      [&](std::uint64_t i) {
        require(!ping->signal(i) && !pong->wait(i), "a wait ends with the signal");
      },
      [&] {
        return [ping = shared_timeline::import(ping_fd.get()).value(),
                pong = shared_timeline::import(pong_fd.get()).value()](std::uint64_t i) {
          require(!ping->wait(i) && !pong->signal(i), "a wait ends with the signal");
        };
      });
}

batch_time bare_ping_pong(int other_cpu, std::uint64_t n) {
  const shared_memory<bare_word<0>> ping;
  const shared_memory<bare_word<0>> pong;
  return ping_pong(
      other_cpu, n,
      [&](std::uint64_t i) {
        ping->set(static_cast<std::uint32_t>(i));
        pong->wait_for(static_cast<std::uint32_t>(i));
      },
      [&] {
        return [&](std::uint64_t i) {
          ping->wait_for(static_cast<std::uint32_t>(i));
          pong->set(static_cast<std::uint32_t>(i));
        };
      });
}

}  // namespace

void shared_timeline_wake(session& s) {
  const subject about{.name = "shared_timeline_wake",
                      .what = "signal() until wait() returns in another process on another CPU",
                      .baseline = "a shared futex word, set and waited for in the same way",
                      .target = 1.1};
  if (s.cpus().size() < 2) {
    s.skip(about, "it takes two CPUs");
    return;
  }
  const int other_cpu = s.cpus()[1];
  s.compare(
      about, s.how_much().scaled(1'000),
      [=](std::uint64_t n) { return timeline_ping_pong(other_cpu, n); },
      [=](std::uint64_t n) { return bare_ping_pong(other_cpu, n); });
}

}  // namespace ufence::bench
