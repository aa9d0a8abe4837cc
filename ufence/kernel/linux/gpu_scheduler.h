/*
 * The scheduler with the kernel's interface, over ufence/sched: jobs of entities, with the fences
 * *scheduled* and *finished*, which decouple users from the device's fences.
 *
 * Contracts are the kernel's (7.3); where they differ, ufence/kernel/README.md says so. The functions of
 * drm_sched_backend_ops run on the scheduler's thread, one at a time, with no lock of the library held; but
 * free_job of a job that could not be armed comes on another one, at any time after its push.
 */
#ifndef UFENCE_LINUX_GPU_SCHEDULER_H
#define UFENCE_LINUX_GPU_SCHEDULER_H

#include <linux/atomic.h>
#include <linux/compiler.h>
#include <linux/dma-fence.h>
#include <linux/dma-resv.h>
#include <linux/ktime.h>
#include <linux/sched.h>
#include <linux/types.h>
#include <linux/ufence.h>

UFENCE_C_BEGIN

struct device;
struct drm_file;
struct drm_gpu_scheduler;
struct drm_sched_entity;
struct drm_sched_job;
struct workqueue_struct;

enum drm_sched_priority {
	DRM_SCHED_PRIORITY_INVALID = -1,
	DRM_SCHED_PRIORITY_KERNEL,
	DRM_SCHED_PRIORITY_HIGH,
	DRM_SCHED_PRIORITY_NORMAL,
	DRM_SCHED_PRIORITY_LOW,
	DRM_SCHED_PRIORITY_COUNT
};

/* A user's queue. Begins with drm_sched_entity_init(). */
struct drm_sched_entity {
	enum drm_sched_priority priority; /* of jobs that are armed from now on */
	u64 fence_context; /* of *scheduled*; that of *finished* is the next one */
	atomic_t *guilty;
	bool stopped; /* no job of it runs any more */
	void *ufence_entity;
};

/* The fences of a job. They outlive job, entity, scheduler and device. */
struct drm_sched_fence {
	__extension__ union {
		struct dma_fence scheduled; /* the device has the job, or never will */
		u64 ufence_scheduled[18];
	};
	__extension__ union {
		struct dma_fence finished;
		u64 ufence_finished[18];
	};
	struct dma_fence *parent; /* the device's fence, once run_job returned it */
	struct drm_gpu_scheduler *sched;
	void *owner;
	u64 drm_client_id;
	struct rcu_head ufence_rcu;
};

/* Part of a driver's job. */
struct drm_sched_job {
	struct drm_gpu_scheduler *sched; /* from drm_sched_job_arm() on */
	struct drm_sched_fence *s_fence;
	struct drm_sched_entity *entity; /* NULL once the device has it */
	enum drm_sched_priority s_priority;
	u32 credits;
	atomic_t karma;
	ktime_t submit_ts;
};

enum drm_gpu_sched_stat {
	DRM_GPU_SCHED_STAT_NONE,
	DRM_GPU_SCHED_STAT_RESET,
	DRM_GPU_SCHED_STAT_ENODEV,
	DRM_GPU_SCHED_STAT_NO_HANG
};

struct drm_sched_backend_ops {
	/* All that is known to wait for is done: one more fence, whose reference is handed over, or NULL. */
	struct dma_fence *(*prepare_job)(struct drm_sched_job *job, struct drm_sched_entity *entity);
	/* The device's fence, whose reference is handed over; NULL: done; or an ERR_PTR(). */
	struct dma_fence *(*run_job)(struct drm_sched_job *job);
	/* The oldest job that the device has did not end in time. */
	enum drm_gpu_sched_stat (*timedout_job)(struct drm_sched_job *job);
	/* Both fences are signaled: drm_sched_job_cleanup(), then free it. */
	void (*free_job)(struct drm_sched_job *job);
	/* drm_sched_fini(): signal the device's fence, with an error. May be NULL. */
	void (*cancel_job)(struct drm_sched_job *job);
};

/* Zeroed memory, or one that drm_sched_fini() has ended, becomes a scheduler by drm_sched_init(). */
struct drm_gpu_scheduler {
	const struct drm_sched_backend_ops *ops;
	u32 credit_limit;
	long timeout;
	const char *name;
	u32 num_rqs;
	int hang_limit;
	atomic_t *score; /* jobs that were pushed and not yet freed */
	atomic_t _score;
	bool ready; /* may be chosen for an entity; a driver may write it */
	bool pause_submit;
	struct device *dev;
	void *ufence_scheduler;
};

