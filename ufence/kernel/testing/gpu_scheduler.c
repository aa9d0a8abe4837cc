/* What drivers do with the scheduler beside the kernel's own cases: resets, ends, dependencies, settings. */
#include <linux/jiffies.h>
#include <linux/mutex.h>
#include <linux/random.h>

#include "ufence/kernel/testing/mock_fence.h"
#include "ufence/kernel/testing/mock_scheduler.h"

#define LONG_TIME (60L * HZ)

static void expect_end(struct kunit *test, struct dma_fence *f, int status)
{
	KUNIT_EXPECT_GT(test, dma_fence_wait_timeout(f, false, LONG_TIME), 0);
	KUNIT_EXPECT_EQ(test, dma_fence_get_status(f), status);
	dma_fence_put(f);
}

struct setup {
	struct mock_device *device;
	struct drm_sched_entity entity;
};

static void set_up(struct kunit *test, struct setup *s, long timeout)
{
	s->device = mock_device_new(test, 8, timeout, MOCK_BY_HAND);
	mock_entity_init(test, &s->entity, DRM_SCHED_PRIORITY_NORMAL, s->device);
}

static void tear_down(struct kunit *test, struct setup *s)
{
	drm_sched_entity_destroy(&s->entity);
	mock_device_free(test, s->device);
}

/* Until the device has that many jobs. */
static void wait_for_runs(struct mock_device *device, int runs)
{
	for (;;) {
		int now;

		spin_lock(&device->lock);
		now = device->runs;
		spin_unlock(&device->lock);
		if (now >= runs)
			return;
		cond_resched();
	}
}

static void what_is_wrong_is_refused(struct kunit *test)
{
	struct setup s;
	struct drm_sched_entity entity;
	struct drm_gpu_scheduler *none[] = { NULL };
	struct drm_gpu_scheduler sched = { .ops = NULL };
	struct drm_sched_init_args args = { .num_rqs = DRM_SCHED_PRIORITY_COUNT + 1, .credit_limit = 1 };
	struct drm_sched_job job;

	set_up(test, &s, MAX_SCHEDULE_TIMEOUT);
	args.ops = s.device->base.ops;
	KUNIT_EXPECT_EQ(test, drm_sched_init(&sched, &args), -EINVAL);
	args.num_rqs = 1;
	args.credit_limit = 0;
	KUNIT_EXPECT_EQ(test, drm_sched_init(&sched, &args), -EINVAL);
	KUNIT_EXPECT_EQ(test, drm_sched_entity_init(&entity, DRM_SCHED_PRIORITY_LOW, NULL, 1, NULL), -EINVAL);
	KUNIT_EXPECT_EQ(test, drm_sched_entity_init(&entity, DRM_SCHED_PRIORITY_LOW, none, 1, NULL), -EINVAL);
	KUNIT_EXPECT_EQ(test, drm_sched_entity_init(&entity, DRM_SCHED_PRIORITY_LOW, none, 0, NULL), -EINVAL);
	KUNIT_EXPECT_EQ(test, drm_sched_job_init(&job, &s.entity, 0, NULL, 0), -EINVAL);
	/* A job that is never armed only wants its cleanup. */
	KUNIT_EXPECT_EQ(test, drm_sched_job_init(&job, &s.entity, 1, &s, 7), 0);
	KUNIT_EXPECT_TRUE(test, job.s_fence->owner == &s && job.s_fence->drm_client_id == 7);
	drm_sched_job_cleanup(&job);
	tear_down(test, &s);
}

static void its_fences_and_their_names_outlive_everything(struct kunit *test)
{
	struct setup s;
	struct dma_fence *f;
	struct drm_sched_fence *both;
	char line[128];

	set_up(test, &s, MAX_SCHEDULE_TIMEOUT);
	f = mock_submit(test, &s.entity, 0, NULL);
	both = to_drm_sched_fence(f);
	KUNIT_ASSERT_NOT_NULL(test, both);
	KUNIT_EXPECT_PTR_EQ(test, &both->finished, f);
	KUNIT_EXPECT_PTR_EQ(test, to_drm_sched_fence(&both->scheduled), both);
	rcu_read_lock();
	KUNIT_EXPECT_STREQ(test, dma_fence_driver_name(f), "drm_sched");
	KUNIT_EXPECT_STREQ(test, dma_fence_timeline_name(f), "mock ring");
	rcu_read_unlock();
	wait_for_runs(s.device, 1);
	mock_device_advance(s.device, 1, -EIO);
	KUNIT_EXPECT_GT(test, dma_fence_wait_timeout(f, false, LONG_TIME), 0);
	tear_down(test, &s);
	ufence_dma_fence_describe(f, line, sizeof(line));
	KUNIT_EXPECT_EQ(test, dma_fence_get_status(&both->scheduled), 1);
	expect_end(test, f, -EIO);
	f = dma_fence_get_stub();
	KUNIT_EXPECT_NULL(test, to_drm_sched_fence(f));
	dma_fence_put(f);
}

