// Facts about an object that the names of the functions that it calls tell.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "ufence/module/elf_file.h"

namespace ufence::detail {

/// Starts threads, or has the C library start them (D-13).
[[nodiscard]] bool starts_threads(std::string_view function) noexcept;
/// The advice to a driver: what to do in place of calling such a function.
[[nodiscard]] std::string_view instead_of_thread_starter(std::string_view function) noexcept;
/// A symbol's name as people write it.
/// Allocates: may throw std::bad_alloc.
[[nodiscard]] std::string readable_name(std::string_view symbol);
/// Makes a key under which threads keep values, with a destructor that their ends call.
[[nodiscard]] bool makes_keys(std::string_view function) noexcept;
/// Makes a type of GObject that stays for as long as the process lives, with functions of the caller (D-21).
[[nodiscard]] bool makes_types(std::string_view function) noexcept;
/// Sets handlers of signals.
[[nodiscard]] bool sets_signals(std::string_view function) noexcept;
/// Leaves a function or memory of its caller registered in the process, where nobody can look (D-21).
[[nodiscard]] bool leaves_unseen(std::string_view function) noexcept;

/// Leaves memory of its caller in the static data of the C library (D-21).
[[nodiscard]] bool leaves_in_c_library(std::string_view function) noexcept;
/// Registers functions of its caller as conversions of printf() (D-21).
[[nodiscard]] bool registers_conversions(std::string_view function) noexcept;

/// The remarks of D-21 and D-22 about the imports of an object, one line each.
/// Allocates: may throw std::bad_alloc.
[[nodiscard]] std::vector<std::string> warnings_of_imports(const elf_file& file);

}  // namespace ufence::detail
