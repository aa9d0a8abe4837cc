// The lab's side of a kernel tree, compiled with the tree's own headers: a driver as the scenarios
// have it, and each thing that they do. UFENCE_LAB_HAS_<name>: the tree's headers have that word.
#include <linux/dma-fence-array.h>
#include <linux/dma-resv.h>

#include "lab/source/service/glue.h"

bool kernel_op_enable(void* model);
bool kernel_op_signaled(void* model);
void kernel_op_set_deadline(void* model);
void kernel_op_name(void* model);
void kernel_run_callback(void* callback);

// --- The driver's fence ---

struct glue_fence {
  struct dma_fence base;
  spinlock_t lock;
  void* model;
};

static void* model_of(struct dma_fence* f) {
  return container_of(f, struct glue_fence, base)->model;
}

static const char* op_name(struct dma_fence* f) {
  kernel_op_name(model_of(f));
  return "driver";
}
static bool op_enable(struct dma_fence* f) { return kernel_op_enable(model_of(f)); }
static bool op_signaled(struct dma_fence* f) { return kernel_op_signaled(model_of(f)); }
static void op_deadline(struct dma_fence* f, ktime_t deadline) {
  (void)deadline;
  kernel_op_set_deadline(model_of(f));
}

static void fill_ops(struct dma_fence_ops* ops) {
  _Static_assert(sizeof *ops <= kernel_ops_bytes, "a driver's ops fit");
  memset(ops, 0, sizeof *ops);
  ops->get_driver_name = op_name;
  ops->get_timeline_name = op_name;
  ops->enable_signaling = op_enable;
  ops->signaled = op_signaled;
  ops->set_deadline = op_deadline;
}

static spinlock_t* lock_of(struct dma_fence* f) {
#ifdef UFENCE_LAB_HAS_dma_fence_spinlock
  return dma_fence_spinlock(f);
#else
  return f->lock;
#endif
}

// Where the core has no lock of its own for a fence, drivers keep one beside it.
static spinlock_t* driver_lock(struct glue_fence* g, unsigned* word) {
  if (word != NULL) return container_of(word, spinlock_t, word);
#ifdef UFENCE_LAB_HAS_inline_lock
  (void)g;
  return NULL;
#else
  spin_lock_init(&g->lock);
  return &g->lock;
#endif
}

static void* make(void* model, void* ops, unsigned* word) {
  struct glue_fence* g = malloc(sizeof *g);
  g->model = model;
  fill_ops(ops);
  dma_fence_init(&g->base, ops, driver_lock(g, word), 1, 1);
  return &g->base;
}

static void parts(void* fence, struct kernel_fence_parts* to) {
  struct dma_fence* f = fence;
  to->flags = &f->flags;
  to->ops = &f->ops;
  to->references = &f->refcount;
  to->error = &f->error;
  to->timestamp = &f->timestamp;
  to->lock = &lock_of(f)->word;
}

// --- Consumers ---

static int is_signaled(void* fence) {
  struct dma_fence* f = fence;
  return test_bit(DMA_FENCE_FLAG_SIGNALED_BIT, &f->flags);
}
static int poll(void* fence) { return dma_fence_is_signaled(fence); }
static int error(void* fence) { return ((struct dma_fence*)fence)->error; }

static long timestamp(void* fence) { return dma_fence_timestamp(fence); }

static void read_names(void* fence) {
  struct dma_fence* f = fence;
#ifdef UFENCE_LAB_HAS_dma_fence_driver_name
  rcu_read_lock();
  (void)dma_fence_driver_name(f);
  rcu_read_unlock();
#else
  (void)f->ops->get_driver_name(f);
#endif
}

static void set_deadline(void* fence) { dma_fence_set_deadline(fence, 1); }

static void enable_signaling(void* fence) {
#ifdef UFENCE_LAB_HAS_dma_fence_enable_sw_signaling
  dma_fence_enable_sw_signaling(fence);
#else
  dma_fence_enable_signaling(fence);
#endif
}

static void run_callback(struct dma_fence* f, struct dma_fence_cb* cb) {
  (void)f;
  kernel_run_callback(cb);
}
static int add_callback(void* fence, void* callback) {
  _Static_assert(sizeof(struct dma_fence_cb) <= kernel_callback_bytes, "a callback fits");
  return dma_fence_add_callback(fence, callback, run_callback) == 0;
}
static int remove_callback(void* fence, void* callback) {
  return dma_fence_remove_callback(fence, callback);
}
static int is_issued_by(void* fence, void* ops) {
  return READ_ONCE(((struct dma_fence*)fence)->ops) == ops;
}
static void get(void* fence) { dma_fence_get(fence); }
static void put(void* fence) { dma_fence_put(fence); }