static void what_run_job_returns_is_the_result(struct kunit *test)
{
	struct setup s;
	struct mock_job *job;

	set_up(test, &s, MAX_SCHEDULE_TIMEOUT);
	job = mock_job_new(test, &s.entity, 1);
	job->result = -ENOSPC;
	expect_end(test, mock_job_submit(job), -ENOSPC);
	KUNIT_EXPECT_EQ(test, drm_sched_entity_error(&s.entity), -ENOSPC);
	tear_down(test, &s);
}

static void what_prepare_job_returns_is_waited_for(struct kunit *test)
{
	struct setup s;
	struct dma_fence *more = dma_fence_allocate_private_stub(1), *f;
	struct mock_job *job, *other;

	set_up(test, &s, MAX_SCHEDULE_TIMEOUT);
	other = mock_job_new(test, &s.entity, 1);
	drm_sched_job_arm(&other->base);
	other->device = s.device;
	job = mock_job_new(test, &s.entity, 1);
	job->prepared = more;
	f = dma_fence_get(&other->base.s_fence->finished);
	drm_sched_entity_push_job(&other->base);
	wait_for_runs(s.device, 1);
	mock_device_advance(s.device, 1, 0);
	expect_end(test, f, 1);
	f = mock_job_submit(job);
	wait_for_runs(s.device, 2);
	mock_device_advance(s.device, 1, 0);
	expect_end(test, f, 1);
	/* Once for each job, and once more after the fence. */
	KUNIT_EXPECT_EQ(test, s.device->prepares, 3);
	tear_down(test, &s);
}

static void dependencies_are_handed_over(struct kunit *test)
{
	struct setup s;
	struct drm_sched_entity other;
	struct dma_resv resv;
	struct mock_job *first, *second;
	struct dma_fence *f, *g;
	struct {
		struct dma_resv *resv;
	} buffer = { &resv };

	set_up(test, &s, MAX_SCHEDULE_TIMEOUT);
	mock_entity_init(test, &other, DRM_SCHED_PRIORITY_NORMAL, s.device);
	first = mock_job_new(test, &other, 1);
	f = mock_job_submit(first);
	dma_resv_init(&resv);
	dma_resv_lock(&resv, NULL);
	KUNIT_EXPECT_EQ(test, dma_resv_reserve_fences(&resv, 1), 0);
	dma_resv_add_fence(&resv, f, DMA_RESV_USAGE_WRITE);
	second = mock_job_new(test, &s.entity, 1);
	KUNIT_EXPECT_FALSE(test, drm_sched_job_has_dependency(&second->base, f));
	KUNIT_EXPECT_EQ(test, drm_sched_job_add_dependency(&second->base, NULL), 0);
	KUNIT_EXPECT_EQ(test, drm_sched_job_add_implicit_dependencies(&second->base, &buffer, false), 0);
	KUNIT_EXPECT_TRUE(test, drm_sched_job_has_dependency(&second->base, f));
	dma_resv_unlock(&resv);
	/* The same scheduler: what the first is scheduled for is enough. */
	g = mock_job_submit(second);
	wait_for_runs(s.device, 2);
	KUNIT_EXPECT_FALSE(test, dma_fence_is_signaled(f));
	KUNIT_EXPECT_EQ(test, mock_device_advance(s.device, 2, 0), 2);
	expect_end(test, f, 1);
	expect_end(test, g, 1);
	dma_resv_fini(&resv);
	drm_sched_entity_destroy(&other);
	tear_down(test, &s);
}

