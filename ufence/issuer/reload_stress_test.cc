// A module with four libraries, loaded and unloaded again and again: memory, mappings, threads and descriptors
// stay what they were. 400 times; UFENCE_RELOADS=10000 in the environment for more.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "ufence/fence/testing/support.h"
#include "ufence/issuer/host.h"
#include "ufence/issuer/issuer_test_support.h"

namespace ufence {
namespace {

using testing::in_child;
using testing::kept_reports;

std::size_t entries(const char* folder) {
  return static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator(folder),
                                                std::filesystem::directory_iterator()));
}

struct footprint {
  std::size_t resident_kib = 0, mappings = 0, threads = 0, descriptors = 0;

  static footprint now() {
    footprint f{.threads = entries("/proc/self/task"), .descriptors = entries("/proc/self/fd")};
    std::ifstream maps("/proc/self/maps"), status("/proc/self/status");
    for (std::string line; std::getline(maps, line);) ++f.mappings;
    for (std::string line; std::getline(status, line);) {
      if (line.starts_with("VmRSS:")) f.resident_kib = std::stoul(line.substr(6));
    }
    return f;
  }
  void print(int rounds) const {
    std::fprintf(stderr, "%d reloads: %zu KiB resident, %zu mappings, %zu threads, %zu descriptors\n", rounds,
                 resident_kib, mappings, threads, descriptors);
  }
};

int rounds_wanted() {
  const char* const wanted = std::getenv("UFENCE_RELOADS");
  return wanted != nullptr ? std::max(std::atoi(wanted), 400) : 400;
}

TEST(reload, leaves_the_process_as_it_was) {
  if (!std::filesystem::exists(test_module("needs_four"))) GTEST_SKIP() << "not a module of this build";
  EXPECT_EQ(in_child([] {
              const kept_reports quiet;
              constexpr int warm_up = 200;
              const int rounds = rounds_wanted();
              ::alarm(0);  // of in_child()
              footprint before;
              for (int round = 0; round < rounds; ++round) {
                host h;
                const device_ref d = load_module(h, test_module("needs_four"));
                UFENCE_CHILD_EXPECT(d != nullptr);
                const auto f = d->submit({});
                UFENCE_CHILD_EXPECT(f && !(*f)->wait());
                const auto done = h.unload(d);
                UFENCE_CHILD_EXPECT(done && done->state == unload_state::unmapped);
                UFENCE_CHILD_EXPECT(done->kept.size() == 3);  // the fourth goes, and comes again
                if (round == warm_up) before = footprint::now();
                if (round % 1000 == warm_up) footprint::now().print(round);
              }
              const footprint after = footprint::now();
              after.print(rounds);
              UFENCE_CHILD_EXPECT(after.descriptors == before.descriptors);
              // The library has threads that come and go.
              UFENCE_CHILD_EXPECT(after.threads <= before.threads + 2);
              // In builds with debug checks, ranges stay reserved.
              if (UFENCE_DEBUG_CHECKS == 0) UFENCE_CHILD_EXPECT(after.mappings <= before.mappings + 6);
              // 16 bytes for each of 10,000 reloads would be 160 KiB.
              if (UFENCE_SANITIZED == 0) UFENCE_CHILD_EXPECT(after.resident_kib <= before.resident_kib + 150);
              return 0;
            }),
            0);
}

}  // namespace
}  // namespace ufence
