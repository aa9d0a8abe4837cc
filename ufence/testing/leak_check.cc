#include "ufence/testing/leak_check.h"

#include <gtest/gtest.h>

#include <thread>
#include <utility>

namespace ufence::testing {
namespace {

std::string describe(const probe::thing& thing, std::size_t count) {
  return thing.tell_count ? std::to_string(count) + " " + thing.description : thing.description;
}

std::size_t count_in(const probe::view& view, const std::string& key) {
  const auto found = view.find(key);
  return found == view.end() ? 0 : found->second.count;
}

std::vector<std::string> compare(const probe& probe, const probe::view& before,
                                 const probe::view& after) {
  std::vector<std::string> lines;
  for (const auto& [key, thing] : after) {
    const std::size_t had = count_in(before, key);
    if (thing.count > had) lines.push_back("leaked: " + describe(thing, thing.count - had));
  }
  if (!probe.must_stay()) return lines;
  for (const auto& [key, thing] : before) {
    const std::size_t has = count_in(after, key);
    if (thing.count > has) {
      lines.push_back("ended, but not its own: " + describe(thing, thing.count - has));
    }
  }
  return lines;
}

class leak_check final : public ::testing::EmptyTestEventListener {
 public:
  explicit leak_check(probe_list probes) : probes_(std::move(probes)) {}

 private:
  void OnTestStart(const ::testing::TestInfo&) override {
    before_.clear();
    for (const auto& probe : probes_) before_.push_back(probe->look());
  }

  void OnTestEnd(const ::testing::TestInfo& test) override {
    for (std::size_t i = 0; i < probes_.size(); ++i) {
      for (const std::string& line : find_leaks(*probes_[i], before_[i])) {
        ADD_FAILURE_AT(test.file(), test.line())
            << test.test_suite_name() << "." << test.name() << " " << line;
      }
    }
  }

  probe_list probes_;
  std::vector<probe::view> before_;
};

}  // namespace

probe_list process_probes() {
  probe_list probes;
  // Threads first: a thread that is still on its way out may hold the other things.
  probes.push_back(thread_probe());
  probes.push_back(file_descriptor_probe());
  probes.push_back(module_probe());
  return probes;
}

std::vector<std::string> find_leaks(const probe& probe, const probe::view& before) {
  using namespace std::chrono_literals;
  const auto until = std::chrono::steady_clock::now() + probe.lingers();
  while (true) {
    std::vector<std::string> lines = compare(probe, before, probe.look());
    if (lines.empty() || std::chrono::steady_clock::now() >= until) return lines;
    std::this_thread::sleep_for(1ms);
  }
}

int run_all_tests(int argc, char** argv, probe_list probes) {
  ::testing::InitGoogleTest(&argc, argv);
  // ThreadSanitizer starts a thread of its own with the first that we start: not a test's leak.
  std::thread([] {}).join();
  ::testing::UnitTest::GetInstance()->listeners().Append(new leak_check(std::move(probes)));
  return RUN_ALL_TESTS();
}

}  // namespace ufence::testing
