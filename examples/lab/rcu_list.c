/* A list that is read without locks: the writer takes a node out, waits for a grace period and frees
 * it. The grace period is the simplest one: a counter of readers, by C11's threads. */
#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <threads.h>

#ifdef WEAKER
#define LEAVES memory_order_relaxed
#else
#define LEAVES memory_order_release
#endif

struct node {
  int value;
  struct node* next;
};

static _Atomic(struct node*) first;
static atomic_int readers;

static int read_all(void* unused) {
  (void)unused;
  int sum = 0;
  atomic_fetch_add_explicit(&readers, 1, memory_order_seq_cst);
  for (struct node* n = atomic_load_explicit(&first, memory_order_seq_cst); n; n = n->next) {
    sum += n->value;
  }
  atomic_fetch_sub_explicit(&readers, 1, LEAVES);
  return sum;
}

static struct node* make(int value, struct node* next) {
  struct node* n = malloc(sizeof *n);
  n->value = value;
  n->next = next;
  return n;
}

int main(void) {
  struct node* second = make(2, NULL);
  struct node* one = make(1, second);
  atomic_store_explicit(&first, one, memory_order_relaxed);
  thrd_t reader;
  thrd_create(&reader, read_all, NULL);
  atomic_store_explicit(&first, second, memory_order_seq_cst);
  while (atomic_load_explicit(&readers, memory_order_seq_cst) != 0) thrd_yield();
  free(one);
  int sum = 0;
  thrd_join(reader, &sum);
  assert(sum == 3 || sum == 2);
  free(second);
  return 0;
}
