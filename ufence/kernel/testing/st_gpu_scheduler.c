/*
 * The kernel's cases for its scheduler, under their numbers, over linux/gpu_scheduler.h. Lengths are a tenth
 * of the kernel's.
 */
#include <limits.h>

#include <linux/jiffies.h>
#include <linux/random.h>

#include "ufence/kernel/testing/mock_scheduler.h"

#define US 1000L
#define LONG_TIME (60L * HZ)

/* It is signaled within a minute, with that status. */
static void expect_end(struct kunit *test, struct dma_fence *f, int status)
{
	KUNIT_EXPECT_GT(test, dma_fence_wait_timeout(f, false, LONG_TIME), 0);
	KUNIT_EXPECT_EQ(test, dma_fence_get_status(f), status);
	dma_fence_put(f);
}

static void DS01_submit(struct kunit *test)
{
	struct mock_device *device = mock_device_new(test, 8, MAX_SCHEDULE_TIMEOUT, MOCK_BY_HAND);
	struct drm_sched_entity entity;
	struct mock_job *job;
	struct dma_fence *scheduled, *finished;

	mock_entity_init(test, &entity, DRM_SCHED_PRIORITY_NORMAL, device);
	job = mock_job_new(test, &entity, 1);
	drm_sched_job_arm(&job->base);
	job->device = device;
	scheduled = dma_fence_get(&job->base.s_fence->scheduled);
	finished = dma_fence_get(&job->base.s_fence->finished);
	KUNIT_EXPECT_FALSE(test, dma_fence_is_signaled(scheduled));
	KUNIT_EXPECT_EQ(test, scheduled->context, entity.fence_context);
	KUNIT_EXPECT_EQ(test, finished->context, entity.fence_context + 1);
	KUNIT_EXPECT_TRUE(test, scheduled->seqno == 1 && finished->seqno == 1);
	drm_sched_entity_push_job(&job->base);
	expect_end(test, scheduled, 1);
	KUNIT_EXPECT_FALSE(test, dma_fence_is_signaled(finished));
	KUNIT_EXPECT_EQ(test, mock_device_advance(device, 1, 0), 1);
	expect_end(test, finished, 1);
	drm_sched_entity_destroy(&entity);
	mock_device_free(test, device);
}

static void submit_chains(struct kunit *test, int entities, int jobs, bool chained)
{
	struct mock_device *device = mock_device_new(test, 8, MAX_SCHEDULE_TIMEOUT, MOCK_BY_CLOCK);
	struct drm_sched_entity entity[4];
	struct dma_fence *last[4] = { NULL };
	struct dma_fence *before = NULL;
	int i;

	for (i = 0; i < entities; i++)
		mock_entity_init(test, &entity[i], DRM_SCHED_PRIORITY_NORMAL, device);
	for (i = 0; i < jobs; i++) {
		int e = i % entities;

		dma_fence_put(last[e]);
		last[e] = mock_submit(test, &entity[e], 10 * US, chained ? before : NULL);
		dma_fence_put(before);
		before = dma_fence_get(last[e]);
	}
	dma_fence_put(before);
	for (i = 0; i < entities; i++) {
		expect_end(test, last[i], 1);
		drm_sched_entity_destroy(&entity[i]);
	}
	mock_device_free(test, device);
}

static void DS02_basic_test(struct kunit *test)
{
	submit_chains(test, 1, 100, false);
	submit_chains(test, 1, 100, true);
	submit_chains(test, 4, 100, false);
	submit_chains(test, 4, 100, true);
}

static void DS03_entity_cleanup(struct kunit *test)
{
	struct mock_device *device = mock_device_new(test, 8, MAX_SCHEDULE_TIMEOUT, MOCK_BY_HAND);
	struct drm_sched_entity entity[4];
	struct dma_fence *all[100];
	int i, killed = 0;

	for (i = 0; i < 4; i++)
		mock_entity_init(test, &entity[i], DRM_SCHED_PRIORITY_NORMAL, device);
	for (i = 0; i < 100; i++)
		all[i] = mock_submit(test, &entity[i % 4], 0, i ? all[i - 1] : NULL);
	while (!dma_fence_is_signaled(all[50]))
		mock_device_advance(device, 1, 0);
	for (i = 0; i < 4; i++)
		drm_sched_entity_fini(&entity[i]);
	while (mock_device_frees(device) < 100)
		mock_device_advance(device, 1, 0);
	for (i = 0; i < 100; i++) {
		int status = dma_fence_get_status(all[i]);

		KUNIT_EXPECT_TRUE(test, status == 1 || status == -ESRCH);
		killed += status == -ESRCH;
		dma_fence_put(all[i]);
	}
	KUNIT_EXPECT_TRUE(test, killed > 0 && killed < 50);
	mock_device_free(test, device);
}

