/*
 * Locks the reservation objects of any number of objects, in any order, without deadlocks: a loop whose body
 * asks for them, and is run again from its start when an older user wants what it holds.
 *
 *	drm_exec_init(&exec, DRM_EXEC_INTERRUPTIBLE_WAIT, 0);
 *	drm_exec_until_all_locked(&exec) {
 *		failed = drm_exec_prepare_obj(&exec, first, 1);
 *		drm_exec_retry_on_contention(&exec);
 *		if (failed)
 *			break;
 *		...
 *	}
 *	if (!failed)
 *		drm_exec_for_each_locked_object(&exec, obj)
 *			dma_resv_add_fence(obj->resv, fence, DMA_RESV_USAGE_WRITE);
 *	drm_exec_fini(&exec);
 *
 * One thread at a time uses a struct drm_exec. Each locked object is kept by a reference. It is all inline,
 * over what dma-resv.h, drm_gem.h and slab.h have, so that these may be a program's own. C++ that does without
 * the kernel's names has ufence/container/resv_locks.h.
 */
#ifndef UFENCE_DRM_DRM_EXEC_H
#define UFENCE_DRM_DRM_EXEC_H

#include <linux/bug.h>
#include <linux/compiler.h>
#include <linux/dma-resv.h>
#include <linux/slab.h>
#include <linux/types.h>
#include <linux/ufence.h>
#include <linux/ww_mutex.h>

#include <drm/drm_gem.h>

/* A signal handler ends the wait for a lock: -EINTR, as dma_resv_lock_interruptible(). */
#define DRM_EXEC_INTERRUPTIBLE_WAIT 1U
/* An object whose reservation object is locked already is no error. */
#define DRM_EXEC_IGNORE_DUPLICATES 2U

struct drm_exec {
	u32 flags;
	struct ww_acquire_ctx ticket; /* from the start of the loop to drm_exec_fini() */
	unsigned int num_objects; /* that are locked */
	unsigned int max_objects; /* for which `objects` has room */
	struct drm_gem_object **objects; /* in the order of locking, each with a reference */
	struct drm_gem_object *contended; /* to be locked first, with a reference */
	struct drm_gem_object *prelocked; /* locked first, not asked for since; with a reference more */
	bool ufence_has_begun; /* the loop: `ticket` is in use */
};

/* --- The loop --- */

/*
 * Runs its body until nothing that it asked for has to be given back; so a body that is run again has to ask for
 * something. When the body begins, none is locked. Behind it what was locked stays so until drm_exec_fini().
 * `break` leaves it. In C++ no object with a destructor may be alive, of those made in the body, where
 * drm_exec_retry_on_contention() stands: that is a jump to a computed place.
 */
#define drm_exec_until_all_locked(exec) UFENCE_DRM_EXEC_LOOP(exec, __UNIQUE_ID(drm_exec))
#define UFENCE_DRM_EXEC_LOOP(exec, start)                                                          \
start:                                                                                             \
	for (void *const ufence_drm_exec_start __attribute__((unused)) = __extension__ &&start;    \
	     drm_exec_cleanup(exec);)

/* In the loop, after each call that locks, before a look at its result; also in loops in its body. */
#define drm_exec_retry_on_contention(exec)                                                         \
	do {                                                                                       \
		if (unlikely(drm_exec_is_contended(exec)))                                         \
			UFENCE_DRM_EXEC_AGAIN();                                                   \
	} while (0)

/* In the loop, after drm_exec_fini() and drm_exec_init(): from its start. */
#define drm_exec_retry(exec)                                                                       \
	do {                                                                                       \
		(void)WARN_ON((exec)->ufence_has_begun);                                \
		UFENCE_DRM_EXEC_AGAIN();                                                           \
	} while (0)

#define UFENCE_DRM_EXEC_AGAIN() __extension__({ goto *ufence_drm_exec_start; })

/* Something that was asked for has to be locked first. */
static inline bool drm_exec_is_contended(struct drm_exec *exec)
{
	return exec->contended != NULL;
}

/* What the locks are taken with. */
static inline struct ww_acquire_ctx *drm_exec_ticket(struct drm_exec *exec)
{
	return &exec->ticket;
}

/* --- What is locked --- */

/* NULL: not so many. */
static inline struct drm_gem_object *drm_exec_obj(struct drm_exec *exec, unsigned long index)
{
	return index < exec->num_objects ? exec->objects[index] : NULL;
}

/*
 * (exec, obj), or, as in kernels before, (exec, index, obj). What an earlier run of the body asked for may be
 * among them. In the reverse one `obj` may be unlocked.
 */