struct drm_sched_init_args {
	const struct drm_sched_backend_ops *ops; /* run_job and free_job at least */
	struct workqueue_struct *submit_wq; /* not used: each scheduler has a thread while it has jobs */
	struct workqueue_struct *timeout_wq; /* not used */
	u32 num_rqs;
	u32 credit_limit;
	unsigned int hang_limit;
	long timeout; /* jiffies; MAX_SCHEDULE_TIMEOUT: none */
	atomic_t *score; /* shared with other schedulers; or NULL */
	const char *name; /* copied for fences; `sched->name` is this pointer */
	struct device *dev;
};

/* --- Scheduler --- */

/* 0; -EINVAL; -ENOMEM. One that is begun already is reported, and stays: 0. */
int drm_sched_init(struct drm_gpu_scheduler *sched, const struct drm_sched_init_args *args)
	UFENCE_KERNEL(drm_sched_init);
/* On return each job has been handed to free_job, and no function of ops runs or will. Not inside one. */
void drm_sched_fini(struct drm_gpu_scheduler *sched) UFENCE_KERNEL(drm_sched_fini);
/* Nothing is given to the device, and nothing that it has is completed, until drm_sched_start(). */
void drm_sched_stop(struct drm_gpu_scheduler *sched, struct drm_sched_job *bad)
	UFENCE_KERNEL(drm_sched_stop);
/* What the device has done is completed; the rest ends with the errno, or -ECANCELED if it is 0. */
void drm_sched_start(struct drm_gpu_scheduler *sched, int errno_of_rest)
	UFENCE_KERNEL(drm_sched_start);
/* Between the two: with drm_sched_start(), run_job is called again for the rest. */
void drm_sched_resubmit_jobs(struct drm_gpu_scheduler *sched) UFENCE_KERNEL(drm_sched_resubmit_jobs);
/* As if the oldest job had timed out now. */
void drm_sched_fault(struct drm_gpu_scheduler *sched) UFENCE_KERNEL(drm_sched_fault);
void drm_sched_tdr_queue_imm(struct drm_gpu_scheduler *sched) UFENCE_KERNEL(drm_sched_tdr_queue_imm);
/* Jiffies that are left to the oldest job; nothing times out until the resume. */
unsigned long drm_sched_suspend_timeout(struct drm_gpu_scheduler *sched)
	UFENCE_KERNEL(drm_sched_suspend_timeout);
void drm_sched_resume_timeout(struct drm_gpu_scheduler *sched, unsigned long remaining)
	UFENCE_KERNEL(drm_sched_resume_timeout);
/* Only run_job, prepare_job and free_job pause; on return none of them runs. */
void drm_sched_wqueue_stop(struct drm_gpu_scheduler *sched) UFENCE_KERNEL(drm_sched_wqueue_stop);
void drm_sched_wqueue_start(struct drm_gpu_scheduler *sched) UFENCE_KERNEL(drm_sched_wqueue_start);
/* The one that is ready and has the lowest score, or NULL. */
struct drm_gpu_scheduler *drm_sched_pick_best(struct drm_gpu_scheduler **sched_list,
					      unsigned int num_sched_list)
	UFENCE_KERNEL(drm_sched_pick_best);
/* The next job that the device got, of one entity or (NULL) of all; NULL: none. While it is stopped. */
struct drm_sched_job *ufence_drm_sched_next_pending(struct drm_gpu_scheduler *sched,
						    const struct drm_sched_entity *entity,
						    struct drm_sched_job *after) UFENCE_EXPORT;

/* --- Jobs --- */

/* Zeroes it. 0: drm_sched_job_cleanup() is owed. -EINVAL no credits; -ENOMEM. */
int drm_sched_job_init(struct drm_sched_job *job, struct drm_sched_entity *entity, u32 credits,
		       void *owner, u64 drm_client_id) UFENCE_KERNEL(drm_sched_job_init);
/* Takes the next seqno. From here on it has to be pushed. One thread at a time of an entity, with the push. */
void drm_sched_job_arm(struct drm_sched_job *job) UFENCE_KERNEL(drm_sched_job_arm);
/* From here on the job is the scheduler's, until free_job. */
void drm_sched_entity_push_job(struct drm_sched_job *job) UFENCE_KERNEL(drm_sched_entity_push_job);
/* The reference is handed over, also with an error. Before the push. 0; -ENOMEM. */
int drm_sched_job_add_dependency(struct drm_sched_job *job, struct dma_fence *fence)
	UFENCE_KERNEL(drm_sched_job_add_dependency);
