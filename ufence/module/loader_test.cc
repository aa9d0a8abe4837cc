#include "ufence/module/loader.h"

#include <dlfcn.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <filesystem>
#include <latch>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "ufence/module/module_test_support.h"

namespace ufence {
namespace {

using testing::HasSubstr;

std::unique_ptr<loaded_module> load(const std::string& path) {
  auto loaded = loaded_module::load(path);
  if (!loaded) {
    ADD_FAILURE() << loaded.error().why;
    return nullptr;
  }
  return std::move(*loaded);
}

load_failure failure_of(const std::string& path) {
  const auto loaded = loaded_module::load(path);
  if (loaded) {
    ADD_FAILURE() << path << " was loaded";
    return {};
  }
  return loaded.error();
}

bool is_mapped(const loaded_module& module) {
  return dlopen(module.path().c_str(), RTLD_NOLOAD | RTLD_LAZY) != nullptr;
}

TEST(loader, a_module_is_mapped_and_unmapped) {
  const auto module = load(test_module("minimal"));
  ASSERT_TRUE(module);
  EXPECT_EQ(module->state(), mapping::mapped);
  EXPECT_STREQ(module->driver().name, "minimal");
  EXPECT_TRUE(module->range().contains(&module->driver(), sizeof(ufence_driver)));
  EXPECT_EQ(module->why_mapped(), "");
  EXPECT_EQ(module->unload(), mapping::unmapped);
  EXPECT_FALSE(is_mapped(*module));
  EXPECT_EQ(module->unload(), mapping::unmapped);
}

TEST(loader, dropping_a_module_unmaps_it) {
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(load(test_module("minimal")));
}

TEST(loader, a_file_is_loaded_once) {
  const scratch_folder folder;
  const auto module = load(test_module("minimal"));
  EXPECT_EQ(failure_of(test_module("minimal")).error, EEXIST);
  std::filesystem::create_symlink(test_module("minimal"), folder.path("link.so"));
  EXPECT_EQ(failure_of(folder.path("link.so")).error, EEXIST);
  std::filesystem::create_hard_link(test_module("minimal"), folder.path("hard.so"));
  EXPECT_EQ(failure_of(folder.path("hard.so")).error, EEXIST);
  // The failures changed nothing.
  EXPECT_STREQ(module->driver().name, "minimal");
  EXPECT_EQ(module->unload(), mapping::unmapped);
  EXPECT_TRUE(load(folder.path("link.so")));
}

TEST(loader, two_threads_load_a_file_once) {
  for (int round = 0; round < 50; ++round) {
    std::latch start(2);
    std::atomic<int> loaded{0}, existed{0};
    std::latch both_tried(2);
    const auto attempt = [&] {
      start.arrive_and_wait();
      auto module = loaded_module::load(test_module("minimal"));
      ++(module ? loaded : existed);
      both_tried.arrive_and_wait();
      EXPECT_TRUE(module || module.error().error == EEXIST);
    };
    std::thread one(attempt), two(attempt);
    one.join();
    two.join();
    EXPECT_EQ(loaded, 1);
    EXPECT_EQ(existed, 1);
  }
}

TEST(loader, a_file_that_somebody_else_has_mapped_is_not_ours_to_unload) {
  void* const foreign = dlopen(test_module("minimal").c_str(), RTLD_NOW | RTLD_LOCAL);
  ASSERT_NE(foreign, nullptr);
  const load_failure failure = failure_of(test_module("minimal"));
  EXPECT_EQ(failure.error, EEXIST);
  EXPECT_THAT(failure.why, HasSubstr("not by a host"));
  dlclose(foreign);
  EXPECT_TRUE(load(test_module("minimal")));
}

TEST(loader, a_newer_build_loads_while_the_older_one_is_mapped) {
  const scratch_folder folder;
  const std::string path = folder.copy("minimal", "driver.so");
  const auto older = load(path);
  folder.copy("minimal_build_2", "driver.so");
  const auto newer = load(path);
  ASSERT_TRUE(older && newer);
  EXPECT_STREQ(older->driver().description, "build 1");
  EXPECT_STREQ(newer->driver().description, "build 2");
  EXPECT_NE(older->range().begin, newer->range().begin);
  EXPECT_EQ(failure_of(path).error, EEXIST);
  // And another one, while the names of both are known to the dynamic linker.
  folder.copy("minimal", "driver.so");
  const auto newest = load(path);
  ASSERT_TRUE(newest);
  EXPECT_STREQ(newest->driver().description, "build 1");
  EXPECT_EQ(older->unload(), mapping::unmapped);
  EXPECT_EQ(newest->unload(), mapping::unmapped);
  EXPECT_EQ(newer->unload(), mapping::unmapped);
}

TEST(loader, a_renamed_file_is_still_verified) {
  const scratch_folder folder;
  const std::string path = folder.copy("minimal", "driver.so");
  const auto module = load(path);
  void* const foreign = dlopen(path.c_str(), RTLD_NOLOAD | RTLD_LAZY | RTLD_LOCAL);
  std::filesystem::rename(path, folder.path("moved.so"));
  EXPECT_EQ(module->unload(), mapping::pinned);
  std::filesystem::remove(folder.path("moved.so"));
  EXPECT_EQ(module->unload(), mapping::pinned);
  dlclose(foreign);
  EXPECT_EQ(module->unload(), mapping::unmapped);
}

TEST(loader, a_second_holder_pins_the_mapping) {
  const auto module = load(test_module("minimal"));
  void* const foreign = dlopen(test_module("minimal").c_str(), RTLD_NOLOAD | RTLD_LAZY);
  ASSERT_NE(foreign, nullptr);
  EXPECT_EQ(module->unload(), mapping::pinned);
  EXPECT_THAT(module->why_mapped(), HasSubstr("held by another dlopen()"));
  EXPECT_EQ(failure_of(test_module("minimal")).error, EEXIST);
  dlclose(foreign);
  EXPECT_EQ(module->unload(), mapping::unmapped);
  EXPECT_EQ(module->why_mapped(), "");
}

// Runs the module's code in a thread that then waits: its thread_local object lives.
class thread_inside {
 public:
  explicit thread_inside(const ufence_driver& driver)
      : thread_([this, submit = driver.ops->submit] {
          submit(nullptr, nullptr);
          ready_.count_down();
          leave_.wait();
        }) {
    ready_.wait();
  }
  void end() {
    leave_.count_down();
    thread_.join();
  }

