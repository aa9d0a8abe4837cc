// An event loop that waits for fences beside its other descriptors.
#include <sys/epoll.h>
#include <array>
#include <cstdio>
#include <thread>
#include <vector>

#include "ufence/base/fd.h"
#include "ufence/fence/timeline.h"

int main() {
  auto issuer = ufence::timeline_issuer::create({.driver_name = "demo", .timeline_name = "ring"});
  const ufence::unique_fd loop(::epoll_create1(EPOLL_CLOEXEC));
  if (!issuer || !loop) return 1;

  std::vector<ufence::fence_ref> fences;
  std::vector<ufence::unique_fd> descriptors;
  for (unsigned i = 0; i < 3; ++i) {
    auto fence = issuer->emit();
    if (!fence) return 1;
    auto fd = (*fence)->pollable_fd();
    if (!fd) return 1;
    epoll_event wanted{.events = EPOLLIN, .data = {.u32 = i}};
    if (::epoll_ctl(loop.get(), EPOLL_CTL_ADD, fd->get(), &wanted) != 0) return 1;
    fences.push_back(std::move(*fence));
    descriptors.push_back(std::move(*fd));
  }

  std::jthread device([&issuer] {
    issuer->signal_up_to(2);
    issuer->fail(-5);
  });
  for (std::size_t seen = 0; seen < fences.size();) {
    std::array<epoll_event, 8> events{};
    const int n = ::epoll_wait(loop.get(), events.data(), static_cast<int>(events.size()), 10'000);
    if (n <= 0) return 1;
    for (std::size_t i = 0; i < static_cast<std::size_t>(n); ++i) {
      const std::size_t which = events[i].data.u32;
      std::printf("readable: %s\n", fences[which]->describe().c_str());
      // It stays readable, and until the signal is through the library holds the same open file:
      // only removal ends the events.
      if (::epoll_ctl(loop.get(), EPOLL_CTL_DEL, descriptors[which].get(), nullptr) != 0) return 1;
      descriptors[which].reset();
      ++seen;
    }
  }
  return fences[0]->status() == 1 && fences[1]->status() == 1 && fences[2]->status() == -5 ? 0 : 1;
}
