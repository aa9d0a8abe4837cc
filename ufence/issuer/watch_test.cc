// Modules that are loaded again when their files change.
#include "ufence/issuer/watch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "ufence/issuer/issuer_test_support.h"

namespace ufence {
namespace {

namespace fs = std::filesystem;
using testing::eventually;
using ::testing::HasSubstr;
using kind = watch_event::kind;
namespace ops = puppet;

// A host that watches driver.so in a folder of its own, and keeps what it is told.
struct watched {
  explicit watched(watch_options options = {}, const char* module = "minimal")
      : path(folder.copy(module, "driver.so")) {
    options.settle_ns = 1'000'000;
    options.on_event = [this](const watch_event& e) {
      const std::lock_guard guard(lock);
      events.push_back(e);
    };
    std::string why;
    auto made = at.watch(path, options, &why);
    EXPECT_TRUE(made) << why;
    if (made) watch = std::move(*made);
  }
  ~watched() {
    watch.reset();
    for (const device_ref& d : at.devices()) {
      expect_unmapped(at.unload(d, {.policy = unload_policy::cancel}));
    }
  }
  std::vector<kind> kinds() {
    const std::lock_guard guard(lock);
    std::vector<kind> all;
    for (const watch_event& e : events) all.push_back(e.what);
    return all;
  }
  // An event of that kind, once it comes; it is forgotten then.
  watch_event next(kind what) {
    watch_event found;
    EXPECT_TRUE(eventually([&] {
      const std::lock_guard guard(lock);
      for (auto e = events.begin(); e != events.end(); ++e) {
        if (e->what != what) continue;
        found = *e;
        events.erase(events.begin(), e + 1);
        return true;
      }
      return false;
    })) << to_string(what);
    return found;
  }
  std::string build() const { return std::string(watch->device()->description()); }

