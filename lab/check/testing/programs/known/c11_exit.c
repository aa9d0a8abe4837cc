// A thread of C11 ends from within.
#include <assert.h>
#include <threads.h>
static int w(void* a) { thrd_exit(4); }
int main(void) {
  thrd_t t;
  thrd_create(&t, w, 0);
  int r;
  thrd_join(t, &r);
  assert(r == 4);
  return 0;
}
