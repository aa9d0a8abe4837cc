#include <stdatomic.h>
#include <stdlib.h>
#include <threads.h>
static atomic_int x, y;
static int store_x(void* to_see) {
  atomic_store_explicit(&x, 1, memory_order_relaxed);
  *(int*)to_see = atomic_load_explicit(&y, memory_order_relaxed);
  return 0;
}
int main(void) {
  int other = 0;
  thrd_t t;
  thrd_create(&t, store_x, &other);
  atomic_store_explicit(&y, 1, memory_order_relaxed);
  int mine = atomic_load_explicit(&x, memory_order_relaxed);
  thrd_join(t, NULL);
  if (mine == 0 && other == 0) abort();
  return 0;
}
