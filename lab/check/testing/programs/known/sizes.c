// Atomic objects of 1, 2 and 8 bytes.
#include <assert.h>
#include <pthread.h>
#include <stdint.h>
static uint8_t a;
static uint16_t b;
static uint64_t c;
static void* w(void* x) {
  __atomic_fetch_add(&a, 255, 5);
  __atomic_fetch_xor(&b, 0xffff, 5);
  __atomic_fetch_nand(&c, 1, 5);
  return x;
}
int main(void) {
  pthread_t t;
  pthread_create(&t, 0, w, 0);
  w(0);
  pthread_join(t, 0);
  assert(a == 254 && b == 0);
  return 0;
}
