#include "ufence/kernel/testing/mock_scheduler.h"

#include <time.h>

struct mock_fence {
	struct dma_fence base;
	struct mock_job *job;
};

static struct mock_job *mock_job_of(struct drm_sched_job *job)
{
	return container_of(job, struct mock_job, base);
}

static struct mock_device *mock_device_of(struct drm_gpu_scheduler *sched)
{
	return container_of(sched, struct mock_device, base);
}

static const char *hardware_name(struct dma_fence *f)
{
	(void)f;
	return "mock device";
}

static void hardware_set_deadline(struct dma_fence *f, ktime_t deadline)
{
	WRITE_ONCE(container_of(f, struct mock_fence, base)->job->deadline, deadline);
}

static const struct dma_fence_ops hardware_ops = {
	.get_driver_name = hardware_name,
	.get_timeline_name = hardware_name,
	.set_deadline = hardware_set_deadline,
};

static struct dma_fence *mock_prepare(struct drm_sched_job *base, struct drm_sched_entity *entity)
{
	struct mock_job *job = mock_job_of(base);
	struct dma_fence *once = job->prepared;

	(void)entity;
	job->device->prepares++;
	job->prepared = NULL;
	return once;
}

static struct dma_fence *mock_run(struct drm_sched_job *base)
{
	struct mock_job *job = mock_job_of(base);
	struct mock_device *device = mock_device_of(base->sched);
	struct mock_fence *f;

	job->runs++;
	if (job->result)
		return ERR_PTR(job->result);
	f = kzalloc(sizeof(*f), GFP_KERNEL);
	if (!f)
		return ERR_PTR(-ENOMEM);
	f->job = job;
	spin_lock(&device->lock);
	device->runs++;
	dma_fence_init(&f->base, &hardware_ops, NULL, device->context, ++device->seqno);
	/* The scheduler gets one reference, the list has the other. */
	job->hardware = dma_fence_get(&f->base);
	list_add_tail(&job->link, &device->running);
	spin_unlock(&device->lock);
	wake_up(&device->changed);
	return &f->base;
}

/* Takes a job from the device and signals its fence. */
static void end_job(struct mock_device *device, struct mock_job *job, int error)
{
	struct dma_fence *f = NULL;

	spin_lock(&device->lock);
	if (!list_empty(&job->link)) {
		list_del_init(&job->link);
		f = job->hardware;
		job->hardware = NULL;
	}
	spin_unlock(&device->lock);
	if (!f)
		return;
	if (error)
		dma_fence_set_error(f, error);
	dma_fence_signal(f);
	dma_fence_put(f);
}

static enum drm_gpu_sched_stat mock_timedout(struct drm_sched_job *base)
{
	struct mock_job *job = mock_job_of(base);
	struct mock_device *device = job->device;

	device->timed_out = job;
	WRITE_ONCE(device->timeouts, device->timeouts + 1);
	wake_up(&device->changed);
	if (device->verdict == DRM_GPU_SCHED_STAT_NO_HANG)
		return device->verdict;
	if (device->stops_in_timeout) {
		drm_sched_stop(&device->base, base);
		drm_sched_increase_karma(base);
		/* The reset: the device has nothing any more, and signals nothing. */
		spin_lock(&device->lock);
		while (!list_empty(&device->running)) {
			struct mock_job *lost =
				list_first_entry(&device->running, struct mock_job, link);

			list_del_init(&lost->link);
			dma_fence_put(lost->hardware);
			lost->hardware = NULL;
		}
		spin_unlock(&device->lock);
		drm_sched_start(&device->base, -EIO);
		return device->verdict;
	}
	if (!device->keeps_hanging)
		end_job(device, job, -ETIMEDOUT);
	return device->verdict;
}

static void mock_free(struct drm_sched_job *base)
{
	struct mock_job *job = mock_job_of(base);
	struct mock_device *device = job->device;

	end_job(device, job, -ECANCELED);
	drm_sched_job_cleanup(base);
	dma_fence_put(job->prepared);
	kfree(job);
	spin_lock(&device->lock);
	device->frees++;
	spin_unlock(&device->lock);
	wake_up(&device->changed);
}

static void mock_cancel(struct drm_sched_job *base)
{
	struct mock_job *job = mock_job_of(base);

	job->device->cancels++;
	end_job(job->device, job, -ECANCELED);
}

static __thread char this_thread; /* its address is the thread's name */

static struct mock_device *enter(struct mock_device *device)
{
	spin_lock(&device->lock);
	if (device->inside++)
		device->overlaps++;
	if (device->thread != &this_thread)
		device->threads++;
	device->thread = &this_thread;
	spin_unlock(&device->lock);
	return device;
}

static void leave(struct mock_device *device)
{
	spin_lock(&device->lock);
	device->inside--;
	spin_unlock(&device->lock);
}

static struct dma_fence *prepare_job(struct drm_sched_job *job, struct drm_sched_entity *entity)
{
	struct mock_device *device = enter(mock_job_of(job)->device);
	struct dma_fence *f = mock_prepare(job, entity);

	leave(device);
	return f;
}

static struct dma_fence *run_job(struct drm_sched_job *job)
{
	struct mock_device *device = enter(mock_job_of(job)->device);
	struct dma_fence *f = mock_run(job);

	leave(device);
	return f;
}

static enum drm_gpu_sched_stat timedout_job(struct drm_sched_job *job)
{
	struct mock_device *device = enter(mock_job_of(job)->device);
	const enum drm_gpu_sched_stat verdict = mock_timedout(job);

