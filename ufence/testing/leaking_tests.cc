// Tests that leak on purpose; leak_check_test.cc runs them one by one and reads the report. Not
// registered with ctest.
#include <dlfcn.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <pthread.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <latch>
#include <thread>

#include "ufence/testing/leak_check.h"

namespace {

namespace fs = std::filesystem;

std::size_t counted_things = 7;  // stands for what a layer counts
int fd_of_the_suite = -1;

int open_null() { return ::open("/dev/null", O_RDONLY | O_CLOEXEC); }

void start_sleeping_thread(const char* name) {
  std::latch named(1);
  std::thread([&named, name] {
    ::pthread_setname_np(::pthread_self(), name);
    named.count_down();
    while (true) ::pause();  // until the process ends
  }).detach();
  named.wait();
}

// The leaked module as a file of its own, below a folder named as the drivers' is.
class module_copy {
 public:
  module_copy() {
    char folder[] = "/tmp/ufence_leak_XXXXXX";
    if (::mkdtemp(folder) == nullptr) std::abort();
    root_ = folder;
    fs::create_directories(root_ / "ufence/drivers");
    fs::copy_file(UFENCE_LEAKED_MODULE, path());
  }
  ~module_copy() { fs::remove_all(root_); }
  module_copy(const module_copy&) = delete;
  module_copy& operator=(const module_copy&) = delete;

  [[nodiscard]] fs::path path() const { return root_ / "ufence/drivers/leaked.so"; }
  [[nodiscard]] void* open() const { return ::dlopen(path().c_str(), RTLD_NOW | RTLD_LOCAL); }

 private:
  fs::path root_;
};

class suite_with_a_file : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { fd_of_the_suite = open_null(); }
};

class fixture_that_leaks : public ::testing::Test {
 protected:
  ~fixture_that_leaks() override { EXPECT_GE(open_null(), 0); }
};

}  // namespace

TEST(clean, leaves_nothing) {
  const int fd = open_null();
  ASSERT_GE(fd, 0);
  ASSERT_EQ(::close(fd), 0);
  std::thread([] {}).join();
  const module_copy copy;
  void* handle = copy.open();
  ASSERT_NE(handle, nullptr);
  ASSERT_EQ(::dlclose(handle), 0);
  counted_things += 1;
  counted_things -= 1;
}

TEST(leak, file_descriptor) { ASSERT_GE(open_null(), 0); }

TEST(leak, file_descriptor_under_a_number_used_before) {
  ASSERT_EQ(::close(fd_of_the_suite), 0);
  const int fd = ::open("/dev/zero", O_RDONLY | O_CLOEXEC);
  ASSERT_EQ(::dup3(fd, fd_of_the_suite, O_CLOEXEC), fd_of_the_suite);
  ASSERT_EQ(::close(fd), 0);
}

TEST_F(suite_with_a_file, is_not_charged_to_the_test) {}
TEST_F(suite_with_a_file, closed_by_the_test) { ASSERT_EQ(::close(fd_of_the_suite), 0); }

TEST_F(fixture_that_leaks, in_its_destructor) {}

TEST(leak, thread) { start_sleeping_thread("left_behind"); }

TEST(leak, counted) { counted_things += 3; }

TEST(leak, module) {
  const module_copy copy;
  ASSERT_NE(copy.open(), nullptr);
}

TEST(leak, module_of_a_deleted_file) {
  void* handle = nullptr;
  {
    const module_copy copy;
    handle = copy.open();
  }
  ASSERT_NE(handle, nullptr);
}

TEST(leak, in_a_skipped_test) {
  ASSERT_GE(open_null(), 0);
  GTEST_SKIP() << "skipped after it leaked";
}

int main(int argc, char** argv) {
  fd_of_the_suite = open_null();
  ufence::testing::probe_list probes = ufence::testing::process_probes();
  probes.push_back(
      ufence::testing::count_probe("counted things", [] { return counted_things; }));
  return ufence::testing::run_all_tests(argc, argv, std::move(probes));
}
