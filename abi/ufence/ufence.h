/* ufence for C: what a program that uses fences needs, in C99, without C++ to include or to link.
 *
 * It is thin over the C++ interface (ufence/fence/fence.h and its relatives), whose contract it
 * has: rules F, S and Y of docs/CONTRACT.md. A module (driver) sees ufence/driver.h instead, not
 * this.
 *
 * Conventions
 *   result     0 or a positive value on success, a negative errno on failure; what a function returns
 *              is said with it. A result that is handed over through a pointer is written on success
 *              only.
 *   ownership  A pointer to a counted object (fence, syncobj, shared timeline) that a function hands
 *              over is a reference of the caller's, dropped with its ..._put(). A parameter is lent
 *              for the call, unless the function is said to use it up. ..._put(), ..._drop() and
 *              ..._destroy() take null.
 *   time       absolute, nanoseconds of CLOCK_MONOTONIC; 0 polls, UFENCE_NO_DEADLINE never ends.
 *   threads    any thread, concurrently, unless said otherwise. Nothing is async-signal-safe. In a
 *              child of fork() what was made before it is pending for ever: -EOWNERDEAD (F18).
 *   structs    that cross begin with their size, as this header has it: `.size = sizeof(x)`. What a
 *              later header adds is 0 for programs that were built with this one.
 *   strings    are copied. A function that gives one out takes a buffer as snprintf() does: it
 *              returns the length, writes at most `size` bytes with the 0, and `buffer` may be null
 *              if `size` is 0.
 */
#ifndef UFENCE_UFENCE_H
#define UFENCE_UFENCE_H

#include <stddef.h>
#include <stdint.h>

#include "ufence/driver.h" /* struct ufence_fence, struct ufence_settlement */

