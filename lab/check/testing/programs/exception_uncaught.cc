// Nobody catches it.
#include <thread>
int main() {
  std::thread t([] { throw 1; });
  t.join();
}
