// How events are named in messages and traces.
#pragma once

#include <atomic>
#include <cstdint>
#include <source_location>
#include <string>

namespace ufence::lab {

/// "fence.cc:120".
[[nodiscard]] std::string place_name(const std::source_location& where);
/// "fence::settle", without namespace, result and parameters.
[[nodiscard]] std::string function_name(const std::source_location& where);
/// "T0", the main thread of the scenario, to "T5".
[[nodiscard]] std::string thread_name(unsigned thread);
[[nodiscard]] std::string order_name(std::memory_order order);
/// Small numbers in decimal, others in hexadecimal.
[[nodiscard]] std::string value_name(std::uint64_t value);

}  // namespace ufence::lab
