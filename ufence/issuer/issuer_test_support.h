// For tests of the issuer layer: a host with the driver that does what it is told.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "ufence/fence/testing/support.h"
#include "ufence/issuer/host.h"
#include "ufence/issuer/testing/puppet.h"
#include "ufence/module/module_test_support.h"

namespace ufence {

/// The properties that a job of `puppet` may have besides its opcode.
struct told {
  std::uint64_t value = 0;
  std::int32_t error = 0;
  std::vector<fence_ref> after{};  // in-fences
  bool even_after_failure = false;
};

/// Loads a module, or fails the test.
[[nodiscard]] device_ref load_module(host& h, const std::string& path);

/// A loaded `puppet` that reports to a board.
class puppet_device {
 public:
  explicit puppet_device(std::string_view module = "puppet");
  explicit puppet_device(const std::string& path, std::nullptr_t);

  /// Unloads; fails the test if it is not unmapped.
  unload_report unload(const unload_options& options = {});
  /// Unloads with short limits.
  unload_report try_unload(unload_policy policy = unload_policy::cancel);

  [[nodiscard]] result<fence_ref> submit(puppet::opcode what, const told& how = {}) const;
  /// A job that is accepted, or fails the test.
  fence_ref give(puppet::opcode what, const told& how = {}) const;

  // The order of destruction: the host unloads what is left, and that uses the board.
  std::unique_ptr<puppet::board> board = std::make_unique<puppet::board>();
  std::unique_ptr<host> at = std::make_unique<host>();
  device_ref device;
};

/// The error of a result; none if it has a value.
template <class T>
[[nodiscard]] std::error_code error_of(const result<T>& r) {
  return r ? std::error_code() : r.error();
}

/// Asks for nothing but what is expected of an unload that succeeds.
void expect_unmapped(const result<unload_report>& done);

}  // namespace ufence