static void regress_of_seqnos_that_wrap_the_later_one_is_waited_for(struct kunit *test)
{
	u64 context = dma_fence_context_alloc(1);
	struct dma_fence *earlier = mock_fence_of(context, UINT32_MAX), *later = mock_fence_of(context, 0);
	struct setup s;
	struct mock_job *job;
	struct dma_fence *f;
	int i;

	KUNIT_ASSERT_TRUE(test, earlier && later);
	set_up(test, &s, MAX_SCHEDULE_TIMEOUT);
	job = mock_job_new(test, &s.entity, 1);
	for (i = 0; i < 2; i++) {
		struct dma_fence *next = dma_fence_get(i ? earlier : later);

		KUNIT_EXPECT_EQ(test, drm_sched_job_add_dependency(&job->base, next), 0);
	}
	KUNIT_EXPECT_TRUE(test, drm_sched_job_has_dependency(&job->base, later));
	KUNIT_EXPECT_FALSE(test, drm_sched_job_has_dependency(&job->base, earlier));
	f = mock_job_submit(job);
	dma_fence_signal(earlier);
	dma_fence_signal(later);
	wait_for_runs(s.device, 1);
	KUNIT_EXPECT_EQ(test, mock_device_advance(s.device, 1, 0), 1);
	expect_end(test, f, 1);
	dma_fence_put(earlier);
	dma_fence_put(later);
	tear_down(test, &s);
}

/* As drivers do that lock their buffers, arm, and look then what is in them. */
static void regress_dependencies_are_added_between_arm_and_push(struct kunit *test)
{
	struct dma_fence *in = mock_fence(), *f;
	struct setup s;
	struct mock_job *job;
	struct dma_resv resv;
	struct {
		struct dma_resv *resv;
	} buffer = { &resv };

	KUNIT_ASSERT_NOT_NULL(test, in);
	set_up(test, &s, MAX_SCHEDULE_TIMEOUT);
	dma_resv_init(&resv);
	KUNIT_EXPECT_EQ(test, dma_resv_lock(&resv, NULL), 0);
	KUNIT_EXPECT_EQ(test, dma_resv_reserve_fences(&resv, 2), 0);
	dma_resv_add_fence(&resv, in, DMA_RESV_USAGE_WRITE);
	job = mock_job_new(test, &s.entity, 1);
	drm_sched_job_arm(&job->base);
	job->device = s.device;
	f = dma_fence_get(&job->base.s_fence->finished);
	KUNIT_EXPECT_EQ(test, drm_sched_job_add_implicit_dependencies(&job->base, &buffer, true), 0);
	KUNIT_EXPECT_TRUE(test, drm_sched_job_has_dependency(&job->base, in));
	drm_sched_entity_push_job(&job->base);
	dma_resv_add_fence(&resv, f, DMA_RESV_USAGE_WRITE);
	dma_resv_unlock(&resv);
	dma_fence_signal(in);
	wait_for_runs(s.device, 1);
	KUNIT_EXPECT_EQ(test, mock_device_advance(s.device, 1, 0), 1);
	expect_end(test, f, 1);
	dma_resv_fini(&resv);
	dma_fence_put(in);
	tear_down(test, &s);
}

static void a_deadline_reaches_the_device(struct kunit *test)
{
	struct setup s;
	struct mock_job *early, *late;
	struct dma_fence *f, *g;

	set_up(test, &s, MAX_SCHEDULE_TIMEOUT);
	early = mock_job_new(test, &s.entity, 1);
	drm_sched_job_arm(&early->base);
	early->device = s.device;
	f = dma_fence_get(&early->base.s_fence->finished);
	dma_fence_set_deadline(f, 1000);
	drm_sched_entity_push_job(&early->base);
	late = mock_job_new(test, &s.entity, 1);
	g = mock_job_submit(late);
	wait_event(s.device->changed, READ_ONCE(early->deadline) == 1000);
	wait_for_runs(s.device, 2);
	dma_fence_set_deadline(g, 2000);
	/* By the thread that comes second: this thread, or the scheduler's. */
	while (READ_ONCE(late->deadline) != 2000)
		cond_resched();
	mock_device_advance(s.device, 2, 0);
	expect_end(test, f, 1);
	expect_end(test, g, 1);
	tear_down(test, &s);
}

