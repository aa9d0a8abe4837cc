#include "ufence/module/validate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <string>

namespace ufence::detail {
namespace {

using testing::HasSubstr;

// A driver in one piece, as if it were a module's image.
struct image {
  image() {
    ops.size = sizeof ops;
    ops.submit = [](void*, ufence_job*) { return 0; };
    driver.size = sizeof driver;
    driver.abi_version = UFENCE_ABI_VERSION;
    driver.name = name;
    driver.ops = &ops;
    driver.init = [](const ufence_host*, ufence_device*, void**) { return 0; };
    driver.stop = [](void*) {};
    driver.exit = [](void*) {};
  }
  [[nodiscard]] std::string problem() const {
    const auto begin = reinterpret_cast<std::uintptr_t>(this);
    return validate_driver(driver, symbol_size, {.begin = begin, .end = begin + sizeof *this});
  }

  ufence_driver driver{};
  ufence_device_ops ops{};
  std::uint64_t symbol_size = sizeof(ufence_driver);
  char name[512] = "tester";
};

std::string problem_with(const std::function<void(image&)>& change) {
  image i;
  change(i);
  return i.problem();
}

int op(void*, ufence_job*) { return 0; }
void void_op(void*, ufence_job*) {}

TEST(validate, a_minimal_driver_is_valid) { EXPECT_EQ(image().problem(), ""); }

TEST(validate, size_and_version_come_first) {
  EXPECT_THAT(problem_with([](auto& i) { i.symbol_size = 4; }), HasSubstr("too small"));
  EXPECT_THAT(problem_with([](auto& i) { i.driver.abi_version = 2; }),
              HasSubstr("ABI version 2, this host has 1"));
  EXPECT_THAT(problem_with([](auto& i) { i.driver.size = 8; }), HasSubstr("says it has 8 bytes"));
  EXPECT_THAT(problem_with([](auto& i) { i.symbol_size = sizeof(ufence_driver) - 1; }),
              HasSubstr("D-1: the driver table says"));
  EXPECT_THAT(problem_with([](auto& i) { i.ops.size = 8; }),
              HasSubstr("D-1: the ops table says it has 8 bytes"));
  // A table of a later header with the same ABI version.
  EXPECT_EQ(problem_with([](auto& i) {
              i.driver.size = sizeof(ufence_driver) + 8;
              i.symbol_size = i.driver.size;
            }),
            "");
}

TEST(validate, what_every_driver_has_is_there) {
  EXPECT_EQ(problem_with([](auto& i) { i.driver.name = nullptr; }), "D-3: the driver has no name");
  EXPECT_EQ(problem_with([](auto& i) { i.driver.ops = nullptr; }), "D-3: the driver has no ops");
  EXPECT_EQ(problem_with([](auto& i) { i.driver.init = nullptr; }), "D-3: the driver has no init");
  EXPECT_EQ(problem_with([](auto& i) { i.driver.stop = nullptr; }), "D-3: the driver has no stop");
  EXPECT_EQ(problem_with([](auto& i) { i.driver.exit = nullptr; }), "D-3: the driver has no exit");
  EXPECT_EQ(problem_with([](auto& i) { i.ops.submit = nullptr; }), "D-3: the driver has no submit");
}

TEST(validate, strings_are_short_printable_and_the_modules_own) {
  static const char elsewhere[] = "elsewhere";
  EXPECT_THAT(problem_with([](auto& i) { i.driver.name = elsewhere; }),
              HasSubstr("name lies outside"));
  EXPECT_THAT(problem_with([](auto& i) { i.driver.description = elsewhere; }),
              HasSubstr("description lies outside"));
  EXPECT_THAT(problem_with([](auto& i) { i.driver.name = i.name + 6; }), HasSubstr("is empty"));
  const auto long_name = [](image& i) { std::fill_n(i.name, driver_name_max + 1, 'x'); };
  EXPECT_THAT(problem_with(long_name), HasSubstr("longer than 63 bytes"));
  const auto longest_name = [](image& i) { std::fill_n(i.name, driver_name_max, 'x'); };
  EXPECT_EQ(problem_with(longest_name), "");
  const auto runs_out = [](image& i) { std::fill(std::begin(i.name), std::end(i.name), 'x'); };
  EXPECT_THAT(problem_with(runs_out), HasSubstr("longer than"));
  EXPECT_THAT(problem_with([](auto& i) { i.name[0] = '\x1b'; }), HasSubstr("control characters"));
}

struct feature_case {
  const char* name;
  std::uint64_t bit;
  std::function<void(ufence_device_ops&)> add_op;
};

const feature_case cases[] = {
    {"enable_signaling", UFENCE_F_ENABLE, [](auto& o) { o.enable_signaling = op; }},
    {"poll", UFENCE_F_POLL, [](auto& o) { o.poll = op; }},
    {"set_deadline", UFENCE_F_DEADLINE,
     [](auto& o) { o.set_deadline = [](void*, ufence_job*, int64_t) {}; }},
    {"retire", UFENCE_F_RETIRE, [](auto& o) { o.retire = void_op; }},
    {"cancel", UFENCE_F_CANCEL, [](auto& o) { o.cancel = void_op; }},
    {"observe", UFENCE_F_OBSERVE,
     [](auto& o) { o.observe = [](void*, ufence_fence*) { return 0; }; }},
};

TEST(validate, a_feature_bit_is_set_exactly_if_its_op_is_there) {
  for (const feature_case& c : cases) {
    EXPECT_THAT(problem_with([&](auto& i) { i.driver.features = c.bit; }),
                HasSubstr(std::string("the op ") + c.name + " is missing"));
    EXPECT_THAT(problem_with([&](auto& i) { c.add_op(i.ops); }),
                HasSubstr(std::string("the op ") + c.name + " is there, but"));
    EXPECT_EQ(problem_with([&](auto& i) {
                i.driver.features = c.bit;
                c.add_op(i.ops);
              }),
              "");
  }
  EXPECT_THAT(problem_with([](auto& i) { i.driver.features = 1U << 20; }),
              HasSubstr("feature bits that this host does not know"));
}

void make_legacy(image& i) {
  i.driver.features = UFENCE_F_LEGACY;
  i.ops.lock = i.ops.unlock = i.ops.release = void_op;
  i.ops.wait = [](void*, ufence_job*, int64_t) { return 0; };
}

TEST(validate, a_legacy_driver_has_all_four_ops) {
  EXPECT_EQ(problem_with(make_legacy), "");
  EXPECT_THAT(problem_with([](auto& i) {
                make_legacy(i);
                i.ops.release = nullptr;
              }),
              HasSubstr("the op release is missing"));
  EXPECT_THAT(problem_with([](auto& i) {
                make_legacy(i);
                i.driver.features = 0;
              }),
              HasSubstr("the op lock is there, but UFENCE_F_LEGACY is not set"));
  EXPECT_THAT(problem_with([](auto& i) {
                make_legacy(i);
                i.driver.features |= UFENCE_F_RETIRE;
                i.ops.retire = void_op;
              }),
              HasSubstr("LEGACY excludes RETIRE"));
}

TEST(validate, a_timeline_driver_has_no_ops_for_single_jobs) {
  const auto timeline = [](image& i) {
    i.driver.features = UFENCE_F_TIMELINE;
    i.ops.request_notify = [](void*, uint64_t) {};
    i.ops.retire_timeline = [](void*) {};
  };
  EXPECT_EQ(problem_with(timeline), "");
  EXPECT_THAT(problem_with([&](auto& i) {
                timeline(i);
                i.driver.features = 0;
              }),
              HasSubstr("UFENCE_F_TIMELINE is not set"));
  EXPECT_THAT(problem_with([&](auto& i) {
                timeline(i);
                i.driver.features |= UFENCE_F_ENABLE;
                i.ops.enable_signaling = op;
              }),
              HasSubstr("TIMELINE excludes ENABLE"));
}

}  // namespace
}  // namespace ufence::detail
