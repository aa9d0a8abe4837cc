// F3: looking at a fence that is marked signaled writes nothing: it works on read-only memory.
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <csignal>
#include <cstdint>

#include "ufence/fence/fence.h"
#include "ufence/fence/testing/support.h"

using namespace ufence;
using namespace ufence::testing;

namespace {

bool make_read_only(const fence& f) {
  const auto page_size = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  const std::uintptr_t address = reinterpret_cast<std::uintptr_t>(&f) & ~(page_size - 1);
  return ::mprotect(reinterpret_cast<void*>(address), page_size, PROT_READ) == 0;
}

// Sanitizers catch the signal and say so themselves.
bool died_of_a_write(int child) {
  return child == -SIGSEGV || (UFENCE_SANITIZED != 0 && child != 0);
}

}  // namespace

TEST(F03_is_signaled, of_a_marked_fence_writes_nothing) {
  new_fence made = make_fence();
  made.signal.signal(-EIO);
  const int child = in_child([&] {
    const fence_ref f = made.fence;
    UFENCE_CHILD_EXPECT(make_read_only(*f));
    bool looks_right = true;
    for (int i = 0; i < 10; ++i) looks_right = looks_right && f->is_signaled() && f->is_settled();
    looks_right = looks_right && f->error() == -EIO && f->status() == -EIO;
    looks_right = looks_right && f->timestamp_ns() > 0 && f->wait() == no_error;
    ::_exit(looks_right ? 0 : 1);  // dropping the reference would write
  });
  EXPECT_EQ(child, 0);
}

TEST(F03_is_signaled, the_stub_is_never_written_to) {
  const int child = in_child([] {
    UFENCE_CHILD_EXPECT(make_read_only(*fence::stub()));
    {
      const fence_ref one = fence::stub();
      fence_ref two = one;
      two.reset();
      UFENCE_CHILD_EXPECT(one->is_signaled() && one->wait() == no_error);
      one->enable_signaling();
      one->set_deadline(INT64_C(1));
      UFENCE_CHILD_EXPECT(one->poll());
    }
    ::_exit(0);
  });
  EXPECT_EQ(child, 0) << "shared by all: a written cache line would be the worst there is";
}

TEST(F03_is_signaled, read_only_memory_does_catch_a_write) {
  new_fence made = make_fence();
  const int child = in_child([&] {
    UFENCE_CHILD_EXPECT(make_read_only(*made.fence));
    const fence_ref copy = made.fence;  // counts
    ::_exit(0);
  });
  EXPECT_TRUE(died_of_a_write(child)) << child;
  made.signal.signal();
}