#define WORKERS 16

struct worker {
	struct kunit *test;
	struct mock_device *device;
	struct task_struct *task;
	int n, jobs, ok;
};

static int push_in_parallel(void *data)
{
	struct worker *w = data;
	struct drm_sched_entity entity;
	struct dma_fence *f[8];
	int i;

	mock_entity_init(w->test, &entity, DRM_SCHED_PRIORITY_NORMAL, w->device);
	for (i = 0; i < 8; i++)
		f[i] = mock_submit(w->test, &entity, 0, NULL);
	for (i = 0; i < 8; i++) {
		dma_fence_wait(f[i], false);
		w->ok += dma_fence_get_status(f[i]) == 1;
		dma_fence_put(f[i]);
	}
	drm_sched_entity_destroy(&entity);
	return 0;
}

/* As many jobs as it is told, eight of them in flight. */
static int push_interleaved(void *data)
{
	struct worker *w = data;
	struct drm_sched_entity entity;
	struct dma_fence *f[8] = { NULL };
	int i;

	mock_entity_init(w->test, &entity, DRM_SCHED_PRIORITY_NORMAL, w->device);
	for (i = 0; i < w->jobs + 8; i++) {
		struct dma_fence **at = &f[i % 8];

		if (*at) {
			dma_fence_wait(*at, false);
			w->ok += dma_fence_get_status(*at) == 1;
			dma_fence_put(*at);
			*at = NULL;
		}
		if (i < w->jobs)
			*at = mock_submit(w->test, &entity, 10 * US * (w->n + 1), NULL);
	}
	drm_sched_entity_destroy(&entity);
	return 0;
}

static void run_workers(struct kunit *test, struct mock_device *device, int (*function)(void *),
			struct worker *workers)
{
	int i;

	for (i = 0; i < WORKERS; i++) {
		workers[i].test = test;
		workers[i].device = device;
		workers[i].n = i;
		workers[i].task = kthread_run(function, &workers[i], "worker");
		KUNIT_ASSERT_FALSE(test, IS_ERR(workers[i].task));
	}
}

static void DS04_parallel_submit(struct kunit *test)
{
	struct mock_device *device =
		mock_device_new(test, WORKERS * 8, MAX_SCHEDULE_TIMEOUT, MOCK_BY_HAND);
	struct worker workers[WORKERS] = { { .n = 0 } };
	int i, advanced = 0;

	run_workers(test, device, push_in_parallel, workers);
	while (advanced < WORKERS * 8)
		advanced += mock_device_advance(device, 1, 0);
	for (i = 0; i < WORKERS; i++) {
		kthread_stop(workers[i].task);
		KUNIT_EXPECT_EQ(test, workers[i].ok, 8);
	}
	KUNIT_EXPECT_EQ(test, mock_device_advance(device, 1, 0), 0);
	mock_device_free(test, device);
}

static void DS05_interleaved_submit(struct kunit *test)
{
	struct mock_device *device = mock_device_new(test, 64, MAX_SCHEDULE_TIMEOUT, MOCK_BY_CLOCK);
	struct worker workers[WORKERS];
	int i;

	memset(workers, 0, sizeof(workers));
	for (i = 0; i < WORKERS; i++)
		workers[i].jobs = 40;
	run_workers(test, device, push_interleaved, workers);
	for (i = 0; i < WORKERS; i++) {
		kthread_stop(workers[i].task);
		KUNIT_EXPECT_EQ(test, workers[i].ok, 40);
	}
	mock_device_free(test, device);
}

