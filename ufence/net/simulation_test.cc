// Histories of three hosts, by chance: what is promised holds in each. UFENCE_HISTORIES=N: that
// many; UFENCE_SEED=S: this one first. A history that fails prints its seed.
#include <gtest/gtest.h>

#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string>

#include "ufence/fence/testing/support.h"
#include "ufence/net/testing/simulation.h"

namespace ufence::testing {
namespace {

std::uint64_t from_environment(const char* name, std::uint64_t otherwise) {
  const char* const text = std::getenv(name);
  return text != nullptr ? std::strtoull(text, nullptr, 0) : otherwise;
}

TEST(net_simulation, keeps_what_is_promised_in_each_history) {
  const std::uint64_t first = from_environment("UFENCE_SEED", 1);
  const std::uint64_t count = from_environment("UFENCE_HISTORIES", UFENCE_SANITIZED ? 300 : 3000);
  simulation::tally sum;
  for (std::uint64_t seed = first; seed < first + count; ++seed) {
    simulation history(seed, sabotage::none);
    const std::optional<std::string> broken = history.run();
    ASSERT_FALSE(broken) << *broken << "; again with UFENCE_HISTORIES=1 UFENCE_SEED=" << seed;
    const simulation::tally& one = history.counts();
    sum.tells += one.tells;
    sum.stores += one.stores;
    sum.reached += one.reached;
    sum.dead += one.dead;
    sum.replaced_owners += one.replaced_owners;
    sum.cut_off_owners += one.cut_off_owners;
    sum.failed += one.failed;
    sum.stale += one.stale;
  }
  std::printf(
      "%llu histories: %llu stores, %llu points reached; imports ended by death %llu, by an error "
      "%llu, "
      "stale %llu; owners replaced %llu, cut off %llu\n",
      static_cast<unsigned long long>(count), static_cast<unsigned long long>(sum.stores),
      static_cast<unsigned long long>(sum.reached), static_cast<unsigned long long>(sum.dead),
      static_cast<unsigned long long>(sum.failed), static_cast<unsigned long long>(sum.stale),
      static_cast<unsigned long long>(sum.replaced_owners),
      static_cast<unsigned long long>(sum.cut_off_owners));
  if (count < 100) return;
  // All of it happens: else the promises would be kept for want of an occasion.
  EXPECT_GT(sum.tells, 0U);
  EXPECT_GT(sum.reached, 0U);
  EXPECT_GT(sum.dead, 0U);
  EXPECT_GT(sum.failed, 0U);
  EXPECT_GT(sum.stale, 0U);
  EXPECT_GT(sum.replaced_owners, 0U);
  EXPECT_GT(sum.cut_off_owners, 0U);
}

TEST(net_simulation, repeats_a_history_by_its_seed) {
  for (std::uint64_t seed = 3; seed < 6; ++seed) {
    simulation one(seed, sabotage::none);
    simulation two(seed, sabotage::none);
    EXPECT_EQ(one.run(), two.run());
    EXPECT_EQ(one.counts().stores, two.counts().stores);
    EXPECT_EQ(one.counts().reached, two.counts().reached);
  }
}

// The first promise that a sabotaged engine breaks, of the first history that notices.
std::string noticed(sabotage how) {
  for (std::uint64_t seed = 1; seed < 200; ++seed) {
    simulation history(seed, how);
    if (const auto broken = history.run()) return *broken;
  }
  return "nothing";
}

TEST(net_simulation, notices_a_value_that_nobody_signaled) {
  EXPECT_EQ(noticed(sabotage::values_are_ahead), "a point was reached that nobody signaled");
}

TEST(net_simulation, notices_an_engine_that_ignores_sequences) {
  EXPECT_EQ(noticed(sabotage::sequences_are_ignored),
            "an owner that was replaced stores over the new one");
}

TEST(net_simulation, notices_beats_of_the_dead) {
  EXPECT_EQ(noticed(sabotage::beats_are_forged),
            "an import waits for ever for an owner that is gone");
}

TEST(net_simulation, notices_an_engine_that_says_nothing) {
  EXPECT_EQ(noticed(sabotage::silence), "two owners have one timeline");
}

}  // namespace
}  // namespace ufence::testing
