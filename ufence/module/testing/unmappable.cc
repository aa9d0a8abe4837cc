// What keeps a module mapped, or starts threads, chosen by macros. Each use is in submit(), so that a
// test can make it happen.
#include <memory>
#include <thread>

#include "ufence/module/testing/plain_driver.h"

namespace {

#if defined(THREAD_LOCAL)
struct at_thread_end {
  ~at_thread_end() { value = 0; }
  int value = 1;
};
thread_local at_thread_end per_thread;
#endif

#if defined(__clang__) && !defined(THREAD_LOCAL) && !defined(STD_THREAD)
// What gcc makes of std::make_shared; clang makes none.
asm(".pushsection .data\n"
    ".globl a_unique_symbol\n"
    ".type a_unique_symbol, @gnu_unique_object\n"
    "a_unique_symbol: .byte 0\n"
    ".size a_unique_symbol, 1\n"
    ".popsection\n");
#endif

#if defined(THREAD_LOCAL)
// Opcode 1: by a thread of the driver. Else by the caller's thread, and the job is left alone.
int touch(ufence_job* job) noexcept {
  const auto run = [](void* arg) {
    plain_driver::host->signal(static_cast<ufence_job*>(arg), per_thread.value - 1);
  };
  if (job != nullptr && job->opcode == 1) {
    return plain_driver::host->thread_start(plain_driver::device, "touch", run, job);
  }
  return per_thread.value - 1;
}
#endif

int submit(void*, [[maybe_unused]] ufence_job* job) noexcept {
#if defined(THREAD_LOCAL)
  return touch(job);
#elif defined(STD_THREAD)
  std::thread([] {}).join();
  return 0;
#else
  return *std::make_shared<int>(0);
#endif
}


}  // namespace

PLAIN_DRIVER("unmappable", submit, plain_driver::quiet, plain_driver::quiet);