 private:
  std::latch ready_{1}, leave_{1};
  std::thread thread_;
};

TEST(loader, a_pending_thread_local_destructor_defers_unmapping) {
  const auto module = load(test_module("unmappable_thread_local"));
  thread_inside thread(module->driver());
  EXPECT_EQ(module->unload(), mapping::deferred);
  EXPECT_THAT(module->why_mapped(), HasSubstr("thread_local"));
  EXPECT_EQ(module->unload(), mapping::deferred);
  EXPECT_EQ(failure_of(test_module("unmappable_thread_local")).error, EEXIST);
  thread.end();
  EXPECT_EQ(module->unload(), mapping::unmapped);
  EXPECT_TRUE(load(test_module("unmappable_thread_local")));
}

TEST(loader, a_module_left_deferred_is_collected_when_its_file_is_loaded_again) {
  auto module = load(test_module("unmappable_thread_local"));
  thread_inside thread(module->driver());
  EXPECT_EQ(module->unload(), mapping::deferred);
  module.reset();
  EXPECT_EQ(failure_of(test_module("unmappable_thread_local")).error, EEXIST);
  thread.end();
  // Any other unloading makes the dynamic linker collect it.
  EXPECT_EQ(load(test_module("minimal"))->unload(), mapping::unmapped);
  EXPECT_TRUE(load(test_module("unmappable_thread_local")));
}

TEST(loader, refused_files_leave_nothing_mapped) {
  const char* const refused[] = {"minimal_no_note",  "minimal_future",   "minimal_no_entry",
                                 "minimal_nodelete", "minimal_null_ops", "minimal_starts_thread",
                                 "unmappable_unique"};
  for (const char* name : refused) {
    const load_failure failure = failure_of(test_module(name));
    EXPECT_THAT(failure.why, HasSubstr(name));
    EXPECT_EQ(dlopen(test_module(name).c_str(), RTLD_NOLOAD | RTLD_LAZY), nullptr) << name;
  }
  EXPECT_EQ(failure_of(test_module("minimal_null_ops")).error, EPROTO);
  EXPECT_EQ(failure_of(test_module("minimal_future")).error, EPROTO);
  EXPECT_EQ(failure_of(test_module("minimal_nodelete")).error, ENOEXEC);
}

// Not the module's fault: where fewer modules are loaded there may be enough.
TEST(loader, regress_no_memory_for_static_thread_local_data_is_ENOMEM) {
  const load_failure failure = failure_of(test_module("minimal_much_static_tls"));
  EXPECT_EQ(failure.error, ENOMEM) << failure.why;
  EXPECT_THAT(failure.why, HasSubstr("static TLS"));
  EXPECT_EQ(dlopen(test_module("minimal_much_static_tls").c_str(), RTLD_NOLOAD | RTLD_LAZY),
            nullptr);
}

TEST(loader, modules_that_hold_static_thread_local_data_are_named_when_it_is_used_up) {
  const auto holder = load(test_module("minimal_little_static_tls"));
  ASSERT_TRUE(holder);
  EXPECT_EQ(holder->info().static_tls_size, 64U);
  EXPECT_THAT(failure_of(test_module("minimal_much_static_tls")).why,
              HasSubstr("minimal_little_static_tls.so (64 bytes)"));
}

// Nor that no descriptor is left for the dynamic linker.
TEST(loader, regress_no_descriptor_for_the_dynamic_linker_is_EMFILE) {
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  const int next = ::dup(0);  // the lowest number that is free
  ASSERT_GE(next, 0);
  ::close(next);
  for (const rlim_t more : {0U, 1U}) {
    const rlimit few{.rlim_cur = static_cast<rlim_t>(next) + more, .rlim_max = before.rlim_max};
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &few), 0);
    const auto loaded = loaded_module::load(test_module("minimal_build_2"));
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
    ASSERT_FALSE(loaded) << more;
    EXPECT_EQ(loaded.error().error, EMFILE) << more << ": " << loaded.error().why;
  }
}

