// Modules are unloaded and loaded again under load, as often as the time allows:
// UFENCE_STRESS_SECONDS (default 2) for each test. A late call into a module would fault; a lost
// wakeup would hang.
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "ufence/fence/wait.h"
#include "ufence/issuer/host.h"
#include "ufence/issuer/issuer_test_support.h"

namespace ufence {
namespace {

using testing::make_fence;
using testing::scripted_callback;
using testing::stress_clock;
namespace ops = puppet;

// Leaves the processor to others: nothing is to do just now.
void rest() { std::this_thread::sleep_for(std::chrono::microseconds(20)); }

// Fences that threads leave for each other.
class pool {
 public:
  [[nodiscard]] fence_ref any(std::mt19937& random) const {
    const std::lock_guard hold(lock_);
    return fences_[random() % fences_.size()];
  }
  void put(std::mt19937& random, fence_ref f) {
    std::unique_lock hold(lock_);
    std::swap(fences_[random() % fences_.size()], f);
    hold.unlock();  // the old one may be the last reference
  }
  [[nodiscard]] std::vector<fence_ref> all() const {
    const std::lock_guard hold(lock_);
    return {fences_.begin(), fences_.end()};
  }

 private:
  mutable std::mutex lock_;
  std::array<fence_ref, 64> fences_;
};

// The instance that is loaded now, or the last one.
class current_device {
 public:
  explicit current_device(std::string module) : module_(std::move(module)) { load(); }

  void load() {
    const device_ref fresh = load_module(host_, test_module(module_));
    ASSERT_TRUE(fresh);
    submit(fresh, ops::attach, {});
    const std::lock_guard hold(lock_);
    device_ = fresh;
  }
  void reload(const unload_options& options) {
    const result<unload_report> done = host_.unload(get(), options);
    expect_unmapped(done);
    if (!done) return;
    ++unloads;
    drained += done->jobs_drained;
    cancelled += done->jobs_cancelled;
    removed += done->callbacks_removed;
    load();
  }
  // Until so many jobs were submitted to this instance.
  void let_work(const stress_clock& clock, std::uint64_t jobs) const {
    const device_ref d = get();
    while (clock.runs() && d->stats().jobs_submitted <= jobs) rest();
  }
  [[nodiscard]] device_ref get() const {
    const std::lock_guard hold(lock_);
    return device_;
  }
  // Null where the module is just being unloaded.
  fence_ref submit(const device_ref& d, puppet::opcode what, const std::vector<fence_ref>& after) {
    const puppet::arguments arguments{.to = &board};
    result<fence_ref> f = d->submit({.opcode = what,
                                     .args = std::as_bytes(std::span(&arguments, 1)),
                                     .in_fences = after,
                                     .run_after_failed_in_fence = true});
    if (f) return std::move(*f);
    EXPECT_EQ(f.error(), errno_code(ENODEV));
    return nullptr;
  }
  void end() { expect_unmapped(host_.unload(get(), {.policy = unload_policy::cancel})); }

  puppet::board board;
  std::uint64_t unloads = 0, drained = 0, cancelled = 0, removed = 0;

 private:
  const std::string module_;
  host host_;
  mutable std::mutex lock_;
  device_ref device_;
};

class threads {
 public:
  explicit threads(const stress_clock& clock) : clock_(clock) {}
  ~threads() {
    for (std::thread& t : all_) t.join();
  }
  threads(const threads&) = delete;
  threads& operator=(const threads&) = delete;
  // Runs the step again and again.
  void run(std::function<void(std::mt19937&)> step) {
    all_.emplace_back([this, step = std::move(step), seed = all_.size()] {
      std::mt19937 random(static_cast<std::mt19937::result_type>(seed + 1));
      while (clock_.runs()) step(random);
    });
  }