static void a_reset_in_timedout_job_ends_all_that_the_device_had(struct kunit *test)
{
	struct setup s;
	struct dma_fence *hung, *innocent, *next;
	atomic_t guilty = ATOMIC_INIT(0);
	struct drm_gpu_scheduler *list[1];
	struct mock_job *job;

	s.device = mock_device_new(test, 2, LONG_TIME, MOCK_BY_HAND);
	s.device->stops_in_timeout = true;
	list[0] = &s.device->base;
	KUNIT_ASSERT_EQ(test, drm_sched_entity_init(&s.entity, DRM_SCHED_PRIORITY_NORMAL, list, 1, &guilty), 0);
	hung = mock_submit(test, &s.entity, 0, NULL);
	innocent = mock_submit(test, &s.entity, 0, NULL);
	wait_for_runs(s.device, 2);
	drm_sched_fault(&s.device->base);
	expect_end(test, hung, -EIO);
	expect_end(test, innocent, -EIO);
	KUNIT_EXPECT_EQ(test, atomic_read(&guilty), 1);
	/* The device works again; a guilty entity's jobs are marked, and reach it all the same. */
	job = mock_job_new(test, &s.entity, 1);
	next = mock_job_submit(job);
	wait_for_runs(s.device, 3);
	mock_device_advance(s.device, 1, 0);
	expect_end(test, next, -ECANCELED);
	tear_down(test, &s);
}

static void a_hang_that_the_driver_only_notes_is_told_again(struct kunit *test)
{
	struct setup s;
	struct dma_fence *f;

	set_up(test, &s, 5);
	s.device->keeps_hanging = true;
	f = mock_submit(test, &s.entity, 0, NULL);
	wait_event(s.device->changed, READ_ONCE(s.device->timeouts) >= 2);
	KUNIT_EXPECT_FALSE(test, dma_fence_is_signaled(f));
	mock_device_advance(s.device, 1, 0);
	expect_end(test, f, 1);
	tear_down(test, &s);
}

static void a_device_that_is_gone_ends_everything(struct kunit *test)
{
	struct setup s;
	struct dma_fence *had, *refused;

	set_up(test, &s, 5);
	s.device->verdict = DRM_GPU_SCHED_STAT_ENODEV;
	s.device->keeps_hanging = true;
	had = mock_submit(test, &s.entity, 0, NULL);
	expect_end(test, had, -ENODEV);
	/* It can't be armed any more: it ends with the push, and its driver gets it back. */
	refused = mock_submit(test, &s.entity, 0, NULL);
	KUNIT_EXPECT_TRUE(test, dma_fence_is_signaled(refused));
	expect_end(test, refused, -ENODEV);
	drm_sched_entity_fini(&s.entity);
	drm_sched_fini(&s.device->base);
	KUNIT_EXPECT_EQ(test, s.device->frees, 2);
	KUNIT_EXPECT_EQ(test, s.device->runs, 1);
	mock_device_free(test, s.device);
}

static void a_stop_keeps_what_is_done_and_a_start_fails_the_rest(struct kunit *test)
{
	struct setup s;
	struct dma_fence *done, *lost;
	struct drm_sched_job *job;
	int pending = 0;

	set_up(test, &s, MAX_SCHEDULE_TIMEOUT);
	done = mock_submit(test, &s.entity, 0, NULL);
	lost = mock_submit(test, &s.entity, 0, NULL);
	wait_for_runs(s.device, 2);
	drm_sched_stop(&s.device->base, NULL);
	KUNIT_EXPECT_TRUE(test, drm_sched_is_stopped(&s.device->base));
	mock_device_advance(s.device, 1, 0);
	drm_sched_for_each_pending_job(job, &s.device->base, NULL) {
		KUNIT_EXPECT_EQ(test, drm_sched_job_is_signaled(job), pending == 0);
		pending++;
	}
	KUNIT_EXPECT_EQ(test, pending, 2);
	KUNIT_EXPECT_FALSE(test, dma_fence_is_signaled(done));
	drm_sched_start(&s.device->base, 0);
	expect_end(test, done, 1);
	expect_end(test, lost, -ECANCELED);
	tear_down(test, &s);
}

static void what_is_resubmitted_runs_again(struct kunit *test)
{
	struct setup s;
	struct dma_fence *f;
	struct mock_job *job;

	set_up(test, &s, MAX_SCHEDULE_TIMEOUT);
	job = mock_job_new(test, &s.entity, 1);
	f = mock_job_submit(job);
	wait_for_runs(s.device, 1);
	drm_sched_stop(&s.device->base, NULL);
	spin_lock(&s.device->lock);
	list_del_init(&job->link);
	dma_fence_put(job->hardware);
	job->hardware = NULL;
	spin_unlock(&s.device->lock);
	drm_sched_resubmit_jobs(&s.device->base);
	drm_sched_start(&s.device->base, 0);
	wait_for_runs(s.device, 2);
	KUNIT_EXPECT_EQ(test, mock_device_advance(s.device, 1, 0), 1);
	expect_end(test, f, 1);
	tear_down(test, &s);
}