TEST(loader, no_descriptor_for_the_look_at_the_mappings_is_told_as_such) {
  const auto module = load(test_module("minimal"));
  ASSERT_TRUE(module);
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  const int next = ::dup(0);
  ASSERT_GE(next, 0);
  ::close(next);
  const rlimit none{.rlim_cur = static_cast<rlim_t>(next), .rlim_max = before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  const mapping state = module->unload();
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_EQ(state, mapping::pinned);
  EXPECT_THAT(module->why_mapped(), HasSubstr("not known whether it is mapped"));
  EXPECT_THAT(module->why_mapped(), HasSubstr("Too many open files"));
  EXPECT_EQ(module->unload(), mapping::unmapped);
  EXPECT_EQ(module->why_mapped(), "");
}

TEST(loader, a_path_that_is_not_there_says_so) {
  EXPECT_EQ(failure_of("/nonexistent/driver.so").error, ENOENT);
  EXPECT_EQ(failure_of("").error, ENOENT);
}

TEST(loader, what_the_dynamic_linker_says_is_told) {
  // Cut after the parts that are loaded were checked: corrupt what only the dynamic linker reads.
  const scratch_folder folder;
  std::string bytes = read_file(test_module("unmappable_thread_local"));
  const auto at = bytes.find("libstdc++.so.6");
  ASSERT_NE(at, std::string::npos);
  bytes.replace(at, 9, "libmissin");
  const load_failure failure = failure_of(folder.write("needy.so", bytes));
  EXPECT_EQ(failure.error, ENOEXEC);
  EXPECT_THAT(failure.why, HasSubstr("libmissin"));
}

TEST(loader, an_unmapped_range_is_kept_inaccessible_in_builds_with_debug_checks) {
  const auto module = load(test_module("minimal"));
  const detail::address_range range = module->range();
  EXPECT_FALSE(is_reserved_for_test(range));
  ASSERT_EQ(module->unload(), mapping::unmapped);
  EXPECT_EQ(is_reserved_for_test(range), UFENCE_DEBUG_CHECKS != 0);
}

TEST(loader, only_the_newest_reservations_are_kept) {
  if (UFENCE_DEBUG_CHECKS == 0) GTEST_SKIP() << "no debug checks in this build";
  constexpr std::size_t kept = 256;
  std::vector<std::uintptr_t> begins;
  std::uintptr_t size = 0;
  for (std::size_t i = 0; i < kept + 4; ++i) {
    const auto module = load(test_module("minimal"));
    begins.push_back(module->range().begin);
    size = module->range().end - module->range().begin;
  }
  const auto is_kept = [size](std::uintptr_t begin) {
    return is_reserved_for_test({.begin = begin, .end = begin + size});
  };
  const std::set<std::uintptr_t> newest(begins.end() - kept, begins.end());
  EXPECT_EQ(newest.size(), kept);  // none was used again while it was kept
  EXPECT_TRUE(std::ranges::all_of(newest, is_kept));
  for (std::size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(is_kept(begins[i]), newest.contains(begins[i])) << i;
  }
}

TEST(loader, replacing_a_file_while_it_is_loaded_never_mixes_two_builds) {
  const scratch_folder folder;
  const std::string path = folder.copy("minimal", "driver.so");
  std::atomic<bool> stop{false};
  std::thread replacer([&] {
    for (int i = 0; !stop; ++i)
      folder.copy(i % 2 == 0 ? "minimal_build_2" : "minimal", "driver.so");
  });
  for (int i = 0; i < 200; ++i) {
    const auto module = loaded_module::load(path);
    if (!module) {
      EXPECT_EQ(module.error().error, EAGAIN) << module.error().why;
      continue;
    }
    EXPECT_THAT((*module)->driver().description, HasSubstr("build"));
    EXPECT_EQ((*module)->unload(), mapping::unmapped);
  }
  stop = true;
  replacer.join();
}

}  // namespace
}  // namespace ufence
