// What keeps a module mapped, or starts threads, chosen by macros. Each use is in submit(), so that a
// test can make it happen.
#include <memory>
#include <thread>

#include "ufence/driver.h"

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

int submit(void*, ufence_job*) noexcept {
#if defined(THREAD_LOCAL)
  return per_thread.value - 1;
#elif defined(STD_THREAD)
  std::thread([] {}).join();
  return 0;
#else
  return *std::make_shared<int>(0);
#endif
}

int init(const ufence_host*, ufence_device*, void** state) noexcept {
  *state = nullptr;
  return 0;
}
void quiet(void*) noexcept {}

constexpr ufence_device_ops make_ops() {
  ufence_device_ops ops{};
  ops.size = sizeof ops;
  ops.submit = submit;
  return ops;
}
constexpr ufence_device_ops ops = make_ops();

}  // namespace

UFENCE_DRIVER = {sizeof(ufence_driver), UFENCE_ABI_VERSION, 0,    "unmappable", nullptr,
                 "one of a kind",       &ops,               init, quiet,        quiet};