static void a_pause_lets_the_device_complete_its_jobs(struct kunit *test)
{
	struct setup s;
	struct dma_fence *f, *g;

	set_up(test, &s, MAX_SCHEDULE_TIMEOUT);
	f = mock_submit(test, &s.entity, 0, NULL);
	wait_for_runs(s.device, 1);
	drm_sched_wqueue_stop(&s.device->base);
	g = mock_submit(test, &s.entity, 0, NULL);
	mock_device_advance(s.device, 1, 0);
	expect_end(test, f, 1);
	KUNIT_EXPECT_EQ(test, mock_device_advance(s.device, 1, 0), 0);
	KUNIT_EXPECT_EQ(test, mock_device_frees(s.device), 0);
	KUNIT_EXPECT_FALSE(test, dma_fence_is_signaled(g));
	KUNIT_EXPECT_EQ(test, drm_sched_entity_flush(&s.entity, 1), 0);
	drm_sched_wqueue_start(&s.device->base);
	wait_for_runs(s.device, 2);
	KUNIT_EXPECT_GT(test, drm_sched_entity_flush(&s.entity, LONG_TIME), 0);
	mock_device_advance(s.device, 1, 0);
	expect_end(test, g, 1);
	tear_down(test, &s);
}

static void a_suspended_timeout_is_resumed_with_what_was_left(struct kunit *test)
{
	struct setup s;
	struct dma_fence *f;
	unsigned long left;

	set_up(test, &s, LONG_TIME);
	KUNIT_EXPECT_EQ(test, drm_sched_suspend_timeout(&s.device->base), (unsigned long)LONG_TIME);
	drm_sched_resume_timeout(&s.device->base, 1UL);
	f = mock_submit(test, &s.entity, 0, NULL);
	wait_for_runs(s.device, 1);
	left = drm_sched_suspend_timeout(&s.device->base);
	KUNIT_EXPECT_TRUE(test, left > 0 && left <= (unsigned long)LONG_TIME);
	KUNIT_EXPECT_EQ(test, READ_ONCE(s.device->timeouts), 0);
	drm_sched_resume_timeout(&s.device->base, 0);
	expect_end(test, f, -ETIMEDOUT);
	/* A fault is the same at once, and does not change the time of the next one. */
	f = mock_submit(test, &s.entity, 0, NULL);
	wait_for_runs(s.device, 2);
	drm_sched_fault(&s.device->base);
	expect_end(test, f, -ETIMEDOUT);
	KUNIT_EXPECT_EQ(test, READ_ONCE(s.device->timeouts), 2);
	tear_down(test, &s);
}

static void after_the_end_of_an_entity_the_driver_sees_none_of_it(struct kunit *test)
{
	struct setup s;
	struct mock_job *job[2];
	struct dma_fence *f[2];
	int i;

	set_up(test, &s, MAX_SCHEDULE_TIMEOUT);
	for (i = 0; i < 2; i++) {
		job[i] = mock_job_new(test, &s.entity, 1);
		job[i]->device = s.device;
		drm_sched_job_arm(&job[i]->base);
		f[i] = dma_fence_get(&job[i]->base.s_fence->finished);
	}
	/* Armed, not pushed, when the entity ends. */
	drm_sched_entity_fini(&s.entity);
	for (i = 0; i < 2; i++)
		drm_sched_entity_push_job(&job[i]->base);
	expect_end(test, f[0], -ESRCH);
	expect_end(test, f[1], -ESRCH);
	while (mock_device_frees(s.device) < 2)
		cond_resched();
	KUNIT_EXPECT_EQ(test, s.device->runs, 0);
	KUNIT_EXPECT_EQ(test, s.device->prepares, 0);
	mock_device_free(test, s.device);
}

/* The driver cleans the job up itself: free_job is not called for it. */
static enum drm_gpu_sched_stat take_the_job(struct drm_sched_job *base)
{
	struct mock_job *job = container_of(base, struct mock_job, base);
	struct mock_device *device = job->device;