// --- The issuer ---

static int signal(void* fence, int error) {
  if (error != 0) dma_fence_set_error(fence, error);
#ifdef UFENCE_LAB_HAS_dma_fence_check_and_signal
  return !dma_fence_check_and_signal(fence);
#else
  return dma_fence_signal(fence) == 0;
#endif
}

// --- Containers ---

static void* make_array(void* a, void* b) {
  struct dma_fence** fences = malloc(2 * sizeof *fences);
  fences[0] = dma_fence_get(a);
  fences[1] = dma_fence_get(b);
#ifdef UFENCE_LAB_HAS_signal_on_any
  return &dma_fence_array_create(2, fences, 2, 1, false)->base;
#else
  return &dma_fence_array_create(2, fences, 2, 1)->base;
#endif
}

struct glue_slot {
  struct dma_resv resv;
  struct dma_fence_ops* ops;
};

static struct dma_fence* numbered(struct glue_slot* s, unsigned long number) {
  struct glue_fence* g = malloc(sizeof *g);
  g->model = NULL;
  dma_fence_init(&g->base, s->ops, driver_lock(g, NULL), 1, number);
  return &g->base;
}
static void add_to_slot(struct glue_slot* s, struct dma_fence* f) {
  dma_resv_lock(&s->resv, NULL);
  if (dma_resv_reserve_fences(&s->resv, 1) != 0) kernel_bug("no room");
  dma_resv_add_fence(&s->resv, f, DMA_RESV_USAGE_WRITE);
  dma_resv_unlock(&s->resv);
  dma_fence_put(f);
}

static void* make_slot(void* ops) {
  struct glue_slot* s = malloc(sizeof *s);
  fill_ops(ops);
  // Nobody asks these fences whether they are signaled.
  ((struct dma_fence_ops*)ops)->signaled = NULL;
  ((struct dma_fence_ops*)ops)->enable_signaling = NULL;
  s->ops = ops;
  dma_resv_init(&s->resv);
  return s;
}
static void free_slot(void* slot) {
  struct glue_slot* s = slot;
  dma_resv_fini(&s->resv);
  free(s);
}
// The second has the first one's context, and so its place; the third has the memory of either.
static void write_slot(void* slot) {
  add_to_slot(slot, numbered(slot, 1));
  add_to_slot(slot, numbered(slot, 2));
  dma_fence_put(numbered(slot, 3));
}
static unsigned long read_slot(void* slot) {
  struct glue_slot* s = slot;
  struct dma_resv_iter cursor;
  unsigned long number = 0;
  dma_resv_iter_begin(&cursor, &s->resv, DMA_RESV_USAGE_BOOKKEEP);
  struct dma_fence* f = dma_resv_iter_first_unlocked(&cursor);
  if (f != NULL) number = f->seqno;
  dma_resv_iter_end(&cursor);
  return number;
}

// --- For the lab ---

extern const struct lab_site __start_ufence_lab_sites[], __stop_ufence_lab_sites[];

__attribute__((visibility("default"))) struct kernel_glue_table kernel_glue = {
    .make = make,
    .parts = parts,
    .is_signaled = is_signaled,
    .poll = poll,
    .error = error,
    .timestamp = timestamp,
    .read_names = read_names,
    .set_deadline = set_deadline,
    .enable_signaling = enable_signaling,
    .add_callback = add_callback,
    .remove_callback = remove_callback,
    .is_issued_by = is_issued_by,
    .get = get,
    .put = put,
    .signal = signal,
    .make_array = make_array,
    .make_slot = make_slot,
    .free_slot = free_slot,
    .write_slot = write_slot,
    .read_slot = read_slot,
    .sites = (const struct kernel_site*)__start_ufence_lab_sites,
    .sites_end = (const struct kernel_site*)__stop_ufence_lab_sites,
};

void sort(void* base, size_t count, size_t bytes, int (*compare)(const void*, const void*),
          void (*exchange)(void*, void*, int)) {
  (void)exchange;
  char* const all = base;
  char kept[64];
  if (bytes > sizeof kept) kernel_bug("entries to sort are too large");
  for (size_t i = 1; i < count; ++i) {
    for (size_t j = i; j > 0 && compare(all + (j - 1) * bytes, all + j * bytes) > 0; --j) {
      memcpy(kept, all + j * bytes, bytes);
      memcpy(all + j * bytes, all + (j - 1) * bytes, bytes);
      memcpy(all + (j - 1) * bytes, kept, bytes);
    }
  }
}
