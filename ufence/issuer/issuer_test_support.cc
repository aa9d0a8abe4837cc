#include "ufence/issuer/issuer_test_support.h"

namespace ufence {

device_ref load_module(host& h, const std::string& path) {
  std::string why;
  result<device_ref> loaded = h.load(path, &why);
  if (!loaded) {
    ADD_FAILURE() << why;
    return nullptr;
  }
  return *loaded;
}

puppet_device::puppet_device(std::string_view module)
    : puppet_device(test_module(module), nullptr) {}

puppet_device::puppet_device(const std::string& path, std::nullptr_t)
    : device(load_module(*at, path)) {
  const fence_ref attached = give(puppet::attach);
  EXPECT_EQ(attached->status(), 1);
}

result<fence_ref> puppet_device::submit(puppet::opcode what, const told& how) const {
  const puppet::arguments arguments{.to = board.get(), .value = how.value, .error = how.error};
  return device->submit({.opcode = what,
                         .args = std::as_bytes(std::span(&arguments, 1)),
                         .in_fences = how.after,
                         .run_after_failed_in_fence = how.even_after_failure});
}

fence_ref puppet_device::give(puppet::opcode what, const told& how) const {
  result<fence_ref> f = submit(what, how);
  if (!f) {
    ADD_FAILURE() << f.error().message();
    return fence::stub();
  }
  return std::move(*f);
}

unload_report puppet_device::unload(const unload_options& options) {
  const result<unload_report> done = at->unload(device, options);
  expect_unmapped(done);
  return done.value_or(unload_report{});
}

unload_report puppet_device::try_unload(unload_policy policy) {
  constexpr std::int64_t soon_ns = 20'000'000;
  result<unload_report> done = at->unload(
      device,
      {.policy = policy, .drain_deadline_ns = deadline_after(soon_ns), .give_up_ns = soon_ns});
  if (!done) {
    ADD_FAILURE() << done.error().message();
    return {};
  }
  return std::move(*done);
}

void expect_unmapped(const result<unload_report>& done) {
  ASSERT_TRUE(done) << done.error().message();
  EXPECT_EQ(done->state, unload_state::unmapped);
  EXPECT_EQ(done->last_step, 8);
  for (const std::string& pin : done->pins) ADD_FAILURE() << pin;
}

}  // namespace ufence
