#include "ufence/issuer/host.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "ufence/driver.h"
#include "ufence/issuer/issuer_test_support.h"

namespace ufence {
namespace {

using testing::kept_reports;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
namespace ops = puppet;

TEST(host, a_module_is_described_when_it_is_loaded) {
  host h;
  const device_ref d = load_module(h, test_module("puppet"));
  ASSERT_TRUE(d);
  EXPECT_EQ(d->driver_name(), "puppet");
  EXPECT_EQ(d->timeline_name(), "strings");
  EXPECT_EQ(d->path(), test_module("puppet"));
  EXPECT_NE(d->context(), 0U);
  EXPECT_TRUE(d->is_independent());
  EXPECT_NE(d->features() & UFENCE_F_RETIRE, 0U);
  EXPECT_THAT(h.devices(), ElementsAre(d));
  expect_unmapped(h.unload(d));
  EXPECT_EQ(d->driver_name(), "puppet");
}

TEST(host, instances_are_numbered_in_the_order_of_their_loading) {
  host h;
  std::uint64_t last = 0, last_context = 0;
  for (int i = 0; i < 3; ++i) {
    const device_ref d = load_module(h, test_module("puppet"));
    EXPECT_GT(d->instance(), last);
    EXPECT_GT(d->context(), last_context);
    last = d->instance();
    last_context = d->context();
    expect_unmapped(h.unload(d));
  }
}

TEST(host, what_can_not_be_loaded_says_why) {
  host h;
  const auto why = [&](const std::string& path, int error) {
    std::string text;
    const auto loaded = h.load(path, &text);
    EXPECT_FALSE(loaded);
    EXPECT_EQ(loaded.error(), errno_code(error)) << text;
    EXPECT_FALSE(h.load(path));  // nobody has to ask
    return text;
  };
  EXPECT_THAT(why("/nonexistent.so", ENOENT), HasSubstr("/nonexistent.so: No such file"));
  EXPECT_THAT(why(test_module("minimal_no_note"), ENOEXEC), HasSubstr("D-2"));
  EXPECT_THAT(why(test_module("minimal_future"), EPROTO), HasSubstr("ABI version 99"));
  EXPECT_THAT(why(test_module("minimal_null_ops"), EPROTO), HasSubstr("D-3"));
  EXPECT_THAT(why(test_module("unmappable_unique"), ENOEXEC), HasSubstr("D-14"));
  EXPECT_THAT(why(test_module("puppet_init_fails"), ENODEV), HasSubstr("init() failed"));
  EXPECT_THAT(h.devices(), IsEmpty());
}

TEST(host, an_init_that_throws_is_refused_and_reported) {
  const kept_reports reports;
  host h;
  std::string why;
  EXPECT_EQ(error_of(h.load(test_module("puppet_init_throws"), &why)), errno_code(EIO));
  EXPECT_THAT(why, HasSubstr("init() failed"));
  ASSERT_EQ(reports.all().size(), 1U);
  EXPECT_THAT(reports.all()[0].text, HasSubstr("D-4: init() threw"));
}

TEST(host, a_file_is_loaded_once_whoever_the_host_is) {
  host one, two;
  const device_ref d = load_module(one, test_module("puppet"));
  std::string why;
  EXPECT_EQ(error_of(one.load(test_module("puppet"), &why)), errno_code(EEXIST));
  EXPECT_EQ(error_of(two.load(test_module("puppet"), &why)), errno_code(EEXIST));
  EXPECT_THAT(why, HasSubstr("loaded already"));
  EXPECT_EQ(error_of(two.unload(d)), errno_code(ENODEV));  // not its own
  expect_unmapped(one.unload(d));
  EXPECT_TRUE(load_module(two, test_module("puppet")));
}

TEST(host, a_newer_build_replaces_an_older_one_while_its_fences_live) {
  const scratch_folder folder;
  const std::string path = folder.copy("puppet", "driver.so");
  puppet_device older(path, nullptr);
  std::vector<fence_ref> held;
  for (int i = 0; i < 100; ++i) held.push_back(older.give(ops::work));
  const fence_ref pending = older.give(ops::hold);
  folder.copy("puppet_build_2", "driver.so");

  // Both at once: the older one still has work.
  puppet_device newer(path, nullptr);
  const fence_ref chained = newer.give(ops::now, {.after = {pending}});
  EXPECT_GT(newer.device->instance(), older.device->instance());
  older.give(ops::finish_all);
  EXPECT_EQ(chained->status(), 1);
  older.unload();
  for (const fence_ref& f : held) EXPECT_EQ(f->status(), 1);
  EXPECT_EQ(newer.give(ops::now)->status(), 1);
  newer.unload();
  for (const fence_ref& f : held) EXPECT_EQ(f->owner()->context(), older.device->context());
}

TEST(host, unloads_what_is_loaded_when_it_goes) {
  auto board = std::make_unique<puppet::board>();
  fence_ref pending;
  {
    puppet_device p;
    pending = p.give(ops::hold);
    std::swap(board, p.board);
    EXPECT_EQ(board->stops, 0U);
  }
  EXPECT_EQ(board->exits, 1U);
  EXPECT_EQ(pending->status(), -ECANCELED);
}

TEST(host, different_modules_are_loaded_and_unloaded_at_once) {
  host h;
  std::vector<std::thread> threads;
  for (const char* name : {"puppet", "puppet_plain", "puppet_line", "puppet_build_2"}) {
    threads.emplace_back([&h, name] {
      for (int i = 0; i < 30; ++i) {
        const device_ref d = load_module(h, test_module(name));
        ASSERT_TRUE(d);
        expect_unmapped(h.unload(d));
      }
    });
  }
  for (std::thread& t : threads) t.join();
  EXPECT_THAT(h.devices(), IsEmpty());
}

}  // namespace
}  // namespace ufence
