// What a compiler has made of a program, before it is assembled.
#pragma once

#include <string>

namespace ufence::lab::check {

/// An access or an order that the compiler has put no call before, with its place: inline
/// assembler, built-in instructions that order memory, and of clang values that are larger than
/// what it tells.
/// @return  empty: there is none
[[nodiscard]] std::string unseen_in(const std::string& assembly_file, bool is_of_clang);

}  // namespace ufence::lab::check
