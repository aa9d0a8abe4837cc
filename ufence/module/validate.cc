#include "ufence/module/validate.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <string_view>

namespace ufence::detail {
namespace {

// A feature bit and one op that stands for it.
struct feature_op {
  std::uint64_t feature;
  const char* feature_name;
  bool is_there;
  const char* op_name;
};

class validator {
 public:
  validator(const ufence_driver& driver, address_range image) noexcept
      : driver_(driver), image_(image) {}

  std::string run(std::uint64_t symbol_size) {
    // The order matters: nothing beyond what was found to be there is read.
    if (symbol_size < 2 * sizeof(std::uint32_t)) return "D-1: the driver table is too small";
    if (driver_.abi_version != UFENCE_ABI_VERSION) {
      return "D-1: the driver table is for ABI version " + std::to_string(driver_.abi_version) +
             ", this host has " + std::to_string(UFENCE_ABI_VERSION);
    }
    if (driver_.size < driver_table_min || driver_.size > symbol_size) {
      return "D-1: the driver table says it has " + std::to_string(driver_.size) + " bytes, it has " +
             std::to_string(symbol_size) + ", this host needs " + std::to_string(driver_table_min);
    }
    check_strings();
    check_interface();
    check_features();
    if (problem_.empty()) check_ops();
    return problem_;
  }

 private:
  bool has(std::uint64_t feature) const noexcept { return (driver_.features & feature) != 0; }

  // Keeps the first problem.
  void refuse(std::string text) {
    if (problem_.empty()) problem_ = std::move(text);
  }

  void check_string(const char* what, const char* text, std::size_t longest) {
    if (!image_.contains(text)) {
      return refuse(std::string("D-1: the driver's ") + what + " lies outside of the module");
    }
    const auto at = reinterpret_cast<std::uintptr_t>(text);
    const std::size_t room = std::min<std::size_t>(longest + 1, image_.end - at);
    const std::string_view s(text, ::strnlen(text, room));
    if (s.empty() || s.size() == room) {
      return refuse(std::string("D-1: the driver's ") + what + " is empty, or longer than " +
                    std::to_string(longest) + " bytes");
    }
    const auto is_control = [](char c) { return static_cast<unsigned char>(c) < ' ' || c == '\x7f'; };
    if (std::ranges::any_of(s, is_control)) {
      refuse(std::string("D-1: the driver's ") + what + " has control characters");
    }
  }

  void check_strings() {
    if (driver_.name == nullptr) return refuse("D-3: the driver has no name");
    check_string("name", driver_.name, driver_name_max);
    if (driver_.timeline != nullptr) check_string("timeline", driver_.timeline, driver_name_max);
    if (driver_.description != nullptr) {
      check_string("description", driver_.description, driver_description_max);
    }
  }

  void check_interface() {
    const driver_extras extras = extras_of(driver_);
    if (extras.interface_name != nullptr) {
      check_string("interface name", extras.interface_name, driver_name_max);
    } else if (extras.interface_version != 0) {
      refuse("D-3: the driver's interface has a version, but no name");
    }
    const std::size_t count = extras.options.size();
    if (count > driver_options_max) {
      return refuse("D-3: the driver has more than " + std::to_string(driver_options_max) + " options");
    }
    if (count != 0 && !image_.contains(extras.options.data(), extras.options.size_bytes())) {
      return refuse("D-1: the driver's options lie outside of the module");
    }
    for (const ufence_option& o : extras.options) {
      check_option(o);
      if (!problem_.empty()) return;
      const auto is_named_so = [&o](const ufence_option& other) {
        return &other < &o && std::strcmp(o.name, other.name) == 0;
      };
      if (std::ranges::any_of(extras.options, is_named_so)) {
        return refuse(std::string("D-3: the driver has the option ") + o.name + " twice");
      }
    }
  }

  void check_option(const ufence_option& o) {
    if (o.name == nullptr || o.value == nullptr) return refuse("D-3: an option has no name or no value");
    check_string("option name", o.name, driver_name_max);
    if (problem_.empty() && std::strchr(o.name, '=') != nullptr) {
      refuse("D-3: the name of an option has a '='");
    }
    if (!image_.contains(o.value) || *o.value != '\0') {
      check_string("option value", o.value, driver_description_max);
    }
    if (o.description != nullptr) {
      check_string("option description", o.description, driver_description_max);
    }
  }

