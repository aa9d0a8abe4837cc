#include "tools/ufence/run/driver_modules.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "tools/ufence/run/job_issuer.h"
#include "tools/ufence/run/mailbox.h"
#include "tools/ufence/run/reloader.h"
#include "ufence/base/clock.h"

namespace ufence::tool {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(driver_directory, is_the_option_or_beside_the_program) {
  EXPECT_EQ(driver_directory("given"), "given");
  EXPECT_THAT(driver_directory(""), testing::EndsWith("/../lib/ufence/drivers"));
}

TEST(driver_modules, load_unload_and_count) {
  driver_modules modules(driver_directory(""), 2);
  auto cpu = modules.load(driver::cpu);
  ASSERT_TRUE(cpu) << cpu.error();
  EXPECT_EQ((*cpu)->device->driver_name(), "cpu");
  EXPECT_FALSE((*cpu)->refer());
  EXPECT_FALSE((*cpu)->is_gone);
  EXPECT_TRUE(modules.unload_for_good(**cpu, unload_policy::drain));
  EXPECT_TRUE((*cpu)->is_gone);
  EXPECT_TRUE((*cpu)->refer()) << "a fence that comes now has outlived its module";
  const module_totals& totals = modules.totals();
  EXPECT_EQ(totals.loads, 1U);
  EXPECT_EQ(totals.unloads, 1U);
  EXPECT_EQ(totals.unmapped, 1U);
  EXPECT_EQ(totals.fences_outliving, 1U);
  EXPECT_EQ(totals.retired_by_settlement + totals.retired_by_last_op, 1U) << "of the configuration";
  EXPECT_THAT(totals.unload_ns, ElementsAre(testing::Gt(0)));
  EXPECT_THAT(totals.pins, ElementsAre());
}

TEST(driver_modules, tell_what_cannot_be_loaded) {
  driver_modules nowhere("/nonexistent", 1);
  const auto missing = nowhere.load(driver::uring);
  ASSERT_FALSE(missing);
  EXPECT_THAT(missing.error(), testing::StartsWith("/nonexistent/uring.so: "));
  driver_modules modules(driver_directory(""), 0);
  const auto no_workers = modules.load(driver::cpu);
  ASSERT_FALSE(no_workers);
  EXPECT_THAT(no_workers.error(), HasSubstr("0 workers: Invalid argument"));
  EXPECT_EQ(modules.totals().unmapped, 1U) << "what could not be set up does not stay";
}

class reloading : public testing::Test {
 protected:
  reloading() {
    for (const driver d : all_drivers) {
      auto loaded = modules_.load(d);
      if (!loaded) throw std::runtime_error(loaded.error());
      jobs_.use(*std::move(loaded));
    }
  }
  ~reloading() override {
    for (const driver d : all_drivers) {
      if (!jobs_.current(d)->is_gone) {
        modules_.unload_for_good(*jobs_.current(d), unload_policy::cancel);
      }
    }
  }
  std::vector<instance*> running() {
    return {jobs_.current(driver::uring), jobs_.current(driver::cpu)};
  }
  // Takes news until there are as many.
  void await_news(std::size_t count) {
    while (heard_.size() < count) {
      box_.wait(1, no_deadline);
      take_news();
    }
  }
  void take_news() {
    box_.take([](watch&) {},
              [this](news&& what) {
                heard_.push_back(what.which);
                if (what.loaded) jobs_.use(std::move(what.loaded));
              });
  }

  driver_modules modules_{driver_directory(""), 1};
  job_issuer jobs_{false};
  mailbox box_;
  std::vector<driver> heard_;
};

TEST_F(reloading, replaces_each_module_in_turn) {
  const std::uint64_t first = jobs_.current(driver::cpu)->device->instance();
  {
    reloader reloads(modules_, box_, {.every = std::chrono::milliseconds(1)}, unload_policy::drain,
                     running());
    await_news(4);
  }
  take_news();
  EXPECT_THAT(std::vector(heard_.begin(), heard_.begin() + 4),
              ElementsAre(driver::uring, driver::cpu, driver::uring, driver::cpu));
  EXPECT_GT(jobs_.current(driver::cpu)->device->instance(), first);
  EXPECT_EQ(modules_.totals().loads, 2 + heard_.size());
  EXPECT_EQ(modules_.totals().unmapped, heard_.size());
}

TEST_F(reloading, is_put_off_while_nothing_gets_done) {
  const std::int64_t begin = now_ns();
  reloader reloads(modules_, box_, {.every = std::chrono::milliseconds(1)}, unload_policy::cancel,
                   running());
  await_news(2);
  EXPECT_GE(now_ns() - begin, 100'000'000) << "else jobs might be cut off again and again";
  reloads.stop();
  take_news();
}

TEST_F(reloading, stops_at_once_when_idle) {
  const std::int64_t begin = now_ns();
  reloader(modules_, box_, {.every = std::chrono::hours(1)}, unload_policy::drain, running())
      .stop();
  EXPECT_LT(now_ns() - begin, std::int64_t{60'000'000'000});
  take_news();
  EXPECT_TRUE(heard_.empty());
}

}  // namespace
}  // namespace ufence::tool