  const scratch_folder folder;
  const std::string path;
  std::mutex lock;
  std::vector<watch_event> events;
  host at;
  std::unique_ptr<module_watch> watch;
};

TEST(watch, loads_a_build_that_is_renamed_over_the_file) {
  watched w;
  EXPECT_EQ(w.build(), "build 1");
  EXPECT_EQ(w.watch->builds(), 1U);
  const device_ref old = w.watch->device();
  w.folder.copy("minimal_build_2", "driver.so");
  EXPECT_EQ(w.next(kind::loaded).device->description(), "build 2");
  EXPECT_EQ(w.build(), "build 2");
  EXPECT_EQ(w.next(kind::unloaded).report.state, unload_state::unmapped);
  EXPECT_EQ(error_of(old->submit({})), errno_code(ENODEV));
  EXPECT_EQ(w.at.devices(), std::vector{w.watch->device()});
  // And back, and so on.
  w.folder.copy("minimal", "driver.so");
  w.next(kind::unloaded);
  EXPECT_EQ(w.build(), "build 1");
  EXPECT_EQ(w.watch->builds(), 3U);
}

TEST(watch, loads_a_build_that_is_written_in_place) {
  watched w;
  std::string bytes = read_file(w.path);
  const auto at = bytes.find("build 1");
  ASSERT_NE(at, std::string::npos);
  bytes.replace(at, 7, "build 7");
  std::ofstream(w.path, std::ios::binary | std::ios::in | std::ios::out) << bytes;
  w.next(kind::unloaded);
  EXPECT_EQ(w.build(), "build 7");
}

TEST(watch, keeps_the_old_build_when_the_new_one_is_refused) {
  watched w({.policy = unload_policy::cancel});  // the job of this driver never ends
  w.folder.write("driver.so", "no module\n");
  const watch_event refused = w.next(kind::refused);
  EXPECT_THAT(refused.why, HasSubstr("driver.so: "));
  EXPECT_THAT(refused.why, HasSubstr("not an ELF file"));
  EXPECT_EQ(refused.device, w.watch->device());
  EXPECT_EQ(w.build(), "build 1");
  EXPECT_TRUE(w.watch->submit({}));
  EXPECT_EQ(w.watch->builds(), 1U);
  // One whose init() fails is refused as well; then comes a good one.
  w.folder.copy("puppet_init_fails", "driver.so");
  EXPECT_THAT(w.next(kind::refused).why, HasSubstr("init() failed"));
  w.folder.copy("minimal_build_2", "driver.so");
  w.next(kind::unloaded);
  EXPECT_EQ(w.build(), "build 2");
}

TEST(watch, follows_a_link_that_leads_to_another_file) {
  const scratch_folder builds;
  builds.copy("minimal", "one.so");
  builds.copy("minimal_build_2", "two.so");
  watched w;
  const auto lead_to = [&](const char* name) {
    fs::create_symlink(builds.path(name), w.folder.path("new"));
    fs::rename(w.folder.path("new"), w.path);
  };
  lead_to("two.so");
  w.next(kind::unloaded);
  EXPECT_EQ(w.build(), "build 2");
  // The link stays, what it leads to is replaced.
  builds.copy("minimal", "two.so");
  w.next(kind::unloaded);
  EXPECT_EQ(w.build(), "build 1");
}

TEST(watch, finds_the_file_again_in_a_new_folder_of_the_name) {
  watched w({.policy = unload_policy::cancel});
  const std::string folder = fs::path(w.path).parent_path();
  fs::remove_all(folder);
  EXPECT_TRUE(w.watch->submit({}));
  fs::create_directory(folder);
  w.folder.copy("minimal_build_2", "driver.so");
  w.next(kind::unloaded);
  EXPECT_EQ(w.build(), "build 2");
}

TEST(watch, does_with_jobs_under_way_what_the_policy_says) {
  for (const unload_policy policy : {unload_policy::drain, unload_policy::cancel}) {
    puppet::board board;
    watched w({.policy = policy}, "puppet");
    const puppet::arguments arguments{.to = &board};
    const job_request attach{.opcode = ops::attach, .args = std::as_bytes(std::span(&arguments, 1))};
    const job_request hold{.opcode = ops::hold, .args = attach.args};
    ASSERT_TRUE(w.watch->submit(attach));
    const device_ref old = w.watch->device();
    const fence_ref job = w.watch->submit(hold).value();
    w.folder.copy("puppet_build_2", "driver.so");
    w.next(kind::loaded);
    // No gap: the new build takes jobs while the old one still has some.
    EXPECT_EQ(w.build(), "build 2");
    EXPECT_TRUE(w.watch->submit({.opcode = ops::now}));
    if (policy == unload_policy::drain) {
      EXPECT_FALSE(job->is_signaled());
      // Not before its unload has begun: the report counts the jobs from there.
      while (old->submit({.opcode = ops::now})) std::this_thread::yield();
      EXPECT_EQ(old->cancel(job), std::error_code());
    }
    const watch_event unloaded = w.next(kind::unloaded);
    EXPECT_EQ(job->error(), -ECANCELED);
    EXPECT_EQ(unloaded.report.jobs_cancelled, 1U);
    EXPECT_EQ(board.exits, 1U);
  }
}

TEST(watch, loses_no_job_while_builds_change) {
  watched w({}, "puppet");
  std::atomic<bool> stops{false};
  std::uint64_t given = 0;
  std::thread consumer([&] {
    while (!stops) {
      const result<fence_ref> f = w.watch->submit({.opcode = ops::now});
      ASSERT_TRUE(f) << f.error().message();
      ASSERT_FALSE((*f)->wait(testing::patience()));
      ASSERT_EQ((*f)->status(), 1);
      ++given;
    }
  });
  for (const char* build : {"puppet_build_2", "puppet", "puppet_build_2"}) {
    w.folder.copy(build, "driver.so");
    w.next(kind::unloaded);
  }
  stops = true;
  consumer.join();
  EXPECT_GT(given, 0U);
  EXPECT_EQ(w.watch->builds(), 4U);
}

TEST(watch, of_what_can_not_be_loaded_says_why) {
  host h;
  std::string why;
  EXPECT_EQ(h.watch("/nonexistent/driver.so", {}, &why).error(), errno_code(ENOENT));
  EXPECT_THAT(why, HasSubstr("/nonexistent/driver.so"));
}

TEST(watch, says_that_the_device_was_unloaded_by_somebody_else) {
  watched w;
  expect_unmapped(w.at.unload(w.watch->device()));
  EXPECT_EQ(error_of(w.watch->submit({})), errno_code(ENODEV));
  w.folder.copy("minimal_build_2", "driver.so");
  w.next(kind::loaded);
  EXPECT_TRUE(w.watch->submit({}));
}

}  // namespace
}  // namespace ufence
