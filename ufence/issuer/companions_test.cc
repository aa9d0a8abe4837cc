// Modules that bring libraries with threads, or with values of threads: unloaded and loaded again, while
// host threads that used them live on, and after they have ended.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <latch>
#include <string>
#include <thread>

#include "ufence/issuer/host.h"
#include "ufence/issuer/issuer_test_support.h"
#include "ufence/module/inspect.h"

namespace ufence {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using testing::in_child;
using testing::kept_reports;

std::size_t threads_now() {
  return static_cast<std::size_t>(std::distance(
      std::filesystem::directory_iterator("/proc/self/task"), std::filesystem::directory_iterator()));
}

int use(const device_ref& d) {
  const result<fence_ref> f = d->submit({});
  return f && !(*f)->wait() ? (*f)->error() : -EIO;
}

struct brought {
  const char* module;
  const char* library;
};

// What a library that came leaves in the process must not be the test program's: each test has a child.
class brings : public ::testing::TestWithParam<brought> {};

// Which of them a build has: layer.cmake.
bool is_built(const char* module) { return std::filesystem::exists(test_module(module)); }

TEST_P(brings, is_reloaded_for_ever_and_its_library_stays) {
  if (!is_built(GetParam().module)) GTEST_SKIP() << "not a module of this build";
  EXPECT_EQ(in_child([] {
              const std::string path = test_module(GetParam().module);
              host h;
              std::size_t threads = 0;
              for (int round = 0; round < 20; ++round) {
                const kept_reports reports;
                std::string why;
                const result<device_ref> d = h.load(path, &why);
                if (!d) std::fprintf(stderr, "%s\n", why.c_str());
                UFENCE_CHILD_EXPECT(d.has_value());
                // The library is told when it comes, and not again.
                UFENCE_CHILD_EXPECT((reports.count(report_kind::driver) != 0) == (round == 0));
                // One host thread ends before the unload, one after it.
                std::latch used(2), unloaded(1);
                std::thread first([&] {
                  if (use(*d) == 0) used.count_down();
                });
                first.join();
                std::thread second([&] {
                  if (use(*d) == 0) used.count_down();
                  unloaded.wait();
                });
                used.wait();
                const result<unload_report> done = h.unload(*d);
                UFENCE_CHILD_EXPECT(done && done->state == unload_state::unmapped);
                UFENCE_CHILD_EXPECT(done->kept.size() >= 1);
                const bool is_told = std::ranges::any_of(done->kept, [](const std::string& text) {
                  return text.contains(GetParam().library) && text.contains("KiB");
                });
                UFENCE_CHILD_EXPECT(is_told);
                unloaded.count_down();
                second.join();
                if (round == 4) threads = threads_now();
              }
              // A pool starts some later; one for each of the 15 reloads would be more.
              UFENCE_CHILD_EXPECT(threads_now() <= threads + 4);
              return 0;
            }),
            0);
}

INSTANTIATE_TEST_SUITE_P(, brings,
                         ::testing::Values(brought{"brings_openmp", "libgomp"},
                                           brought{"brings_tbb", "libtbb"},
                                           brought{"brings_urcu", "liburcu.so"},
                                           brought{"brings_mimalloc", "libmimalloc"},
                                           brought{"brings_python", "libpython3.11"}),
                         [](const auto& name) { return std::string(name.param.module); });

TEST(companions, are_named_from_the_files_alone) {
  if (!is_built("brings_openmp")) GTEST_SKIP() << "not a module of this build";
  const module_info info = inspect(test_module("brings_openmp"));
  ASSERT_TRUE(info.is_loadable());
  const auto library = std::ranges::find_if(
      info.libraries, [](const library_info& l) { return l.name.starts_with("libgomp"); });
  ASSERT_NE(library, info.libraries.end());
  EXPECT_THAT(library->kept, HasSubstr("pthread_create"));
  EXPECT_GT(library->memory_size, 0U);
  EXPECT_GT(library->static_tls_size, 0U);
  EXPECT_THAT(inspect(test_module("puppet")).libraries, IsEmpty());
}

TEST(companions, a_library_with_threads_that_the_module_opens_stays_when_it_closes_it) {
  EXPECT_EQ(in_child([] {
              const kept_reports quiet;
              host h;
              std::size_t threads = 0;
              for (int round = 0; round < 20; ++round) {
                const device_ref d = load_module(h, test_module("opens_library"));
                UFENCE_CHILD_EXPECT(d != nullptr && use(d) == 0);
                const result<unload_report> done = h.unload(d);
                UFENCE_CHILD_EXPECT(done && done->state == unload_state::unmapped);
                UFENCE_CHILD_EXPECT((round != 0 || done->kept.size() == 1));
                UFENCE_CHILD_EXPECT(round != 0 || done->kept.front().contains("libkeeps.so"));
                if (round == 1) threads = threads_now();
              }
              UFENCE_CHILD_EXPECT(threads_now() <= threads + 1);
              return 0;
            }),
            0);
}

TEST(companions, a_module_that_brings_none_keeps_none) {
  puppet_device p;
  EXPECT_THAT(p.device->notes(), IsEmpty());
  EXPECT_THAT(p.unload().kept, IsEmpty());
}

TEST(companions, rcu_callbacks_without_a_barrier_are_warned_about) {
  if (!is_built("brings_urcu")) GTEST_SKIP() << "not a module of this build";
  EXPECT_THAT(inspect(test_module("brings_urcu_no_barrier")).warnings,
              Contains(AllOf(HasSubstr("D-22"), HasSubstr("call_rcu"))));
  EXPECT_THAT(inspect(test_module("brings_urcu")).warnings, Not(Contains(HasSubstr("D-22"))));
}

TEST(companions, a_sanitizer_that_the_process_lacks_is_refused) {
  if (!is_built("brings_asan")) GTEST_SKIP() << "not a module of this build";
  const module_info info = inspect(test_module("brings_asan"));
  EXPECT_EQ(info.error, ENOEXEC);
  EXPECT_THAT(info.problems, Contains(AllOf(HasSubstr("D-23"), HasSubstr("AddressSanitizer"))));
  host h;
  std::string why;
  EXPECT_EQ(error_of(h.load(test_module("brings_asan"), &why)), errno_code(ENOEXEC));
  EXPECT_THAT(why, HasSubstr("AddressSanitizer"));
}

}  // namespace
}  // namespace ufence
