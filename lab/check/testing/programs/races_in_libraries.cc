// Functions that compilers would rather expand, without a call for their accesses.
#include <cstring>
#include <thread>

char text[16], other[16];

#ifndef WRITES
#define WRITES __builtin_memset(text, 1, 8)
#endif

int main() {
  std::thread writer([] { WRITES; });
  const int seen = text[2];
  writer.join();
  return seen == 77;
}
