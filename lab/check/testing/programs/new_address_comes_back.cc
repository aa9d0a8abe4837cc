#include <cassert>
#include <cstdint>
#include <cstdlib>
void* volatile block;  // what compilers must not know
int main() {
  block = std::malloc(8);
  const auto old = reinterpret_cast<std::uintptr_t>(block);
  std::free(block);
  block = std::malloc(8);
  const bool came_back = reinterpret_cast<std::uintptr_t>(block) == old;
  std::free(block);
  assert(!came_back);
}
