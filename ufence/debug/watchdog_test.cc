#include "ufence/debug/watchdog.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "ufence/fence/fence.h"
#include "ufence/fence/report.h"
#include "ufence/fence/timeline.h"
#include "ufence/issuer/issuer_test_support.h"

namespace ufence {
namespace {

using ::testing::HasSubstr;

constexpr std::int64_t at_once_ns = 1;

new_fence make() { return *fence::create(fence::allocate_contexts(1), 1); }

// What was told, by the text; others wait for that.
class listener {
 public:
  static void told(const stuck& what, void* self) noexcept {
    auto& l = *static_cast<listener*>(self);
    const std::scoped_lock hold(l.lock_);
    l.texts_.emplace_back(what.text);
    l.change_.notify_all();
  }
  std::string wait_for(std::size_t count) {
    std::unique_lock hold(lock_);
    change_.wait(hold, [&] { return texts_.size() >= count; });
    return texts_[count - 1];
  }
  std::size_t count() {
    const std::scoped_lock hold(lock_);
    return texts_.size();
  }

 private:
  std::mutex lock_;
  std::condition_variable change_;
  std::vector<std::string> texts_;
};

std::string name_of(const fence_ref& f) {
  return std::to_string(f->context()) + ":" + std::to_string(f->seqno());
}

TEST(watchdog, tells_of_a_thread_and_what_it_hangs_on_once) {
  listener heard;
  auto device = timeline_issuer::create({.driver_name = "device", .timeline_name = "queue"});
  ASSERT_TRUE(device);
  const fence_ref first = *device->emit();
  new_fence second = make();
  auto dog = watchdog::start(
      {.limit_ns = at_once_ns, .told = &listener::told, .context = &heard});
  ASSERT_TRUE(dog);
  std::thread one([&] { EXPECT_FALSE(first->wait()); });
  const std::string text = heard.wait_for(1);
  EXPECT_THAT(text, HasSubstr("until " + name_of(first) + " is signaled"));
  EXPECT_THAT(text, HasSubstr(name_of(first) + " timeline fence \"queue\" of \"device\", pending"));
  EXPECT_THAT(text, HasSubstr("nobody has signaled it"));
  // The next thing that it tells is another wait, not this one again.
  std::thread other([&] { EXPECT_FALSE(second.fence->wait()); });
  EXPECT_THAT(heard.wait_for(2), HasSubstr("until " + name_of(second.fence)));
  device->signal_up_to(1);
  second.signal.signal();
  one.join();
  other.join();
  EXPECT_EQ(heard.count(), 2U);
}

TEST(watchdog, tells_of_a_fence_that_has_a_callback) {
  listener heard;
  new_fence f = make();
  callback_registration called([](fence&) noexcept {});
  ASSERT_FALSE(called.add(f.fence));
  {
    auto dog = watchdog::start(
        {.limit_ns = at_once_ns, .told = &listener::told, .context = &heard});
    ASSERT_TRUE(dog);
    EXPECT_THAT(heard.wait_for(1), HasSubstr(name_of(f.fence)));
  }
  // It has ended: nobody is told of this one.
  new_fence late = make();
  callback_registration also_called([](fence&) noexcept {});
  ASSERT_FALSE(also_called.add(late.fence));
  f.signal.signal();
  late.signal.signal();
  EXPECT_EQ(heard.count(), 1U);
}

TEST(watchdog, may_be_told_to_end_what_hangs) {
  struct ending {
    signaler right;
    std::uint64_t context;
  };
  new_fence f = make();
  ending end{.right = std::move(f.signal), .context = f.fence->context()};
  auto dog = watchdog::start({.limit_ns = at_once_ns,
                              .told =
                                  [](const stuck& what, void* context) noexcept {
                                    auto& e = *static_cast<ending*>(context);
                                    for (const std::uint32_t n : roots_of(what.seen, what.waiter)) {
                                      if (what.seen.nodes[n].context == e.context) {
                                        e.right.signal(-ETIMEDOUT);
                                      }
                                    }
                                  },
                              .context = &end});
  ASSERT_TRUE(dog);
  EXPECT_EQ(f.fence->wait_result(), errno_code(ETIMEDOUT));
}

TEST(watchdog, may_ask_for_the_end_of_a_job_that_a_driver_has) {
  puppet_device p;
  listener heard;
  auto dog = watchdog::start(
      {.limit_ns = at_once_ns, .told = &listener::told, .context = &heard, .cancels_roots = true});
  ASSERT_TRUE(dog);
  const fence_ref held = p.give(puppet::hold);
  EXPECT_EQ(held->wait_result(), errno_code(ECANCELED));
  EXPECT_THAT(heard.wait_for(1), HasSubstr("its driver module has the job and has not ended it"));
  EXPECT_EQ(p.board->cancels, 1U);
  // One that no driver has seen is ended at once; a driver decides when it ends its own.
  new_fence in = make();
  const fence_ref waiting = p.give(puppet::hold, {.after = {in.fence}});
  p.board->ignores_cancel = 1;
  const fence_ref busy = p.give(puppet::hold);
  std::thread late([&] { EXPECT_FALSE(busy->wait()); });
  while (p.board->cancels < 2) std::this_thread::yield();
  EXPECT_FALSE(busy->is_signaled());
  p.give(puppet::finish, {.value = busy->seqno()});
  late.join();
  EXPECT_EQ(busy->status(), 1);
  EXPECT_FALSE(waiting->is_signaled());  // it hangs on `in`, not on the driver
  in.signal.signal();
  p.give(puppet::finish_all);
  p.unload();
}

TEST(watchdog, asks_for_nothing_unless_told_to) {
  puppet_device p;
  listener heard;
  auto dog = watchdog::start({.limit_ns = at_once_ns, .told = &listener::told, .context = &heard});
  ASSERT_TRUE(dog);
  const fence_ref held = p.give(puppet::hold);
  std::thread late([&] { EXPECT_FALSE(held->wait()); });
  static_cast<void>(heard.wait_for(1));
  p.give(puppet::finish_all);
  late.join();
  EXPECT_EQ(p.board->cancels, 0U);
  EXPECT_EQ(held->status(), 1);
  p.unload();
}

TEST(watchdog, reports_by_itself) {
  struct reports {
    listener heard;
    static void handle(const report& what, void* context) noexcept {
      if (what.kind != report_kind::stuck) return;
      auto& self = *static_cast<reports*>(context);
      self.driver = what.driver_name;
      listener::told({.seen = {}, .waiter = 0, .text = what.text}, &self.heard);
    }
    std::string driver;
  } all;
  ASSERT_FALSE(set_report_handler(&reports::handle, &all));
  auto device = timeline_issuer::create({.driver_name = "device", .timeline_name = "queue"});
  const fence_ref first = *device->emit();
  std::thread waiter([&] { EXPECT_FALSE(first->wait()); });
  {
    auto dog = watchdog::start({.limit_ns = at_once_ns});
    ASSERT_TRUE(dog);
    EXPECT_THAT(all.heard.wait_for(1), HasSubstr("until " + name_of(first)));
    EXPECT_EQ(all.driver, "device");
    device->signal_up_to(1);
    waiter.join();
  }
  ASSERT_FALSE(set_report_handler(nullptr, nullptr));
}

TEST(watchdog, refuses_a_limit_that_is_none) {
  EXPECT_EQ(watchdog::start({.limit_ns = 0}).error(), errno_code(EINVAL));
}

}  // namespace
}  // namespace ufence
