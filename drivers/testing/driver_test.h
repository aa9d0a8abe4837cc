// What the tests of drivers share: a host, the built modules by name, what was reported.
#pragma once

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ufence/base/clock.h"
#include "ufence/fence/fence.h"
#include "ufence/fence/report.h"
#include "ufence/issuer/host.h"

namespace ufence::drivers {

/// Keeps the reports of the process for as long as it lives.
class reports {
 public:
  reports();
  ~reports();
  reports(const reports&) = delete;
  reports& operator=(const reports&) = delete;

  /// All so far, one line each: "driver: text". Not that a call lasts long, as on a busy machine.
  [[nodiscard]] std::vector<std::string> texts() const;
  /// Is there one with all of these parts?
  [[nodiscard]] bool has(std::initializer_list<std::string_view> parts) const;

 private:
  static void keep(const report& what, void* self) noexcept;

  mutable std::mutex mutex_;
  std::vector<std::string> texts_;
};

/// The far end of every wait in these tests: reached only if something hangs.
[[nodiscard]] inline std::int64_t patience() { return deadline_after(120'000'000'000); }

/// The bytes of a job's arguments.
template <class Args>
[[nodiscard]] std::span<const std::byte> bytes_of(const Args& args) {
  return std::as_bytes(std::span(&args, 1));
}

/// A host. What a test loads, and has not unloaded, is unloaded at its end, and must be unmapped.
class driver_test : public testing::Test {
 protected:
  /// A module of the build, by name; those in drivers/broken/ have the prefix "broken_".
  [[nodiscard]] static std::string path_of(std::string_view name);
  [[nodiscard]] device_ref load(std::string_view name);
  /// Unloads, and expects that the module is unmapped.
  unload_report unload(device_ref& d, unload_policy policy = unload_policy::drain);
  void TearDown() override;

  /// Gives the device a job; a failure of the submission is a failure of the test.
  template <class Args>
  static fence_ref give(const device_ref& d, std::uint32_t opcode, const Args& args,
                        std::span<const fence_ref> in_fences = {}) {
    return give_bytes(d, opcode, bytes_of(args), in_fences);
  }
  static fence_ref give(const device_ref& d, std::uint32_t opcode) {
    return give_bytes(d, opcode, {}, {});
  }
  /// Gives it and waits. The result: 0 or a negative errno.
  template <class Args>
  static int run(const device_ref& d, std::uint32_t opcode, const Args& args) {
    return result_of(give(d, opcode, args));
  }
  static int run(const device_ref& d, std::uint32_t opcode) { return result_of(give(d, opcode)); }
  /// Waits for the fence. 0, or its error; -ETIME when patience is at its end.
  static int result_of(const fence_ref& f);

  reports reports_;
  host host_;

 private:
  static fence_ref give_bytes(const device_ref& d, std::uint32_t opcode,
                              std::span<const std::byte> args,
                              std::span<const fence_ref> in_fences);
};

}  // namespace ufence::drivers
