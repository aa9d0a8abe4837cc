// The tables of a driver: checked once, when it is loaded, then trusted.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "ufence/driver.h"
#include "ufence/module/maps.h"

namespace ufence {

/// The longest names that a driver may have.
inline constexpr std::size_t driver_name_max = 63;
inline constexpr std::size_t driver_description_max = 255;
inline constexpr std::size_t driver_options_max = 64;

namespace detail {

/// The least that a driver's table has; what follows was added later.
inline constexpr std::size_t driver_table_min = offsetof(ufence_driver, interface_name);

/// The functions that a driver's table may leave out.
struct driver_extras {
  const char* interface_name = nullptr;
  std::uint32_t interface_version = 0;
  std::span<const ufence_option> options;
};
[[nodiscard]] inline driver_extras extras_of(const ufence_driver& driver) noexcept {
  if (driver.size < sizeof driver) return {};
  return {driver.interface_name, driver.interface_version, {driver.options, driver.options_count}};
}

/// Checks what D-1 and D-3 say about a driver's tables.
/// @param symbol_size  of the symbol in the object file
/// @param image        where the module lies: its tables and strings must
/// @return  empty if they are valid; else one line for people, which names the rule
/// Allocates: may throw std::bad_alloc.
[[nodiscard]] std::string validate_driver(const ufence_driver& driver, std::uint64_t symbol_size,
                                          address_range image);

}  // namespace detail
}  // namespace ufence