#define drm_exec_for_each_locked_object(exec, ...)                                                 \
	UFENCE_DRM_EXEC_OF_TWO(__VA_ARGS__, UFENCE_DRM_EXEC_EACH_AT, UFENCE_DRM_EXEC_EACH, )       \
	(exec, __UNIQUE_ID(drm_exec), __VA_ARGS__)
#define drm_exec_for_each_locked_object_reverse(exec, ...)                                         \
	UFENCE_DRM_EXEC_OF_TWO(__VA_ARGS__, UFENCE_DRM_EXEC_REVERSE_AT, UFENCE_DRM_EXEC_REVERSE, ) \
	(exec, __UNIQUE_ID(drm_exec), __VA_ARGS__)

/* `chosen` is the first macro where two arguments stand before it, else the second. */
#define UFENCE_DRM_EXEC_OF_TWO(first, second, chosen, ...) chosen
#define UFENCE_DRM_EXEC_EACH(exec, own, obj) UFENCE_DRM_EXEC_WALK(unsigned long, exec, own, obj)
#define UFENCE_DRM_EXEC_EACH_AT(exec, own, index, obj) UFENCE_DRM_EXEC_WALK(, exec, index, obj)
#define UFENCE_DRM_EXEC_WALK(type, exec, index, obj)                                               \
	for (type index = 0; ((obj) = drm_exec_obj(exec, index)) != NULL; ++index)
/* The step before 0 is to a number that is too large. */
#define UFENCE_DRM_EXEC_REVERSE(exec, own, obj)                                                    \
	UFENCE_DRM_EXEC_WALK_BACK(unsigned long, exec, own, obj)
#define UFENCE_DRM_EXEC_REVERSE_AT(exec, own, index, obj)                                          \
	UFENCE_DRM_EXEC_WALK_BACK(, exec, index, obj)
#define UFENCE_DRM_EXEC_WALK_BACK(type, exec, index, obj)                                          \
	for (type index = (exec)->num_objects - 1U; ((obj) = drm_exec_obj(exec, index)) != NULL;   \
	     --index)

/* --- Beginning and ending --- */

/* Where nobody says how many objects there will be. */
#define UFENCE_DRM_EXEC_OBJECTS 512U

/* nr: how many objects it will be, about; 0: nobody knows. Memory that lacks is asked for again by locking. */
static inline void drm_exec_init(struct drm_exec *exec, u32 flags, unsigned int nr)
{
	if (!nr)
		nr = UFENCE_DRM_EXEC_OBJECTS;
	exec->flags = flags;
	exec->objects = UFENCE_CAST(struct drm_gem_object **,
				    kvmalloc_array(nr, sizeof(*exec->objects), GFP_KERNEL));
	exec->max_objects = exec->objects ? nr : 0;
	exec->num_objects = 0;
	exec->contended = NULL;
	exec->prelocked = NULL;
	exec->ufence_has_begun = false;
}

/* In the reverse order of locking. */
static inline void ufence_drm_exec_unlock_all(struct drm_exec *exec)
{
	struct drm_gem_object *prelocked = exec->prelocked;

	while (exec->num_objects) {
		struct drm_gem_object *obj = exec->objects[--exec->num_objects];

		dma_resv_unlock(obj->resv);
		drm_gem_object_put(obj);
	}
	exec->prelocked = NULL;
	drm_gem_object_put(prelocked);
}

/* Unlocks what is locked, and ends it. */
static inline void drm_exec_fini(struct drm_exec *exec)
{
	ufence_drm_exec_unlock_all(exec);
	kvfree(exec->objects);
	drm_gem_object_put(exec->contended);
	if (exec->ufence_has_begun)
		ww_acquire_fini(&exec->ticket);
}

/* Of the loop: true, and nothing is locked, if the body has to run. */
static inline bool drm_exec_cleanup(struct drm_exec *exec)
{
	const bool is_first = !exec->ufence_has_begun;

	if (is_first) {
		ww_acquire_init(&exec->ticket, &reservation_ww_class);
		exec->ufence_has_begun = true;
	} else if (exec->contended) {
		ufence_drm_exec_unlock_all(exec);
	} else {
		ww_acquire_done(&exec->ticket);
	}
	return is_first || exec->contended;
}

/* --- Locking, in the loop --- */