  void check_features() {
    if ((driver_.features & ~std::uint64_t{UFENCE_F_ALL}) != 0) {
      refuse("D-3: feature bits that this host does not know");
    }
    constexpr std::uint64_t single = UFENCE_F_ENABLE | UFENCE_F_POLL | UFENCE_F_RETIRE;
    if (has(UFENCE_F_TIMELINE) && has(single | UFENCE_F_LEGACY)) {
      refuse("D-3: UFENCE_F_TIMELINE excludes ENABLE, POLL, RETIRE and LEGACY");
    }
    if (has(UFENCE_F_LEGACY) && has(UFENCE_F_RETIRE)) {
      refuse("D-3: UFENCE_F_LEGACY excludes RETIRE: release() ends its jobs");
    }
  }

  void check_ops() {
    if (driver_.init == nullptr) refuse("D-3: the driver has no init");
    if (driver_.stop == nullptr) refuse("D-3: the driver has no stop");
    if (driver_.exit == nullptr) refuse("D-3: the driver has no exit");
    if (driver_.ops == nullptr) return refuse("D-3: the driver has no ops");
    if (!image_.contains(driver_.ops, sizeof(std::uint32_t))) {
      return refuse("D-1: the ops table lies outside of the module");
    }
    const ufence_device_ops& ops = *driver_.ops;
    if (ops.size < sizeof ops || !image_.contains(&ops, ops.size)) {
      return refuse("D-1: the ops table says it has " + std::to_string(ops.size) +
                    " bytes, this host needs " + std::to_string(sizeof ops));
    }
    if (ops.submit == nullptr) refuse("D-3: the driver has no submit");
    const std::array pairs = {
        feature_op{UFENCE_F_ENABLE, "ENABLE", ops.enable_signaling != nullptr, "enable_signaling"},
        feature_op{UFENCE_F_POLL, "POLL", ops.poll != nullptr, "poll"},
        feature_op{UFENCE_F_DEADLINE, "DEADLINE", ops.set_deadline != nullptr, "set_deadline"},
        feature_op{UFENCE_F_RETIRE, "RETIRE", ops.retire != nullptr, "retire"},
        feature_op{UFENCE_F_CANCEL, "CANCEL", ops.cancel != nullptr, "cancel"},
        feature_op{UFENCE_F_LEGACY, "LEGACY", ops.lock != nullptr, "lock"},
        feature_op{UFENCE_F_LEGACY, "LEGACY", ops.unlock != nullptr, "unlock"},
        feature_op{UFENCE_F_LEGACY, "LEGACY", ops.wait != nullptr, "wait"},
        feature_op{UFENCE_F_LEGACY, "LEGACY", ops.release != nullptr, "release"},
        feature_op{UFENCE_F_OBSERVE, "OBSERVE", ops.observe != nullptr, "observe"},
    };
    for (const feature_op& p : pairs) {
      if (has(p.feature) && !p.is_there) {
        refuse(std::string("D-3: UFENCE_F_") + p.feature_name + " is set, but the op " + p.op_name +
               " is missing");
      } else if (!has(p.feature) && p.is_there) {
        refuse(std::string("D-3: the op ") + p.op_name + " is there, but UFENCE_F_" +
               p.feature_name + " is not set");
      }
    }
    if (!has(UFENCE_F_TIMELINE) &&
        (ops.request_notify != nullptr || ops.retire_timeline != nullptr)) {
      refuse("D-3: request_notify or retire_timeline is there, but UFENCE_F_TIMELINE is not set");
    }
  }

  const ufence_driver& driver_;
  address_range image_;
  std::string problem_;
};

}  // namespace

std::string validate_driver(const ufence_driver& driver, std::uint64_t symbol_size,
                            address_range image) {
  return validator(driver, image).run(symbol_size);
}

}  // namespace ufence::detail