/* file: to_drm_file() of interop.h. 0; -ENOENT no such handle; -EINVAL not submitted; -ENOMEM. */
int drm_sched_job_add_syncobj_dependency(struct drm_sched_job *job, struct drm_file *file,
					 u32 handle, u64 point)
	UFENCE_KERNEL(drm_sched_job_add_syncobj_dependency);
bool drm_sched_job_has_dependency(struct drm_sched_job *job, struct dma_fence *fence)
	UFENCE_KERNEL(drm_sched_job_has_dependency);
/* Of a job that was never armed, in free_job, or in timedout_job: then free_job is not called for it. */
void drm_sched_job_cleanup(struct drm_sched_job *job) UFENCE_KERNEL(drm_sched_job_cleanup);
/* The entity of a job that hung is guilty, if it has a flag for that and is not the kernel's. */
void drm_sched_increase_karma(struct drm_sched_job *bad) UFENCE_KERNEL(drm_sched_increase_karma);
bool drm_sched_job_is_signaled(struct drm_sched_job *job) UFENCE_KERNEL(drm_sched_job_is_signaled);
/* NULL: it is no fence of a job. */
struct drm_sched_fence *to_drm_sched_fence(struct dma_fence *f) UFENCE_KERNEL(to_drm_sched_fence);

/* --- Entities --- */

/* The list stays the caller's, and in place, if it has more than one. 0; -EINVAL; -ENOMEM. */
int drm_sched_entity_init(struct drm_sched_entity *entity, enum drm_sched_priority priority,
			  struct drm_gpu_scheduler **sched_list, unsigned int num_sched_list,
			  atomic_t *guilty) UFENCE_KERNEL(drm_sched_entity_init);
/* Waits until all its jobs were given to the device. The jiffies that are left, 0: not by then. */
long drm_sched_entity_flush(struct drm_sched_entity *entity, long timeout)
	UFENCE_KERNEL(drm_sched_entity_flush);
/* Its queued jobs end with -ESRCH, in order. On return no function of ops has the entity. */
void drm_sched_entity_fini(struct drm_sched_entity *entity) UFENCE_KERNEL(drm_sched_entity_fini);
/* Flush within a second, then fini. */
void drm_sched_entity_destroy(struct drm_sched_entity *entity) UFENCE_KERNEL(drm_sched_entity_destroy);
void drm_sched_entity_set_priority(struct drm_sched_entity *entity, enum drm_sched_priority priority)
	UFENCE_KERNEL(drm_sched_entity_set_priority);
/* Under the lock for arm and push. */
void drm_sched_entity_modify_sched(struct drm_sched_entity *entity,
				   struct drm_gpu_scheduler **sched_list, unsigned int num_sched_list)
	UFENCE_KERNEL(drm_sched_entity_modify_sched);
/* Of the job that the device got last: its error, 0 as long as it has none. */
int drm_sched_entity_error(struct drm_sched_entity *entity) UFENCE_KERNEL(drm_sched_entity_error);

UFENCE_C_END

/* The lock of resv is held; of what can be added a part may have been: 0; -ENOMEM. */
static inline int drm_sched_job_add_resv_dependencies(struct drm_sched_job *job,
						      struct dma_resv *resv,
						      enum dma_resv_usage usage)
{
	struct dma_resv_iter cursor;
	struct dma_fence *fence;
	int failed;

	dma_resv_for_each_fence(&cursor, resv, usage, fence) {
		failed = drm_sched_job_add_dependency(job, dma_fence_get(fence));
		if (failed)
			return failed;
	}
	return 0;
}

/* obj: anything that has a `resv`, as a struct drm_gem_object. */
#define drm_sched_job_add_implicit_dependencies(job, obj, write)                                   \
	drm_sched_job_add_resv_dependencies(job, (obj)->resv, dma_resv_usage_rw(write))

static inline bool drm_sched_invalidate_job(struct drm_sched_job *s_job, int threshold)
{
	return s_job && atomic_inc_return(&s_job->karma) > threshold;
}

static inline bool drm_sched_wqueue_ready(struct drm_gpu_scheduler *sched)
{
	return READ_ONCE(sched->ready);
}

static inline bool drm_sched_is_stopped(struct drm_gpu_scheduler *sched)
{
	return READ_ONCE(sched->pause_submit);
}

#define drm_sched_for_each_pending_job(job, sched, entity)                                         \
	for ((job) = ufence_drm_sched_next_pending(sched, entity, NULL); (job);                    \
	     (job) = ufence_drm_sched_next_pending(sched, entity, job))

#endif
