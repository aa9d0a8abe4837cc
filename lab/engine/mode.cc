#include "lab/engine/mode.h"

namespace ufence::lab::mode {

constinit place now = place::outside;
constinit machine* running = nullptr;

}  // namespace ufence::lab::mode