#ifdef __cplusplus
extern "C" {
#endif

#define UFENCE_NO_DEADLINE INT64_MAX

#if defined(__GNUC__)
#define UFENCE_MUST_CHECK __attribute__((warn_unused_result))
#pragma GCC visibility push(default)
#else
#define UFENCE_MUST_CHECK
#endif

struct ufence_signaler;        /* the right to signal one fence, and the duty; owned by one */
struct ufence_fence_room;      /* memory for one fence; owned by one */
struct ufence_timeline_issuer; /* the right to complete a timeline's fences; owned by one */
struct ufence_syncobj;         /* counted */
struct ufence_shared_timeline; /* counted */
struct ufence_channel;         /* one end of a connection to another process; owned by one */
struct ufence_module_host;     /* loads modules; owned by one */
struct ufence_module; /* a reference to a loaded module and its device; it outlives the module */
struct ufence_scheduler; /* shares a device among entities; owned by one */
struct ufence_entity;    /* a user's queue of jobs for one scheduler's device; owned by one */

struct sync_file_info; /* linux/sync_file.h */

/* The library's version, 0xMMmmpp. */
uint32_t ufence_version(void);

/* --- Fences (F1 to F15) --- */

/* A pending fence and the right to signal it.
 * @param context  from ufence_fence_allocate_contexts(); fences of one context complete in order
 * @return 0; -ENOMEM
 * Source: Linux dma_fence_init64() */
UFENCE_MUST_CHECK int ufence_fence_create(uint64_t context, uint64_t seqno,
                                          struct ufence_fence** fence,
                                          struct ufence_signaler** right);
/* A fence that was signaled at that time. @return 0; -ENOMEM
 * Source: Linux dma_fence_allocate_private_stub() */
UFENCE_MUST_CHECK int ufence_fence_create_signaled(int64_t timestamp_ns,
                                                   struct ufence_fence** fence);
/* The fence that is signaled already, shared by all; a reference of it costs nothing.
 * Source: Linux dma_fence_get_stub() */
struct ufence_fence* ufence_fence_get_stub(void);
/* Reserves n consecutive context ids and returns the first; never 0.
 * Source: Linux dma_fence_context_alloc() */
uint64_t ufence_fence_allocate_contexts(uint64_t n);

/* One more reference; returns its argument. Source: Linux dma_fence_get() */
struct ufence_fence* ufence_fence_get(struct ufence_fence* fence);
/* Drops a reference. Source: Linux dma_fence_put() */
void ufence_fence_put(struct ufence_fence* fence);

/* 1 once the result is fixed, else 0. No lock, no foreign code. Source: Linux
 * dma_fence_is_signaled(); differs: calls no op (see ufence_fence_poll()) */
int ufence_fence_is_signaled(struct ufence_fence* fence);
/* 1 once all callbacks have returned too. */
int ufence_fence_is_settled(struct ufence_fence* fence);
/* 0 pending; 1 signaled; a negative errno: signaled with that error. Source: Linux
 * dma_fence_get_status() */
int ufence_fence_status(struct ufence_fence* fence);
/* The part of a fence that lies open, so that the two functions above need no call once it is signaled. Part of
 * the interface as the functions are: it stays where it is in all libraries of one soname. The rest of a
 * fence is the library's own, and nobody but the library writes to it. With GCC and Clang the two are also
 * macros, as functions of the C library may be: (ufence_fence_status)(fence) calls the function. */
struct ufence_fence_view {
  uint32_t state; /* UFENCE_FENCE_SIGNALED, and bits of the library's own; loaded with acquire order */
  uint32_t reserved[9];
  int32_t error; /* once that bit was seen: 0 or a negative errno, for ever */
};
enum ufence_fence_state {
  UFENCE_FENCE_SIGNALED = 1 << 2, /* set: signaled, for ever. Not set: ask the function */
};
#if defined(__GNUC__)
static inline const struct ufence_fence_view* ufence_fence_seen(const struct ufence_fence* fence) {
  const union {
    const struct ufence_fence* fence;
    const struct ufence_fence_view* view;
  } of = {fence};

  return of.view;
}
static inline int ufence_fence_is_marked(const struct ufence_fence* fence) {
  const uint32_t state = __atomic_load_n(&ufence_fence_seen(fence)->state, __ATOMIC_ACQUIRE);

  return __builtin_expect((state & UFENCE_FENCE_SIGNALED) != 0, 1) != 0;
}
static inline int ufence_fence_is_signaled_inline(struct ufence_fence* fence) {
  return ufence_fence_is_marked(fence) ? 1 : ufence_fence_is_signaled(fence);
}
static inline int ufence_fence_status_inline(struct ufence_fence* fence) {
  if (!ufence_fence_is_marked(fence)) return ufence_fence_status(fence);
  return ufence_fence_seen(fence)->error < 0 ? ufence_fence_seen(fence)->error : 1;
}
#define ufence_fence_is_signaled(fence) ufence_fence_is_signaled_inline(fence)
#define ufence_fence_status(fence) ufence_fence_status_inline(fence)
#endif

/* When it was signaled; 0 while it is pending. Source: Linux dma_fence_timestamp() */
int64_t ufence_fence_timestamp_ns(struct ufence_fence* fence);
/* The numbers that it was made with. */
uint64_t ufence_fence_context(const struct ufence_fence* fence);
uint64_t ufence_fence_seqno(const struct ufence_fence* fence);
/* The names are true for ever, the issuer may be long gone (F13). @return the length
 * Source: Linux dma_fence_driver_name(), dma_fence_timeline_name() */
size_t ufence_fence_driver_name(const struct ufence_fence* fence, char* buffer, size_t size);
size_t ufence_fence_timeline_name(const struct ufence_fence* fence, char* buffer, size_t size);
/* "context:seqno timeline driver signalled", for people. @return the length; -ENOMEM
 * Source: Linux dma_fence_describe() */
long ufence_fence_describe(struct ufence_fence* fence, char* buffer, size_t size);

/* Waits until it is signaled, with whatever result.
 * @return 0; -ETIME not by then; -EDEADLK inside an op of this fence; -EOWNERDEAD
 * Blocks: up to the deadline. Order: after 0 what the signaller wrote before is visible.
 * Source: Linux dma_fence_wait_timeout() */
UFENCE_MUST_CHECK int ufence_fence_wait(struct ufence_fence* fence, int64_t deadline_ns);
/* Waits until it is signaled, and tells whether the work was done.
 * @return 0 it was; the error that it was signaled with; as ufence_fence_wait() */
UFENCE_MUST_CHECK int ufence_fence_wait_result(struct ufence_fence* fence, int64_t deadline_ns);
/* Waits until all callbacks have returned. @return as ufence_fence_wait(); -EDEADLK also inside a
 * callback or retire of this fence */
UFENCE_MUST_CHECK int ufence_fence_wait_settled(struct ufence_fence* fence, int64_t deadline_ns);
/* Waits until one is signaled. @return its index, the lowest that is; -ETIME; -EINVAL none, or a
 * null one; -ENOMEM; -EDEADLK, -EOWNERDEAD. Source: Linux dma_fence_wait_any_timeout() */
UFENCE_MUST_CHECK long ufence_fence_wait_any(struct ufence_fence* const* fences, size_t n,
                                             int64_t deadline_ns);
/* Waits until all are signaled, with whatever results. @return 0; -ETIME; -EINVAL a null one;
 * -EDEADLK, -EOWNERDEAD */
UFENCE_MUST_CHECK int ufence_fence_wait_all(struct ufence_fence* const* fences, size_t n,
                                            int64_t deadline_ns);
/* A descriptor that poll() says to be readable once it is signaled; the caller's to close. It is
 * neither read nor written. @return it; -EMFILE, -ENFILE, -ENOMEM, -EOWNERDEAD */
UFENCE_MUST_CHECK int ufence_fence_pollable_fd(struct ufence_fence* fence);

/* Has the issuer notice the completion; waits and callbacks do it by themselves.
 * Source: Linux dma_fence_enable_sw_signaling() */
void ufence_fence_enable_signaling(struct ufence_fence* fence);
/* Asks the issuer, and signals if the work is complete. @return ufence_fence_is_signaled() */
int ufence_fence_poll(struct ufence_fence* fence);
/* A hint: when the result is wanted. Source: Linux dma_fence_set_deadline() */
void ufence_fence_set_deadline(struct ufence_fence* fence, int64_t deadline_ns);

/* A node for a callback: the caller's memory, which stays in place until the function ran or
 * ufence_fence_remove_callback() returned. All of it is the library's but `fn` and `data`.
 * Source: Linux struct dma_fence_cb */
struct ufence_fence_cb {
  uintptr_t node[8];
  /* Runs once, on the thread that settles the fence, without a lock of the library; it may free the
   * node, signal fences, add and remove callbacks. It must not throw or longjmp. */
  void (*fn)(struct ufence_fence* fence, struct ufence_fence_cb* cb);
  void* data; /* the caller's */
};
/* Has a function run once the fence is signaled.
 * @return 0 it will run once; -ENOENT signaled already: it will not run; -EINVAL no function;
 * -EOWNERDEAD. The node must not be queued. Source: Linux dma_fence_add_callback() */
UFENCE_MUST_CHECK int ufence_fence_add_callback(struct ufence_fence* fence,
                                                struct ufence_fence_cb* cb);
/* On return the callback is not running and never will; inside itself it does not wait.
 * @return 1 removed before it ran; 0 it ran; -EDEADLK two running callbacks remove each other
 * Blocks: while it runs. Source: Linux dma_fence_remove_callback() */
int ufence_fence_remove_callback(struct ufence_fence* fence, struct ufence_fence_cb* cb);

/* --- The right to signal --- */

/* Signals, then settles: retire and callbacks run here. Uses `right` up.
 * @param error  0 or a negative errno; another value becomes -EINVAL and is reported (F2)
 * @return 1 this call signaled it; 0 it was signaled before (F1)
 * Blocks: never by itself. Source: Linux dma_fence_check_and_signal() */
int ufence_signaler_signal(struct ufence_signaler* right, int error);
/* The first half: fixes the result and wakes waiters, and may be called with any lock held (F5).
 * The rest is for ufence_settle(). Uses `right` up. @return as ufence_signaler_signal()
 * @param later  UFENCE_SETTLEMENT_INIT, or one that was filled before */
int ufence_signaler_decide(struct ufence_signaler* right, int error,
                           struct ufence_settlement* later);
/* Runs what is left of decided fences: no lock is held that callbacks take. `later` is empty then.
 */
void ufence_settle(struct ufence_settlement* later);
/* Another right to signal the same fence, for instance for a timeout: the first one wins. */
struct ufence_signaler* ufence_signaler_share(const struct ufence_signaler* right);
/* The fence that it signals: lent, as long as the right is there. It has the address of the right, in all
 * libraries of one soname. */
struct ufence_fence* ufence_signaler_fence(const struct ufence_signaler* right);
/* Gives it up: the fence is signaled with -ECANCELED, and that is reported (F12). */
void ufence_signaler_drop(struct ufence_signaler* right);

/* --- The issuer's data of a fence (F6 to F8) --- */

struct ufence_backend;
/* All optional, none called with a lock of the library held. They may signal the fence and take
 * locks; they do not block for long, and let no exception out. Result of enable_signaling and poll: 0
 * pending; 1 complete, or a negative errno complete with that error: the library then signals. */
struct ufence_backend_ops {
  int (*enable_signaling)(struct ufence_backend* data); /* somebody waits; at most once */
  int (*poll)(struct ufence_backend* data);
  void (*set_deadline)(struct ufence_backend* data, int64_t deadline_ns); /* a hint, many times */
  /* Exactly once, after the decision, when no op is inside: the data is the issuer's to free. It is
   * taken out of the issuer's lists first, where a late enable_signaling may have put it.
   * @param by_last_op  0: the settlement calls; 1: an op that was the last to leave */
  void (*retire)(struct ufence_backend* data, uint8_t by_last_op);
  void* reserved[4]; /* null */
};
/* The first member of what the issuer has; stays until retire. */
struct ufence_backend {
  const struct ufence_backend_ops* ops;
};
/* As ufence_fence_create(). @param data  may be null */
UFENCE_MUST_CHECK int ufence_fence_create_with(uint64_t context, uint64_t seqno,
                                               struct ufence_backend* data,
                                               struct ufence_fence** fence,
                                               struct ufence_signaler** right);
/* Memory for a fence, so that making it cannot fail later. @return 0; -ENOMEM */
UFENCE_MUST_CHECK int ufence_fence_room_reserve(struct ufence_fence_room** room);
/* Gives it back unused. */
void ufence_fence_room_drop(struct ufence_fence_room* room);

/* --- Timelines --- */

struct ufence_timeline_options {
  size_t size;
  const char* driver_name;   /* null: empty */
  const char* timeline_name; /* the same */
  uint64_t initial_seqno;    /* completed at birth; the first fence has the next one */
};
/* A timeline, and the right to complete its fences. @param options  may be null
 * @return 0; -ENOMEM; -EINVAL a size that is not known, or a seqno from 2^62 on */
UFENCE_MUST_CHECK int ufence_timeline_create(const struct ufence_timeline_options* options,
                                             struct ufence_timeline_issuer** issuer);
/* The next fence of the sequence. @return 0; -ENOMEM; -EOWNERDEAD */
UFENCE_MUST_CHECK int ufence_timeline_emit(struct ufence_timeline_issuer* issuer,
                                           struct ufence_fence** fence);
/* A fence with the timeline's names and its next seqno that completes by itself, out of order: it has
 * a context of its own. @param data  may be null @return 0; -ENOMEM; -ECANCELED closed; -EOWNERDEAD */
UFENCE_MUST_CHECK int ufence_timeline_create_unordered(struct ufence_timeline_issuer* issuer,
                                                       struct ufence_backend* data,
                                                       struct ufence_fence** fence,
                                                       struct ufence_signaler** right);
/* The same with reserved memory, which it uses up: it cannot fail. On a closed timeline, too, the
 * right alone decides the fence.
 * @param fence  may be null: the right has the only reference (ufence_signaler_fence()) */
void ufence_timeline_create_reserved(struct ufence_timeline_issuer* issuer,
                                     struct ufence_fence_room* room, struct ufence_backend* data,
                                     struct ufence_fence** fence, struct ufence_signaler** right);
/* All fences up to this seqno have succeeded; costs the same for any number that nobody waits for.
 * Callbacks run here. An older seqno changes nothing. */
void ufence_timeline_signal_up_to(struct ufence_timeline_issuer* issuer, uint64_t seqno);
/* One fence by itself: out of order, or with an error. @return 1 this call decided it; 0 it was
 * decided before, or is none of this timeline */
int ufence_timeline_signal(struct ufence_timeline_issuer* issuer, struct ufence_fence* fence,
                           int error);
/* Closes it: what is not complete ends with the error, also in future. */
void ufence_timeline_fail(struct ufence_timeline_issuer* issuer, int error);
/* Of the fences that it emits. */
uint64_t ufence_timeline_context(const struct ufence_timeline_issuer* issuer);
/* The highest seqno that is complete; the highest that was emitted. */
uint64_t ufence_timeline_completed(const struct ufence_timeline_issuer* issuer);
uint64_t ufence_timeline_emitted(const struct ufence_timeline_issuer* issuer);
/* Gives it up: what is pending ends with -ECANCELED, and that is reported (F12). No other thread
 * uses it. */
void ufence_timeline_drop(struct ufence_timeline_issuer* issuer);

/* --- Fences made of fences --- */

enum ufence_array_mode {
  UFENCE_ARRAY_ALL, /* signaled with the last; its error is the first one that occurred */
  UFENCE_ARRAY_ANY, /* signaled with the first, with its error */
};
/* One fence for several. References are taken. @return 0; -EINVAL none, a null one, or another mode; -ENOMEM
 * Source: Linux dma_fence_array_create(); differs: does not consume */
UFENCE_MUST_CHECK int ufence_array_create(struct ufence_fence* const* fences, size_t n,
                                          unsigned int mode, struct ufence_fence** array);
/* A point of a chain: signaled when `contained` and all points before are. References are taken.
 * @param previous  the point before, another fence, or null
 * @return 0; -EINVAL `contained` is null; -ENOMEM. Source: Linux dma_fence_chain_init() */
UFENCE_MUST_CHECK int ufence_chain_create(struct ufence_fence* previous,
                                          struct ufence_fence* contained, uint64_t point,
                                          struct ufence_fence** chain);
/* One fence for what is pending among many, containers or not; nulls are ignored. @return 0;
 * -ENOMEM Source: Linux dma_fence_unwrap_merge() */
UFENCE_MUST_CHECK int ufence_merge(struct ufence_fence* const* fences, size_t n,
                                   struct ufence_fence** merged);

/* --- Sync files (S1 to S5): a descriptor that any process can poll and import --- */

/* A descriptor for a fence.
 * @param name  null: "driver-timelinecontext-seqno" @return the descriptor, close-on-exec; -EMFILE,
 * -ENFILE, -ENOMEM, -EAGAIN, -E2BIG, -EOWNERDEAD, -EINVAL null. Source: Linux sync_file_create() */
UFENCE_MUST_CHECK int ufence_sync_file_export(struct ufence_fence* fence, const char* name);
/* The fence that a sync file stands for. @return 0; -EBADF; -EINVAL not a sync file; -EMFILE, -ENFILE, -ENOMEM, -EAGAIN
 * Source: Linux sync_file_get_fence() */
UFENCE_MUST_CHECK int ufence_sync_file_import(int file, struct ufence_fence** fence);
/* A sync file that is signaled when both are. @return it; as ufence_sync_file_export(); -EBADF,
 * -EINVAL of `a`; -ENOENT: `b` is none. Source: Linux SYNC_IOC_MERGE */
UFENCE_MUST_CHECK int ufence_sync_file_merge(int a, int b, const char* name);
/* The answer of SYNC_IOC_FILE_INFO. @return 0; -EBADF; -EINVAL; -ENOMEM
 * Blocks: of another process's pending file for its answer, at most a second */
UFENCE_MUST_CHECK int ufence_sync_file_get_info(int file, struct sync_file_info* info);
/* A hint for its fences. @return 0; -EBADF; -EINVAL. Source: Linux SYNC_IOC_SET_DEADLINE */
int ufence_sync_file_set_deadline(int file, int64_t deadline_ns);

/* --- Syncobjs (Y1, Y2): slots for fences, which may be waited on before anything is in them --- */

/* A syncobj with nothing in it.
 * @param signaled  not 0: with a fence that is signaled @return 0; -ENOMEM
 * Source: Linux drm_syncobj_create() */
UFENCE_MUST_CHECK int ufence_syncobj_create(int signaled, struct ufence_syncobj** object);
/* One more reference, and one less. */
struct ufence_syncobj* ufence_syncobj_get(struct ufence_syncobj* object);
void ufence_syncobj_put(struct ufence_syncobj* object);
/* Puts a fence there, or with null nothing. @return 0; -EOWNERDEAD. Source: Linux
 * drm_syncobj_replace_fence() */
int ufence_syncobj_replace_fence(struct ufence_syncobj* object, struct ufence_fence* fence);
/* Adds a point of a timeline; with null one that is signaled. @return 0; -ENOMEM; -EOWNERDEAD
 * Source: Linux drm_syncobj_add_point() */
UFENCE_MUST_CHECK int ufence_syncobj_add_point(struct ufence_syncobj* object,
                                               struct ufence_fence* fence, uint64_t point);
/* A fence that is signaled when the point is; for point 0 the fence that is there.
 * @return 0; -EINVAL not submitted; -EOWNERDEAD. Source: Linux drm_syncobj_find_fence() */
UFENCE_MUST_CHECK int ufence_syncobj_find_fence(struct ufence_syncobj* object, uint64_t point,
                                                struct ufence_fence** fence);
/* The same, but waits until the point is submitted. @return as before; -ETIME not by then; -ENOMEM;
 * -EDEADLK. Blocks: up to the deadline, not until the fence is signaled. */
UFENCE_MUST_CHECK int ufence_syncobj_find_fence_by(struct ufence_syncobj* object, uint64_t point,
                                                   int64_t deadline_ns,
                                                   struct ufence_fence** fence);
/* Copies what point `from_point` waits for to a point of another syncobj; to point 0: replaces its
 * fence.
 * @param submit_by_ns  until when the source's point is waited for; 0: not at all
 * @return 0; -EINVAL not submitted, or a null object; -ETIME; -ENOMEM; -EDEADLK, -EOWNERDEAD
 * Source: Linux drm_syncobj_transfer_ioctl(); differs: the caller's deadline */
UFENCE_MUST_CHECK int ufence_syncobj_transfer(struct ufence_syncobj* from, uint64_t from_point,
                                              struct ufence_syncobj* to, uint64_t to_point,
                                              int64_t submit_by_ns);
/* Adds 1 to an eventfd, once: when the point is signaled or, with `when_available` not 0, submitted.
 * The descriptor stays the caller's. If the syncobj ends before the point was submitted, nothing is
 * added. @return 0; -EBADF; -EINVAL not an eventfd; -EMFILE, -ENOMEM, -EOWNERDEAD
 * Source: Linux drm_syncobj_eventfd_ioctl() */
UFENCE_MUST_CHECK int ufence_syncobj_notify(struct ufence_syncobj* object, int event_fd,
                                            uint64_t point, int when_available);
/* The last point up to which all is signaled, and the last that was submitted. @return 0;
 * -EOWNERDEAD Source: Linux drm_syncobj_query_ioctl() */
UFENCE_MUST_CHECK int ufence_syncobj_query(struct ufence_syncobj* object, uint64_t* signaled);
UFENCE_MUST_CHECK int ufence_syncobj_last_submitted(struct ufence_syncobj* object,
                                                    uint64_t* submitted);

struct ufence_syncobj_point {
  struct ufence_syncobj* object;
  uint64_t point; /* 0: whatever fence is there */
};
enum ufence_syncobj_wait_flag {
  UFENCE_SYNCOBJ_WAIT_ALL = 1,        /* ends with the last, else with the first */
  UFENCE_SYNCOBJ_WAIT_FOR_SUBMIT = 2, /* a point that is not submitted yet is waited for */
  UFENCE_SYNCOBJ_WAIT_AVAILABLE = 4,  /* the same, and once it is submitted that is enough */
};
/* Waits for points of syncobjs.
 * @return the lowest index that is done, 0 with WAIT_ALL or without points; -ETIME; -EINVAL a null
 * object, another flag, or a point that is not submitted; -ENOMEM; -EDEADLK, -EOWNERDEAD
 * Source: Linux drm_syncobj_timeline_wait_ioctl() */
UFENCE_MUST_CHECK long ufence_syncobj_wait(const struct ufence_syncobj_point* points, size_t n,
                                           unsigned int flags, int64_t deadline_ns);
/* A descriptor for the object in this process, and back. @return it; -EINVAL; -EMFILE, ... */
UFENCE_MUST_CHECK int ufence_syncobj_export(struct ufence_syncobj* object);
UFENCE_MUST_CHECK int ufence_syncobj_import(int fd, struct ufence_syncobj** object);

/* --- Shared timelines (Y3, Y4): a number that rises, in a page that processes share --- */

struct ufence_shared_timeline_options {
  size_t size;
  const char* name; /* null: empty; up to 63 bytes are kept */
  uint64_t initial_point;
  int peers_may_signal; /* not 0: exports for signaling are possible */
};
/* Makes one; this process is its owner. @param options  may be null
 * @return 0; -EINVAL; -EMFILE, -ENFILE, -ENOMEM; -EAGAIN no thread */
UFENCE_MUST_CHECK int ufence_shared_timeline_create(
    const struct ufence_shared_timeline_options* options, struct ufence_shared_timeline** timeline);
/* One that another process made.
 * @return 0; -EBADF; -EINVAL not one; -EPROTO of another version; -ENOMEM. The descriptor stays the
 * caller's. */
UFENCE_MUST_CHECK int ufence_shared_timeline_import(int fd,
                                                    struct ufence_shared_timeline** timeline);
/* One more reference; returns its argument. */
struct ufence_shared_timeline* ufence_shared_timeline_get(struct ufence_shared_timeline* timeline);
/* The owner's last reference ends the timeline: -ECANCELED for what is not reached, everywhere. */
void ufence_shared_timeline_put(struct ufence_shared_timeline* timeline);
/* A descriptor for another process.
 * @param may_signal  not 0: its holder may signal it @return the descriptor; -EPERM; -EMFILE, ...
 */
UFENCE_MUST_CHECK int ufence_shared_timeline_export(struct ufence_shared_timeline* timeline,
                                                    int may_signal);
/* 1: this process made it; may signal it. */
int ufence_shared_timeline_is_owner(const struct ufence_shared_timeline* timeline);
int ufence_shared_timeline_may_signal(const struct ufence_shared_timeline* timeline);
/* As its owner named it. @return the length */
size_t ufence_shared_timeline_name(const struct ufence_shared_timeline* timeline, char* buffer,
                                   size_t size);
/* The last point that is reached. */
uint64_t ufence_shared_timeline_value(const struct ufence_shared_timeline* timeline);
/* 0; or why later points will not be reached: a negative errno. */
int ufence_shared_timeline_error(const struct ufence_shared_timeline* timeline);
/* All points up to this one are reached. @return 0; -EPERM; -EINVAL too large; -ECANCELED it has
 * ended */
UFENCE_MUST_CHECK int ufence_shared_timeline_signal(struct ufence_shared_timeline* timeline,
                                                    uint64_t point);
/* Ends it with an error. @return 0; -EPERM; -ECANCELED it has ended before */
int ufence_shared_timeline_fail(struct ufence_shared_timeline* timeline, int error);
/* Waits until the point is reached. @return 0 reached; -ETIME; -EINVAL; the error that it ended with */
UFENCE_MUST_CHECK int ufence_shared_timeline_wait(struct ufence_shared_timeline* timeline,
                                                  uint64_t point, int64_t deadline_ns);
/* A fence that is signaled when the point is reached. @return 0; -EINVAL; -ENOMEM; -EAGAIN no
 * thread */
UFENCE_MUST_CHECK int ufence_shared_timeline_fence_at(struct ufence_shared_timeline* timeline,
                                                      uint64_t point, struct ufence_fence** fence);

/* --- Channels: fences, syncobjs and shared timelines to another process, in parcels --- */

struct ufence_channel_options {
  size_t size;
  size_t bytes_max; /* in a parcel, sent or received; 0: 4096 */
  size_t items_max; /* the same; 0: 16, at most 64 */
  int any_user;     /* 0: parcels of other users are refused, with -EACCES */
};
/* Exactly one of the pointers is not null. What is sent is lent; what arrives is the caller's. */
struct ufence_channel_item {
  struct ufence_fence* fence;   /* arrives as the same fence, or one that stands for it */
  struct ufence_syncobj* object; /* arrives as a syncobj of its own, with what is in this one now */
  struct ufence_shared_timeline* timeline; /* arrives as an import of it */
  int may_signal; /* of a timeline that is sent: not 0, the receiver may signal it */
  int reserved;   /* 0 */
};
struct ufence_parcel {
  size_t size;
  uint64_t tag;                      /* the users' */
  void* bytes;                       /* sent: only read; received: where to put them */
  size_t byte_count;                 /* received: how many arrived */
  struct ufence_channel_item* items; /* as bytes */
  size_t item_count;                 /* as byte_count */
  int32_t sender_pid;                /* received: who sent it, as the kernel says */
  uint32_t sender_uid, sender_gid;
};
/* A channel over a socket, which it uses up: a connected one of type SOCK_SEQPACKET. @param options  may be null
 * @return 0; -EINVAL not one, or options; -EACCES another user's; -ENOMEM */
UFENCE_MUST_CHECK int ufence_channel_adopt(int socket,
                                           const struct ufence_channel_options* options,
                                           struct ufence_channel** channel);
/* Two that are connected. @return 0; -EINVAL; -EMFILE, -ENFILE, -ENOMEM */
UFENCE_MUST_CHECK int ufence_channel_pair(const struct ufence_channel_options* options,
                                          struct ufence_channel* channels[2]);
/* Closes it. No other thread uses it. */
void ufence_channel_destroy(struct ufence_channel* channel);
/* Readable when there is something to receive; stays the channel's. */
int ufence_channel_fd(const struct ufence_channel* channel);
/* Sends one parcel, whole or not at all; `sender_...` is not looked at. One thread sends at a time.
 * @return 0; -ETIME no room by the deadline; -EPIPE the other end is gone; -EMSGSIZE more than the
 * options allow, or than a socket takes; -EINVAL an item that is nothing or two things; -ENOMEM; of
 * making descriptors: -EMFILE, -EPERM, ... */
UFENCE_MUST_CHECK int ufence_channel_send(struct ufence_channel* channel,
                                          const struct ufence_parcel* parcel, int64_t deadline_ns);
/* Receives one. On entry `bytes` and `items` are arrays of `byte_count` and `item_count`: at least
 * as many as the options of the channel allow. One thread receives at a time.
 * @return 0; -EINVAL the arrays are smaller: nothing was received; -ETIME none by the deadline;
 * -EPIPE the other end is gone; -EPROTO it made no sense, -EACCES of another user: it was dropped;
 * of this process, and the parcel is still there: -EMFILE, -ENOMEM, ... */
UFENCE_MUST_CHECK int ufence_channel_receive(struct ufence_channel* channel,
                                             struct ufence_parcel* parcel, int64_t deadline_ns);

/* --- Modules: loading drivers, giving them jobs, unloading them --- */

/* A host without modules. @return 0; -ENOMEM */
UFENCE_MUST_CHECK int ufence_module_host_create(struct ufence_module_host** host);
/* Unloads what is loaded. No other thread uses it. */
void ufence_module_host_destroy(struct ufence_module_host* host);

/* Checks the file, maps it, runs its init().
 * @param why  a buffer for one line for people, written on failure; may be null if `why_size` is 0
 * @return 0; -ENOENT, -ENOEXEC, -EPROTO, -EPROTONOSUPPORT, -EEXIST, -EAGAIN, -EINVAL, -ENOMEM, -EDEADLK: see
 *         host::load() in ufence/issuer/host.h; what init() returned
 * Blocks: while the file is read and init() runs. */
UFENCE_MUST_CHECK int ufence_module_load(struct ufence_module_host* host, const char* path,
                                         struct ufence_module** module, char* why, size_t why_size);
/* A value for an option that the driver has; the texts are copied. */
struct ufence_option_value {
  const char* name;
  const char* value;
};
struct ufence_load_options {
  size_t size;
  int private_copy; /* not 0: maps a copy that nobody can change, so that the file may be replaced */
  uint32_t pending_max; /* so many jobs may be pending at once; 0: no limit */
  const char* interface_name; /* what the opcodes have to mean; null: whatever they do */
  uint32_t interface_version; /* this one or a later one */
  uint32_t options_count;
  const struct ufence_option_value* options;
};
/* The same with options, which may be null. */
UFENCE_MUST_CHECK int ufence_module_load_with(struct ufence_module_host* host, const char* path,
                                              const struct ufence_load_options* options,
                                              struct ufence_module** module, char* why,
                                              size_t why_size);
/* The modules that are loaded: at most `n` references, which are the caller's.
 * @return how many there are, which may be more than `n`; -ENOMEM */
UFENCE_MUST_CHECK long ufence_module_host_list(struct ufence_module_host* host,
                                               struct ufence_module** modules, size_t n);
/* Looks again after what an unload has deferred. @return how many are unmapped now */
size_t ufence_module_host_retry_deferred(struct ufence_module_host* host);
/* Another reference, which has an address of its own; null: no memory. */
struct ufence_module* ufence_module_get(struct ufence_module* module);
/* Drops one. The module stays loaded. */
void ufence_module_put(struct ufence_module* module);
/* Its names for itself and its timeline, and the file that it came from. @return the length */
size_t ufence_module_driver_name(const struct ufence_module* module, char* buffer, size_t size);
size_t ufence_module_timeline_name(const struct ufence_module* module, char* buffer, size_t size);
size_t ufence_module_path(const struct ufence_module* module, char* buffer, size_t size);
/* The notes of its load, for people: line `index` of them. @return the length; -ENOENT no such
 * line; -ENOMEM */
long ufence_module_note(const struct ufence_module* module, size_t index, char* buffer, size_t size);
/* Of its timeline. Its fences have this context if it completes jobs in order, else one each (F19). */
uint64_t ufence_module_context(const struct ufence_module* module);
/* Counts up over all loads of the process. */
uint64_t ufence_module_instance(const struct ufence_module* module);
/* Bits of enum ufence_feature. */
uint64_t ufence_module_features(const struct ufence_module* module);
/* 0: its fences pin the module (a legacy driver). */
int ufence_module_is_independent(const struct ufence_module* module);

struct ufence_module_stats {
  size_t size;
  uint64_t jobs_submitted, jobs_pending;
  uint64_t retired_by_settlement, retired_by_last_op;
  uint64_t entries; /* threads inside module code now */
};
/* They stay readable after the module is gone. @return 0; -EINVAL null, or no size */
int ufence_module_get_stats(const struct ufence_module* module, struct ufence_module_stats* stats);
/* Shows a fence to a driver that can observe. @return 0; -EOPNOTSUPP it cannot; -ENODEV it is gone;
 * -EINVAL null; -EOWNERDEAD; what the driver returned */
UFENCE_MUST_CHECK int ufence_module_observe(struct ufence_module* module,
                                            struct ufence_fence* fence);

struct ufence_job_request {
  size_t size;
  uint32_t opcode;
  int run_after_failed_in_fence; /* 0: the first error of an in-fence ends the job */
  const void* args;              /* copied; what it points to stays until the fence is signaled */
  size_t args_size;
  struct ufence_fence* const* in_fences; /* the device gets the job when all are signaled */
  size_t in_fence_count;
};
/* Gives the device a job.
 * @return 0, the fence may have an error already; -ENODEV the module is gone; -EINVAL; -ENOMEM;
 * -EOWNERDEAD */
UFENCE_MUST_CHECK int ufence_module_submit(struct ufence_module* module,
                                           const struct ufence_job_request* request,
                                           struct ufence_fence** fence);

enum ufence_unload_policy {
  UFENCE_UNLOAD_DRAIN,  /* wait for pending jobs until the deadline, then cancel what is left */
  UFENCE_UNLOAD_CANCEL, /* ask the module to end them now */
  UFENCE_UNLOAD_REFUSE, /* change nothing if there are any */
};
struct ufence_unload_options {
  size_t size;
  uint32_t policy; /* enum ufence_unload_policy */
  int64_t drain_deadline_ns; /* absolute; 0: never ends */
  int64_t give_up_ns;        /* for each later step, from its begin; 0: 10 s */
  int bounds_calls; /* not 0: calls into the module are given up then too; a thread makes them */
};
enum ufence_unload_state {
  UFENCE_UNLOAD_REFUSED,  /* nothing changed */
  UFENCE_UNLOAD_PINNED,   /* something of it may still run, or the mapping stays */
  UFENCE_UNLOAD_DEFERRED, /* the mapping goes once another thread has ended */
  UFENCE_UNLOAD_UNMAPPED, /* verified */
};
struct ufence_unload_report {
  size_t size;
  enum ufence_unload_state state;
  int last_step; /* 1 to 8 (ARCHITECTURE.md) */
  uint64_t jobs_drained, jobs_cancelled, callbacks_removed;
  int64_t duration_ns;
  char pins[256]; /* what pins it, by name, in one line; cut off if it is longer */
  char kept[256]; /* libraries that came with it and stay mapped, in the same way */
};
/* Unloads the module: ends its jobs, and unmaps it if nothing pins it.
 * @param options  may be null
 * @return 0, how it ended is in the report; -EDEADLK from inside the module, or a callback on its
 * fences; -EBUSY another thread unloads it; -ENODEV it is gone, or not of this host; -EOWNERDEAD;
 * -EINVAL Blocks: until the policy is done, each step at most `give_up_ns` */
UFENCE_MUST_CHECK int ufence_module_unload(struct ufence_module_host* host,
                                           struct ufence_module* module,
                                           const struct ufence_unload_options* options,
                                           struct ufence_unload_report* report);

/* --- Schedulers: who of many users a device works for next (J1 to J10) ---
 *
 * ufence_module_submit() asks nobody and counts for nobody's share. Users that have to share a
 * device push their jobs to entities of one scheduler instead. A scheduler outlives the instances of
 * its module: see ufence/issuer/device_scheduler.h, over which this is thin. */

enum ufence_schedule {
  UFENCE_SCHEDULE_FAIR,     /* each entity gets device time by its weight */
  UFENCE_SCHEDULE_FIFO,     /* within a priority the job that was pushed first */
  UFENCE_SCHEDULE_DEADLINE, /* within a priority the soonest deadline of `finished` */
};
#define UFENCE_NO_PASSES UINT32_MAX /* all wait for it, as in the kernel */
enum ufence_timeout_verdict {
  UFENCE_TIMEOUT_RESET,   /* the device was reset: the job failed, the others run again or fail */
  UFENCE_TIMEOUT_GONE,    /* the device is gone: everything fails with -ENODEV */
  UFENCE_TIMEOUT_NO_HANG, /* the job still runs: it gets the same time again */
  UFENCE_TIMEOUT_HANDLED, /* what was to be done is done, or will be */
};
/* A job that did not end in time; what is named here is lent for the call. */
struct ufence_late_job {
  size_t size;
  struct ufence_fence* fence;    /* what the device has to signal */
  struct ufence_fence* finished; /* what its users wait for */
};
struct ufence_scheduler_options {
  size_t size;
  const char* name;      /* null: the device's timeline name */
  uint32_t credit_limit; /* how much the device has at once; 0: 64 */
  uint32_t order;        /* enum ufence_schedule */
  int64_t timeout_ns;    /* how long the oldest job of the device may take; 0: as long as it likes */
  uint32_t passes_max;   /* how often a job that does not fit may be passed over; 0: 16; UFENCE_NO_PASSES */
  int fails_after_reset; /* not 0: jobs that the device had beside the late one fail, else they run again */
  int own_loop;          /* not 0: no thread, the caller calls ufence_scheduler_run_ready() */
  void (*wake)(void* data); /* the caller's loop has to; any thread, no lock of ours held. May be null */
  /* Which of enum ufence_timeout_verdict; on the worker. Null: the device is asked to cancel the job. */
  int (*timed_out)(const struct ufence_late_job* late, void* data);
  void* data; /* of both */
};
/* A scheduler for the device of a module. @param options  may be null
 * @return 0; -EINVAL no module, another order, or a negative time; -ENOMEM
 * Source: Linux drm_sched_init() */
UFENCE_MUST_CHECK int ufence_scheduler_create(struct ufence_module* module,
                                              const struct ufence_scheduler_options* options,
                                              struct ufence_scheduler** scheduler);
/* Ends it: what is queued ends with -ECANCELED, what the device has is cancelled, and waited for until
 * the deadline. No other thread uses it; its entities may outlive it.
 * @return 0; -ETIME something was pending then: it was ended by force, and is reported; -EDEADLK in a
 * function of its own: it is still there; -EOWNERDEAD. Source: Linux drm_sched_fini() */
int ufence_scheduler_destroy(struct ufence_scheduler* scheduler, int64_t deadline_ns);
/* From now on jobs go to this instance, for instance of the module's next build; null: nowhere, until the
 * next call. An unload does the latter by itself.
 * @return 0; -EINVAL it ends jobs in any order and the first one did not; -ENOMEM; -EOWNERDEAD */
UFENCE_MUST_CHECK int ufence_scheduler_attach(struct ufence_scheduler* scheduler,
                                              struct ufence_module* module);
/* The caller's loop: does what is to be done now, at most so many jobs.
 * @return how many the device got; -EBUSY another thread does it; -EINVAL it has a thread; -EOWNERDEAD */
UFENCE_MUST_CHECK long ufence_scheduler_run_ready(struct ufence_scheduler* scheduler,
                                                  size_t jobs_max);
/* When ufence_scheduler_run_ready() has to look at the time again; UFENCE_NO_DEADLINE: need not. */
int64_t ufence_scheduler_next_timeout_ns(const struct ufence_scheduler* scheduler);

struct ufence_scheduler_stats {
  size_t size;
  uint64_t jobs_run, jobs_ended; /* ended: also those that never ran */
  uint64_t passes, timeouts, resets;
  uint32_t credits_used, in_flight, entities; /* entities: that have jobs */
};
/* The counts of jobs that went through it, and of those that it has now. @return 0; -EINVAL null, or no size */
int ufence_scheduler_get_stats(const struct ufence_scheduler* scheduler,
                               struct ufence_scheduler_stats* stats);

enum ufence_priority {
  UFENCE_PRIORITY_NORMAL,
  UFENCE_PRIORITY_KERNEL,
  UFENCE_PRIORITY_HIGH,
  UFENCE_PRIORITY_LOW,
};
struct ufence_entity_options {
  size_t size;
  const char* name;      /* null: empty */
  uint32_t priority;     /* enum ufence_priority */
  uint32_t weight;       /* its share under UFENCE_SCHEDULE_FAIR; 0: of its priority, 64, 32, 8 and 1 */
  uint32_t errors_max;   /* so many of its jobs may time out, with the next it is killed; 0: any number */
  int propagates_errors; /* not 0: the error of a fence that a job waited for ends the job */
  int ends_without_device; /* not 0: jobs end with -ENODEV where there is no device, else they wait */
};
/* A user's queue. @param options  may be null @return 0; -EINVAL no such priority; -ENOMEM
 * Source: Linux drm_sched_entity_init() */
UFENCE_MUST_CHECK int ufence_entity_create(struct ufence_scheduler* scheduler,
                                           const struct ufence_entity_options* options,
                                           struct ufence_entity** entity);
/* As ufence_entity_kill() with -ESRCH. No other thread uses it. */
void ufence_entity_destroy(struct ufence_entity* entity);
/* Queues a job; an error leaves nothing behind.
 * @param request   run_after_failed_in_fence says nothing here: the entity's options do
 * @param credits   how much of the scheduler's limit it takes; 0: 1
 * @param scheduled the device has it, or never will; null: not wanted
 * @param finished  it has ended
 * @return 0; -EINVAL, also a null in-fence; -ENOMEM; -EAGAIN no thread; -ENODEV the scheduler has ended;
 * -ECANCELED, or what the kill said; -EOWNERDEAD. Source: Linux drm_sched_entity_push_job() */
UFENCE_MUST_CHECK int ufence_entity_push(struct ufence_entity* entity,
                                         const struct ufence_job_request* request,
                                         uint32_t credits, struct ufence_fence** scheduled,
                                         struct ufence_fence** finished);
/* Queued jobs do not run: each ends with the error, in order. Jobs that the device has go on.
 * @return 0; -EOWNERDEAD. Source: Linux drm_sched_entity_kill() */
int ufence_entity_kill(struct ufence_entity* entity, int error);
/* Waits until all jobs that were pushed before have ended. @return 0; -ETIME; -EDEADLK; -EOWNERDEAD
 * Source: Linux drm_sched_entity_flush() */
UFENCE_MUST_CHECK int ufence_entity_flush(struct ufence_entity* entity, int64_t deadline_ns);
/* Count from the next choice on. @return 0; -EINVAL no such priority; -EOWNERDEAD */
int ufence_entity_set_priority(struct ufence_entity* entity, uint32_t priority);
int ufence_entity_set_weight(struct ufence_entity* entity, uint32_t weight);

struct ufence_entity_stats {
  size_t size;
  uint64_t jobs_pushed, jobs_ended;
  int64_t device_time_ns;
  uint32_t timeouts;
  int last_error; /* of the job that ended last; 0: success, or none has */
};
/* The fate of its jobs. @return 0; -EINVAL null, or no size */
int ufence_entity_get_stats(const struct ufence_entity* entity, struct ufence_entity_stats* stats);

/* --- Reports (F12): dropped rights, broken drivers, misuse --- */

struct ufence_report {
  size_t size;
  const char* kind; /* "signaler dropped" and so on */
  const char* text;
  const char *driver_name, *timeline_name; /* strings are valid during the call */
  uint64_t context, seqno;                 /* context 0: not about one fence */
};
/* The caller's memory. `fn` is called with no lock of the library held, on any thread. */
struct ufence_report_handler {
  void (*fn)(const struct ufence_report* report, void* data);
  void* data;
};
/* Sets the one handler of the process; null: a line each on stderr, as in the beginning. It stays
 * in place until another one is set: on return of that call it is not running, and is never called
 * again.
 * @return 0; -EINVAL no function; -ENOMEM
 * Blocks: for a grace period, and while the one before runs on other threads. */
int ufence_set_report_handler(const struct ufence_report_handler* handler);

#if defined(__GNUC__)
#pragma GCC visibility pop
#endif

#ifdef __cplusplus
}
#endif

#endif /* UFENCE_UFENCE_H */
