#include "drivers/testing/driver_test.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "ufence/fence/testing/support.h"

namespace ufence::drivers {

reports::reports() { EXPECT_EQ(set_report_handler(&keep, this), std::error_code{}); }
reports::~reports() { static_cast<void>(set_report_handler(nullptr, nullptr)); }

void reports::keep(const report& what, void* self) noexcept {
  auto& all = *static_cast<reports*>(self);
  std::string line(what.driver_name);
  line.append(": ").append(what.text);
  const std::scoped_lock lock(all.mutex_);
  all.texts_.push_back(std::move(line));
}

std::vector<std::string> reports::texts() const {
  const std::scoped_lock lock(mutex_);
  std::vector<std::string> all = texts_;
  std::erase_if(all, [](const std::string& text) { return testing::kept_reports::is_delay(text); });
  return all;
}

bool reports::has(std::initializer_list<std::string_view> parts) const {
  const std::scoped_lock lock(mutex_);
  return std::ranges::any_of(texts_, [&](const std::string& text) {
    return std::ranges::all_of(parts, [&](std::string_view part) { return text.contains(part); });
  });
}

std::string driver_test::path_of(std::string_view name) {
  const bool is_broken = name.starts_with("broken_");
  return std::string(is_broken ? UFENCE_BROKEN_DRIVERS : UFENCE_DRIVERS).append("/").append(name) +
         ".so";
}

device_ref driver_test::load(std::string_view name) {
  std::string why;
  result<device_ref> loaded = host_.load(path_of(name), &why);
  if (!loaded) {
    ADD_FAILURE() << name << " was not loaded: " << loaded.error().message() << ": " << why;
    return nullptr;
  }
  return *std::move(loaded);
}

unload_report driver_test::unload(device_ref& d, unload_policy policy) {
  const unload_options options{.policy = policy, .drain_deadline_ns = patience()};
  result<unload_report> done = host_.unload(d, options);
  if (!done) {
    ADD_FAILURE() << d->path() << ": " << done.error().message();
    return {};
  }
  EXPECT_EQ(done->state, unload_state::unmapped)
      << d->path() << ", step " << done->last_step << ": "
      << (done->pins.empty() ? "?" : done->pins.front());
  d.reset();
  return *std::move(done);
}

void driver_test::TearDown() {
  for (device_ref& d : host_.devices()) unload(d, unload_policy::cancel);
}

fence_ref driver_test::give_bytes(const device_ref& d, std::uint32_t opcode,
                                  std::span<const std::byte> args,
                                  std::span<const fence_ref> in_fences) {
  result<fence_ref> f = d->submit({.opcode = opcode, .args = args, .in_fences = in_fences});
  if (!f) {
    ADD_FAILURE() << "submit: " << f.error().message();
    return fence::stub();
  }
  return *std::move(f);
}

int driver_test::result_of(const fence_ref& f) {
  if (f->wait(patience())) return -ETIME;
  return f->error();
}

}  // namespace ufence::drivers