/* Notes an object that was just locked. -ENOMEM: it is unlocked. */
static inline int ufence_drm_exec_keep(struct drm_exec *exec, struct drm_gem_object *obj)
{
	if (exec->num_objects == exec->max_objects) {
		const unsigned int room =
			exec->max_objects ? 2 * exec->max_objects : UFENCE_DRM_EXEC_OBJECTS;
		struct drm_gem_object **objects = UFENCE_CAST(
			struct drm_gem_object **, kvmalloc_array(room, sizeof(*objects), GFP_KERNEL));
		unsigned int i;

		if (!objects) {
			dma_resv_unlock(obj->resv);
			return -ENOMEM;
		}
		for (i = 0; i < exec->num_objects; i++)
			objects[i] = exec->objects[i];
		kvfree(exec->objects);
		exec->objects = objects;
		exec->max_objects = room;
	}
	drm_gem_object_get(obj);
	exec->objects[exec->num_objects++] = obj;
	return 0;
}

enum ufence_drm_exec_turn { UFENCE_DRM_EXEC_BY_AGE, UFENCE_DRM_EXEC_FIRST };

/* By age: -EDEADLK where an older user has it. As the first one it is waited for, whichever thread has it. */
static inline int ufence_drm_exec_lock(struct drm_exec *exec, struct drm_gem_object *obj,
				       enum ufence_drm_exec_turn turn)
{
	const bool may_be_interrupted = exec->flags & DRM_EXEC_INTERRUPTIBLE_WAIT;
	int failed = 0;

	if (turn == UFENCE_DRM_EXEC_BY_AGE)
		failed = may_be_interrupted ? dma_resv_lock_interruptible(obj->resv, &exec->ticket) :
					      dma_resv_lock(obj->resv, &exec->ticket);
	else if (may_be_interrupted)
		failed = dma_resv_lock_slow_interruptible(obj->resv, &exec->ticket);
	else
		dma_resv_lock_slow(obj->resv, &exec->ticket);
	return failed ? failed : ufence_drm_exec_keep(exec, obj);
}

/*
 * 0: locked. -EDEADLK: contended, the body has to begin again. -EALREADY: its reservation object is locked
 * already, without DRM_EXEC_IGNORE_DUPLICATES. -EINTR. -ENOMEM. An error changes nothing of what is locked,
 * but that the one that was contended may be.
 */
static inline int drm_exec_lock_obj(struct drm_exec *exec, struct drm_gem_object *obj)
{
	struct drm_gem_object *first = exec->contended;
	int failed;

	/* What stood in the way is locked before all others; whatever comes of it, it is contended no more. */
	if (first) {
		exec->contended = NULL;
		failed = ufence_drm_exec_lock(exec, first, UFENCE_DRM_EXEC_FIRST);
		if (failed) {
			drm_gem_object_put(first);
			return failed;
		}
		exec->prelocked = first;
	}
	if (exec->prelocked == obj) {
		exec->prelocked = NULL;
		drm_gem_object_put(obj);
		return 0;
	}
	failed = ufence_drm_exec_lock(exec, obj, UFENCE_DRM_EXEC_BY_AGE);
	if (failed == -EALREADY && (exec->flags & DRM_EXEC_IGNORE_DUPLICATES))
		return 0;
	if (failed == -EDEADLK) {
		drm_gem_object_get(obj);
		exec->contended = obj;
	}
	return failed;
}

/* One that is not locked stays so. */
static inline void drm_exec_unlock_obj(struct drm_exec *exec, struct drm_gem_object *obj)
{
	unsigned int i = exec->num_objects;

	while (i && exec->objects[i - 1] != obj)
		i--;
	if (!i)
		return;
	for (exec->num_objects--; i <= exec->num_objects; i++)
		exec->objects[i - 1] = exec->objects[i];
	dma_resv_unlock(obj->resv);
	if (exec->prelocked == obj) {
		exec->prelocked = NULL;
		drm_gem_object_put(obj);
	}
	drm_gem_object_put(obj);
}

/* Locked, and the next num_fences adds will succeed: 0; else it is not locked, and as above; -EINVAL: 0 fences. */
static inline int drm_exec_prepare_obj(struct drm_exec *exec, struct drm_gem_object *obj,
				       unsigned int num_fences)
{
	int failed = drm_exec_lock_obj(exec, obj);

	if (failed)
		return failed;
	failed = dma_resv_reserve_fences(obj->resv, num_fences);
	if (failed)
		drm_exec_unlock_obj(exec, obj);
	return failed;
}

/* The first error ends it; those before stay locked. */
static inline int drm_exec_prepare_array(struct drm_exec *exec, struct drm_gem_object **objects,
					 unsigned int num_objects, unsigned int num_fences)
{
	unsigned int i;
	int failed = 0;

	for (i = 0; i < num_objects && !failed; i++)
		failed = drm_exec_prepare_obj(exec, objects[i], num_fences);
	return failed;
}

#endif
