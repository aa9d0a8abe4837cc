// Fences as descriptors, against the sockets that they are made of.
#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <iterator>
#include <random>
#include <thread>
#include <utility>
#include <vector>

#include "bench/benchmarks.h"
#include "ufence/fence/fence.h"
#include "ufence/sync/sw_sync.h"
#include "ufence/sync/sync_file.h"

namespace ufence::bench {
namespace {

template <class T>
T take(result<T> made) {
  require(made.has_value(), "no memory or no descriptors");
  return *std::move(made);
}

new_fence make_fence() { return take(fence::create(fence::allocate_contexts(1), 1)); }

struct ends {
  unique_fd ours;
  unique_fd theirs;
};
ends make_ends() {
  int fds[2];
  require(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) == 0, "no descriptors");
  return {unique_fd(fds[0]), unique_fd(fds[1])};
}

batch socketpairs() {
  return [](std::uint64_t n) { return time_calls(n, [] { make_ends(); }); };
}

// The library's thread inherits the CPUs of the thread that makes the first sync file: another one's, not those
// of the thread that is measured.
class reactor_elsewhere {
 public:
  explicit reactor_elsewhere(const session& s) {
    std::thread([&] {
      pin_to(s.cpus().back());
      file_ = take(sync_file_create(keeper_.fence));
    }).join();
  }
  ~reactor_elsewhere() { keeper_.signal.signal(); }
  reactor_elsewhere(const reactor_elsewhere&) = delete;
  reactor_elsewhere& operator=(const reactor_elsewhere&) = delete;

 private:
  new_fence keeper_ = make_fence();
  unique_fd file_;
};

}  // namespace

namespace {

// The library closes its end of a file on its own thread, a moment after the last holder did.
void wait_for_descriptors(std::ptrdiff_t at_most) {
  const auto give_up_at = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {}) > at_most) {
    require(std::chrono::steady_clock::now() < give_up_at, "the library's ends are closed");
    std::this_thread::yield();
  }
}

}  // namespace

void sync_file_create_close(session& s) {
  const reactor_elsewhere reactor(s);
  new_fence f = make_fence();
  const auto before = std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {});
  s.compare(
      {.name = "sync_file_create_close",
       .what = "sync_file_create() of a pending fence, close(); 64 in a row",
       .baseline = "socketpair(), close() of both ends",
       .target = 1.5},
      s.how_much().quick ? 2 : 64,
      [&](std::uint64_t n) {
        const batch_time time = time_calls(n, [&] { take(sync_file_create(f.fence)); });
        wait_for_descriptors(before);
        return time;
      },
      socketpairs());
  f.signal.signal();
}

void sync_file_create_close_on(session& s) {
  const reactor_elsewhere reactor(s);
  new_fence f = make_fence();
  s.compare(
      {.name = "sync_file_create_close_on",
       .what = "the same on and on: meanwhile the library closes its ends on another CPU",
       .baseline = "socketpair(), close() of both ends"},
      s.how_much().scaled(300),
      [&](std::uint64_t n) { return time_calls(n, [&] { take(sync_file_create(f.fence)); }); },
      socketpairs());
  f.signal.signal();
}

void sync_file_merge_two(session& s) {
  const reactor_elsewhere reactor(s);
  std::array<new_fence, 2> fences{make_fence(), make_fence()};
  const unique_fd a = take(sync_file_create(fences[0].fence));
  const unique_fd b = take(sync_file_create(fences[1].fence));
  s.compare(
      {.name = "sync_file_merge",
       .what = "sync_file_merge() of two pending files, close()",
       .baseline = "socketpair(), close() of both ends"},
      s.how_much().scaled(300),
      [&](std::uint64_t n) {
        return time_calls(n, [&] { take(sync_file_merge(a.get(), b.get())); });
      },
      socketpairs());
  for (new_fence& f : fences) f.signal.signal();
}

// --- Waking another process ---

