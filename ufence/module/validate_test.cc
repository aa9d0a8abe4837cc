#include "ufence/module/validate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
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
  ufence_option options[2] = {};
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

TEST(validate, what_came_later_may_be_absent) {
  image i;
  i.driver.size = driver_table_min;
  i.symbol_size = driver_table_min;
  i.driver.options_count = 7;  // of something else: the table ends before
  EXPECT_EQ(i.problem(), "");
  EXPECT_TRUE(extras_of(i.driver).options.empty());
  EXPECT_EQ(problem_with([](auto& o) { o.driver.size = driver_table_min - 8; }).substr(0, 4), "D-1:");
}

TEST(validate, options_and_interface_make_sense) {
  const auto with = [](ufence_option first, ufence_option second) {
    return problem_with([&](image& i) {
      i.options[0] = first;
      i.options[1] = second;
      i.driver.options = i.options;
      i.driver.options_count = second.name != nullptr ? 2 : 1;
    });
  };
  image texts;
  EXPECT_THAT(problem_with([](auto& i) { i.driver.interface_version = 1; }), HasSubstr("but no name"));
  EXPECT_THAT(problem_with([&](auto& i) { i.driver.interface_name = texts.name; }), HasSubstr("lies outside"));
  EXPECT_EQ(problem_with([](auto& i) { i.driver.interface_name = i.name; }), "");
  EXPECT_THAT(problem_with([](auto& i) { i.driver.options_count = 1; }), HasSubstr("options lie outside"));
  EXPECT_THAT(problem_with([](auto& i) { i.driver.options_count = 65; }), HasSubstr("more than 64"));
  EXPECT_THAT(with({nullptr, "", nullptr}, {}), HasSubstr("no name or no value"));
  EXPECT_THAT(with({"a", nullptr, nullptr}, {}), HasSubstr("no name or no value"));
  EXPECT_THAT(with({"elsewhere", "", nullptr}, {}), HasSubstr("option name lies outside"));
}

TEST(validate, names_of_options_differ_and_have_no_sign_of_equality) {
  const auto with = [](const char* first, const char* second) {
    image i;
    std::snprintf(i.name, sizeof i.name, "%s", first);
    char* const other = i.name + 100;
    std::snprintf(other, 100, "%s", second);
    i.name[200] = '\0';
    i.options[0] = {i.name, i.name + 200, nullptr};
    i.options[1] = {other, i.name, other};
    i.driver.options = i.options;
    i.driver.options_count = 2;
    return i.problem();
  };
  EXPECT_EQ(with("one", "two"), "");
  EXPECT_EQ(with("one", "one"), "D-3: the driver has the option one twice");
  EXPECT_EQ(with("one", "t=o"), "D-3: the name of an option has a '='");
  EXPECT_THAT(with("one", ""), HasSubstr("option name is empty"));
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
