// An atomic object in fresh memory.
#include <stdatomic.h>
#include <stdlib.h>
int main(void) {
  atomic_int* p = malloc(sizeof *p);
  int r = atomic_load(p);
  free((void*)p);
  return r == 9;
}