	mock_device_advance(device, 1, -ETIMEDOUT);
	drm_sched_job_cleanup(base);
	device->timed_out = job;
	return DRM_GPU_SCHED_STAT_RESET;
}

static void a_driver_may_take_a_job_in_timedout_job(struct kunit *test)
{
	struct mock_device *device = mock_device_new(test, 8, 5, MOCK_BY_HAND);
	struct drm_sched_backend_ops ops = *device->base.ops;
	const struct drm_sched_init_args args = {
		.ops = &ops, .num_rqs = 1, .credit_limit = 8, .timeout = 5, .name = "other ring",
	};
	struct drm_sched_entity entity;

	drm_sched_fini(&device->base);
	ops.timedout_job = take_the_job;
	KUNIT_ASSERT_EQ(test, drm_sched_init(&device->base, &args), 0);
	mock_entity_init(test, &entity, DRM_SCHED_PRIORITY_NORMAL, device);
	expect_end(test, mock_submit(test, &entity, 0, NULL), -ETIMEDOUT);
	drm_sched_entity_destroy(&entity);
	drm_sched_fini(&device->base);
	KUNIT_EXPECT_EQ(test, device->frees, 0);
	kfree(device->timed_out);
	mock_device_free(test, device);
}

static void a_device_that_cannot_cancel_is_not_waited_for_for_ever(struct kunit *test)
{
	struct mock_device *device = mock_device_new(test, 8, MAX_SCHEDULE_TIMEOUT, MOCK_BY_HAND);
	struct drm_sched_backend_ops ops = *device->base.ops;
	const struct drm_sched_init_args args = {
		.ops = &ops, .num_rqs = 1, .credit_limit = 8, .timeout = MAX_SCHEDULE_TIMEOUT,
	};
	struct drm_sched_entity entity;
	struct dma_fence *f;

	drm_sched_fini(&device->base);
	ops.cancel_job = NULL;
	ops.prepare_job = NULL;
	KUNIT_ASSERT_EQ(test, drm_sched_init(&device->base, &args), 0);
	mock_entity_init(test, &entity, DRM_SCHED_PRIORITY_NORMAL, device);
	f = mock_submit(test, &entity, 0, NULL);
	wait_for_runs(device, 1);
	drm_sched_entity_fini(&entity);
	drm_sched_fini(&device->base);
	expect_end(test, f, -ECANCELED);
	KUNIT_EXPECT_TRUE(test, device->frees == 1 && device->cancels == 0 && device->prepares == 0);
	mock_device_free(test, device);
}

static void a_scheduler_that_is_not_ready_is_not_chosen(struct kunit *test)
{
	struct mock_device *device[2];
	struct drm_gpu_scheduler *all[2];
	struct drm_sched_entity entity;
	struct dma_fence *f;
	int i;

	for (i = 0; i < 2; i++) {
		device[i] = mock_device_new(test, 8, MAX_SCHEDULE_TIMEOUT, MOCK_BY_HAND);
		all[i] = &device[i]->base;
	}
	KUNIT_ASSERT_EQ(test, drm_sched_entity_init(&entity, DRM_SCHED_PRIORITY_HIGH, all, 2, NULL), 0);
	WRITE_ONCE(all[0]->ready, false);
	KUNIT_EXPECT_PTR_EQ(test, drm_sched_pick_best(all, 2), all[1]);
	f = mock_submit(test, &entity, 0, NULL);
	wait_for_runs(device[1], 1);
	mock_device_advance(device[1], 1, 0);
	expect_end(test, f, 1);
	WRITE_ONCE(all[1]->ready, false);
	KUNIT_EXPECT_NULL(test, drm_sched_pick_best(all, 2));
	drm_sched_entity_destroy(&entity);
	KUNIT_EXPECT_EQ(test, device[0]->runs, 0);
	for (i = 0; i < 2; i++)
		mock_device_free(test, device[i]);
}

struct pusher {
	struct kunit *test;
	struct setup *setup;
	struct mutex *pushing; /* jobs of one entity are armed and pushed one by one */
	struct task_struct *task;
};

static int push_some(void *data)
{
	struct pusher *p = data;
	int i;

	for (i = 0; i < 100; i++) {
		struct mock_job *job = mock_job_new(p->test, &p->setup->entity, 1);

		job->prepared = dma_fence_allocate_private_stub(1);
		mutex_lock(p->pushing);
		dma_fence_put(mock_job_submit(job));
		mutex_unlock(p->pushing);
	}
	return 0;
}

