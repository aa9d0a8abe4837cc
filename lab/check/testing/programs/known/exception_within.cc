// A standard exception, caught where it is thrown.
#include <cassert>
#include <stdexcept>
int f(int x) {
  if (x > 2) throw std::runtime_error("big");
  return x;
}
int main() {
  int got = 0;
  try {
    f(3);
  } catch (const std::runtime_error& e) {
    got = e.what()[0];
  }
  assert(got == 'b');
}
