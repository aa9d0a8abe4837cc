// Threads that share few descriptors: what one of them closes is there for the others at once.
#include <fcntl.h>
#include <sys/resource.h>

#include <algorithm>
#include <barrier>
#include <cerrno>
#include <functional>
#include <thread>
#include <vector>

#include "ufence/sync/sync_test_support.h"
#include "ufence/sync/syncobj_file.h"
#include "ufence/syncobj/syncobj.h"

namespace ufence::testing {
namespace {

constexpr int thread_count = 4;
constexpr int rounds = 200;

void run_threads(const std::function<void(int thread)>& work) {
  std::vector<std::thread> threads;
  for (int i = 0; i < thread_count; ++i) threads.emplace_back([&work, i] { work(i); });
  for (std::thread& t : threads) t.join();
}

// Leaves room for this many descriptors, for its lifetime.
class few_descriptors {
 public:
  explicit few_descriptors(int room) {
    let_sanitizers_see_error_codes();
    run_threads([](int) {});  // UBSan looks at the end of a thread for the first time
    ::getrlimit(RLIMIT_NOFILE, &before_);
    rlimit few = before_;
    for (few.rlim_cur = 0; room > 0; ++few.rlim_cur) {
      if (::fcntl(static_cast<int>(few.rlim_cur), F_GETFD) < 0) --room;
    }
    ::setrlimit(RLIMIT_NOFILE, &few);
  }
  ~few_descriptors() { ::setrlimit(RLIMIT_NOFILE, &before_); }
  few_descriptors(const few_descriptors&) = delete;
  few_descriptors& operator=(const few_descriptors&) = delete;

 private:
  rlimit before_{};
};

// A file that takes a second descriptor of its maker: of a fence, or of a syncobj.
result<unique_fd> make_file(const fence_ref& f, const syncobj_ref& object, int number) {
  return number % 3 == 0 ? syncobj_export(object) : sync_file_create(f);
}

TEST(few_descriptors, are_enough_for_all_that_is_held) {
  new_fence f = make_fence();
  const syncobj_ref object = syncobj::create().value();
  const unique_fd keeps_the_reactor = sync_file_create(f.fence).value();
  constexpr int files_each = 3;
  const few_descriptors few(thread_count * files_each * 2);
  run_threads([&](int thread) {
    for (int round = 0; round < rounds; ++round) {
      std::vector<unique_fd> files;
      for (int i = 0; i < files_each; ++i) {
        result<unique_fd> made = make_file(f.fence, object, thread + i);
        EXPECT_TRUE(made.has_value()) << made.error().message() << " in round " << round;
        if (made) files.push_back(*std::move(made));
      }
    }
  });
  f.signal.signal();
}

TEST(few_descriptors, are_all_used_before_there_are_none) {
  new_fence f = make_fence();
  const syncobj_ref object = syncobj::create().value();
  const unique_fd keeps_the_reactor = sync_file_create(f.fence).value();
  constexpr std::size_t files_max = 20;
  const few_descriptors few(2 * files_max + 1);
  std::barrier all{thread_count};
  std::vector<std::vector<unique_fd>> files(thread_count);
  run_threads([&](int thread) {
    for (int round = 0; round < rounds; ++round) {
      for (int number = thread;; ++number) {
        result<unique_fd> made = make_file(f.fence, object, number);
        if (!made) {
          EXPECT_EQ(made.error(), errno_code(EMFILE));
          break;
        }
        files[static_cast<std::size_t>(thread)].push_back(*std::move(made));
      }
      all.arrive_and_wait();
      if (thread == round % thread_count) {
        std::size_t held = 0;
        for (const auto& of_one : files) held += of_one.size();
        EXPECT_EQ(held, files_max) << "in round " << round;
      }
      all.arrive_and_wait();
      files[static_cast<std::size_t>(thread)].clear();
      // Who closes last lets the others make files meanwhile.
      if (round % 2 == 0) all.arrive_and_wait();
    }
  });
  f.signal.signal();
}

}  // namespace
}  // namespace ufence::testing
