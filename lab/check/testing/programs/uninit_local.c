// A thread reads a local variable of another one that nobody has written.
#include <pthread.h>
static void* t(void* a) {
  int* p = a;
  return (void*)(long)(p[1] == 42);
}
int main(void) {
  int a[2];
  a[0] = 1;
  pthread_t x;
  void* r;
  pthread_create(&x, 0, t, a);
  pthread_join(x, &r);
  return r != 0;
}