static void all_functions_run_one_at_a_time_on_one_thread(struct kunit *test)
{
	DEFINE_MUTEX(pushing);
	struct setup s;
	struct pusher pushers[2];
	struct mock_job *first;
	struct dma_fence *f;
	int i;

	set_up(test, &s, LONG_TIME);
	s.device->verdict = DRM_GPU_SCHED_STAT_NO_HANG;
	/* This one is never done: the scheduler has a job all the time, and so its thread. */
	first = mock_job_new(test, &s.entity, 1);
	f = mock_job_submit(first);
	wait_for_runs(s.device, 1);
	spin_lock(&s.device->lock);
	list_del_init(&first->link);
	spin_unlock(&s.device->lock);
	for (i = 0; i < 2; i++) {
		pushers[i].test = test;
		pushers[i].setup = &s;
		pushers[i].pushing = &pushing;
		pushers[i].task = kthread_run(push_some, &pushers[i], "pusher");
		KUNIT_ASSERT_FALSE(test, IS_ERR(pushers[i].task));
	}
	while (mock_device_frees(s.device) < 200) {
		if (READ_ONCE(s.device->timeouts) < 3)
			drm_sched_fault(&s.device->base);
		mock_device_advance(s.device, 8, 0);
		cond_resched();
	}
	for (i = 0; i < 2; i++)
		kthread_stop(pushers[i].task);
	spin_lock(&s.device->lock);
	list_add_tail(&first->link, &s.device->running);
	spin_unlock(&s.device->lock);
	drm_sched_entity_fini(&s.entity);
	drm_sched_fini(&s.device->base);
	expect_end(test, f, -ECANCELED);
	KUNIT_EXPECT_EQ(test, s.device->overlaps, 0);
	KUNIT_EXPECT_EQ(test, s.device->threads, 1);
	KUNIT_EXPECT_TRUE(test, s.device->prepares >= 201 && s.device->runs == 201 && s.device->frees == 201);
	KUNIT_EXPECT_TRUE(test, s.device->timeouts > 0 && s.device->cancels == 1);
	mock_device_free(test, s.device);
}

static int count_pending(struct mock_device *device, struct drm_sched_entity *entity, struct drm_sched_job **last)
{
	struct drm_sched_job *job;
	int n = 0;

	drm_sched_for_each_pending_job(job, &device->base, entity) {
		*last = job;
		n++;
	}
	return n;
}

static void pending_jobs_are_those_that_the_device_has_by_their_order(struct kunit *test)
{
	struct setup s;
	struct drm_sched_entity other;
	struct drm_sched_job *last = NULL;
	struct mock_job *job[3];
	struct dma_fence *f[3];
	int i;

	s.device = mock_device_new(test, 2, MAX_SCHEDULE_TIMEOUT, MOCK_BY_HAND);
	mock_entity_init(test, &s.entity, DRM_SCHED_PRIORITY_NORMAL, s.device);
	mock_entity_init(test, &other, DRM_SCHED_PRIORITY_NORMAL, s.device);
	for (i = 0; i < 3; i++) {
		job[i] = mock_job_new(test, i == 1 ? &other : &s.entity, 1);
		f[i] = mock_job_submit(job[i]);
		if (i < 2)
			wait_for_runs(s.device, i + 1);
	}
	drm_sched_stop(&s.device->base, NULL);
	/* The third one has no credits yet. */
	KUNIT_EXPECT_EQ(test, count_pending(s.device, NULL, &last), 2);
	KUNIT_EXPECT_PTR_EQ(test, last, &job[1]->base);
	KUNIT_EXPECT_EQ(test, count_pending(s.device, &s.entity, &last), 1);
	KUNIT_EXPECT_PTR_EQ(test, last, &job[0]->base);
	KUNIT_EXPECT_EQ(test, count_pending(s.device, &other, &last), 1);
	KUNIT_EXPECT_PTR_EQ(test, last, &job[1]->base);
	mock_device_advance(s.device, 2, 0);
	drm_sched_start(&s.device->base, 0);
	wait_for_runs(s.device, 3);
	mock_device_advance(s.device, 1, 0);
	for (i = 0; i < 3; i++)
		expect_end(test, f[i], 1);
	drm_sched_entity_destroy(&other);
	tear_down(test, &s);
}

