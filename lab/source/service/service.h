// The parts that the kernel's sources take from the rest of the kernel, for the lab: written for it, from
// what the kernel's documentation says of each. Every header that a tree's files ask for and that
// is none of theirs leads here. What stands behind the names is told in docs/KERNEL_SOURCE.md; what
// is missing is missing, so that the compiler or the lab names it.
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// --- Which barrier is left out (ufence lab kernel --weaken) ---

// A file, and a condition over __LINE__.
#ifndef UFENCE_LAB_LEFT_OUT
#define UFENCE_LAB_LEFT_OUT_FILE ""
#define UFENCE_LAB_LEFT_OUT 0
#endif
#define LAB_IS_OUT \
  (__builtin_strcmp(__FILE__, UFENCE_LAB_LEFT_OUT_FILE) == 0 && (UFENCE_LAB_LEFT_OUT))

struct lab_site {
  const char* kind;
  const char* file;
  const char* function;
  unsigned long line;
};
#define LAB_SITE(what)                                                                           \
  ({                                                                                             \
    static const struct lab_site lab_site_here __attribute__((                                   \
        section("ufence_lab_sites"), used, aligned(32))) = {what, __FILE__, __func__, __LINE__}; \
  })
/// An order, which is relaxed where the site is left out.
#define LAB_ORDER(what, order) (LAB_SITE(what), LAB_IS_OUT ? __ATOMIC_RELAXED : (order))

// --- The lab's side (lab/source/adapter/services.cc) ---

void kernel_lock(unsigned* word);
void kernel_unlock(unsigned* word);
void kernel_mutex_lock(unsigned* word);
void kernel_mutex_unlock(unsigned* word);
void kernel_rcu_read_lock(void);
void kernel_rcu_read_unlock(void);
void kernel_synchronize_rcu(void);
void kernel_call_rcu(void (*run)(void*), void* argument);
void kernel_queue_work(void (*run)(void*), void* argument);
void kernel_pause(void);
void kernel_warn(const char* condition);
void kernel_bug(const char* condition) __attribute__((noreturn));
void* malloc(size_t);
void* calloc(size_t, size_t);
void* realloc(void*, size_t);
void free(void*);
void* memcpy(void*, const void*, size_t);
void* memset(void*, int, size_t);

// --- Types and annotations ---

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int32_t s32;
typedef int64_t s64;
typedef int64_t ktime_t;
typedef unsigned gfp_t;
typedef struct {
  int counter;
} atomic_t;
typedef struct {
  s64 counter;
} atomic64_t;

#define GFP_KERNEL 0U
#define GFP_ATOMIC 0U
#define GFP_NOWAIT 0U
#define __init
#define __exit
#define __rcu
#define __user
#define __iomem
#define __must_check
#define __maybe_unused __attribute__((unused))
#undef __always_inline
#define __always_inline inline __attribute__((always_inline))
#define __counted_by(member)
#define __printf(a, b)
#define noinline __attribute__((noinline))
#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)
#define EXPORT_SYMBOL(name)
#define EXPORT_SYMBOL_GPL(name)
#define EXPORT_TRACEPOINT_SYMBOL(name)
#define IS_ENABLED(option) 0
#define MODULE_LICENSE(text)
/// Runs when the library is loaded: before all executions.
#define subsys_initcall(function) \
  static __attribute__((constructor)) void lab_initcall_##function(void) { (void)function(); }

#define BIT(n) (1UL << (n))
#define BITS_PER_LONG 64
#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define lower_32_bits(n) ((u32)((n)&0xFFFFFFFF))
#define upper_32_bits(n) ((u32)((u64)(n) >> 32))
#define container_of(at, type, member) ((type*)((char*)(at)-offsetof(type, member)))
#define min(a, b) ((a) < (b) ? (a) : (b))
#define max(a, b) ((a) > (b) ? (a) : (b))
#define min_t(type, a, b) ((type)(a) < (type)(b) ? (type)(a) : (type)(b))
#define max_t(type, a, b) ((type)(a) > (type)(b) ? (type)(a) : (type)(b))
#define U32_MAX UINT32_MAX
#define swap(a, b)            \
  do {                        \
    typeof(a) lab_kept = (a); \
    (a) = (b);                \
    (b) = lab_kept;           \
  } while (0)