static void DS06_basic_timeout(struct kunit *test)
{
	struct mock_device *device = mock_device_new(test, 8, 5, MOCK_BY_HAND);
	struct drm_sched_entity entity;
	struct dma_fence *finished;

	mock_entity_init(test, &entity, DRM_SCHED_PRIORITY_NORMAL, device);
	finished = mock_submit(test, &entity, 0, NULL);
	expect_end(test, finished, -ETIMEDOUT);
	KUNIT_EXPECT_EQ(test, READ_ONCE(device->timeouts), 1);
	KUNIT_EXPECT_EQ(test, drm_sched_entity_error(&entity), -ETIMEDOUT);
	drm_sched_entity_destroy(&entity);
	mock_device_free(test, device);
}

static void DS07_skip_reset(struct kunit *test)
{
	struct mock_device *device = mock_device_new(test, 8, 5, MOCK_BY_HAND);
	struct drm_sched_entity entity;
	struct dma_fence *finished;

	device->verdict = DRM_GPU_SCHED_STAT_NO_HANG;
	mock_entity_init(test, &entity, DRM_SCHED_PRIORITY_NORMAL, device);
	finished = mock_submit(test, &entity, 0, NULL);
	wait_event(device->changed, READ_ONCE(device->timeouts) >= 2);
	KUNIT_EXPECT_FALSE(test, dma_fence_is_signaled(finished));
	KUNIT_EXPECT_EQ(test, mock_device_advance(device, 1, 0), 1);
	expect_end(test, finished, 1);
	drm_sched_entity_destroy(&entity);
	mock_device_free(test, device);
}

static void DS08_basic_cancel(struct kunit *test)
{
	struct mock_device *device = mock_device_new(test, 8, MAX_SCHEDULE_TIMEOUT, MOCK_BY_HAND);
	struct drm_sched_entity entity;
	struct dma_fence *one, *two, *scheduled;
	struct mock_job *job;

	mock_entity_init(test, &entity, DRM_SCHED_PRIORITY_NORMAL, device);
	one = mock_submit(test, &entity, 0, NULL);
	job = mock_job_new(test, &entity, 1);
	drm_sched_job_arm(&job->base);
	job->device = device;
	scheduled = dma_fence_get(&job->base.s_fence->scheduled);
	two = dma_fence_get(&job->base.s_fence->finished);
	drm_sched_entity_push_job(&job->base);
	expect_end(test, scheduled, 1);
	drm_sched_entity_fini(&entity);
	drm_sched_fini(&device->base);
	KUNIT_EXPECT_TRUE(test, device->cancels == 2 && device->frees == 2);
	expect_end(test, one, -ECANCELED);
	expect_end(test, two, -ECANCELED);
	mock_device_free(test, device);
}

static void DS09_priorities(struct kunit *test)
{
	struct mock_device *device = mock_device_new(test, 8, MAX_SCHEDULE_TIMEOUT, MOCK_BY_CLOCK);
	struct drm_sched_entity entity[DRM_SCHED_PRIORITY_COUNT];
	struct dma_fence *last[DRM_SCHED_PRIORITY_COUNT];
	int i, n;

	for (i = 0; i < DRM_SCHED_PRIORITY_COUNT; i++) {
		mock_entity_init(test, &entity[i], (enum drm_sched_priority)i, device);
		last[i] = NULL;
	}
	for (n = 0; n < 100; n++) {
		i = n % DRM_SCHED_PRIORITY_COUNT;
		dma_fence_put(last[i]);
		last[i] = mock_submit(test, &entity[i], 10 * US, NULL);
	}
	for (i = 0; i < DRM_SCHED_PRIORITY_COUNT; i++) {
		expect_end(test, last[i], 1);
		drm_sched_entity_destroy(&entity[i]);
	}
	mock_device_free(test, device);
}

struct changer {
	struct drm_sched_entity *entities;
	int changes;
};

static int change_priorities(void *data)
{
	struct changer *c = data;

	do {
		drm_sched_entity_set_priority(
			&c->entities[get_random_u32_below(4)],
			(enum drm_sched_priority)get_random_u32_below(DRM_SCHED_PRIORITY_COUNT));
		c->changes++;
		cond_resched();
	} while (!kthread_should_stop());
	return 0;
}