	leave(device);
	return verdict;
}

static void free_job(struct drm_sched_job *job)
{
	struct mock_device *device = enter(mock_job_of(job)->device);

	mock_free(job);
	leave(device);
}

static void cancel_job(struct drm_sched_job *job)
{
	struct mock_device *device = enter(mock_job_of(job)->device);

	mock_cancel(job);
	leave(device);
}

static const struct drm_sched_backend_ops mock_ops = {
	.prepare_job = prepare_job,
	.run_job = run_job,
	.timedout_job = timedout_job,
	.free_job = free_job,
	.cancel_job = cancel_job,
};

static bool has_running(struct mock_device *device)
{
	bool has;

	spin_lock(&device->lock);
	has = !list_empty(&device->running);
	spin_unlock(&device->lock);
	return has;
}

static int run_clock(void *data)
{
	struct mock_device *device = data;

	for (;;) {
		struct mock_job *job;
		struct timespec length = { 0, 0 };

		wait_event(device->changed, has_running(device) || kthread_should_stop());
		if (!has_running(device))
			return 0;
		spin_lock(&device->lock);
		job = list_first_entry(&device->running, struct mock_job, link);
		length.tv_nsec = (long)job->length_ns;
		spin_unlock(&device->lock);
		nanosleep(&length, NULL); /* the work of the device */
		mock_device_advance(device, 1, 0);
	}
}

struct mock_device *mock_device_new(struct kunit *test, u32 credit_limit, long timeout, int by_clock)
{
	struct mock_device *device = kzalloc(sizeof(*device), GFP_KERNEL);
	const struct drm_sched_init_args args = {
		.ops = &mock_ops,
		.num_rqs = DRM_SCHED_PRIORITY_COUNT,
		.credit_limit = credit_limit,
		.timeout = timeout,
		.name = "mock ring",
	};

	KUNIT_ASSERT_NOT_NULL(test, device);
	spin_lock_init(&device->lock);
	INIT_LIST_HEAD(&device->running);
	init_waitqueue_head(&device->changed);
	device->context = dma_fence_context_alloc(1);
	device->verdict = DRM_GPU_SCHED_STAT_RESET;
	KUNIT_ASSERT_EQ(test, drm_sched_init(&device->base, &args), 0);
	if (by_clock) {
		device->clock = kthread_run(run_clock, device, "mock clock");
		KUNIT_ASSERT_FALSE(test, IS_ERR(device->clock));
	}
	return device;
}

static int stop_clock(void *data)
{
	struct mock_device *device = data;

	while (!kthread_should_stop()) {
		wake_up(&device->changed);
		cond_resched();
	}
	return 0;
}

void mock_device_free(struct kunit *test, struct mock_device *device)
{
	drm_sched_fini(&device->base);
	KUNIT_EXPECT_TRUE(test, list_empty(&device->running));
	KUNIT_EXPECT_EQ(test, atomic_read(device->base.score), 0);
	if (device->clock) {
		/* It may begin to wait after it was told to stop. */
		struct task_struct *waker = kthread_run(stop_clock, device, "waker");

		KUNIT_ASSERT_FALSE(test, IS_ERR(waker));
		kthread_stop(device->clock);
		kthread_stop(waker);
	}
	kfree(device);
}

int mock_device_advance(struct mock_device *device, int n, int error)
{
	int done = 0;

	for (; done < n; done++) {
		struct mock_job *job = NULL;
		struct dma_fence *f = NULL;

		spin_lock(&device->lock);
		if (!list_empty(&device->running)) {
			job = list_first_entry(&device->running, struct mock_job, link);
			list_del_init(&job->link);
			f = job->hardware;
			job->hardware = NULL;
		}
		spin_unlock(&device->lock);
		if (!f)
			break;
		if (error)
			dma_fence_set_error(f, error);
		dma_fence_signal(f);
		dma_fence_put(f);
	}
	return done;
}

int mock_device_frees(struct mock_device *device)
{
	int frees;

	spin_lock(&device->lock);
	frees = device->frees;
	spin_unlock(&device->lock);
	return frees;
}

struct mock_job *mock_job_new(struct kunit *test, struct drm_sched_entity *entity, u32 credits)
{
	struct mock_job *job = kzalloc(sizeof(*job), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, job);
	INIT_LIST_HEAD(&job->link);
	KUNIT_ASSERT_EQ(test, drm_sched_job_init(&job->base, entity, credits, NULL, 1), 0);
	return job;
}

struct dma_fence *mock_job_submit(struct mock_job *job)
{
	struct dma_fence *finished;

	drm_sched_job_arm(&job->base);
	job->device = mock_device_of(job->base.sched);
	finished = dma_fence_get(&job->base.s_fence->finished);
	drm_sched_entity_push_job(&job->base);
	return finished;
}

struct dma_fence *mock_submit(struct kunit *test, struct drm_sched_entity *entity, s64 length_ns,
			      struct dma_fence *after)
{
	struct mock_job *job = mock_job_new(test, entity, 1);

	job->length_ns = length_ns;
	if (after)
		KUNIT_EXPECT_EQ(test, drm_sched_job_add_dependency(&job->base, dma_fence_get(after)), 0);
	return mock_job_submit(job);
}

void mock_entity_init(struct kunit *test, struct drm_sched_entity *entity,
		      enum drm_sched_priority priority, struct mock_device *device)
{
	struct drm_gpu_scheduler *list[] = { &device->base };

	KUNIT_ASSERT_EQ(test, drm_sched_entity_init(entity, priority, list, 1, NULL), 0);
}
