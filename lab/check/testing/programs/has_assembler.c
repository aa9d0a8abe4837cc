#include <pthread.h>

static int shared;

static void* add(void* unused) {
  __asm__ volatile("incl %0" : "+m"(shared)::"memory");
  return unused;
}

int main(void) {
  pthread_t thread;
  pthread_create(&thread, 0, add, 0);
  add(0);
  pthread_join(thread, 0);
  return 0;
}
