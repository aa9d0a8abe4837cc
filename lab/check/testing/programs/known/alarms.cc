// What may look uninitialised, and is not: arguments, results, padding, copies, unions.
#include <cassert>
#include <memory>
#include <string>
#include <thread>
#include <vector>
struct pod {
  char c;
  int i;
  double d;
};
pod copy(pod p) { return p; }
union u {
  long l;
  int i[2];
};
struct base {
  virtual ~base() = default;
  virtual int f() = 0;
};
struct derived : base {
  int v;
  explicit derived(int x) : v(x) {}
  int f() override { return v; }
};
int by_ref(const int& x) { return x; }
int sum(int a, ...) {
  __builtin_va_list l;
  __builtin_va_start(l, a);
  int s = 0;
  for (int i = 0; i < a; i++) s += __builtin_va_arg(l, int);
  __builtin_va_end(l);
  return s;
}
int main() {
  pod p{'a', 1, 2.0};
  pod q = copy(p);
  pod* r = &q;
  std::thread t([r] { assert(r->i == 1 && r->c == 'a'); });
  t.join();
  u x;
  x.i[0] = 1;
  u y = x;
  u* z = &y;
  assert(z->i[0] == 1);
  std::unique_ptr<base> b = std::make_unique<derived>(4);
  std::thread t2([&] { assert(b->f() == 4); });
  t2.join();
  std::vector<int> v{1, 2, 3};
  std::vector<pod> w(3);
  w.push_back(p);
  assert(by_ref(v[1]) == 2 && w[3].i == 1 && w[0].i == 0);
  assert(sum(3, 1, 2, 3) == 6);
  char buf[64];
  char* e = buf;
  for (const char* s = "hello"; *s;) *e++ = *s++;
  *e = 0;
  assert(std::string(buf) == "hello");
  int many[8];
  for (int i = 0; i < 8; i++) many[i] = i;
  int* m = many;
  std::thread t3([m] { assert(m[7] == 7); });
  t3.join();
  auto [i, d] = std::pair{3, 4.0};
  auto f = [i = i] { return i; };
  std::thread t4([&f] { assert(f() == 3); });
  t4.join();
}
