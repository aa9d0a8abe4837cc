// Keys: a new one has no value, a destructor may set another one, main() leaves what it has.
#include <pthread.h>
#include <stdlib.h>

static pthread_key_t first, second;
static int is_destroyed;

static void destroy(void* block) {
  free(block);
  is_destroyed = 1;
}
static void hand_over(void* block) { pthread_setspecific(first, block); }
static void never(void* unused) {
  (void)unused;
  abort();
}

static void* sets(void* unused) {
  pthread_setspecific(second, malloc(4));
  return unused;
}

int main(void) {
  pthread_key_t key;
  pthread_key_create(&key, 0);
  pthread_setspecific(key, &key);
  pthread_key_delete(key);
  pthread_key_create(&key, never);
  if (pthread_getspecific(key) != NULL) return 1;
  pthread_setspecific(key, malloc(4));
  pthread_key_create(&first, destroy);
  pthread_key_create(&second, hand_over);
  pthread_t thread;
  pthread_create(&thread, 0, sets, 0);
  pthread_join(thread, 0);
  return is_destroyed ? 0 : 2;
}
