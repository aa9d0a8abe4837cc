// A function that asks for no calls.
#include <thread>

int shared;
__attribute__((no_sanitize("thread"), noinline)) void add() { ++shared; }

int main() {
  std::thread other(add);
  add();
  other.join();
}