static void DS10_change_priority(struct kunit *test)
{
	struct mock_device *device = mock_device_new(test, 8, MAX_SCHEDULE_TIMEOUT, MOCK_BY_CLOCK);
	struct drm_sched_entity entity[4];
	struct dma_fence *last[4] = { NULL };
	struct changer changer = { entity, 0 };
	struct task_struct *task;
	int i;

	for (i = 0; i < 4; i++)
		mock_entity_init(test, &entity[i], DRM_SCHED_PRIORITY_NORMAL, device);
	task = kthread_run(change_priorities, &changer, "changes");
	KUNIT_ASSERT_FALSE(test, IS_ERR(task));
	for (i = 0; i < 200; i++) {
		dma_fence_put(last[i % 4]);
		last[i % 4] = mock_submit(test, &entity[i % 4], 10 * US, NULL);
	}
	for (i = 0; i < 4; i++)
		expect_end(test, last[i], 1);
	kthread_stop(task);
	KUNIT_EXPECT_GT(test, changer.changes, 0);
	for (i = 0; i < 4; i++)
		drm_sched_entity_destroy(&entity[i]);
	mock_device_free(test, device);
}

static void DS11_modify_sched(struct kunit *test)
{
	struct mock_device *device[3];
	struct drm_gpu_scheduler *all[3];
	struct drm_sched_entity entity[13];
	int i, n, runs = 0;

	for (i = 0; i < 3; i++) {
		device[i] = mock_device_new(test, 8, MAX_SCHEDULE_TIMEOUT, MOCK_BY_CLOCK);
		all[i] = &device[i]->base;
	}
	for (i = 0; i < 13; i++)
		mock_entity_init(test, &entity[i], DRM_SCHED_PRIORITY_NORMAL, device[i % 3]);
	for (n = 0; n < 20; n++) {
		for (i = 0; i < 13; i++) {
			struct drm_gpu_scheduler *next = all[(n + i) % 3];

			drm_sched_entity_modify_sched(&entity[i], &next, 1);
			expect_end(test, mock_submit(test, &entity[i], 10 * US, NULL), 1);
		}
	}
	for (i = 0; i < 13; i++)
		drm_sched_entity_destroy(&entity[i]);
	for (i = 0; i < 3; i++) {
		KUNIT_EXPECT_GT(test, device[i]->runs, 0);
		runs += device[i]->runs;
		mock_device_free(test, device[i]);
	}
	KUNIT_EXPECT_EQ(test, runs, 20 * 13);
}

static void DS12_credits(struct kunit *test)
{
	struct mock_device *device = mock_device_new(test, 1, MAX_SCHEDULE_TIMEOUT, MOCK_BY_HAND);
	struct drm_sched_entity entity;
	struct dma_fence *first, *second, *scheduled[2];
	struct mock_job *job[2];
	int i;

	mock_entity_init(test, &entity, DRM_SCHED_PRIORITY_NORMAL, device);
	for (i = 0; i < 2; i++) {
		job[i] = mock_job_new(test, &entity, 1);
		job[i]->device = device;
	}
	drm_sched_job_arm(&job[0]->base);
	drm_sched_job_arm(&job[1]->base);
	for (i = 0; i < 2; i++)
		scheduled[i] = dma_fence_get(&job[i]->base.s_fence->scheduled);
	first = dma_fence_get(&job[0]->base.s_fence->finished);
	second = dma_fence_get(&job[1]->base.s_fence->finished);
	drm_sched_entity_push_job(&job[0]->base);
	drm_sched_entity_push_job(&job[1]->base);
	expect_end(test, scheduled[0], 1);
	/* Whatever the worker does after this, it does not run the second. */
	drm_sched_wqueue_stop(&device->base);
	drm_sched_wqueue_start(&device->base);
	KUNIT_EXPECT_FALSE(test, dma_fence_is_signaled(scheduled[1]));
	KUNIT_EXPECT_EQ(test, mock_device_advance(device, 1, 0), 1);
	expect_end(test, first, 1);
	expect_end(test, scheduled[1], 1);
	KUNIT_EXPECT_EQ(test, mock_device_advance(device, 1, 0), 1);
	expect_end(test, second, 1);
	drm_sched_entity_destroy(&entity);
	mock_device_free(test, device);
}

