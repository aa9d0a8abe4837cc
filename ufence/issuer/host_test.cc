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

TEST(host, a_driver_gets_the_values_of_its_options) {
  host h;
  std::string why;
  const auto with = [&](std::vector<std::pair<std::string, std::string>> given) {
    return h.load(test_module("puppet"), {.options = std::move(given)}, &why);
  };
  device_ref d = with({}).value();
  ASSERT_EQ(d->options().size(), 2U);
  EXPECT_EQ(d->options()[0].name, "fails");
  EXPECT_EQ(d->options()[0].value, "0");
  EXPECT_EQ(d->options()[0].description, "an errno that init() returns");
  EXPECT_EQ(d->options()[1].value, "good");
  EXPECT_EQ(d->options()[1].description, "");
  expect_unmapped(h.unload(d));
  EXPECT_EQ(d->options()[1].value, "good") << "the device outlives the module";

  d = with({{"mood", ""}}).value();
  EXPECT_EQ(d->options()[1].value, "");
  expect_unmapped(h.unload(d));

  EXPECT_EQ(error_of(with({{"fails", std::to_string(EBUSY)}})), errno_code(EBUSY)) << "init() has read it";
  EXPECT_EQ(error_of(with({{"speed", "1"}})), errno_code(EINVAL));
  EXPECT_THAT(why, HasSubstr("no option speed; it has fails mood"));
  EXPECT_EQ(error_of(with({{"mood", "a"}, {"mood", "b"}})), errno_code(EINVAL));
  EXPECT_THAT(why, HasSubstr("mood is given twice"));
  EXPECT_THAT(h.devices(), IsEmpty());
}

TEST(host, a_driver_with_other_opcodes_is_refused) {
  host h;
  std::string why;
  const auto with = [&](std::string name, std::uint32_t version) {
    return h.load(test_module("puppet"), {.interface_name = std::move(name), .interface_version = version},
                  &why);
  };
  for (const std::uint32_t version : {0U, 1U, 2U}) {
    const device_ref d = with("ufence.puppet", version).value();
    EXPECT_EQ(d->interface_name(), "ufence.puppet");
    EXPECT_EQ(d->interface_version(), 2U);
    EXPECT_TRUE(d->has_interface("ufence.puppet", version));
    EXPECT_FALSE(d->has_interface("ufence.puppet", 3));
    EXPECT_FALSE(d->has_interface("ufence.pup", 1));
    EXPECT_FALSE(d->has_interface("", 0));
    expect_unmapped(h.unload(d));
  }
  EXPECT_EQ(error_of(with("ufence.puppet", 3)), errno_code(EPROTONOSUPPORT));
  EXPECT_THAT(why, HasSubstr("the interface ufence.puppet 3 is wanted, and the driver has ufence.puppet 2"));
  EXPECT_EQ(error_of(with("other", 0)), errno_code(EPROTONOSUPPORT));
  EXPECT_EQ(error_of(h.load(test_module("minimal"), {.interface_name = "other"}, &why)),
            errno_code(EPROTONOSUPPORT));
  EXPECT_THAT(why, HasSubstr("does not say what its opcodes mean"));
  EXPECT_THAT(h.devices(), IsEmpty());
}

TEST(host, one_file_gives_several_devices) {
  host h;
  std::vector<device_ref> devices;
  for (const char* mood : {"good", "bad", "none"}) {
    devices.push_back(
        h.load(test_module("puppet"), {.private_copy = true, .options = {{"mood", mood}}}).value());
  }
  for (const device_ref& d : devices) {
    EXPECT_EQ(d->submit({.opcode = ops::now}).value()->wait_result(testing::patience()), testing::no_error);
  }
  EXPECT_EQ(devices[1]->options()[1].value, "bad");
  EXPECT_NE(devices[0]->context(), devices[1]->context());
  for (const device_ref& d : devices) expect_unmapped(h.unload(d));
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

TEST(host, a_file_is_loaded_once_by_all_hosts) {
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
