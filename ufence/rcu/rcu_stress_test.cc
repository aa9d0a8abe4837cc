// Readers that look at what writers replace and free after grace periods.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <thread>
#include <vector>

#include "ufence/rcu/rcu.h"

using namespace ufence;

namespace {

struct object : rcu::deferred {
  ~object() { value = -1; }
  static void free(rcu::deferred* d) noexcept { delete static_cast<object*>(d); }
  volatile int value = 7;
};

std::chrono::duration<double> stress_time() {
  const char* text = std::getenv("UFENCE_STRESS_SECONDS");
  return std::chrono::duration<double>((text != nullptr ? std::atof(text) : 2.0) / 2);
}

template <class Replace>
void replace_under_readers(Replace replace) {
  ufence::atomic<object*> slot{new object};
  std::atomic<bool> stop = false;
  std::atomic<long> wrong = 0;
  std::vector<std::jthread> readers;
  for (int i = 0; i < 2; ++i) {
    readers.emplace_back([&] {
      while (!stop) {
        const rcu::read_section section;
        if (rcu::dereference(slot)->value != 7) ++wrong;
      }
    });
  }
  const auto end = std::chrono::steady_clock::now() + stress_time();
  while (std::chrono::steady_clock::now() < end) {
    object* old = slot.exchange(new object, mo::acq_rel);
    replace(old);
  }
  stop = true;
  readers.clear();
  rcu::flush_deferred();
  delete slot.load(mo::relaxed);
  EXPECT_EQ(wrong, 0);
}

}  // namespace

TEST(rcu, readers_never_see_what_was_freed_after_a_grace_period) {
  replace_under_readers([](object* old) {
    rcu::synchronize();
    delete old;
  });
}

TEST(rcu, readers_never_see_what_was_deferred) {
  replace_under_readers([](object* old) { rcu::defer(*old, &object::free); });
}
