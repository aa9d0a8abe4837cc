// An object that the first caller makes.
#include <cassert>
#include <thread>
int made = 0;
struct s {
  int v;
  s() : v(++made) {}
};
s& get() {
  static s one;
  return one;
}
int main() {
  std::thread t([] { assert(get().v == 1); });
  assert(get().v == 1);
  t.join();
  assert(made == 1);
}
