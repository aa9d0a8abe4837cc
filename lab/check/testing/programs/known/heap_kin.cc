// Blocks by all the names that there are.
#include <malloc.h>

#include <cstdlib>
#include <new>

struct alignas(64) aligned {
  int value;
};

int main() {
  delete new (std::nothrow) int(3);
  delete[] new (std::nothrow) int[3];
  delete new (std::nothrow) aligned;
  ::operator delete(::operator new(4, std::nothrow), std::nothrow);
  std::free(memalign(64, 64));
  std::free(reallocarray(nullptr, 4, 4));
  volatile std::size_t too_many = std::size_t{1} << 62;
  return std::calloc(too_many, 8) != nullptr;
}
