// Functions that exit() calls, with an owner who may take them back.
#pragma once

namespace ufence::detail {

/// exit() calls function(argument) before everything that was registered earlier: destructors of static
/// objects, too. False: no memory.
/// @param owner  an address that nobody else uses
[[nodiscard]] bool at_process_end(void (*function)(void*), void* argument, void* owner) noexcept;

/// Takes back all of that owner. They are called once more now: they have to find out that nothing is to
/// be done. Their memory is used again.
void forget_process_end(void* owner) noexcept;

}  // namespace ufence::detail