static void DS13_queue_overhead(struct kunit *test)
{
	struct mock_device *device = mock_device_new(test, 64, MAX_SCHEDULE_TIMEOUT, MOCK_BY_CLOCK);
	struct drm_sched_entity entity;
	struct dma_fence *last = NULL;
	ktime_t begin = ktime_get();
	int i;

	mock_entity_init(test, &entity, DRM_SCHED_PRIORITY_NORMAL, device);
	for (i = 0; i < 200; i++) {
		dma_fence_put(last);
		last = mock_submit(test, &entity, 100 * US, NULL);
	}
	expect_end(test, last, 1);
	printf("200 jobs of 0.1 ms: %lld us\n", (ktime_get() - begin) / 1000);
	drm_sched_entity_destroy(&entity);
	KUNIT_EXPECT_EQ(test, device->runs, 200);
	mock_device_free(test, device);
}

static void DS14_ping_pong(struct kunit *test)
{
	struct mock_device *device[2];
	struct drm_sched_entity entity[2];
	struct dma_fence *last = NULL;
	ktime_t begin = ktime_get();
	int i;

	for (i = 0; i < 2; i++) {
		device[i] = mock_device_new(test, 64, MAX_SCHEDULE_TIMEOUT, MOCK_BY_CLOCK);
		mock_entity_init(test, &entity[i], DRM_SCHED_PRIORITY_NORMAL, device[i]);
	}
	for (i = 0; i < 200; i++) {
		struct dma_fence *before = last;

		last = mock_submit(test, &entity[i % 2], 100 * US, before);
		dma_fence_put(before);
	}
	expect_end(test, last, 1);
	printf("200 jobs of 0.1 ms, each after the other: %lld us\n", (ktime_get() - begin) / 1000);
	for (i = 0; i < 2; i++) {
		drm_sched_entity_destroy(&entity[i]);
		KUNIT_EXPECT_EQ(test, device[i]->runs, 100);
		mock_device_free(test, device[i]);
	}
}

/* So many jobs of a length, then a pause; waits for the last of them if `sync`. */
struct client {
	enum drm_sched_priority priority;
	int jobs;
	long us, pause_us;
	bool sync;
};

struct client_run {
	const struct client *of;
	struct kunit *test;
	struct mock_device *device;
	struct task_struct *task;
	ktime_t end;
	s64 device_ns;
	int cycles;
};

static int run_client(void *data)
{
	struct client_run *run = data;
	const struct client *c = run->of;
	struct drm_sched_entity entity;
	struct dma_fence *before[2] = { NULL };
	int i;

	mock_entity_init(run->test, &entity, c->priority, run->device);
	/* Once at least, however late this thread begins. */
	for (run->cycles = 0; !run->cycles || ktime_get() < run->end; run->cycles++) {
		struct dma_fence **at = &before[run->cycles % 2];

		/* Asynchronous clients have two cycles in the queue. */
		if (*at)
			expect_end(run->test, *at, 1);
		*at = NULL;
		for (i = 0; i < c->jobs; i++) {
			dma_fence_put(*at);
			*at = mock_submit(run->test, &entity, c->us * US, NULL);
			run->device_ns += c->us * US;
		}
		if (c->sync) {
			expect_end(run->test, *at, 1);
			*at = NULL;
		}
		if (c->pause_us) {
			/* The client's own work, beside the device's. */
			ktime_t until = ktime_get() + c->pause_us * US;

			while (ktime_get() < until)
				cond_resched();
		}
	}
	for (i = 0; i < 2; i++) {
		if (before[i])
			expect_end(run->test, before[i], 1);
	}
	drm_sched_entity_destroy(&entity);
	return 0;
}

/* Of all of them at once. Each client's run says what it had. */
static void run_clients(struct kunit *test, const struct client *clients, int n, u32 credit_limit,
			struct client_run *runs)
{
	struct mock_device *device =
		mock_device_new(test, credit_limit, MAX_SCHEDULE_TIMEOUT, MOCK_BY_CLOCK);
	int i, jobs = 0;

	memset(runs, 0, (size_t)n * sizeof(*runs));
	for (i = 0; i < n; i++) {
		runs[i].of = &clients[i];
		runs[i].test = test;
		runs[i].device = device;
		runs[i].end = ktime_get() + 50 * NSEC_PER_MSEC;
	}
	for (i = 0; i < n; i++) {
		runs[i].task = kthread_run(run_client, &runs[i], "client");
		KUNIT_ASSERT_FALSE(test, IS_ERR(runs[i].task));
	}
	for (i = 0; i < n; i++) {
		kthread_stop(runs[i].task);
		jobs += runs[i].cycles * clients[i].jobs;
	}
	KUNIT_EXPECT_EQ(test, device->runs, jobs);
	mock_device_free(test, device);
}

