/* A device with a scheduler for the tests, in the kernel's style: its jobs end by hand, or by the clock. */
#ifndef UFENCE_TESTING_MOCK_SCHEDULER_H
#define UFENCE_TESTING_MOCK_SCHEDULER_H

#include <drm/gpu_scheduler.h>
#include <linux/kernel.h>
#include <linux/kthread.h>
#include <linux/slab.h>
#include <linux/wait.h>

#include <kunit/test.h>

struct mock_job;

struct mock_device {
	struct drm_gpu_scheduler base;
	spinlock_t lock; /* of all that follows, and of the fences */
	struct list_head running; /* jobs that the device has, in order */
	u64 context, seqno;
	int runs, frees, timeouts, cancels, prepares;
	enum drm_gpu_sched_stat verdict; /* of timedout_job */
	bool stops_in_timeout; /* timedout_job does what drivers do: stop, reset, start */
	bool keeps_hanging; /* timedout_job does not touch the job's fence */
	struct task_struct *clock; /* ends jobs after their length */
	struct wait_queue_head changed;
	/* Not looked at by the device. */
	struct drm_sched_job *seen_pending;
	struct mock_job *timed_out;
	/* Of what the scheduler calls: how many run now, how often two did, on how many threads. */
	int inside, overlaps, threads;
	const char *thread; /* the last one */
};

struct mock_job {
	struct drm_sched_job base;
	struct mock_device *device;
	struct list_head link; /* in `running` */
	struct dma_fence *hardware; /* of the last run */
	struct dma_fence *prepared; /* what prepare_job returns once */
	s64 length_ns;
	int result; /* of run_job: an errno */
	int runs;
	ktime_t deadline; /* that the device's fence was told */
};

/* 0: no clock. */
#define MOCK_BY_HAND 0
#define MOCK_BY_CLOCK 1

struct mock_device *mock_device_new(struct kunit *test, u32 credit_limit, long timeout, int by_clock);
/* Ends the scheduler, and expects that each job was freed. */
void mock_device_free(struct kunit *test, struct mock_device *device);
/* Ends so many jobs, in order; how many there were. */
int mock_device_advance(struct mock_device *device, int n, int error);
int mock_device_frees(struct mock_device *device);

/* A job that is not armed. */
struct mock_job *mock_job_new(struct kunit *test, struct drm_sched_entity *entity, u32 credits);
/* Arms and pushes it; a reference to its fence *finished*. */
struct dma_fence *mock_job_submit(struct mock_job *job);
/* A new one, after `after`, which may be NULL. */
struct dma_fence *mock_submit(struct kunit *test, struct drm_sched_entity *entity, s64 length_ns,
			      struct dma_fence *after);
void mock_entity_init(struct kunit *test, struct drm_sched_entity *entity,
		      enum drm_sched_priority priority, struct mock_device *device);

#endif