 private:
  const stress_clock& clock_;
  std::vector<std::thread> all_;
};

void submit_something(current_device& d, pool& fences, std::mt19937& random) {
  constexpr std::array opcodes{ops::work, ops::work, ops::now, ops::hold};
  const device_ref to = d.get();
  // More unloads instead of more jobs for each.
  if (to->stats().jobs_pending > 16 || to->stats().jobs_submitted > 200) return rest();
  std::vector<fence_ref> after;
  for (auto n = random() % 3; n > 0; --n) {
    if (fence_ref f = fences.any(random)) after.push_back(std::move(f));
  }
  fence_ref f = d.submit(to, opcodes[random() % opcodes.size()], after);
  if (f) fences.put(random, std::move(f));
}

void use(fence& f, std::mt19937& random) {
  const std::int64_t soon = deadline_after(static_cast<std::int64_t>(random() % 200'000));
  switch (random() % 12) {
    case 0: static_cast<void>(f.is_signaled()); break;
    case 1: static_cast<void>(f.describe()); break;
    case 2: static_cast<void>(f.poll()); break;
    case 3: f.set_deadline(soon); break;
    case 4: f.enable_signaling(); break;
    case 5: static_cast<void>(f.wait(soon)); break;
    case 6: static_cast<void>(f.wait_settled(soon)); break;
    case 7: static_cast<void>(f.wait_quiesced(soon)); break;
    case 8: {
      scripted_callback once;
      if (!f.add_callback(once)) {
        const result<bool> removed = f.remove_callback(once);
        EXPECT_TRUE(removed && *removed == (once.runs() == 0));
      }
      break;
    }
    case 9: {
      // Frees itself.
      auto* const own = new scripted_callback;
      own->then([own](fence&) { delete own; });
      if (f.add_callback(*own)) delete own;
      break;
    }
    case 10: {
      EXPECT_EQ(f.driver_name(), "puppet");
      EXPECT_EQ(f.timeline_name(), "strings");
      break;
    }
    default: {
      const result<unique_fd> fd = f.pollable_fd();
      EXPECT_TRUE(fd);
      break;
    }
  }
}

void use_something(pool& fences, std::mt19937& random) {
  if (const fence_ref f = fences.any(random)) use(*f, random);
}

unload_options some_policy(std::mt19937& random) {
  if (random() % 2 == 0) return {.policy = unload_policy::cancel};
  return {.drain_deadline_ns = deadline_after(static_cast<std::int64_t>(random() % 1'000'000))};
}

void unload_under_load(const char* module) {
  pool fences;
  current_device device(module);
  device.board.poll_result = 1;
  {
    const stress_clock clock;
    threads all(clock);
    for (int i = 0; i < 2; ++i) {
      all.run([&](std::mt19937& random) { submit_something(device, fences, random); });
      all.run([&](std::mt19937& random) { use_something(fences, random); });
    }
    std::mt19937 random(99);
    while (clock.runs()) {
      device.let_work(clock, random() % 40);
      device.reload(some_policy(random));
    }
  }
  device.end();
  for (const fence_ref& f : fences.all()) {
    if (f) {
      EXPECT_FALSE(f->wait_settled(testing::patience()));
      EXPECT_NE(f->status(), 0);
    }
  }
  std::printf("%s: %llu unloads, %llu jobs drained, %llu cancelled\n", module,
              static_cast<unsigned long long>(device.unloads),
              static_cast<unsigned long long>(device.drained),
              static_cast<unsigned long long>(device.cancelled));
  EXPECT_GT(device.unloads, 2U);
  EXPECT_GT(device.drained + device.cancelled, 0U);
  EXPECT_EQ(device.board.exits, device.unloads + 1);
}

TEST(unload_stress, a_driver_with_all_ops_under_load) { unload_under_load("puppet"); }

TEST(unload_stress, a_driver_without_ops_under_load) { unload_under_load("puppet_plain"); }

TEST(unload_stress, a_timeline_under_load) { unload_under_load("puppet_line"); }

// Two modules: the callbacks of one on the fences of the other, each unloaded at any time.
TEST(unload_stress, a_consumer_and_an_issuer_come_and_go) {
  pool fences;
  current_device issuer("puppet"), consumer("puppet_build_2");
  {
    const stress_clock clock;
    threads all(clock);
    all.run([&](std::mt19937& random) { submit_something(issuer, fences, random); });
    all.run([&](std::mt19937& random) {
      if (const fence_ref f = fences.any(random)) {
        static_cast<void>(consumer.get()->observe(f));
        static_cast<void>(f->poll());
      }
    });
    all.run([&](std::mt19937& random) {
      const std::uint64_t observed = consumer.board.observes + random() % 20;
      while (clock.runs() && consumer.board.observes < observed) rest();
      consumer.reload(some_policy(random));
    });
    std::mt19937 random(99);
    while (clock.runs()) {
      issuer.let_work(clock, random() % 40);
      issuer.reload(some_policy(random));
    }
  }
  issuer.end();
  consumer.end();
  std::printf("%llu and %llu unloads, %llu callbacks removed, %llu ran\n",
              static_cast<unsigned long long>(issuer.unloads),
              static_cast<unsigned long long>(consumer.unloads),
              static_cast<unsigned long long>(consumer.removed),
              static_cast<unsigned long long>(consumer.board.callbacks.load()));
  EXPECT_GT(issuer.unloads, 2U);
  EXPECT_GT(consumer.unloads, 2U);
  EXPECT_GT(consumer.removed + consumer.board.callbacks, 0U);
}

// Chains across two modules: the jobs of each wait for the other's.
TEST(unload_stress, chains_across_two_modules_end_with_both) {
  std::vector<fence_ref> last;
  current_device one("puppet"), two("puppet_line");
  const stress_clock clock;
  std::mt19937 random(7);
  while (clock.runs()) {
    fence_ref previous;
    for (int i = 0; i < 50; ++i) {
      current_device& d = i % 2 == 0 ? one : two;
      std::vector<fence_ref> after;
      if (previous) after.push_back(previous);
      previous = d.submit(d.get(), i % 11 == 0 ? ops::hold : ops::work, after);
      ASSERT_TRUE(previous);
    }
    last.push_back(previous);
    std::thread other([&] { one.reload({.policy = unload_policy::cancel}); });
    two.reload({.policy = unload_policy::cancel});
    other.join();
    EXPECT_FALSE(previous->wait_settled(testing::patience()));
  }
  for (const fence_ref& f : last) EXPECT_NE(f->status(), 0);
  one.end();
  two.end();
  EXPECT_GT(one.unloads, 2U);
}

}  // namespace
}  // namespace ufence
