#include <cstdlib>
struct pair {
  int a, b;
};
bool is_negative = false;
int main() {
  pair* const p = static_cast<pair*>(std::malloc(sizeof(pair)));
  p->a = 1;
  is_negative = p->b < 0;
  std::free(p);
}