struct storm {
	struct kunit *test;
	struct mock_device *device;
	struct task_struct *task;
};

/* Entities come and go while their jobs run. */
static int end_entities(void *data)
{
	struct storm *s = data;
	int round, i;

	for (round = 0; round < 50; round++) {
		struct drm_sched_entity entity;
		struct dma_fence *last = NULL;

		mock_entity_init(s->test, &entity, DRM_SCHED_PRIORITY_NORMAL, s->device);
		for (i = 0; i < 10; i++) {
			struct dma_fence *before = last;

			last = mock_submit(s->test, &entity, 0, i % 3 ? before : NULL);
			dma_fence_put(before);
		}
		if (get_random_u32_below(2))
			drm_sched_entity_flush(&entity, LONG_TIME);
		drm_sched_entity_fini(&entity);
		/* What an entity's end leaves behind would be seen. */
		memset(&entity, 0x5a, sizeof(entity));
		KUNIT_EXPECT_GT(s->test, dma_fence_wait_timeout(last, false, LONG_TIME), 0);
		KUNIT_EXPECT_TRUE(s->test, dma_fence_get_status(last) == 1 || dma_fence_get_status(last) == -ESRCH);
		dma_fence_put(last);
	}
	return 0;
}

static void entities_end_at_any_time_and_nothing_is_left(struct kunit *test)
{
	struct mock_device *device = mock_device_new(test, 4, MAX_SCHEDULE_TIMEOUT, MOCK_BY_CLOCK);
	struct storm storms[3];
	int i;

	for (i = 0; i < 3; i++) {
		storms[i].test = test;
		storms[i].device = device;
		storms[i].task = kthread_run(end_entities, &storms[i], "storm");
		KUNIT_ASSERT_FALSE(test, IS_ERR(storms[i].task));
	}
	for (i = 0; i < 3; i++)
		kthread_stop(storms[i].task);
	drm_sched_fini(&device->base);
	KUNIT_EXPECT_EQ(test, device->frees, 1500);
	mock_device_free(test, device);
}

static struct kunit_case cases[] = {
	KUNIT_CASE(what_is_wrong_is_refused),
	KUNIT_CASE(its_fences_and_their_names_outlive_everything),
	KUNIT_CASE(what_run_job_returns_is_the_result),
	KUNIT_CASE(what_prepare_job_returns_is_waited_for),
	KUNIT_CASE(dependencies_are_handed_over),
	KUNIT_CASE(regress_of_seqnos_that_wrap_the_later_one_is_waited_for),
	KUNIT_CASE(regress_dependencies_are_added_between_arm_and_push),
	KUNIT_CASE(a_deadline_reaches_the_device),
	KUNIT_CASE(a_reset_in_timedout_job_ends_all_that_the_device_had),
	KUNIT_CASE(a_hang_that_the_driver_only_notes_is_told_again),
	KUNIT_CASE(a_device_that_is_gone_ends_everything),
	KUNIT_CASE(a_stop_keeps_what_is_done_and_a_start_fails_the_rest),
	KUNIT_CASE(what_is_resubmitted_runs_again),
	KUNIT_CASE(a_pause_lets_the_device_complete_its_jobs),
	KUNIT_CASE(a_suspended_timeout_is_resumed_with_what_was_left),
	KUNIT_CASE(after_the_end_of_an_entity_the_driver_sees_none_of_it),
	KUNIT_CASE(a_driver_may_take_a_job_in_timedout_job),
	KUNIT_CASE(a_device_that_cannot_cancel_is_not_waited_for_for_ever),
	KUNIT_CASE(a_scheduler_that_is_not_ready_is_not_chosen),
	KUNIT_CASE(all_functions_run_one_at_a_time_on_one_thread),
	KUNIT_CASE(pending_jobs_are_those_that_the_device_has_by_their_order),
	KUNIT_CASE(entities_end_at_any_time_and_nothing_is_left),
	{ NULL, NULL }
};

static void end_case(struct kunit *test)
{
	(void)test;
	rcu_barrier();
}

static struct kunit_suite gpu_scheduler_driver = {
	.name = "gpu_scheduler_driver",
	.exit = end_case,
	.test_cases = cases,
};

kunit_test_suite(gpu_scheduler_driver);
