#include <pthread.h>
#include <stdatomic.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int shared;
static volatile int seen;
static atomic_int is_locked_again;

static void* write_and_lock_again(void* unused) {
  pthread_mutex_lock(&lock);
  shared = 1;
  pthread_mutex_unlock(&lock);
  pthread_mutex_lock(&lock);
  atomic_store_explicit(&is_locked_again, 1, memory_order_relaxed);
  pthread_mutex_unlock(&lock);
  return unused;
}

int main(void) {
  pthread_t thread;
  pthread_create(&thread, 0, write_and_lock_again, 0);
  if (atomic_load_explicit(&is_locked_again, memory_order_relaxed)) {
    if (pthread_mutex_trylock(&lock) != 0) {
      seen = shared;
    } else {
      pthread_mutex_unlock(&lock);
    }
  }
  pthread_join(thread, 0);
  return 0;
}