namespace {

void wait_readable(int fd) {
  pollfd p{.fd = fd, .events = POLLIN, .revents = 0};
  while (::poll(&p, 1, -1) < 0) {
  }
  require((p.revents & POLLIN) != 0, "what was waited for is readable");
}

void send_byte(int fd) {
  const char byte = 0;
  require(::send(fd, &byte, 1, MSG_NOSIGNAL) == 1, "a byte can be sent");
}

// This process and a child on another CPU answer each other n times: `wake(i)` here, which makes
// waits[i] readable there; a byte on a socket comes back.
template <class Wake>
batch_time there_and_back(int other_cpu, const std::vector<int>& waits, Wake wake) {
  const ends back = make_ends();
  const pid_t child = ::fork();
  require(child >= 0, "a process can be made");
  if (child == 0) {
    pin_to(other_cpu);
    send_byte(back.theirs.get());
    for (const int fd : waits) {
      wait_readable(fd);
      send_byte(back.theirs.get());
    }
    ::_exit(0);
  }
  char byte = 0;
  require(::recv(back.ours.get(), &byte, 1, 0) == 1, "the other process is there");
  stopwatch watch;
  watch.begin();
  for (std::size_t i = 0; i < waits.size(); ++i) {
    wake(i);
    require(::recv(back.ours.get(), &byte, 1, 0) == 1, "the other process answers");
  }
  const batch_time time = watch.stop();
  int status = 0;
  require(::waitpid(child, &status, 0) == child && status == 0, "the other process ends well");
  return time;
}

batch_time wake_by_file(int other_cpu, std::uint64_t n) {
  std::vector<new_fence> fences;
  std::vector<unique_fd> files;
  std::vector<int> waits;
  for (std::uint64_t i = 0; i < n; ++i) {
    fences.push_back(make_fence());
    files.push_back(take(sync_file_create(fences.back().fence)));
    waits.push_back(files.back().get());
  }
  return there_and_back(other_cpu, waits, [&](std::size_t i) { fences[i].signal.signal(); });
}

batch_time wake_by_socket(int other_cpu, std::uint64_t n) {
  std::vector<ends> pairs;
  std::vector<int> waits;
  for (std::uint64_t i = 0; i < n; ++i) {
    pairs.push_back(make_ends());
    waits.push_back(pairs.back().theirs.get());
  }
  return there_and_back(other_cpu, waits, [&](std::size_t i) { send_byte(pairs[i].ours.get()); });
}

}  // namespace

void sync_file_wake(session& s) {
  const subject about{.name = "sync_file_wake",
                      .what = "signal() until poll() returns in another process, and a byte back",
                      .baseline = "a byte on a socketpair in both directions",
                      .target = 1.2};
  if (s.cpus().size() < 2) {
    s.skip(about, "it takes two CPUs");
    return;
  }
  const int other_cpu = s.cpus()[1];
  const reactor_elsewhere reactor(s);
  s.compare(
      about, s.how_much().scaled(200), [=](std::uint64_t n) { return wake_by_file(other_cpu, n); },
      [=](std::uint64_t n) { return wake_by_socket(other_cpu, n); }, 41);
}

void sw_sync_random_merge(session& s) {
  const reactor_elsewhere reactor(s);
  const auto merges = [](std::uint64_t n) {
    std::vector<sw_sync> lines;
    for (int i = 0; i < 32; ++i) lines.push_back(take(sw_sync::create("random")));
    std::mt19937 random(1);
    unique_fd all = take(sync_file_create(fence::stub()));
    return time_calls(n, [&] {
      const fence_ref f = take(
          lines[random() % lines.size()].create_fence(static_cast<std::uint32_t>(random() >> 1)));
      const unique_fd one = take(sync_file_create(f));
      all = take(sync_file_merge(all.get(), one.get()));
    });
  };
  s.compare(
      {.name = "sw_sync_random_merge",
       .what = "a fence of one of 32 software timelines, as a file, merged into one of up to 32",
       .baseline = "socketpair(), close() of both ends"},
      s.how_much().scaled(2'048), merges, socketpairs(), 31);
}

}  // namespace ufence::bench