#define N DRM_SCHED_PRIORITY_NORMAL
#define L DRM_SCHED_PRIORITY_LOW
#define H DRM_SCHED_PRIORITY_HIGH

static void DS15_two_clients(struct kunit *test)
{
	static const struct {
		const char *name;
		struct client clients[2];
	} rows[] = {
		{ "normal and normal", { { N, 1, 800, 0, false }, { N, 1, 800, 0, false } } },
		{ "normal and low", { { N, 1, 800, 0, false }, { L, 1, 800, 0, false } } },
		{ "high and normal", { { H, 1, 800, 0, false }, { N, 1, 800, 0, false } } },
		{ "high and low", { { H, 1, 800, 0, false }, { L, 1, 800, 0, false } } },
		{ "50 and 50", { { N, 1, 150, 150, true }, { N, 1, 250, 250, true } } },
		{ "50 and 50 low", { { N, 1, 150, 150, true }, { L, 1, 250, 250, true } } },
		{ "50 high and 50", { { H, 1, 150, 150, true }, { N, 1, 250, 250, true } } },
		{ "low hog and interactive", { { L, 3, 250, 50, false }, { N, 1, 50, 1000, true } } },
		{ "heavy and interactive", { { N, 3, 250, 250, false }, { N, 1, 100, 900, true } } },
		{ "very heavy and interactive", { { N, 4, 5000, 1, false }, { N, 1, 100, 900, true } } },
	};
	struct client_run runs[2];
	u32 credits;
	size_t r;

	for (credits = 1; credits <= 2; credits++) {
		for (r = 0; r < ARRAY_SIZE(rows); r++) {
			run_clients(test, rows[r].clients, 2, credits, runs);
			printf("%-28s %lld and %lld us of the device, %u at a time\n", rows[r].name,
			       runs[0].device_ns / 1000, runs[1].device_ns / 1000, credits);
		}
	}
}

static void DS15_many_clients(struct kunit *test)
{
	static const int counts[] = { 2, 3, 7, 13, 31 };
	struct client clients[31];
	struct client_run runs[31];
	size_t r;
	int i;

	for (r = 0; r < ARRAY_SIZE(counts); r++) {
		int least = INT_MAX, most = 0;

		for (i = 0; i < counts[r]; i++)
			clients[i] = (struct client){ N, counts[r] == 31 ? 2 : 4, 100, 0, true };
		run_clients(test, clients, counts[r], 1, runs);
		for (i = 0; i < counts[r]; i++) {
			least = min(least, runs[i].cycles);
			most = max(most, runs[i].cycles);
		}
		KUNIT_EXPECT_GT(test, least, 0);
		printf("%2d clients, %d to %d cycles each\n", counts[r], least, most);
	}
}

#undef N
#undef L
#undef H

static struct kunit_case cases[] = {
	KUNIT_CASE(DS01_submit),
	KUNIT_CASE(DS02_basic_test),
	KUNIT_CASE(DS03_entity_cleanup),
	KUNIT_CASE(DS04_parallel_submit),
	KUNIT_CASE(DS05_interleaved_submit),
	KUNIT_CASE(DS06_basic_timeout),
	KUNIT_CASE(DS07_skip_reset),
	KUNIT_CASE(DS08_basic_cancel),
	KUNIT_CASE(DS09_priorities),
	KUNIT_CASE(DS10_change_priority),
	KUNIT_CASE(DS11_modify_sched),
	KUNIT_CASE(DS12_credits),
	KUNIT_CASE(DS13_queue_overhead),
	KUNIT_CASE(DS14_ping_pong),
	KUNIT_CASE(DS15_two_clients),
	KUNIT_CASE(DS15_many_clients),
	{ NULL, NULL }
};

static void end_case(struct kunit *test)
{
	(void)test;
	rcu_barrier();
}

static struct kunit_suite gpu_scheduler = {
	.name = "gpu_scheduler",
	.exit = end_case,
	.test_cases = cases,
};

kunit_test_suite(gpu_scheduler);
