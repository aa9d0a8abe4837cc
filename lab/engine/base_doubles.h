#pragma once

namespace ufence::lab {

/// Links the replacements of operator new and delete into the program.
void use_lab_memory() noexcept;

}  // namespace ufence::lab