static inline unsigned long roundup_pow_of_two(unsigned long n) {
  unsigned long power = 1;
  while (power < n) power <<= 1;
  return power;
}

#define MAX_ERRNO 4095
#define EINTR 4
#define EAGAIN 11
#define ENOENT 2
#define ENOMEM 12
#define EBUSY 16
#define EINVAL 22
#define EDEADLK 35
#define ETIME 62
#define EALREADY 114
#define ECANCELED 125
#define ERESTARTSYS 512
#define ERR_PTR(error) ((void*)(long)(error))
#define PTR_ERR(at) ((long)(at))
#define IS_ERR(at) ((unsigned long)(at) >= (unsigned long)-MAX_ERRNO)
#define IS_ERR_OR_NULL(at) (!(at) || IS_ERR(at))

#define WARN_ON(condition)                              \
  ({                                                    \
    const bool lab_warns = !!(condition);               \
    if (lab_warns) kernel_warn("WARN_ON: " #condition); \
    lab_warns;                                          \
  })
#define WARN_ON_ONCE(condition) WARN_ON(condition)
#define WARN(condition, ...) WARN_ON(condition)
#define WARN_ONCE(condition, ...) WARN_ON(condition)
#define BUG_ON(condition)                             \
  do {                                                \
    if (condition) kernel_bug("BUG_ON: " #condition); \
  } while (0)
#define pr_err(...) ((void)0)
#define pr_warn(...) ((void)0)
#define pr_info(...) ((void)0)
#define pr_debug(...) ((void)0)

// --- Accesses that are marked ---

#define READ_ONCE(object) __atomic_load_n(&(object), __ATOMIC_RELAXED)
#define WRITE_ONCE(object, value) __atomic_store_n(&(object), (value), __ATOMIC_RELAXED)
#define data_race(expression) (expression)
#define smp_load_acquire(at) __atomic_load_n((at), LAB_ORDER("smp_load_acquire", __ATOMIC_ACQUIRE))
#define smp_store_release(at, value) \
  __atomic_store_n((at), (value), LAB_ORDER("smp_store_release", __ATOMIC_RELEASE))

// --- Barriers: the nearest fence that is not weaker ---

#define LAB_FENCE(what, order)                     \
  do {                                             \
    LAB_SITE(what);                                \
    if (!LAB_IS_OUT) __atomic_thread_fence(order); \
  } while (0)
#define barrier() __asm__ volatile("" : : : "memory")
#define smp_mb() LAB_FENCE("smp_mb", __ATOMIC_SEQ_CST)
#define smp_rmb() LAB_FENCE("smp_rmb", __ATOMIC_ACQ_REL)
#define smp_wmb() LAB_FENCE("smp_wmb", __ATOMIC_ACQ_REL)
#define smp_mb__before_atomic() LAB_FENCE("smp_mb__before_atomic", __ATOMIC_SEQ_CST)
#define smp_mb__after_atomic() LAB_FENCE("smp_mb__after_atomic", __ATOMIC_SEQ_CST)
#define smp_store_mb(object, value) \
  do {                              \
    WRITE_ONCE(object, value);      \
    smp_mb();                       \
  } while (0)
#define cpu_relax() kernel_pause()

/// A read-modify-write that orders in full: a fence on both sides of it.
#define LAB_FULL(what, operation)                             \
  ({                                                          \
    LAB_SITE(what);                                           \
    if (!LAB_IS_OUT) __atomic_thread_fence(__ATOMIC_SEQ_CST); \
    typeof(operation) lab_result = (operation);               \
    if (!LAB_IS_OUT) __atomic_thread_fence(__ATOMIC_SEQ_CST); \
    lab_result;                                               \
  })
#define cmpxchg_relaxed(at, expected, desired)                                   \
  ({                                                                             \
    typeof(*(at)) lab_seen = (expected);                                         \
    __atomic_compare_exchange_n((at), &lab_seen, (desired), 0, __ATOMIC_RELAXED, \
                                __ATOMIC_RELAXED);                               \
    lab_seen;                                                                    \
  })
#define cmpxchg(at, expected, desired) LAB_FULL("cmpxchg", cmpxchg_relaxed(at, expected, desired))
#define xchg(at, value) LAB_FULL("xchg", __atomic_exchange_n((at), (value), __ATOMIC_RELAXED))

#define atomic_read(a) READ_ONCE((a)->counter)
#define atomic_set(a, value) WRITE_ONCE((a)->counter, value)
#define atomic_read_acquire(a) smp_load_acquire(&(a)->counter)
#define atomic_set_release(a, value) smp_store_release(&(a)->counter, value)
#define atomic_inc(a) ((void)__atomic_fetch_add(&(a)->counter, 1, __ATOMIC_RELAXED))
#define atomic_dec(a) ((void)__atomic_fetch_sub(&(a)->counter, 1, __ATOMIC_RELAXED))
#define atomic_dec_and_test(a) \
  LAB_FULL("atomic_dec_and_test", __atomic_fetch_sub(&(a)->counter, 1, __ATOMIC_RELAXED) == 1)
#define atomic_inc_return(a) \
  LAB_FULL("atomic_inc_return", __atomic_fetch_add(&(a)->counter, 1, __ATOMIC_RELAXED) + 1)
#define ATOMIC_INIT(value) \
  { value }
#define ATOMIC64_INIT(value) \
  { value }
#define atomic64_fetch_add(n, a) \
  LAB_FULL("atomic64_fetch_add", __atomic_fetch_add(&(a)->counter, (n), __ATOMIC_RELAXED))

// --- Bits ---

#define LAB_WORD(n, at) ((at) + (n) / BITS_PER_LONG)
#define LAB_MASK(n) (1UL << (n) % BITS_PER_LONG)
#define test_bit(n, at) ((READ_ONCE(*LAB_WORD(n, at)) & LAB_MASK(n)) != 0)
#define set_bit(n, at) ((void)__atomic_fetch_or(LAB_WORD(n, at), LAB_MASK(n), __ATOMIC_RELAXED))
#define clear_bit(n, at) ((void)__atomic_fetch_and(LAB_WORD(n, at), ~LAB_MASK(n), __ATOMIC_RELAXED))
#define test_and_set_bit(n, at) \
  LAB_FULL("test_and_set_bit",  \
           (__atomic_fetch_or(LAB_WORD(n, at), LAB_MASK(n), __ATOMIC_RELAXED) & LAB_MASK(n)) != 0)
#define test_and_clear_bit(n, at) \
  LAB_FULL(                       \
      "test_and_clear_bit",       \
      (__atomic_fetch_and(LAB_WORD(n, at), ~LAB_MASK(n), __ATOMIC_RELAXED) & LAB_MASK(n)) != 0)
#define test_bit_acquire(n, at)                                                         \
  ((__atomic_load_n(LAB_WORD(n, at), LAB_ORDER("test_bit_acquire", __ATOMIC_ACQUIRE)) & \
    LAB_MASK(n)) != 0)

// --- Counts of references ---

struct kref {
  atomic_t refcount;
};
static inline void kref_init(struct kref* k) { atomic_set(&k->refcount, 1); }
static inline unsigned kref_read(struct kref* k) { return (unsigned)atomic_read(&k->refcount); }
static inline void kref_get(struct kref* k) { atomic_inc(&k->refcount); }
static inline int kref_put(struct kref* k, void (*release)(struct kref*)) {
  if (__atomic_fetch_sub(&k->refcount.counter, 1, __ATOMIC_RELEASE) != 1) return 0;
  __atomic_thread_fence(__ATOMIC_ACQUIRE);
  release(k);
  return 1;
}
static inline int kref_get_unless_zero(struct kref* k) {
  int had = atomic_read(&k->refcount);
  while (had != 0 && !__atomic_compare_exchange_n(&k->refcount.counter, &had, had + 1, 0,
                                                  __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
  }
  return had != 0;
}

// --- RCU ---

struct rcu_head {
  void* room[2];
};
/// Where the section is left out, so is its end: by lines of both.
#define rcu_read_lock()                      \
  do {                                       \
    LAB_SITE("rcu_read_lock");               \
    if (!LAB_IS_OUT) kernel_rcu_read_lock(); \
  } while (0)
#define rcu_read_unlock()                      \
  do {                                         \
    LAB_SITE("rcu_read_lock");                 \
    if (!LAB_IS_OUT) kernel_rcu_read_unlock(); \
  } while (0)
#define synchronize_rcu() kernel_synchronize_rcu()
/// A load through the pointer comes after it, and nothing else does: a dependency. A table of
/// functions is whole before anybody has a fence, so that a relaxed load is as much. For what is
/// made while others look, only an acquire load will do here, which is stronger than the kernel's.
struct dma_fence_ops;
#define LAB_IS_OPS(p) __builtin_types_compatible_p(typeof(p), const struct dma_fence_ops*)
#define rcu_dereference(p) \
  __atomic_load_n(         \
      &(p), LAB_IS_OPS(p) ? __ATOMIC_RELAXED : LAB_ORDER("rcu_dereference", __ATOMIC_ACQUIRE))
#define rcu_dereference_check(p, condition) rcu_dereference(p)
#define rcu_dereference_protected(p, condition) (p)
#define rcu_dereference_raw(p) rcu_dereference(p)
#define rcu_access_pointer(p) READ_ONCE(p)
#define rcu_assign_pointer(p, value) \
  __atomic_store_n(&(p), (value), LAB_ORDER("rcu_assign_pointer", __ATOMIC_RELEASE))
#define RCU_INIT_POINTER(p, value) WRITE_ONCE(p, value)
#define RCU_INITIALIZER(value) (value)
#define rcu_pointer_handoff(p) (p)
#define unrcu_pointer(p) (p)
#define rcu_replace_pointer(p, value, condition) \
  ({                                             \
    typeof(p) lab_old = (p);                     \
    rcu_assign_pointer(p, value);                \
    lab_old;                                     \
  })
#define kfree_rcu(at, member) kernel_call_rcu(free, (at))
static inline void call_rcu(struct rcu_head* head, void (*run)(struct rcu_head*)) {
  kernel_call_rcu((void (*)(void*))run, head);
}

// --- Locks: a word each, 1 while it is held ---

typedef struct {
  unsigned word;
} spinlock_t;
struct lock_class_key {
  char unused;
};
#define DEFINE_SPINLOCK(name) spinlock_t name = {0}
#define spin_lock_init(lock) ((void)((lock)->word = 0))
#define spin_lock(lock)                          \
  do {                                           \
    LAB_SITE("spin_lock");                       \
    if (!LAB_IS_OUT) kernel_lock(&(lock)->word); \
  } while (0)
#define spin_unlock(lock)                          \
  do {                                             \
    LAB_SITE("spin_lock");                         \
    if (!LAB_IS_OUT) kernel_unlock(&(lock)->word); \
  } while (0)
#define spin_lock_irqsave(lock, flags) \
  do {                                 \
    (flags) = 0;                       \
    spin_lock(lock);                   \
  } while (0)
#define spin_unlock_irqrestore(lock, flags) \
  do {                                      \
    (void)(flags);                          \
    spin_unlock(lock);                      \
  } while (0)
#define spin_lock_irq(lock) spin_lock(lock)
#define spin_unlock_irq(lock) spin_unlock(lock)
#define lockdep_assert_held(lock) ((void)(lock))
#define lockdep_is_held(lock) ((void)(lock), true)
#define lockdep_set_class(lock, key) ((void)(lock), (void)(key))
#define might_sleep() ((void)0)

struct ww_class {
  int unused;
};
struct ww_acquire_ctx {
  int unused;
};
struct ww_mutex {
  struct {
    unsigned word;
  } base;
  struct ww_acquire_ctx* ctx;
};
#define DEFINE_WD_CLASS(name) struct ww_class name
#define DEFINE_WW_CLASS(name) struct ww_class name
static inline void ww_mutex_init(struct ww_mutex* m, struct ww_class* c) {
  (void)c;
  m->base.word = 0;
  m->ctx = NULL;
}
static inline void ww_mutex_destroy(struct ww_mutex* m) { (void)m; }
static inline int ww_mutex_lock(struct ww_mutex* m, struct ww_acquire_ctx* c) {
  (void)c;
  kernel_mutex_lock(&m->base.word);
  return 0;
}
static inline void ww_mutex_unlock(struct ww_mutex* m) { kernel_mutex_unlock(&m->base.word); }
#define ww_mutex_lock_interruptible(m, c) ww_mutex_lock(m, c)
#define ww_mutex_lock_slow(m, c) ((void)ww_mutex_lock(m, c))
#define ww_mutex_lock_slow_interruptible(m, c) ww_mutex_lock(m, c)
int ww_mutex_trylock(struct ww_mutex* m, struct ww_acquire_ctx* c);
bool ww_mutex_is_locked(struct ww_mutex* m);

// --- Lists ---

struct list_head {
  struct list_head *next, *prev;
};
static inline void INIT_LIST_HEAD(struct list_head* head) {
  WRITE_ONCE(head->next, head);
  WRITE_ONCE(head->prev, head);
}
static inline bool list_empty(const struct list_head* head) {
  return READ_ONCE(head->next) == head;
}
static inline void lab_list_insert(struct list_head* entry, struct list_head* before,
                                   struct list_head* after) {
  after->prev = entry;
  entry->next = after;
  entry->prev = before;
  WRITE_ONCE(before->next, entry);
}
static inline void list_add(struct list_head* entry, struct list_head* head) {
  lab_list_insert(entry, head, head->next);
}
static inline void list_add_tail(struct list_head* entry, struct list_head* head) {
  lab_list_insert(entry, head->prev, head);
}
static inline void lab_list_unlink(struct list_head* entry) {
  entry->next->prev = entry->prev;
  WRITE_ONCE(entry->prev->next, entry->next);
}
static inline void list_del(struct list_head* entry) {
  lab_list_unlink(entry);
  entry->next = (struct list_head*)0x100;  // nobody follows it
  entry->prev = (struct list_head*)0x122;
}
static inline void list_del_init(struct list_head* entry) {
  lab_list_unlink(entry);
  INIT_LIST_HEAD(entry);
}
static inline void list_replace(struct list_head* old, struct list_head* by) {
  by->next = old->next;
  by->next->prev = by;
  by->prev = old->prev;
  by->prev->next = by;
}
#define list_entry(at, type, member) container_of(at, type, member)
#define list_for_each_entry(at, head, member)                                           \
  for ((at) = list_entry((head)->next, typeof(*(at)), member); &(at)->member != (head); \
       (at) = list_entry((at)->member.next, typeof(*(at)), member))
#define list_for_each_entry_safe(at, after, head, member)             \
  for ((at) = list_entry((head)->next, typeof(*(at)), member),        \
      (after) = list_entry((at)->member.next, typeof(*(at)), member); \
       &(at)->member != (head);                                       \
       (at) = (after), (after) = list_entry((after)->member.next, typeof(*(after)), member))

// --- Memory ---

#define struct_size(at, member, count) (sizeof(*(at)) + sizeof((at)->member[0]) * (size_t)(count))
#define kmalloc(bytes, flags) malloc(bytes)
#define kzalloc(bytes, flags) calloc(1, bytes)
#define kcalloc(count, bytes, flags) calloc(count, bytes)
#define kmalloc_array(count, bytes, flags) malloc((size_t)(count) * (bytes))
#define krealloc_array(old, count, bytes, flags) realloc(old, (size_t)(count) * (bytes))
#define kmalloc_size_roundup(bytes) (bytes)
#define kmalloc_obj(object, ...) ((typeof(object)*)malloc(sizeof(object)))
#define kzalloc_obj(object, ...) ((typeof(object)*)calloc(1, sizeof(object)))
#define kmalloc_objs(object, count, ...) ((typeof(object)*)malloc(sizeof(object) * (size_t)(count)))
#define kzalloc_objs(object, count, ...) ((typeof(object)*)calloc((size_t)(count), sizeof(object)))
#define kmalloc_flex(object, member, count, ...) \
  ((typeof(object)*)malloc(struct_size(&(object), member, count)))
#define kzalloc_flex(object, member, count, ...) \
  ((typeof(object)*)calloc(1, struct_size(&(object), member, count)))
#define kfree(at) free((void*)(at))

// --- Time ---

enum { lab_time_of_every_signal = 77 };
#define ktime_get() ((ktime_t)lab_time_of_every_signal)
#define ns_to_ktime(ns) ((ktime_t)(ns))
#define ktime_to_ns(t) ((s64)(t))
#define ktime_after(a, b) ((a) > (b))
#define ktime_before(a, b) ((a) < (b))
#define MAX_SCHEDULE_TIMEOUT INT64_MAX

// --- Tasks: nothing of the hazards sleeps in the kernel's own way ---

struct task_struct;
#define TASK_RUNNING 0
#define TASK_INTERRUPTIBLE 1
#define TASK_UNINTERRUPTIBLE 2
#define TASK_NORMAL 3
extern struct task_struct* kernel_current_task(void);
#define current kernel_current_task()
void kernel_set_task_state(int state);
#define __set_current_state(state) kernel_set_task_state(state)
#define set_current_state(state)  \
  do {                            \
    kernel_set_task_state(state); \
    smp_mb();                     \
  } while (0)
#define signal_pending(task) ((void)(task), 0)
long schedule_timeout(long timeout);
int wake_up_state(struct task_struct* task, unsigned state);

// --- Work in an interrupt: once the thread that queued it holds no spin lock ---

struct irq_work {
  void (*func)(struct irq_work*);
};
#define init_irq_work(work, function) ((void)((work)->func = (function)))
static inline bool irq_work_queue(struct irq_work* work) {
  kernel_queue_work((void (*)(void*))work->func, work);
  return true;
}

// --- What only tells ---

struct seq_file;
#define seq_printf(file, ...) ((void)(file), lab_is_told(0, __VA_ARGS__))
static inline void lab_is_told(int unused, ...) { (void)unused; }
#define trace_dma_fence_emit(fence) ((void)(fence))
#define trace_dma_fence_init(fence) ((void)(fence))
#define trace_dma_fence_destroy(fence) ((void)(fence))
#define trace_dma_fence_enable_signal(fence) ((void)(fence))
#define trace_dma_fence_signaled(fence) ((void)(fence))
#define trace_dma_fence_wait_start(fence) ((void)(fence))
#define trace_dma_fence_wait_end(fence) ((void)(fence))
#define trace_dma_fence_wait_end_enabled() false

void sort(void* base, size_t count, size_t bytes, int (*compare)(const void*, const void*),
          void (*exchange)(void*, void*, int));
