// A program outside of the tree that waits for a fence which another thread signals.
#include <ufence/fence/fence.h>

#include <cstdio>
#include <thread>
#include <utility>

int main() {
  ufence::result<ufence::new_fence> made =
      ufence::fence::create(ufence::fence::allocate_contexts(1), 1);
  if (!made) return 1;
  const ufence::fence_ref fence = std::move(made->fence);

  int called = 0;
  ufence::callback_registration on_signal([&called](ufence::fence&) noexcept { ++called; });
  if (on_signal.add(fence)) return 2;

  std::thread issuer([right = std::move(made->signal)]() mutable { right.signal(-5); });
  const std::error_code waited = fence->wait_settled(ufence::no_deadline);
  issuer.join();

  std::printf("signaled %d, error %d, callbacks %d\n", fence->is_signaled(), fence->error(), called);
  return !waited && fence->error() == -5 && called == 1 ? 0 : 3;
}
