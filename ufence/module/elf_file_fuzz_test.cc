// Any bytes must be read or refused, never crash: mutations of a real module, seeded.
#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <random>
#include <string>

#include "ufence/module/elf_check.h"
#include "ufence/module/module_test_support.h"

namespace ufence::detail {
namespace {

std::chrono::milliseconds fuzz_time() {
  const char* const asked = std::getenv("UFENCE_FUZZ_MS");
  return std::chrono::milliseconds(asked != nullptr ? std::atoll(asked) : 1500);
}

// Changes a few bytes; the first kilobytes, with the tables, more often than the rest.
void mutate(std::string& bytes, std::mt19937_64& random) {
  const auto below = [&random](std::size_t n) {
    return std::uniform_int_distribution<std::size_t>(0, n - 1)(random);
  };
  const std::size_t changes = 1 + below(8);
  for (std::size_t i = 0; i < changes && !bytes.empty(); ++i) {
    const std::size_t range = below(4) != 0 ? std::min<std::size_t>(bytes.size(), 4096) : bytes.size();
    const std::size_t at = below(range);
    switch (below(5)) {
      case 0: bytes[at] = static_cast<char>(random()); break;
      case 1: bytes[at] = static_cast<char>(bytes[at] ^ (1 << below(8))); break;
      case 2: bytes[at] = '\xff'; break;
      case 3:
        for (std::size_t j = at; j < std::min(at + 8, bytes.size()); ++j) bytes[j] = '\xff';
        break;
      default: bytes.resize(bytes.size() - below(std::min<std::size_t>(bytes.size(), 64))); break;
    }
  }
}

TEST(elf_file, survives_any_bytes) {
  const std::string whole = read_file(test_module("minimal"));
  ASSERT_FALSE(whole.empty());
  const auto end = std::chrono::steady_clock::now() + fuzz_time();
  std::uint64_t refused = 0, accepted = 0;
  for (std::uint64_t seed = 0; std::chrono::steady_clock::now() < end; ++seed) {
    std::mt19937_64 random(seed);
    std::string bytes = whole;
    mutate(bytes, random);
    memory_source source(std::as_bytes(std::span(bytes)));
    module_info info;
    module_layout layout;
    check_elf(source, info, &layout);
    ASSERT_EQ(info.is_loadable(), info.problems.empty()) << "seed " << seed;
    if (info.is_loadable()) {
      ASSERT_LE(layout.begin, layout.driver_at) << "seed " << seed;
      ASSERT_LE(layout.driver_at + layout.driver_size, layout.end) << "seed " << seed;
    }
    ++(info.is_loadable() ? accepted : refused);
  }
  EXPECT_GT(refused, 0U);
  EXPECT_GT(accepted, 0U);
}

}  // namespace
}  // namespace ufence::detail
